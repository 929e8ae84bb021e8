//! Secret tables: their bodies are sealed before a store sees them.
//!
//! A sealed body is `C1 01`, the key's id (8 bytes), a random nonce (12 bytes) and what AES-256-GCM
//! makes of the body, with table, key and record version as associated data: a body moved to
//! another row does not open. MessagePack never begins with `C1`, so a body in the clear, of a
//! store from before there were keys, is told apart. Once a store has sealed bodies, one in the
//! clear is refused: nobody slips a row in.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};

use crate::bytes::Bytes;

/// The length of a key, in bytes.
pub const SECRETS_KEY_BYTES: usize = 32;

/// What a sealed body begins with: a byte that MessagePack never uses, and the form's version.
const MAGIC: [u8; 2] = [0xc1, 1];
/// The length of a key's id, in bytes.
const ID_BYTES: usize = 8;
/// What comes before the sealed bytes.
const HEADER_BYTES: usize = MAGIC.len() + ID_BYTES + NONCE_LEN;

/// The keys that secret tables are sealed with: the first seals, all open.
pub struct SecretsKeys {
    keys: Vec<SecretsKey>,
    random: SystemRandom,
    /// Rows that are stored otherwise than the first key would seal them.
    stale: Mutex<BTreeSet<(u16, Bytes)>>,
    /// Whether any body was sealed: then none may be in the clear.
    any_sealed: AtomicBool,
    /// Whether the load under way met a body in the clear.
    any_clear: AtomicBool,
}

struct SecretsKey {
    id: [u8; ID_BYTES],
    key: LessSafeKey,
}

/// Why a secret row cannot be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// The list of keys is empty, or one has another length.
    #[error("a key for secrets has {SECRETS_KEY_BYTES} bytes, and there is at least one")]
    Keys,
    /// It was sealed with a key that is not at hand.
    #[error(
        "it is sealed with the key {sealed_with}, and this server has {}; give the key that the \
         store's secrets were sealed with, the same to all servers",
        known(.at_hand)
    )]
    OtherKey {
        /// The id of the key that sealed it.
        sealed_with: String,
        /// The ids of those at hand.
        at_hand: Vec<String>,
    },
    /// It does not open with its key: it was changed, or moved here from another row.
    #[error("it was changed since it was sealed, or belongs to another row")]
    Changed,
    /// It is in the clear among sealed ones.
    #[error("it is in the clear, though others are sealed: it was put there by something else")]
    InTheClear,
    /// The kernel gave no random bytes.
    #[error("the kernel's random generator failed")]
    Random,
}

fn known(ids: &[String]) -> String {
    match ids {
        [] => "none".to_owned(),
        [id] => format!("the key {id}"),
        ids => format!("the keys {}", ids.join(", ")),
    }
}

/// Where a row lives: what it is sealed to.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) number: u16,
    pub(crate) table: &'a str,
    pub(crate) record_version: u16,
    pub(crate) key: &'a [u8],
}

impl Place<'_> {
    fn associated(&self) -> Vec<u8> {
        let version = self.record_version.to_be_bytes();
        [self.table.as_bytes(), &[0], &version, self.key].concat()
    }
}

impl fmt::Debug for SecretsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl SecretsKeys {
    /// Seals with the first of these, opens with all.
    ///
    /// # Errors
    /// If there is none, or one has not [`SECRETS_KEY_BYTES`].
    pub fn new<K: AsRef<[u8]>>(keys: &[K]) -> Result<Self, SecretsError> {
        let keys: Vec<_> = keys
            .iter()
            .map(|bytes| SecretsKey::new(bytes.as_ref()).ok_or(SecretsError::Keys))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(SecretsError::Keys);
        }
        Ok(Self {
            keys,
            random: SystemRandom::new(),
            stale: Mutex::default(),
            any_sealed: AtomicBool::new(false),
            any_clear: AtomicBool::new(false),
        })
    }

    /// The keys' ids in hexadecimal digits, the sealing one first. An id tells nothing of its key.
    pub fn ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| hex(&key.id)).collect()
    }

    /// What to say of a sealed body when there are no keys at all.
    pub(crate) fn none_for(stored: &[u8]) -> SecretsError {
        let sealed_with = parts(stored).map_or_else(String::new, |(id, _, _)| hex(&id));
        SecretsError::OtherKey { sealed_with, at_hand: Vec::new() }
    }

    /// Whether one of them sealed this.
    pub(crate) fn know(&self, stored: &[u8]) -> bool {
        parts(stored).is_some_and(|(id, _, _)| self.keys.iter().any(|key| key.id == id))
    }

    pub(crate) fn seal(&self, place: Place<'_>, body: Vec<u8>) -> Result<Vec<u8>, SecretsError> {
        let SecretsKey { id, key } = &self.keys[0];
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SecretsError::Random)?;
        let mut sealed = [&MAGIC[..], id, &nonce].concat();
        let mut text = body;
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(place.associated()), &mut text)
            .expect("a body is far shorter than the 64 GiB that AES-GCM takes");
        sealed.append(&mut text);
        Ok(sealed)
    }

    pub(crate) fn open(&self, place: Place<'_>, stored: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let Some((id, nonce, text)) = parts(stored) else {
            if self.any_sealed.load(Ordering::Relaxed) {
                return Err(SecretsError::InTheClear);
            }
            self.any_clear.store(true, Ordering::Relaxed);
            self.note(place, true);
            return Ok(stored.to_vec());
        };
        let found = self.keys.iter().position(|key| key.id == id);
        let position = found
            .ok_or_else(|| SecretsError::OtherKey { sealed_with: hex(&id), at_hand: self.ids() })?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened =
            self.keys[position].key.open_in_place(nonce, Aad::from(place.associated()), &mut text);
        let length = opened.map_err(|_| SecretsError::Changed)?.len();
        text.truncate(length);
        self.note(place, position != 0);
        self.any_sealed.store(true, Ordering::Relaxed);
        Ok(text)
    }

    /// All rows are about to be read.
    pub(crate) fn begin_load(&self) {
        self.any_clear.store(false, Ordering::Relaxed);
        self.any_sealed.store(false, Ordering::Relaxed);
        self.stale.lock().clear();
    }

    /// All rows were read: they are sealed, or none is.
    pub(crate) fn end_load(&self) -> Result<(), SecretsError> {
        let both =
            self.any_clear.load(Ordering::Relaxed) && self.any_sealed.load(Ordering::Relaxed);
        if both { Err(SecretsError::InTheClear) } else { Ok(()) }
    }

    fn note(&self, place: Place<'_>, is_stale: bool) {
        let row = (place.number, Bytes::from(place.key));
        let mut stale = self.stale.lock();
        match is_stale {
            true => stale.insert(row),
            false => stale.remove(&row),
        };
    }

    /// A row is sealed with the first key now, or gone.
    pub(crate) fn is_fresh(&self, number: u16, key: &Bytes) {
        self.stale.lock().remove(&(number, Bytes::clone(key)));
    }

    /// Rows that were read in the clear, or sealed with an older key.
    pub(crate) fn stale(&self) -> Vec<(u16, Bytes)> {
        self.stale.lock().iter().cloned().collect()
    }
}

impl SecretsKey {
    fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != SECRETS_KEY_BYTES {
            return None;
        }
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"longshore secrets key id");
        hash.update(bytes);
        let id = hash.finish().as_ref()[..ID_BYTES].try_into().ok()?;
        Some(Self { id, key })
    }
}

/// Whether a stored body is a sealed one.
pub(crate) fn is_sealed(stored: &[u8]) -> bool {
    parts(stored).is_some()
}

type Parts<'a> = ([u8; ID_BYTES], [u8; NONCE_LEN], &'a [u8]);

fn parts(stored: &[u8]) -> Option<Parts<'_>> {
    let rest = stored.strip_prefix(&MAGIC)?;
    if stored.len() < HEADER_BYTES {
        return None;
    }
    let (id, rest) = rest.split_first_chunk()?;
    let (nonce, text) = rest.split_first_chunk()?;
    Some((*id, *nonce, text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
