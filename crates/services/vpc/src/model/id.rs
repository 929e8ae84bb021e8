//! Ids as EC2 forms them: a kind and 17 hexadecimal digits.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::tables::Scope;

/// How many digits follow the kind (EC2 User Guide, "Longer IDs").
const DIGITS: usize = 17;

/// The id of something that every account and region has: always the same for the same place.
pub(super) fn derived(kind: &str, scope: &Scope, what: &str) -> String {
    let Scope { account, region } = scope;
    let name = format!("longshore/vpc/{account}/{region}/{kind}/{what}");
    with_digits(kind, &Sha256::digest(name.as_bytes()))
}

/// The id of something new, from bytes that nobody else has; at least nine of them.
pub(crate) fn made(kind: &str, bytes: &[u8]) -> String {
    with_digits(kind, bytes)
}

fn with_digits(kind: &str, bytes: &[u8]) -> String {
    let digits: String = HEXLOWER.encode(bytes).chars().take(DIGITS).collect();
    format!("{kind}-{digits}")
}
