//! Which distribution an image is of (os-release(5)).

/// A distribution and its version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `ID`, such as `debian`.
    pub id: String,
    /// `VERSION_ID`, such as `12`; empty for one that rolls.
    pub version: String,
}

impl Release {
    /// Reads `etc/os-release` or `usr/lib/os-release`; none without an `ID`.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
        };
        let id = value("ID").filter(|id| !id.is_empty())?;
        Some(Self { id, version: value("VERSION_ID").unwrap_or_default() })
    }

    /// What OSV calls it, if it has advisories for it: `Debian:12`, `Alpine:v3.19`.
    pub fn osv_name(&self) -> Option<String> {
        let major = self.version.split('.').next().unwrap_or_default();
        let two: Vec<_> = self.version.split('.').take(2).collect();
        Some(match self.id.as_str() {
            "debian" => format!("Debian:{major}"),
            "ubuntu" => format!("Ubuntu:{}", self.version),
            "alpine" => format!("Alpine:v{}", two.join(".")),
            // These roll, and have no version there.
            "wolfi" => "Wolfi".to_owned(),
            "chainguard" => "Chainguard".to_owned(),
            "rocky" => format!("Rocky Linux:{major}"),
            "almalinux" => format!("AlmaLinux:{major}"),
            "rhel" => format!("Red Hat:{major}"),
            _ => return None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let check = |text: &str, expected: Option<&str>| {
            let release = Release::read(text.as_bytes());
            assert_eq!(release.and_then(|one| one.osv_name()).as_deref(), expected, "{text}");
        };
        check("PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n", Some("Debian:12"));
        check("ID=alpine\nVERSION_ID=3.19.1\n", Some("Alpine:v3.19"));
        check("ID=\"rocky\"\nVERSION_ID=\"9.3\"\n", Some("Rocky Linux:9"));
        check("ID=wolfi\nVERSION_ID=20230201\n", Some("Wolfi"));
        check("ID=void\n", None);
        check("VERSION_ID=1\n", None);
    }
}
