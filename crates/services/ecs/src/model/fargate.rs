//! What a task has that runs on Fargate.

use serde::{Deserialize, Serialize};
use terms::Text;

/// Fargate's platform versions for Linux, as requests may name them.
const PLATFORMS: [&str; 6] = [LATEST, "1.0.0", "1.1.0", "1.2.0", "1.3.0", NEWEST];
/// What a request means that names none.
pub(crate) const LATEST: &str = "LATEST";
/// What `LATEST` stands for (Developer Guide, "Fargate platform versions for Linux").
const NEWEST: &str = "1.4.0";

/// A platform version that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Platform(&'static str);

impl Platform {
    /// The version that a request means; none if there is no such one.
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        let text = text.filter(|text| !text.is_empty()).unwrap_or(LATEST);
        let known = PLATFORMS.into_iter().find(|known| *known == text)?;
        Some(Self(if known == LATEST { NEWEST } else { known }))
    }

    /// As in `1.4.0`.
    pub(crate) const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Storage that every task has, in GiB (ECS semantics §3.3).
pub(crate) const STORAGE_GIB: u32 = 20;

/// What a task has that runs on a node of the operator's fleet, and not on an instance of its
/// cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OnFargate {
    /// The platform version, as in `1.4.0`.
    #[serde(rename = "p")]
    pub(crate) platform: Text,
    /// Its ephemeral storage in GiB.
    #[serde(rename = "g")]
    pub(crate) storage_gib: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_those_of_fargate() {
        let check = |text: Option<&str>, expected: Option<&str>| {
            assert_eq!(Platform::read(text).map(Platform::as_str), expected, "{text:?}");
        };
        check(None, Some("1.4.0"));
        check(Some(""), Some("1.4.0"));
        check(Some("LATEST"), Some("1.4.0"));
        check(Some("1.3.0"), Some("1.3.0"));
        check(Some("2.0.0"), None);
    }
}
