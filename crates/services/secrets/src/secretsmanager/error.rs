//! What can go wrong with secrets, and what clients are told of it (texts as recorded, where they are
//! known).

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

use crate::ssm::not_stored;

/// Every refusal of an operation on secrets.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No secret has the name or ARN.
    #[error("Secrets Manager can't find the specified secret.")]
    NotFound,
    /// The secret has no such version.
    #[error("Secrets Manager can't find the specified secret value for {0}")]
    NoValue(String),
    /// The named version has another label.
    #[error("You provided a VersionStage that is not associated to the provided VersionId.")]
    OtherStage,
    /// The secret was deleted.
    #[error("You can't perform this operation on the secret because it was marked for deletion.")]
    MarkedForDeletion,
    /// The name is that of a deleted secret.
    #[error(
        "You can't create this secret because a secret with this name is already scheduled for deletion."
    )]
    NameIsScheduled,
    /// The secret was deleted before.
    #[error(
        "You can't perform this operation on the secret because it was already scheduled for deletion."
    )]
    AlreadyScheduled,
    /// The secret is there already.
    #[error("The operation failed because the secret {0} already exists.")]
    Exists(String),
    /// A version with the token has another value.
    #[error(
        "You can't use ClientRequestToken {0} because that value is already in use for a version of secret {1}."
    )]
    TokenInUse(String, String),
    /// Who asks may not read this one of many.
    #[error("{0}")]
    Denied(String),
    /// A policy that is none.
    #[error("This policy has invalid syntax. {0}")]
    PolicySyntax(String),
    /// A policy names somebody who is not there.
    #[error("This resource policy contains an unsupported principal: {0}.")]
    PolicyPrincipal(String),
    /// A policy that lets everybody in, where that is to be refused.
    #[error(
        "The BlockPublicPolicy parameter is set to true, and the resource policy did not prevent broad access to the secret."
    )]
    PublicPolicy,
    /// Not a name.
    #[error(
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
    )]
    Name,
    /// There is more of something than there may be.
    #[error("{0}")]
    TooMuch(String),
    /// A token that no answer gave.
    #[error("Invalid token.")]
    NextToken,
    /// A parameter is wrong.
    #[error("{0}")]
    Parameter(String),
    /// Part of an operation that is not built.
    #[error(
        "Longshore does not implement {what} in secretsmanager:{operation} yet; see docs/support.md"
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
    pub(super) fn parameter(text: impl Into<String>) -> Self {
        Self::Parameter(text.into())
    }

    /// The code that clients match on, and the status.
    pub(super) fn code(&self) -> (&'static str, u16) {
        match self {
            Self::NotFound | Self::NoValue(_) => ("ResourceNotFoundException", 400),
            Self::OtherStage
            | Self::MarkedForDeletion
            | Self::NameIsScheduled
            | Self::AlreadyScheduled => ("InvalidRequestException", 400),
            Self::Exists(_) | Self::TokenInUse(..) => ("ResourceExistsException", 400),
            Self::PolicySyntax(_) | Self::PolicyPrincipal(_) => {
                ("MalformedPolicyDocumentException", 400)
            }
            Self::PublicPolicy => ("PublicPolicyException", 400),
            Self::Denied(_) => ("AccessDeniedException", 400),
            Self::Name => ("ValidationException", 400),
            Self::TooMuch(_) => ("LimitExceededException", 400),
            Self::NextToken => ("InvalidNextTokenException", 400),
            Self::Parameter(_) => ("InvalidParameterException", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Storage(_) => ("InternalServiceError", 500),
        }
    }
}

/// The model has the text as `Message`, and some clients look for that alone.
impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        if let Error::Storage(cause) = &error {
            return not_stored(cause);
        }
        let (code, status) = error.code();
        let text = error.to_string();
        Self::new(code, status, text.clone()).field("Message", text)
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
