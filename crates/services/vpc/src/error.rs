//! What can go wrong, and what clients are told of it in EC2's words (EC2 API reference, "Error
//! codes"; texts as observed).

use std::time::Duration;

use ledger::{LedgerError, TransactError};
use wire::ServiceError;

/// When a client is to try again that met a ledger with too many transactions waiting.
const CROWDED_RETRY: Duration = Duration::from_secs(2);

/// The kinds of things that a request names by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// VPCs.
    Vpcs,
    /// Subnets.
    Subnets,
    /// Security groups.
    Groups,
    /// Rules of security groups.
    Rules,
    /// Network interfaces.
    Interfaces,
}

/// What there may be no more of (quotas of Amazon VPC; that of VPCs is raised, as on AWS on demand).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// VPCs of an account and region.
    Vpcs,
    /// Subnets of a VPC.
    Subnets,
    /// Security groups of an account and region.
    Groups,
    /// Rules of a security group in one direction.
    Rules,
    /// Tags of one thing.
    Tags,
}

impl Limit {
    /// How many there may be.
    pub(crate) fn most(self) -> usize {
        match self {
            Self::Vpcs => 100,
            Self::Subnets => 200,
            Self::Groups => 2_500,
            Self::Rules => 60,
            Self::Tags => 50,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Vpcs => "VpcLimitExceeded",
            Self::Subnets => "SubnetLimitExceeded",
            Self::Groups => "SecurityGroupLimitExceeded",
            Self::Rules => "RulesPerSecurityGroupLimitExceeded",
            Self::Tags => "TagLimitExceeded",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Vpcs => "VPCs",
            Self::Subnets => "subnets",
            Self::Groups => "security groups",
            Self::Rules => "rules per security group",
            Self::Tags => "Tags for a resource",
        }
    }
}

/// Every refusal of an EC2 operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing has these ids.
    #[error("{}", not_found(*.0, .1))]
    NotFound(NotFound, Vec<String>),
    /// The default VPC has no security group of the name.
    #[error("The security group '{name}' does not exist in default VPC '{vpc}'")]
    GroupName {
        /// The name.
        name: String,
        /// The VPC.
        vpc: String,
    },
    /// The text cannot be such an id.
    #[error("Invalid id: \"{id}\" (expecting \"{expected}-...\")")]
    Malformed {
        /// The code.
        code: &'static str,
        /// What was sent.
        id: String,
        /// What ids of the kind begin with.
        expected: &'static str,
    },
    /// The operation has no such filter.
    #[error("The filter '{0}' is invalid")]
    Filter(String),
    /// Too many values of filters.
    #[error("The maximum number of filter values specified on a single call is 200")]
    FilterValues,
    /// A value that is not allowed.
    #[error("{0}")]
    Value(String),
    /// Two parameters that exclude each other.
    #[error("The parameter {0} cannot be used with the parameter {1}")]
    Combination(&'static str, &'static str),
    /// A token that no answer gave.
    #[error("The token '{0}' is invalid")]
    NextToken(String),
    /// A parameter that has to be there.
    #[error("The request must contain the parameter {0}")]
    Missing(&'static str),
    /// Two things of different VPCs.
    #[error("{0} belong to different networks.")]
    Networks(String),
    /// A block that is too large or too small for a VPC.
    #[error("The CIDR '{0}' is invalid.")]
    VpcRange(String),
    /// A block that is too large, too small, or not of the VPC.
    #[error("The CIDR '{0}' is invalid.")]
    SubnetRange(String),
    /// A block that has addresses of another subnet.
    #[error("The CIDR '{0}' conflicts with another subnet")]
    SubnetConflict(String),
    /// Something is in it, or uses it.
    #[error("{0}")]
    Dependency(String),
    /// What an account has from the start stays.
    #[error("{0}")]
    CannotDelete(String),
    /// The VPC has a group of that name.
    #[error("The security group '{name}' already exists for VPC '{vpc}'")]
    GroupDuplicate {
        /// The name.
        name: String,
        /// The VPC.
        vpc: String,
    },
    /// A name that only the group has that a VPC begins with.
    #[error("Cannot use reserved security group name: {0}")]
    GroupReserved(String),
    /// The group has the rule.
    #[error("the specified rule \"{0}\" already exists")]
    RuleDuplicate(String),
    /// The group has no such rule.
    #[error("The specified rule does not exist in this security group.")]
    RuleMissing,
    /// What no tags can be on.
    #[error("The ID '{0}' is not valid")]
    Untaggable(String),
    /// There is as much as there may be.
    #[error("The maximum number of {} has been reached.", .0.words())]
    TooMany(Limit),
    /// Part of an operation that is not built: refused, because ignoring it would change what the
    /// request means.
    #[error("Longshore does not implement {what} in ec2:{operation} yet; see docs/support.md")]
    NotBuilt {
        /// The operation.
        operation: &'static str,
        /// What of it.
        what: &'static str,
    },
    /// The ledger could not commit.
    #[error("The change could not be stored; try again.")]
    Storage(#[source] Box<LedgerError>),
    /// The request asked only whether it may be made.
    #[error("Request would have succeeded, but DryRun flag is set.")]
    DryRun,
}

impl Error {
    /// The code that clients match on, and the HTTP status.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            Self::NotFound(NotFound::Vpcs, _) => ("InvalidVpcID.NotFound", 400),
            Self::NotFound(NotFound::Subnets, _) => ("InvalidSubnetID.NotFound", 400),
            Self::NotFound(NotFound::Groups, _) | Self::GroupName { .. } => {
                ("InvalidGroup.NotFound", 400)
            }
            Self::NotFound(NotFound::Rules, _) => ("InvalidSecurityGroupRuleId.NotFound", 400),
            Self::NotFound(NotFound::Interfaces, _) => ("InvalidNetworkInterfaceID.NotFound", 400),
            Self::Malformed { code, .. } => (code, 400),
            Self::Filter(_) | Self::Value(_) => ("InvalidParameterValue", 400),
            Self::FilterValues => ("FilterLimitExceeded", 400),
            Self::Combination(..) => ("InvalidParameterCombination", 400),
            Self::NextToken(_) => ("InvalidNextToken", 400),
            Self::Missing(_) => ("MissingParameter", 400),
            Self::Networks(_) => ("InvalidParameter", 400),
            Self::VpcRange(_) => ("InvalidVpc.Range", 400),
            Self::SubnetRange(_) => ("InvalidSubnet.Range", 400),
            Self::SubnetConflict(_) => ("InvalidSubnet.Conflict", 400),
            Self::Dependency(_) => ("DependencyViolation", 400),
            Self::CannotDelete(_) => ("CannotDelete", 400),
            Self::GroupDuplicate { .. } => ("InvalidGroup.Duplicate", 400),
            Self::GroupReserved(_) => ("InvalidGroup.Reserved", 400),
            Self::RuleDuplicate(_) => ("InvalidPermission.Duplicate", 400),
            Self::RuleMissing => ("InvalidPermission.NotFound", 400),
            Self::Untaggable(_) => ("InvalidID", 400),
            Self::TooMany(limit) => (limit.code(), 400),
            Self::NotBuilt { .. } => ("NotImplementedException", 501),
            Self::Storage(_) => ("InternalError", 500),
            Self::DryRun => ("DryRunOperation", 412),
        }
    }
}

fn not_found(kind: NotFound, ids: &[String]) -> String {
    let (one, many) = match kind {
        NotFound::Vpcs => ("vpc ID", "vpc IDs"),
        NotFound::Subnets => ("subnet ID", "subnet IDs"),
        NotFound::Groups => ("security group", "security groups"),
        NotFound::Rules => ("security group rule ID", "security group rule IDs"),
        NotFound::Interfaces => ("networkInterface ID", "networkInterface IDs"),
    };
    match ids {
        [id] => format!("The {one} '{id}' does not exist"),
        ids => format!("The {many} '{}' do not exist", ids.join(", ")),
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
