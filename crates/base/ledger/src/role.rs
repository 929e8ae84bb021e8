//! Which of the servers that share a store leads.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the servers that share a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, which no other server of the store has.
    pub name: String,
    /// Where the other servers reach it.
    pub url: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.url)
    }
}

/// Whether this ledger takes transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// It does.
    Leading,
    /// It applies what another server writes, or waits for one to lead.
    Following {
        /// The server that leads, as far as this one knows.
        leader: Option<Member>,
    },
}

impl Leadership {
    /// Whether this ledger takes transactions.
    pub fn is_leading(&self) -> bool {
        matches!(self, Self::Leading)
    }
}
