//! What can go wrong in ECS, and what clients are told of it.

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

use crate::model::attribute::MAX_CUSTOM_ATTRIBUTES;
use crate::sessions::TooMany;

/// The docs page that says what is built.
const SUPPORT_PAGE: &str = "docs/support.md";

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// Every refusal of an ECS operation.
///
/// `failures[]` and `stoppedReason` are data, not errors (ECS semantics §1).
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No cluster has the name.
    #[error("Cluster not found.")]
    ClusterNotFound,
    /// The cluster was deleted.
    #[error("The referenced cluster was inactive.")]
    ClusterInactive,
    /// No service has the name.
    #[error("Service not found.")]
    ServiceNotFound,
    /// The service is being deleted, or is deleted. The text was observed on ECS.
    #[error("Service was not ACTIVE.")]
    ServiceNotActive,
    /// No service deployment has the ARN.
    #[error("The specified service deployment does not exist.")]
    ServiceDeploymentNotFound,
    /// The service has no such task set. The text is that of getmoto/moto.
    #[error("The specified task set does not exist.")]
    TaskSetNotFound,
    /// The cluster cannot be deleted: services are in it. The text was observed on ECS.
    #[error("The Cluster cannot be deleted while Services are active.")]
    ClusterContainsServices,
    /// What is asked for does not go with where the resource is in its life.
    #[error("{0}")]
    Conflict(String),
    /// The cluster cannot be deleted: instances are registered in it.
    #[error("The Cluster cannot be deleted while Container Instances are active or draining.")]
    ClusterContainsContainerInstances,
    /// The cluster cannot be deleted: tasks are in it.
    #[error("The Cluster cannot be deleted while Tasks are active.")]
    ClusterContainsTasks,
    /// A cluster cannot lose a capacity provider: tasks were placed by it.
    #[error("The specified capacity provider is in use and cannot be removed.")]
    ProviderInUse,
    /// No namespace has the ARN.
    #[error("The specified namespace was not found.")]
    NamespaceNotFound,
    /// The agent of an instance never said its version.
    #[error("The version of the container agent on this container instance is not known.")]
    AgentVersionMissing,
    /// There is no newer agent. The text was observed on ECS.
    #[error("There is no update available for your container agent.")]
    NoAgentUpdate,
    /// The agent is being replaced already.
    #[error("An update of your container agent is in progress.")]
    AgentUpdateInProgress,
    /// What an attribute is for is not there.
    #[error("{0}")]
    TargetNotFound(String),
    /// An instance would have too many attributes. Operations that do not declare this tell it as
    /// a wrong parameter.
    #[error("{0}")]
    AttributeLimitExceeded(String),
    /// There is as much as there may be.
    #[error("{0}")]
    LimitExceeded(String),
    /// Nothing has the ARN. Operations that do not declare this tell it as a wrong parameter.
    #[error("{0}")]
    ResourceNotFound(String),
    /// A parameter is wrong.
    #[error("{0}")]
    InvalidParameter(String),
    /// The request makes no sense for what there is.
    #[error("{0}")]
    Client(String),
    /// Fargate has no such platform version.
    #[error("The specified platform does not exist.")]
    PlatformUnknown,
    /// Another request used the client token.
    #[error("The provided clientToken is in use already, by a request with other parameters.")]
    TokenReused {
        /// The ARNs of the tasks that the other request made.
        tasks: Vec<String>,
    },
    /// A container cannot be reached by ECS Exec. The text is that of ECS.
    #[error("The execute command failed due to an internal error. Try again later.")]
    TargetNotConnected,
    /// The caller may not do it.
    #[error("{0}")]
    AccessDenied(String),
    /// Part of an operation that is not built: refused, because ignoring it would change what the
    /// request means.
    #[error("Longshore does not implement {what} in ecs:{operation} yet; see {SUPPORT_PAGE}")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// The member and, if it matters, its value.
        what: String,
    },
    /// More comes than can be done now.
    #[error("Rate exceeded")]
    Throttled {
        /// When to try again.
        retry_after: Duration,
    },
    /// The ledger could not commit. Worth another try, and agents try again.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
}

impl Error {
    /// A wrong parameter.
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::InvalidParameter(text.into())
    }

    /// A request that makes no sense.
    pub(crate) fn client(text: impl Into<String>) -> Self {
        Self::Client(text.into())
    }

    /// More attributes than an instance may have.
    pub(crate) fn too_many_attributes() -> Self {
        let most = MAX_CUSTOM_ATTRIBUTES;
        let text = format!("A container instance can have at most {most} custom attributes.");
        Self::AttributeLimitExceeded(text)
    }

    /// A part that is not built.
    pub(crate) fn not_built(operation: &'static str, what: impl Into<String>) -> Self {
        Self::NotBuilt { operation, what: what.into() }
    }
}

impl Error {
    /// The code that clients match on, and the HTTP status.
    fn code(&self) -> (&'static str, u16) {
        match self {
            Self::ClusterNotFound | Self::ClusterInactive => ("ClusterNotFoundException", 400),
            Self::ServiceNotFound => ("ServiceNotFoundException", 400),
            Self::ServiceNotActive => ("ServiceNotActiveException", 400),
            Self::ServiceDeploymentNotFound => ("ServiceDeploymentNotFoundException", 400),
            Self::TaskSetNotFound => ("TaskSetNotFoundException", 400),
            Self::ClusterContainsServices => ("ClusterContainsServicesException", 400),
            Self::Conflict(_) => ("ConflictException", 400),
            Self::ClusterContainsContainerInstances => {
                ("ClusterContainsContainerInstancesException", 400)
            }
            Self::ClusterContainsTasks => ("ClusterContainsTasksException", 400),
            Self::ProviderInUse => ("ResourceInUseException", 400),
            Self::NamespaceNotFound => ("NamespaceNotFoundException", 400),
            Self::AgentVersionMissing => ("MissingVersionException", 400),
            Self::NoAgentUpdate => ("NoUpdateAvailableException", 400),
            Self::AgentUpdateInProgress => ("UpdateInProgressException", 400),
            Self::TargetNotFound(_) => ("TargetNotFoundException", 400),
            Self::AttributeLimitExceeded(_) => ("AttributeLimitExceededException", 400),
            Self::LimitExceeded(_) => ("LimitExceededException", 400),
            Self::ResourceNotFound(_) => ("ResourceNotFoundException", 400),
            Self::InvalidParameter(_) => ("InvalidParameterException", 400),
            Self::Client(_) => ("ClientException", 400),
            Self::PlatformUnknown => ("PlatformUnknownException", 400),
            Self::TokenReused { .. } => ("ConflictException", 400),
            Self::TargetNotConnected => ("TargetNotConnectedException", 400),
            Self::AccessDenied(_) => ("AccessDeniedException", 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Throttled { .. } => ("ThrottlingException", 400),
            Self::Storage(_) => ("ServerException", 500),
        }
    }
}

impl From<Error> for ServiceError {
    fn from(error: Error) -> Self {
        if let Error::Storage(cause) = &error {
            if matches!(**cause, LedgerError::NotLeading { .. }) {
                return Self::elsewhere();
            }
            tracing::error!(%cause, "the ledger did not commit");
        }
        let (code, status) = error.code();
        let answer = Self::new(code, status, error.to_string());
        match error {
            Error::TokenReused { tasks } => answer.field("resourceIds", tasks),
            Error::Throttled { retry_after } => answer.retry_after(retry_after),
            _ => answer,
        }
    }
}

impl From<TransactError<Error>> for Error {
    fn from(error: TransactError<Error>) -> Self {
        match error {
            TransactError::Rejected(error) => error,
            TransactError::Ledger(LedgerError::Crowded) => {
                Self::Throttled { retry_after: CROWDED_RETRY }
            }
            TransactError::Ledger(cause) => Self::Storage(Box::new(cause)),
        }
    }
}

impl From<TooMany> for Error {
    fn from(told: TooMany) -> Self {
        Self::Throttled { retry_after: told.retry_after }
    }
}
