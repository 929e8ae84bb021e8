//! Tables and indexes; only this crate writes them.

use ledger::{Index, Record, Schema, Table};
use serde::{Deserialize, Serialize};

use crate::model::{AccessKey, JoinToken, KeyStatus, Owner};

/// The tables' handles.
#[derive(Clone, Debug)]
pub struct Tables {
    /// By access key id.
    pub(crate) keys: Table<String, AccessKey>,
    /// Active keys by `administrator` or `node/<name>`.
    pub(crate) keys_by_owner: Index<String, String, AccessKey>,
    /// By the token's SHA-256 in hexadecimal digits.
    pub(crate) join_tokens: Table<String, JoinToken>,
    /// One row: what session tokens are sealed with.
    pub(crate) seal: Table<(), SealSecret>,
}

/// What session tokens are sealed with: 32 bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SealSecret(pub(crate) Vec<u8>);

impl Record for SealSecret {}

impl Tables {
    /// Declares the tables.
    pub fn new(schema: &mut Schema) -> Self {
        let keys = schema.table("iam.access_keys");
        let keys_by_owner =
            schema.index(&keys, "by_owner", |_, key: &AccessKey| match key.status {
                KeyStatus::Active => vec![owner_key(&key.owner)],
                KeyStatus::Inactive => Vec::new(),
            });
        let (join_tokens, seal) = (schema.table("iam.join_tokens"), schema.table("iam.seal"));
        schema.secret(&keys);
        schema.secret(&join_tokens);
        schema.secret(&seal);
        Self { keys, keys_by_owner, join_tokens, seal }
    }
}

/// An owner as the index has it.
pub(crate) fn owner_key(owner: &Owner) -> String {
    match owner {
        Owner::Administrator => "administrator".to_owned(),
        Owner::Node(name) => format!("node/{name}"),
    }
}
