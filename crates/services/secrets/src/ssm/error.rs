//! What can go wrong with parameters, and what clients are told of it (texts as users have met them,
//! where they are known).

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// Every refusal of an operation on parameters.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No parameter has the name. Systems Manager says nothing more.
    #[error("")]
    NotFound,
    /// The parameter has no such version.
    #[error(
        "Systems Manager could not find version {version} of {name}. Verify the version and try again."
    )]
    NoVersion { version: String, name: String },
    /// The parameter is there already.
    #[error(
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."
    )]
    Exists,
    /// A name that AWS keeps for itself.
    #[error("No access to reserved parameter name: {0}.")]
    Reserved(String),
    /// A path is too deep.
    #[error(
        "A hierarchy can have a maximum of 15 levels. For more information, see Requirements and constraints for parameter names in the AWS Systems Manager User Guide."
    )]
    Levels,
    /// A parameter's type never changes.
    #[error(
        "The parameter type cannot be changed: {0} is of another type already. Delete the parameter and create it again."
    )]
    TypeMismatch(String),
    /// Not a regular expression that can be used.
    #[error("The request does not meet the regular expression requirement: {0}")]
    BadPattern(String),
    /// The value is not as the pattern wants it.
    #[error("Parameter value, cannot be validated against allowedPattern: {0}")]
    PatternMismatch(String),
    /// The oldest of too many versions is labelled.
    #[error(
        "You attempted to create a new version of {name} by calling the PutParameter API with the overwrite flag. Version {version}, the oldest version, can't be deleted because it has a label associated with it. Move the label to another version of the parameter, and try again."
    )]
    MaxVersions { name: String, version: u64 },
    /// There are as many parameters as there may be.
    #[error("You have exceeded the number of parameters for this AWS account and region.")]
    TooMany,
    /// A version has as many labels as it may have.
    #[error(
        "A parameter version can have maximum 10 labels.Move one or more labels to another version and try again."
    )]
    TooManyLabels,
    /// A parameter has as many tags as it may have.
    #[error(
        "The Targets parameter includes too many tags. Remove one or more tags and try the command again."
    )]
    TooManyTags,
    /// What is to be tagged is not there.
    #[error("The resource ID is not valid. Verify that you entered the correct ID and try again.")]
    BadResource,
    /// A policy that there is not.
    #[error(
        "The policy type isn't supported: {0}. Parameter Store supports the following policy types: Expiration, ExpirationNotification, and NoChangeNotification."
    )]
    PolicyType(String),
    /// A policy whose attributes are wrong.
    #[error("{0}")]
    PolicyAttribute(String),
    /// More policies than a parameter may have.
    #[error(
        "You specified more than the maximum number of allowed policies for the parameter. The maximum is 10."
    )]
    TooManyPolicies,
    /// A filter's key is not one of this operation.
    #[error("{0}")]
    FilterKey(String),
    /// A filter's option is not one of its key.
    #[error("{0}")]
    FilterOption(String),
    /// A filter's values are wrong.
    #[error("{0}")]
    FilterValue(String),
    /// A token that no answer gave.
    #[error("The specified token is not valid.")]
    NextToken,
    /// A parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Part of an operation that is not built.
    #[error("Longshore does not implement {what} in ssm:{operation} yet; see docs/support.md")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// The member.
        what: &'static str,
    },
    /// Sessions cannot be spoken of now.
    #[error("{0}")]
    Unavailable(String),
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
            Self::NotFound => ("ParameterNotFound", 400),
            Self::NoVersion { .. } => ("ParameterVersionNotFound", 400),
            Self::Exists => ("ParameterAlreadyExists", 400),
            Self::Reserved(_) => ("AccessDeniedException", 400),
            Self::Levels => ("HierarchyLevelLimitExceededException", 400),
            Self::TypeMismatch(_) => ("HierarchyTypeMismatchException", 400),
            Self::BadPattern(_) => ("InvalidAllowedPatternException", 400),
            Self::PatternMismatch(_) => ("ParameterPatternMismatchException", 400),
            Self::MaxVersions { .. } => ("ParameterMaxVersionLimitExceeded", 400),
            Self::TooMany => ("ParameterLimitExceeded", 400),
            Self::TooManyLabels => ("ParameterVersionLabelLimitExceeded", 400),
            Self::TooManyTags => ("TooManyTagsError", 400),
            Self::BadResource => ("InvalidResourceId", 400),
            Self::PolicyType(_) => ("InvalidPolicyTypeException", 400),
            Self::PolicyAttribute(_) => ("InvalidPolicyAttributeException", 400),
            Self::TooManyPolicies => ("PoliciesLimitExceededException", 400),
            Self::FilterKey(_) => ("InvalidFilterKey", 400),
            Self::FilterOption(_) => ("InvalidFilterOption", 400),
            Self::FilterValue(_) => ("InvalidFilterValue", 400),
            Self::NextToken => ("InvalidNextToken", 400),
            Self::Invalid(_) => ("ValidationException", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Unavailable(_) => ("InternalServerError", 500),
            Self::Storage(_) => ("InternalServerError", 500),
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
