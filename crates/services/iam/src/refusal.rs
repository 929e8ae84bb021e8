//! Why an operation of IAM or STS is refused; each has one code of AWS's.

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use shapes_iam::errors as codes;
use wire::ServiceError;

/// Why an operation is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It is not there.
    #[error("{0}")]
    Missing(String),
    /// There is one of that name.
    #[error("{0}")]
    Exists(String),
    /// Something still depends on it.
    #[error("{0}")]
    Conflict(String),
    /// There is as much as there may be.
    #[error("{0}")]
    Limit(String),
    /// A policy document that is none.
    #[error("{0}")]
    Malformed(String),
    /// One whose text tells where it is wrong.
    #[error(transparent)]
    Unfit(#[from] policy::Malformed),
    /// A parameter makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Only a service may change it.
    #[error(
        "Cannot perform the operation on the protected role '{0}' - this role is only modifiable \
         by AWS"
    )]
    Protected(String),
    /// A parameter has another form.
    #[error("1 validation error detected: {0}")]
    Validation(String),
    /// The request makes no sense, in AWS's whole words.
    #[error("{0}")]
    Plain(String),
    /// A parameter's value is not one; AWS has a code for it that its own model does not declare.
    #[error("{0}")]
    Parameter(String),
    /// The caller may not.
    #[error("{0}")]
    Denied(String),
    /// An error of STS's own.
    #[error("{1}")]
    Sts(&'static wire::ErrorModel, String),
    /// The ledger could not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl From<TransactError<Self>> for Refusal {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Rejected(refusal) => refusal,
            TransactError::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Missing(_) => codes::NO_SUCH_ENTITY.with(text),
            Refusal::Exists(_) => codes::ENTITY_ALREADY_EXISTS.with(text),
            Refusal::Conflict(_) => codes::DELETE_CONFLICT.with(text),
            Refusal::Limit(_) => codes::LIMIT_EXCEEDED.with(text),
            Refusal::Malformed(_) => codes::MALFORMED_POLICY_DOCUMENT.with(text),
            // AWS's words do not say where: `Detail` does, which clients show that look there.
            Refusal::Unfit(malformed) => {
                let error = codes::MALFORMED_POLICY_DOCUMENT.with(text);
                error.field("Detail", malformed.located())
            }
            Refusal::Invalid(_) => codes::INVALID_INPUT.with(text),
            Refusal::Protected(_) => codes::UNMODIFIABLE_ENTITY.with(text),
            Refusal::Validation(_) | Refusal::Plain(_) => Self::new("ValidationError", 400, text),
            Refusal::Parameter(_) => Self::new("InvalidParameterValue", 400, text),
            Refusal::Denied(_) => Self::new("AccessDenied", 403, text),
            Refusal::Sts(model, _) => model.with(text),
            Refusal::Ledger(LedgerError::NotLeading { .. }) => Self::elsewhere(),
            Refusal::Ledger(LedgerError::Crowded) => Self::throttled(Duration::from_secs(2)),
            Refusal::Ledger(error) => {
                tracing::error!(%error, "the ledger could not commit");
                Self::internal()
            }
        }
    }
}
