//! Cargo's `Cargo.lock`.

use serde::Deserialize;

use crate::{Ecosystem, Package, ReadError, malformed, text};

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    source: Option<String>,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let lock: Lock = match toml::from_str(text(bytes, "Cargo.lock")?) {
        Ok(lock) => lock,
        Err(error) => return malformed(format!("Cargo.lock: {}", error.message())),
    };
    // What has no source is the program's own, or lies beside it.
    let is_published =
        |entry: &Entry| entry.source.as_ref().is_some_and(|text| text.starts_with("registry+"));
    let packages = lock.package.into_iter().filter(is_published);
    Ok(packages.map(|one| Package::new(Ecosystem::CratesIo, one.name, one.version)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::vec(("[a-z][a-z0-9_-]{1,12}", "[0-9]\\.[0-9]\\.[0-9]", any::<bool>()), 0..20),
        ) {
            let (mut text, mut expected) = ("version = 4\n\n".to_owned(), Vec::new());
            for (name, version, is_published) in &packages {
                text += &format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
                if *is_published {
                    text += "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
                    expected.push(Package::new(Ecosystem::CratesIo, name, version));
                }
                text += "dependencies = [\n \"other\",\n]\n\n";
            }
            prop_assert_eq!(read(text.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn mistakes_are_told() {
        assert!(read(b"[[package]]\nname = 1\n").is_err());
        assert_eq!(read(b"version = 4\n").unwrap(), []);
    }
}
