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
    /// As many instances have joined with it as were to.
    #[error("this join token is used up; 'longshore token create' makes a new one")]
    UsedToken,
    /// The token is for an instance of another name.
    #[error("this join token is for an instance named '{0}' alone")]
    TokenOfOther(String),
    /// An instance of this name has joined, and the token is not for that name.
    #[error(
        "an instance named '{0}' has joined already; choose another --name, or, if this machine \
         takes its place, make a token with 'longshore token create --name {0}'"
    )]
    NameTaken(String),
    /// No token has an id that begins so, or more than one has.
    #[error("no single join token has an id that begins with '{0}'; see 'longshore token list'")]
    NoSuchToken(String),
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
