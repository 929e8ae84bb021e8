//! AWS Signature Version 4: the server's check and the client's signature, over one canonical form.

mod canonical;
mod claim;
mod instant;
mod keys;
mod sign;
mod verify;

pub use canonical::UriPath;
pub use claim::{AuthError, Claim};
pub use keys::KeyCache;
pub use sign::{Credentials, Signer, presign, sign};
pub use verify::{Policy, Verifier};

use sha2::{Digest, Sha256};

/// The algorithm that we speak.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The end of every credential scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// The SHA-256 digest of `data` in lower-case hexadecimal digits.
pub fn sha256_hex(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}
