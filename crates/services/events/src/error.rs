//! What can go wrong, and what clients are told of it (texts as recorded, where they are known).

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

use crate::pattern::PatternError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// Every refusal of an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No rule has the name.
    #[error("Rule {rule} does not exist on EventBus {bus}.")]
    NoRule {
        /// The name.
        rule: String,
        /// The bus.
        bus: String,
    },
    /// No bus has the name.
    #[error("Event bus {0} does not exist.")]
    NoBus(String),
    /// The bus is there already.
    #[error("Event bus {0} already exists.")]
    BusExists(String),
    /// The bus that every account has.
    #[error("Cannot delete event bus default.")]
    DefaultBus,
    /// Targets must go first.
    #[error("Rule can't be deleted since it has targets.")]
    HasTargets,
    /// There is as much as there may be.
    #[error("The requested resource exceeds the maximum number allowed.")]
    TooMany,
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Part of an operation that is not built.
    #[error("Longshore does not implement {what} in events:{operation} yet; see docs/support.md")]
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
            Self::NoRule { .. } | Self::NoBus(_) => ("ResourceNotFoundException", 400),
            Self::BusExists(_) => ("ResourceAlreadyExistsException", 400),
            Self::TooMany => ("LimitExceededException", 400),
            Self::Pattern(_) => ("InvalidEventPatternException", 400),
            Self::Invalid(_) | Self::HasTargets | Self::DefaultBus => ("ValidationException", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Storage(_) => ("InternalException", 500),
        }
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        if let Error::Storage(cause) = &error {
            match **cause {
                LedgerError::NotLeading { .. } => return Self::elsewhere(),
                LedgerError::Crowded => return Self::throttled(CROWDED_RETRY),
                _ => tracing::error!(%cause, "the ledger did not commit"),
            }
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
