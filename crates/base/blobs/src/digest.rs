//! SHA-256 digests, and the hasher that makes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};

/// A SHA-256 digest, printed as registries write it: `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest as 64 lower-case hexadecimal digits, without the algorithm's name.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// Another hash algorithm; only `sha256` is kept here.
    #[error("digest algorithm '{0}' is not supported; only sha256 is")]
    Algorithm(String),
    /// Not `sha256:` followed by 64 lower-case hexadecimal digits.
    #[error("'{0}' is not a digest (sha256: and 64 lower-case hexadecimal digits)")]
    Form(String),
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let form = || ParseDigestError::Form(text.chars().take(128).collect());
        let (algorithm, digits) = text.split_once(':').ok_or_else(form)?;
        match algorithm {
            "sha256" => {}
            "sha512" | "sha384" | "blake3" => {
                return Err(ParseDigestError::Algorithm(algorithm.to_owned()));
            }
            _ => return Err(form()),
        }
        let is_lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if !digits.bytes().all(is_lower_hex) {
            return Err(form());
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| form())?;
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they pass.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// A hasher that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What it knows of the bytes that it saw, for [`Hasher::resume`] in another process.
    pub fn state(&self) -> Vec<u8> {
        self.0.serialize().to_vec()
    }

    /// A hasher that goes on from what [`Hasher::state`] gave; `None` if the bytes are no such state.
    pub fn resume(state: &[u8]) -> Option<Self> {
        let state = SerializedState::<sha2::Sha256>::try_from(state).ok()?;
        sha2::Sha256::deserialize(&state).ok().map(Self)
    }

    /// The digest of all that was taken in.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_from_their_text() {
        let empty = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.to_string(), text);
        assert_eq!(text.parse(), Ok(empty));
    }

    #[test]
    fn a_hasher_goes_on_in_another_process() {
        for cut in [0, 1, 63, 64, 65, 200] {
            let bytes = [7; 300];
            let mut first = Hasher::new();
            first.update(&bytes[..cut]);
            let mut second = Hasher::resume(&first.state()).unwrap();
            second.update(&bytes[cut..]);
            assert_eq!(second.finish(), Digest::of(&bytes), "cut at {cut}");
        }
        assert!(Hasher::resume(b"no state").is_none());
    }

    #[test]
    fn other_texts_are_no_digests() {
        let check = |text: &str| assert!(text.parse::<Digest>().is_err(), "{text}");
        check("");
        check("sha256:");
        check("sha256:abc");
        check(&"a".repeat(64));
        check(&format!("sha256:{}", "A".repeat(64)));
        check(&format!("sha256:{}", "a".repeat(65)));
        check(&format!("md5:{}", "a".repeat(32)));
        let sha512 = format!("sha512:{}", "a".repeat(128)).parse::<Digest>().unwrap_err();
        assert_eq!(sha512, ParseDigestError::Algorithm("sha512".to_owned()));
    }
}
