//! What can go wrong, and what clients are told of it. Codes are the model's; texts are those that
//! tools look for, where they are known (ELB's answers as observed), else ours.

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use shapes_elbv2::errors as codes;
use wire::ServiceError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// The kinds of things that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Load balancers.
    LoadBalancer,
    /// Target groups.
    TargetGroup,
    /// Listeners.
    Listener,
    /// Rules.
    Rule,
}

impl Kind {
    /// As in "One or more listeners not found".
    fn words(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load balancer",
            Self::TargetGroup => "target group",
            Self::Listener => "listener",
            Self::Rule => "rule",
        }
    }
}

/// What there may be no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Actions of one rule or listener.
    Actions,
    /// Certificates of one load balancer.
    Certificates,
    /// Listeners of one load balancer.
    Listeners,
    /// Load balancers of an account and region.
    LoadBalancers,
    /// Rules of one load balancer.
    Rules,
    /// Tags of one resource.
    Tags,
    /// Target groups of an account and region.
    TargetGroups,
    /// Target groups behind one load balancer.
    TargetGroupsOfOne,
    /// Targets of one target group.
    Targets,
}

/// Every refusal of an operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Something named is not there.
    #[error("One or more {}s not found", .0.words())]
    NotFound(Kind),
    /// A text that cannot be such an ARN.
    #[error("'{arn}' is not a valid {} ARN", .kind.words())]
    Arn {
        /// What it was to name.
        kind: Kind,
        /// What was sent.
        arn: String,
    },
    /// A parameter is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Parameters that do not go together, or not with what is there.
    #[error("{0}")]
    Configuration(String),
    /// An action that cannot be taken as it stands.
    #[error("{0}")]
    Action(String),
    /// A load balancer of that name is there, and is another.
    #[error("A load balancer with the same name '{0}' exists, but with different settings")]
    DuplicateLoadBalancer(String),
    /// A target group of that name is there, and is another.
    #[error("A target group with the same name '{0}' exists, but with different settings")]
    DuplicateTargetGroup(String),
    /// No such certificate.
    #[error("Certificate '{0}' not found")]
    Certificate(String),
    /// No security policy of that name.
    #[error("SSL policy '{0}' not found")]
    Policy(String),
    /// A target group that does not go with the protocol of the listener.
    #[error("{0}")]
    Incompatible(String),
    /// The port has a listener.
    #[error("A listener already exists on this port for this load balancer '{0}'")]
    DuplicateListener(String),
    /// A key twice in one request.
    #[error("Tag keys must be unique; '{0}' was given more than once")]
    DuplicateTag(String),
    /// Another rule of the listener has it.
    #[error("Priority '{0}' is currently in use")]
    PriorityInUse(u32),
    /// Something still points to it.
    #[error("Target group '{0}' is currently in use by a listener or a rule")]
    TargetGroupInUse(String),
    /// Another load balancer has the target group.
    #[error(
        "The following target groups cannot be associated with more than one load balancer: {0}"
    )]
    Associated(String),
    /// Not with this resource.
    #[error("{0}")]
    NotPermitted(String),
    /// The protocol does not go with the load balancer or the target group.
    #[error("{0}")]
    Protocol(String),
    /// Subnets that are not there.
    #[error("{0}")]
    Subnet(String),
    /// Security groups that are not there.
    #[error("{0}")]
    SecurityGroup(String),
    /// A target that cannot be registered.
    #[error("{0}")]
    Target(String),
    /// There is as much as there may be.
    #[error("{text}")]
    TooMany {
        /// Of what.
        limit: Limit,
        /// For people.
        text: String,
    },
    /// Part of an operation that is not built: refused, because ignoring it would change what the
    /// request means.
    #[error(
        "Longshore does not implement {what} in elasticloadbalancing:{operation} yet; \
         see docs/support.md"
    )]
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
    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }

    /// A part that is not built.
    pub(crate) fn not_built(operation: &'static str, what: impl Into<String>) -> Self {
        Self::NotBuilt { operation, what: what.into() }
    }

    /// More than there may be.
    pub(crate) fn too_many(limit: Limit, text: impl Into<String>) -> Self {
        Self::TooMany { limit, text: text.into() }
    }

    fn code(&self) -> (&'static str, u16) {
        let model = match self {
            Self::Arn { .. } | Self::Invalid(_) => return ("ValidationError", 400),
            Self::NotBuilt { .. } => return ("NotImplementedException", 501),
            Self::Storage(_) => return ("InternalFailure", 500),
            Self::NotFound(Kind::LoadBalancer) => codes::LOAD_BALANCER_NOT_FOUND,
            Self::NotFound(Kind::TargetGroup) => codes::TARGET_GROUP_NOT_FOUND,
            Self::NotFound(Kind::Listener) => codes::LISTENER_NOT_FOUND,
            Self::NotFound(Kind::Rule) => codes::RULE_NOT_FOUND,
            Self::Certificate(_) => codes::CERTIFICATE_NOT_FOUND,
            Self::Policy(_) => codes::SSL_POLICY_NOT_FOUND,
            Self::Incompatible(_) => codes::INCOMPATIBLE_PROTOCOLS,
            Self::Configuration(_) => codes::INVALID_CONFIGURATION_REQUEST,
            Self::Action(_) => codes::INVALID_LOAD_BALANCER_ACTION,
            Self::DuplicateLoadBalancer(_) => codes::DUPLICATE_LOAD_BALANCER_NAME,
            Self::DuplicateTargetGroup(_) => codes::DUPLICATE_TARGET_GROUP_NAME,
            Self::DuplicateListener(_) => codes::DUPLICATE_LISTENER,
            Self::DuplicateTag(_) => codes::DUPLICATE_TAG_KEYS,
            Self::PriorityInUse(_) => codes::PRIORITY_IN_USE,
            Self::TargetGroupInUse(_) => codes::RESOURCE_IN_USE,
            Self::Associated(_) => codes::TARGET_GROUP_ASSOCIATION_LIMIT,
            Self::NotPermitted(_) => codes::OPERATION_NOT_PERMITTED,
            Self::Protocol(_) => codes::UNSUPPORTED_PROTOCOL,
            Self::Subnet(_) => codes::SUBNET_NOT_FOUND,
            Self::SecurityGroup(_) => codes::INVALID_SECURITY_GROUP,
            Self::Target(_) => codes::INVALID_TARGET,
            Self::TooMany { limit, .. } => too_many(*limit),
        };
        (model.code, model.status)
    }
}

fn too_many(limit: Limit) -> wire::ErrorModel {
    match limit {
        Limit::Actions => codes::TOO_MANY_ACTIONS,
        Limit::Certificates => codes::TOO_MANY_CERTIFICATES,
        Limit::Listeners => codes::TOO_MANY_LISTENERS,
        Limit::LoadBalancers => codes::TOO_MANY_LOAD_BALANCERS,
        Limit::Rules => codes::TOO_MANY_RULES,
        Limit::Tags => codes::TOO_MANY_TAGS,
        Limit::TargetGroups => codes::TOO_MANY_TARGET_GROUPS,
        Limit::TargetGroupsOfOne => codes::TOO_MANY_UNIQUE_TARGET_GROUPS_PER_LOAD_BALANCER,
        Limit::Targets => codes::TOO_MANY_TARGETS,
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
