//! Names of containers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A container's id: 64 lower-case hexadecimal digits, as Docker's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// Digits in a container id.
const LENGTH: usize = 64;

impl ContainerId {
    /// The id made of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        use fmt::Write;
        let mut digits = String::with_capacity(LENGTH);
        for byte in bytes {
            let _ = write!(digits, "{byte:02x}");
        }
        Self(digits)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: what Docker shows, and a container's default host name.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a container id: 64 lower-case hexadecimal digits")]
pub struct ParseContainerIdError(String);

impl FromStr for ContainerId {
    type Err = ParseContainerIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for ContainerId {
    type Error = ParseContainerIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == LENGTH && text.bytes().all(digit) {
            Ok(Self(text))
        } else {
            Err(ParseContainerIdError(text))
        }
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_64_lower_case_digits() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<ContainerId>().is_ok(), valid, "{text}");
        };
        check(&"0f".repeat(32), true);
        check(&"0F".repeat(32), false);
        check(&"0f".repeat(31), false);
        check("", false);
        check(&"é".repeat(32), false);
        assert_eq!(ContainerId::from_bytes([0xab; 32]).as_str(), "ab".repeat(32));
    }
}
