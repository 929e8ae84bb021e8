//! Rows' values and their stored form.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::secrets::SecretsError;

/// The value of a row.
///
/// Stored as MessagePack with member names, so adding an optional member (`#[serde(default)]`)
/// needs nothing else. A change that old bodies cannot be read with raises [`Record::VERSION`]
/// and teaches [`Record::migrate`] the older ones; rows are rewritten when next changed.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version that rows are written with.
    const VERSION: u16 = 1;

    /// Reads a body written with an older version.
    ///
    /// # Errors
    /// By default always: there is no older version.
    fn migrate(from: u16, body: &[u8]) -> Result<Self, RecordError> {
        let _ = body;
        Err(RecordError::UnknownVersion { found: from, newest: Self::VERSION })
    }
}

/// A stored body that cannot be read, or a value that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Written by a newer program, or by one so old that its form is forgotten.
    #[error("its record version is {found}, this program reads up to {newest}")]
    UnknownVersion {
        /// The version found.
        found: u16,
        /// The newest version that this program knows.
        newest: u16,
    },
    /// The body is damaged, or a change of the record came without a new version.
    #[error("its body does not decode")]
    Decode(#[from] rmp_serde::decode::Error),
    /// The value has no MessagePack form.
    #[error("its value does not encode")]
    Encode(#[from] rmp_serde::encode::Error),
    /// The row is secret, and cannot be sealed or opened.
    #[error(transparent)]
    Secret(#[from] SecretsError),
}

/// Room for the stored form of most values, so that their bytes are not moved as they grow.
const BODY_BYTES: usize = 1024;

/// The stored form of a value.
pub(crate) fn encode<V: Record>(value: &V) -> Result<Vec<u8>, RecordError> {
    let mut body = Vec::with_capacity(BODY_BYTES);
    rmp_serde::encode::write_named(&mut body, value)?;
    Ok(body)
}

/// The value that was stored as `body` with `version`.
pub(crate) fn decode<V: Record>(version: u16, body: &[u8]) -> Result<V, RecordError> {
    match version {
        _ if version == V::VERSION => Ok(rmp_serde::from_slice(body)?),
        _ if version < V::VERSION => V::migrate(version, body),
        _ => Err(RecordError::UnknownVersion { found: version, newest: V::VERSION }),
    }
}

/// Reads a MessagePack body: what [`Record::migrate`] starts with.
///
/// # Errors
/// When the body is not a `T`.
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, RecordError> {
    Ok(rmp_serde::from_slice(body)?)
}
