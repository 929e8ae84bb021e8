//! Digests as clients name content by: SHA-256, or SHA-512.

use std::fmt;
use std::str::FromStr;

/// The hash of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// 64 hexadecimal digits.
    Sha256,
    /// 128 hexadecimal digits.
    Sha512,
}

/// `sha256:…` or `sha512:…` with lower-case hexadecimal digits of the right number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ContentDigest(String);

/// A text that is no digest, or one of a hash that is not kept here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a digest that this registry knows (sha256 or sha512, lower-case hexadecimal)"
)]
pub(crate) struct NoDigest(String);

impl ContentDigest {
    /// Its hash.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self.0.starts_with("sha512:") {
            true => Algorithm::Sha512,
            false => Algorithm::Sha256,
        }
    }

    /// As clients write it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The file's name if it is the hash that files are named by.
    pub(crate) fn stored(&self) -> Option<blobs::Digest> {
        self.0.parse().ok()
    }

    /// Whether `bytes` have this digest.
    pub(crate) fn fits(&self, bytes: &[u8]) -> bool {
        use sha2::Digest as _;
        match self.algorithm() {
            Algorithm::Sha256 => blobs::Digest::of(bytes).to_string() == self.0,
            Algorithm::Sha512 => Self::of_sha512(&sha2::Sha512::digest(bytes)) == *self,
        }
    }

    /// The digest that SHA-512 gave.
    pub(crate) fn of_sha512(bytes: &[u8]) -> Self {
        Self(format!("sha512:{}", data_encoding::HEXLOWER.encode(bytes)))
    }
}

impl From<blobs::Digest> for ContentDigest {
    fn from(digest: blobs::Digest) -> Self {
        Self(digest.to_string())
    }
}

impl FromStr for ContentDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let wrong = || NoDigest(text.chars().take(160).collect());
        let (algorithm, digits) = text.split_once(':').ok_or_else(wrong)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(wrong()),
        };
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match digits.len() == length && digits.bytes().all(is_hex) {
            true => Ok(Self(text.to_owned())),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hashes_are_known() {
        for bytes in [&b""[..], b"{}"] {
            let sha256 = ContentDigest::from(blobs::Digest::of(bytes));
            assert!(sha256.fits(bytes) && !sha256.fits(b"other"));
            assert_eq!(sha256.as_str().parse(), Ok(sha256));
        }
        let sha512 = {
            use sha2::Digest as _;
            ContentDigest::of_sha512(&sha2::Sha512::digest(b"{}"))
        };
        assert_eq!(sha512.algorithm(), Algorithm::Sha512);
        assert!(sha512.fits(b"{}") && !sha512.fits(b""));
        for bad in ["", "sha256", "sha256:", "md5:00", "sha256:baddigeststring", "blake3:00"] {
            assert!(bad.parse::<ContentDigest>().is_err(), "{bad}");
        }
        assert!(format!("sha256:{}", "A".repeat(64)).parse::<ContentDigest>().is_err());
        assert!(format!("sha512:{}", "a".repeat(64)).parse::<ContentDigest>().is_err());
    }
}
