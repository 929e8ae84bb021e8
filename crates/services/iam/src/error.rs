//! What can go wrong here.

use ledger::{LedgerError, TransactError};
use terms::Timestamp;

/// Why identities refuse.
#[derive(Debug, thiserror::Error)]
pub enum IamError {
    /// The token was never made here, or was withdrawn.
    #[error("this join token is not known; 'longshore token create' makes one")]
    UnknownToken,
    /// The token's time is over.
    #[error("this join token expired at {at}; 'longshore token create' makes a new one")]
    ExpiredToken {
        /// When.
        at: Timestamp,
    },
    /// A node's name has another form.
    #[error("'{0}' is no instance name: up to 128 letters, digits, dots, hyphens and underscores")]
    NodeName(String),
    /// The ledger could not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<TransactError<Self>> for IamError {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Rejected(error) => error,
            TransactError::Ledger(error) => Self::Ledger(error),
        }
    }
}
