//! What can go wrong with alarms, and what clients are told of it (codes of the Query protocol;
//! `wire` names them as each protocol does).

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// Every refusal of an operation on alarms.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// No alarm has the name. CloudWatch says nothing more (recorded).
    #[error("")]
    NotFound,
    /// StateReasonData is no JSON.
    #[error("{0}")]
    Format(String),
    /// A token that no answer gave.
    #[error("The NextToken is invalid.")]
    NextToken,
    /// Part of an operation that is not built: refused, because ignoring it would change what the
    /// request means.
    #[error(
        "Longshore does not implement {what} in cloudwatch:{operation} yet; see docs/support.md"
    )]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// The member.
        what: &'static str,
    },
    /// The ledger could not commit.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
}

impl Error {
    /// A wrong parameter.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    fn code(&self) -> (&'static str, u16) {
        match self {
            Self::Invalid(_) => ("ValidationError", 400),
            Self::NotFound => ("ResourceNotFound", 404),
            Self::Format(_) => ("InvalidFormat", 400),
            Self::NextToken => ("InvalidNextToken", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Storage(_) => ("InternalFailure", 500),
        }
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        if let Error::Storage(cause) = &error {
            return not_stored(cause);
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

/// What a client is told of a ledger that did not commit.
pub(crate) fn not_stored(cause: &LedgerError) -> ServiceError {
    match cause {
        LedgerError::NotLeading { .. } => ServiceError::elsewhere(),
        LedgerError::Crowded => ServiceError::throttled(CROWDED_RETRY),
        cause => {
            tracing::error!(%cause, "the ledger did not commit");
            ServiceError::internal()
        }
    }
}
