//! Python: `requirements.txt` (pip's reference) and metadata of installed distributions (PEP 566).

use crate::stanzas::{field, stanzas};
use crate::{Ecosystem, Package, ReadError, malformed, text};

/// As PyPI spells names: lower case, with one dash for each run of `-`, `_` and `.` (PEP 503).
pub(crate) fn normal(name: &str) -> String {
    let mut spelt = String::with_capacity(name.len());
    for part in name.split(['-', '_', '.']).filter(|part| !part.is_empty()) {
        if !spelt.is_empty() {
            spelt.push('-');
        }
        spelt.push_str(&part.to_ascii_lowercase());
    }
    spelt
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

/// What is pinned to one version; what may be any is not known.
pub(crate) fn read_requirements(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    let text = text(bytes, "requirements.txt")?;
    let pinned = text.lines().filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let line = line.split([';', '\\']).next().unwrap_or_default().trim();
        let (name, version) = line.split_once("==")?;
        let name = name.trim_end_matches('=').split('[').next().unwrap_or_default().trim();
        let version = version.trim_start_matches('=').split([',', ' ']).next()?.trim();
        let is_one = is_name(name) && !version.is_empty() && !version.contains('*');
        is_one.then(|| Package::new(Ecosystem::PyPi, normal(name), version))
    });
    Ok(pinned.collect())
}

pub(crate) fn read_metadata(bytes: &[u8]) -> Result<Vec<Package>, ReadError> {
    // Descriptions follow the first stanza and need not be texts of any encoding.
    let text = String::from_utf8_lossy(bytes);
    let stanza = stanzas(&text).next().unwrap_or_default();
    match (field(&stanza, "Name"), field(&stanza, "Version")) {
        (Some(name), Some(version)) if is_name(name) => {
            Ok(vec![Package::new(Ecosystem::PyPi, normal(name), version)])
        }
        _ => malformed("a distribution's metadata has no Name or no Version"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_pinned_is_read() {
        let text = "# a comment\nFlask==2.3.2 # why\nzope.interface===6.0\nrequests[socks]==2.31.0 ; \
                    python_version > '3'\nurllib3>=1.26\n-r other.txt\nsix==1.*\ncertifi==2023.7.22 \\\n    \
                    --hash=sha256:00\ngit+https://x.test/y@v1==z\n";
        let packages = read_requirements(text.as_bytes()).unwrap();
        let told: Vec<_> =
            packages.iter().map(|one| (one.name.as_str(), one.version.as_str())).collect();
        assert_eq!(
            told,
            [
                ("flask", "2.3.2"),
                ("zope-interface", "6.0"),
                ("requests", "2.31.0"),
                ("certifi", "2023.7.22")
            ]
        );
    }

    #[test]
    fn metadata_is_read() {
        let text =
            "Metadata-Version: 2.1\nName: PyYAML\nVersion: 6.0.1\nSummary: x\n\nVersion: 9\n";
        let packages = read_metadata(text.as_bytes()).unwrap();
        assert_eq!(packages, [Package::new(Ecosystem::PyPi, "pyyaml", "6.0.1")]);
        assert!(read_metadata(b"Name: x\n").is_err() && read_metadata(b"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            packages in prop::collection::vec(("[A-Za-z][A-Za-z0-9_.-]{0,10}[a-z0-9]", "[0-9][0-9a-z.]{0,6}"), 0..20),
        ) {
            let text: String =
                packages.iter().map(|(name, version)| format!("{name}=={version}\n")).collect();
            let expected: Vec<_> = packages
                .iter()
                .map(|(name, version)| Package::new(Ecosystem::PyPi, normal(name), version))
                .collect();
            prop_assert_eq!(read_requirements(text.as_bytes()).unwrap(), expected);
        }

        #[test]
        fn names_are_spelt_once(name in "[A-Za-z0-9_.-]{1,20}") {
            prop_assert_eq!(normal(&normal(&name)), normal(&name));
        }
    }
}
