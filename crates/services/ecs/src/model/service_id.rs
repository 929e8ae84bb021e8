//! Numbers and ids of deployments and revisions (ECS semantics §2.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What stands before the digits of a deployment's or task set's id.
const PREFIX: &str = "ecs-svc/";
/// The least number of nineteen digits.
const LEAST: u64 = 1_000_000_000_000_000_000;
/// How many numbers of nineteen digits are given out.
const SPAN: u64 = 8_000_000_000_000_000_000;

/// A text that is no id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is not an id of a deployment, a task set or a revision")]
pub(crate) struct ParseNumberError;

/// Nineteen digits from sixteen bytes of an id source.
fn number(bytes: [u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = bytes;
    LEAST + u64::from_le_bytes([a, b, c, d, e, f, g, h]) % SPAN
}

fn parse(digits: &str) -> Result<u64, ParseNumberError> {
    let number = digits.parse().map_err(|_| ParseNumberError)?;
    let is_whole = digits.len() == 19 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then_some(number).ok_or(ParseNumberError)
}

/// The id of a deployment or of a task set, `ecs-svc/` and nineteen digits; also who started the
/// tasks that it made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct DeploymentId(u64);

impl DeploymentId {
    /// The id made of these bytes; take them from the transaction.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(number(bytes))
    }

    /// The nineteen digits.
    pub(crate) const fn digits(self) -> u64 {
        self.0
    }

    /// The id with these digits, as a key has them.
    pub(crate) const fn from_digits(digits: u64) -> Self {
        Self(digits)
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl FromStr for DeploymentId {
    type Err = ParseNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.strip_prefix(PREFIX).ok_or(ParseNumberError)?).map(Self)
    }
}

/// The id of a service revision: nineteen digits, the last part of its ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RevisionId(u64);

impl RevisionId {
    /// The nineteen digits.
    pub(crate) const fn digits(self) -> u64 {
        self.0
    }

    /// The id with these digits, as a key has them.
    pub(crate) const fn from_digits(digits: u64) -> Self {
        Self(digits)
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RevisionId {
    type Err = ParseNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(Self)
    }
}

/// How many characters the id in the ARN of a service deployment has.
const CHARS: usize = 21;
/// The characters of such an id: letters and digits, and two that URLs allow.
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";

/// The id of a service deployment: 21 characters, the last part of its ARN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ServiceDeploymentId(String);

impl ServiceDeploymentId {
    /// The id made of these bytes; take them from the transaction.
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut rest = u128::from_be_bytes(bytes);
        let text = (0..CHARS).map(|_| {
            let place = usize::try_from(rest % 64).unwrap_or_default();
            rest /= 64;
            char::from(ALPHABET[place])
        });
        Self(text.collect())
    }

    /// Its text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceDeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceDeploymentId {
    type Err = ParseNumberError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_whole = text.len() == CHARS && text.bytes().all(|byte| ALPHABET.contains(&byte));
        is_whole.then(|| Self(text.to_owned())).ok_or(ParseNumberError)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_from_their_text() {
        for byte in [0, 1, 127, 255] {
            let id = DeploymentId::from_bytes([byte; 16]);
            assert_eq!(id.to_string().len(), PREFIX.len() + 19);
            assert_eq!(id.to_string().parse(), Ok(id));
            let revision = RevisionId::from_digits(id.digits());
            assert_eq!(revision.to_string().parse(), Ok(revision));
            let deployment = ServiceDeploymentId::from_bytes([byte; 16]);
            assert_eq!(deployment.as_str().len(), 21);
            assert_eq!(deployment.to_string().parse(), Ok(deployment));
        }
        for text in ["", "1", "ecs-svc/1", "ecs-svc/", "ecs-svc/+234567890123456789"] {
            assert!(text.parse::<DeploymentId>().is_err(), "{text}");
        }
    }
}
