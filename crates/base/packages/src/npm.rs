//! npm's `package-lock.json`, of all three versions.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Ecosystem, Package, ReadError, malformed};

/// How deep dependencies of version 1 may lie in each other.
const DEPTH_MAX: usize = 64;

#[derive(Deserialize)]
struct Lock {
    /// Of versions 2 and 3: by their places.
    packages: Option<BTreeMap<String, Entry>>,
    /// Of version 1: by their names.
    dependencies: Option<BTreeMap<String, Dependency>>,
}

#[derive(Deserialize)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    #[serde(default)]
    link: bool,
}

#[derive(Deserialize)]
struct Dependency {
    version: Option<String>,
    dependencies: Option<BTreeMap<String, Dependency>>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let lock: Lock = match serde_json::from_slice(bytes) {
        Ok(lock) => lock,
        Err(error) => return malformed(format!("package-lock.json: {error}")),
    };
    let mut packages = Vec::new();
    match (lock.packages, lock.dependencies) {
        (Some(entries), _) => {
            for (place, entry) in entries {
                // The program itself is at the empty place, its own parts are links or lie elsewhere.
                let Some((_, known)) = place.rsplit_once("node_modules/") else { continue };
                if let (Some(version), false) = (entry.version, entry.link) {
                    let name = entry.name.unwrap_or_else(|| known.to_owned());
                    packages.push(Package::new(Ecosystem::Npm, name, version));
                }
            }
        }
        (None, Some(dependencies)) => gather(dependencies, 0, &mut packages)?,
        (None, None) => {
            return malformed("package-lock.json has neither packages nor dependencies");
        }
    }
    packages.sort();
    packages.dedup();
    Ok(packages)
}

fn gather(
    dependencies: BTreeMap<String, Dependency>,
    depth: usize,
    packages: &mut Vec<Package>,
) -> Result<(), ReadError> {
    if depth > DEPTH_MAX {
        return malformed(format!("dependencies lie over {DEPTH_MAX} deep in each other"));
    }
    for (name, dependency) in dependencies {
        if let Some(version) = dependency.version.filter(|version| !version.contains(':')) {
            packages.push(Package::new(Ecosystem::Npm, name, version));
        }
        if let Some(more) = dependency.dependencies {
            gather(more, depth + 1, packages)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn all_versions_are_read() {
        let new = json!({"lockfileVersion": 3, "packages": {
            "": {"name": "app", "version": "1.0.0"},
            "packages/own": {"version": "1.0.0"},
            "node_modules/own": {"link": true, "resolved": "packages/own"},
            "node_modules/a": {"version": "1.2.3"},
            "node_modules/a/node_modules/@b/c": {"version": "2.0.0"},
            "node_modules/alias": {"name": "real", "version": "3.0.0"},
        }});
        let old = json!({"lockfileVersion": 1, "dependencies": {
            "a": {"version": "1.2.3", "dependencies": {"@b/c": {"version": "2.0.0"}}},
            "real": {"version": "3.0.0"},
            "local": {"version": "file:../local"},
        }});
        let expected = [("@b/c", "2.0.0"), ("a", "1.2.3"), ("real", "3.0.0")]
            .map(|(name, version)| Package::new(Ecosystem::Npm, name, version));
        for lock in [new, old] {
            assert_eq!(read(lock.to_string().as_bytes()).unwrap(), expected);
        }
        assert!(read(b"{}").is_err() && read(b"[").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::btree_set(("(@[a-z]{1,5}/)?[a-z]{1,8}", "[0-9]\\.[0-9]\\.[0-9]"), 0..20),
        ) {
            let mut entries = serde_json::Map::new();
            for (number, (name, version)) in packages.iter().enumerate() {
                let place = format!("node_modules/p{number}/node_modules/{name}");
                entries.insert(place, json!({"version": version}));
            }
            let text = json!({"lockfileVersion": 3, "packages": entries}).to_string();
            let found: BTreeSet<_> = read(text.as_bytes()).unwrap().into_iter()
                .map(|one| (one.name, one.version)).collect();
            prop_assert_eq!(found, packages);
        }
    }
}
