//! Tokens with which container instances join.

use ledger::Record;
use serde::{Deserialize, Serialize};
use terms::{AccountId, Timestamp};

/// One join token; its key in the table is the token's SHA-256, never the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinToken {
    pub(crate) account: AccountId,
    pub(crate) expires_at: Timestamp,
    /// How many more instances may join with it; any number if there is none.
    #[serde(default)]
    pub(crate) uses_left: Option<u32>,
    /// The one name that it is for: then also in place of an instance of that name.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

impl Record for JoinToken {}
