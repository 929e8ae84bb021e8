//! What can go wrong with logs, and what clients are told of it (texts as recorded).

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

use super::LogsError;
use crate::error::not_stored;

/// Every refusal of an operation on logs.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No group has the name.
    #[error("The specified log group does not exist.")]
    NoGroup,
    /// No stream has the name.
    #[error("The specified log stream does not exist.")]
    NoStream,
    /// The group is there already.
    #[error("The specified log group already exists")]
    GroupExists,
    /// The stream is there already.
    #[error("The specified log stream already exists")]
    StreamExists,
    /// The group is protected.
    #[error("The log group is protected from deletion.")]
    Protected,
    /// A parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A resource would have too many tags.
    #[error("The resource would have more than {0} tags.")]
    TooManyTags(usize),
    /// Too many sessions at a time.
    #[error("The account has {0} Live Tail sessions already.")]
    TooManySessions(usize),
    /// Part of an operation that is not built.
    #[error("Longshore does not implement {what} in logs:{operation} yet; see docs/support.md")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// The member.
        what: &'static str,
    },
    /// The files failed.
    #[error("The log events could not be stored or read.")]
    Files(#[from] LogsError),
    /// The server ends.
    #[error("The server ends; try again.")]
    Ended,
    /// The ledger could not commit.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
}

impl Error {
    /// A wrong parameter.
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    fn code(&self) -> (&'static str, u16) {
        match self {
            Self::NoGroup | Self::NoStream => ("ResourceNotFoundException", 400),
            Self::GroupExists | Self::StreamExists => ("ResourceAlreadyExistsException", 400),
            Self::Protected => ("ValidationException", 400),
            Self::Invalid(_) => ("InvalidParameterException", 400),
            Self::TooManySessions(_) => ("LimitExceededException", 400),
            Self::TooManyTags(_) => ("TooManyTagsException", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Files(_) | Self::Ended | Self::Storage(_) => ("ServiceUnavailableException", 500),
        }
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Storage(cause) => return not_stored(cause),
            Error::Files(cause) => {
                tracing::error!(error = cause as &dyn std::error::Error, "the log store failed");
            }
            _ => {}
        }
        let (code, status) = error.code();
        Self::new(code, status, error.to_string())
    }
}

impl From<TransactError<Self>> for Error {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Rejected(error) => error,
            TransactError::Ledger(cause) => Self::Storage(Box::new(cause)),
        }
    }
}
