//! apk's `installed` (apk-tools, "Installed database"): stanzas of lines with one letter each.

use crate::stanzas::{Stanza, stanzas};
use crate::{Ecosystem, Package, ReadError, Source, malformed, text};

/// A field by its letter, whose case matters.
fn letter<'a>(stanza: &Stanza<'a>, name: &str) -> Option<&'a str> {
    let found = stanza.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value).filter(|value| !value.is_empty())
}

pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let mut packages = Vec::new();
    for stanza in stanzas(text(bytes, "apk's data base")?) {
        let (Some(name), Some(version)) = (letter(&stanza, "P"), letter(&stanza, "V")) else {
            return malformed("a package of apk's data base has no name (P) or no version (V)");
        };
        let origin = letter(&stanza, "o").filter(|origin| *origin != name);
        let source =
            origin.map(|origin| Source { name: origin.to_owned(), version: version.to_owned() });
        let arch = letter(&stanza, "A").map(str::to_owned);
        packages.push(Package { source, arch, ..Package::new(Ecosystem::Apk, name, version) });
    }
    Ok(packages)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_installed_is_read() {
        let text = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\no:musl\nF:lib\nR:libc.so\na:0:0:755\n\n\
                    P:ssl_client\nV:1.36.1-r5\nA:x86_64\no:busybox\n";
        let packages = read(text.as_bytes()).unwrap();
        assert_eq!((packages.len(), &packages[0].source), (2, &None));
        assert_eq!(packages[0].arch.as_deref(), Some("x86_64"), "not `a`");
        let source = packages[1].source.as_ref().unwrap();
        assert_eq!((source.name.as_str(), source.version.as_str()), ("busybox", "1.36.1-r5"));
        assert!(read(b"P:musl\n").is_err() && read(b"V:1\n").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::vec(
                ("[a-z][a-z0-9+.-]{1,12}", "[0-9][0-9a-z._-]{0,10}", prop::option::of("[a-z]{2,8}")),
                0..20,
            ),
        ) {
            let (mut text, mut expected) = (String::new(), Vec::new());
            for (name, version, origin) in &packages {
                text += &format!("C:Q1=\nP:{name}\nV:{version}\n");
                if let Some(origin) = origin {
                    text += &format!("o:{origin}\n");
                }
                text += "F:bin\nR:x\n\n";
                let origin = origin.clone().filter(|origin| origin != name);
                let source = origin.map(|name| Source { name, version: version.clone() });
                expected.push(Package { source, ..Package::new(Ecosystem::Apk, name, version) });
            }
            prop_assert_eq!(read(text.as_bytes()).unwrap(), expected);
        }
    }
}
