//! What can go wrong, and what clients are told of it in EC2's words (EC2 API reference, "Error
//! codes"; texts as observed).

use wire::ServiceError;

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

/// Every refusal of an EC2 operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
        let (code, status) = error.code();
        Self::new(code, status, error.to_string())
    }
}
