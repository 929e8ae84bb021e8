//! Tokens with which container instances join.

use ledger::Record;
use serde::{Deserialize, Serialize};
use terms::{AccountId, Timestamp};

/// One join token; its key in the table is the token's SHA-256, never the token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JoinToken {
    pub(crate) account: AccountId,
    pub(crate) expires_at: Timestamp,
}

impl Record for JoinToken {}
