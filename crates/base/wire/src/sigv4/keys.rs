//! Signing keys, derived once a day for each scope.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::TERMINATOR;
use crate::Secret;

/// At most this many keys are kept; then all are forgotten and derived anew (four HMACs each).
const MAX_KEYS: usize = 4096;

/// An HMAC with its key already mixed in.
pub(super) type Keyed = Hmac<Sha256>;

#[allow(clippy::expect_used)]
fn keyed(key: &[u8]) -> Keyed {
    Keyed::new_from_slice(key).expect("HMAC takes keys of every length")
}

pub(super) fn mac(keyed: &Keyed, data: &[u8]) -> [u8; 32] {
    let mut mac = keyed.clone();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// The signing key of a scope.
pub(super) fn derive(secret: &Secret, date: &str, region: &str, service: &str) -> Keyed {
    let mut key = keyed(format!("AWS4{}", secret.expose()).as_bytes());
    for part in [date, region, service, TERMINATOR] {
        key = keyed(&mac(&key, part.as_bytes()));
    }
    key
}

struct Entry {
    secret: Secret,
    key: Keyed,
}

/// Derived signing keys by credential (`AKID/date/region/service/aws4_request`).
#[derive(Default)]
pub struct KeyCache {
    entries: Mutex<HashMap<Box<str>, Entry>>,
}

impl std::fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCache").finish_non_exhaustive()
    }
}

impl KeyCache {
    /// The HMAC under the signing key of `credential`, which is of this secret and scope.
    pub(super) fn mac(
        &self,
        credential: &str,
        secret: &Secret,
        [date, region, service]: [&str; 3],
        data: &[u8],
    ) -> [u8; 32] {
        let known = self.find(credential, secret);
        let key = known.unwrap_or_else(|| {
            let key = derive(secret, date, region, service);
            self.keep(credential, secret, &key);
            key
        });
        mac(&key, data)
    }

    fn find(&self, credential: &str, secret: &Secret) -> Option<Keyed> {
        let entries = self.entries.lock();
        let entry = entries.get(credential).filter(|entry| entry.secret == *secret)?;
        Some(entry.key.clone())
    }

    fn keep(&self, credential: &str, secret: &Secret, key: &Keyed) {
        let mut entries = self.entries.lock();
        if entries.len() >= MAX_KEYS {
            entries.clear();
        }
        entries.insert(credential.into(), Entry { secret: secret.clone(), key: key.clone() });
    }
}
