//! What can go wrong, and what clients are told of it. Codes are the model's; texts are ACM's where
//! they are known, else ours.

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use shapes_acm::errors as codes;
use wire::ServiceError;

use crate::model::Unfit;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// Every refusal of an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No such certificate.
    #[error("Could not find certificate {0}.")]
    NotFound(String),
    /// A text that cannot be a certificate's ARN.
    #[error("The ARN '{0}' is not a valid certificate ARN.")]
    Arn(String),
    /// What is to be imported cannot be.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// A parameter is wrong, or does not go with others.
    #[error("{0}")]
    Parameter(String),
    /// A tag that cannot be.
    #[error("{0}")]
    Tag(String),
    /// More tags than there may be.
    #[error("A certificate can have at most {0} tags.")]
    TooManyTags(usize),
    /// More certificates than there may be.
    #[error("You have reached your limit of {0} certificates.")]
    TooMany(usize),
    /// Load balancers serve with it.
    #[error("Certificate {0} is in use.")]
    InUse(String),
    /// A token that no answer gave.
    #[error("The NextToken is not valid.")]
    NextToken,
    /// The authority issues nothing.
    #[error("The certificate cannot be issued: {0}")]
    Issuer(String),
    /// Part of an operation that is not built.
    #[error("Longshore does not implement {what} in acm:{operation} yet; see docs/support.md")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// What of it.
        what: String,
    },
    /// The ledger could not commit.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
}

impl Error {
    /// A wrong parameter.
    pub(crate) fn parameter(text: impl Into<String>) -> Self {
        Self::Parameter(text.into())
    }

    /// A part that is not built.
    pub(crate) fn not_built(operation: &'static str, what: impl Into<String>) -> Self {
        Self::NotBuilt { operation, what: what.into() }
    }

    fn code(&self) -> (&'static str, u16) {
        let model = match self {
            Self::Unfit(_) | Self::NextToken => return ("ValidationException", 400),
            Self::NotBuilt { .. } => return ("NotImplementedException", 501),
            Self::Issuer(_) | Self::Storage(_) => return ("InternalFailure", 500),
            Self::NotFound(_) => codes::RESOURCE_NOT_FOUND,
            Self::Arn(_) => codes::INVALID_ARN,
            Self::Parameter(_) => codes::INVALID_PARAMETER,
            Self::Tag(_) => codes::INVALID_TAG,
            Self::TooManyTags(_) => codes::TOO_MANY_TAGS,
            Self::TooMany(_) => codes::LIMIT_EXCEEDED,
            Self::InUse(_) => codes::RESOURCE_IN_USE,
        };
        (model.code, model.status)
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Storage(cause) => match **cause {
                LedgerError::NotLeading { .. } => return Self::elsewhere(),
                LedgerError::Crowded => return Self::throttled(CROWDED_RETRY),
                _ => tracing::error!(%cause, "the ledger did not commit"),
            },
            Error::Issuer(cause) => tracing::error!(%cause, "a certificate was not issued"),
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
