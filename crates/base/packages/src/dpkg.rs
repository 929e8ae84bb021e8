//! dpkg's `status` (deb-control(5), dpkg(1)): a stanza for each package, installed or not.

use crate::stanzas::{field, stanzas};
use crate::{Ecosystem, Package, ReadError, Source, malformed, text};

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let mut packages = Vec::new();
    for stanza in stanzas(text(bytes, "dpkg's status")?) {
        let Some(name) = field(&stanza, "Package") else {
            return malformed("a stanza of dpkg's status has no Package");
        };
        // `install ok installed`; images without dpkg leave it out.
        let is_there = field(&stanza, "Status").is_none_or(|status| status.ends_with(" installed"));
        if !is_there {
            continue;
        }
        let Some(version) = field(&stanza, "Version") else {
            return malformed(format!("{name} of dpkg's status has no Version"));
        };
        let source = field(&stanza, "Source").map(|text| source(text, version));
        let arch = field(&stanza, "Architecture").map(str::to_owned);
        packages.push(Package { source, arch, ..Package::new(Ecosystem::Dpkg, name, version) });
    }
    Ok(packages)
}

/// `NAME` or `NAME (VERSION)`, if the version is another one.
fn source(text: &str, version: &str) -> Source {
    let (name, told) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim().trim_end_matches(')').trim()),
        None => (text.trim(), version),
    };
    Source { name: name.to_owned(), version: told.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_installed_is_read() {
        let text = "Package: libc6\nStatus: install ok installed\nSource: glibc\nArchitecture: amd64\n\
                    Version: 2.36-9+deb12u4\nDescription: C library\n more\n .\n Version: none\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\n\
                    Package: libperl\nStatus: install ok installed\nSource: perl (5.36.0-7)\nVersion: 1.2\n";
        let packages = read(text.as_bytes()).unwrap();
        let told: Vec<_> = packages
            .iter()
            .map(|one| {
                let source = one.source.as_ref().unwrap();
                (
                    one.name.as_str(),
                    one.version.as_str(),
                    source.name.as_str(),
                    source.version.as_str(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("libc6", "2.36-9+deb12u4", "glibc", "2.36-9+deb12u4"),
                ("libperl", "1.2", "perl", "5.36.0-7"),
            ]
        );
        assert_eq!(packages[0].arch.as_deref(), Some("amd64"));
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, expected: &str| {
            let told = read(text.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        };
        check("Version: 1\n", "no Package");
        check("Package: a\nStatus: install ok installed\n", "a of dpkg's status has no Version");
        assert!(read(b"\xff\xfe").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::vec(
                ("[a-z][a-z0-9+.-]{1,12}", "[0-9]:?[0-9a-z.+~-]{1,10}", prop::option::of("[a-z]{2,8}"), any::<bool>()),
                0..20,
            ),
        ) {
            let (mut text, mut expected) = (String::new(), Vec::new());
            for (name, version, source, is_there) in &packages {
                let state = if *is_there { "installed" } else { "config-files" };
                text += &format!("Package: {name}\nStatus: install ok {state}\n");
                if let Some(source) = source {
                    text += &format!("Source: {source}\n");
                }
                text += &format!("Version: {version}\nDescription: x\n a line\n\n");
                if *is_there {
                    let source = source.clone().map(|name| Source { name, version: version.clone() });
                    let package = Package::new(Ecosystem::Dpkg, name, version);
                    expected.push(Package { source, ..package });
                }
            }
            prop_assert_eq!(read(text.as_bytes()).unwrap(), expected);
        }
    }
}
