//! AWS's managed policies that users of ECS attach, under their names. The actions are those that
//! AWS publishes; the arrangement is ours.

mod documents;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use documents as text;

/// When all of them are said to have been made: 2015-02-06T18:39:46Z, as most of AWS's were.
pub(crate) const CREATED_MS: i64 = 1_423_247_986_000;

/// One of AWS's managed policies.
#[derive(Debug)]
pub(crate) struct AwsPolicy {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// The version that the document is of.
    pub(crate) version: u32,
    pub(crate) document: &'static str,
}

impl AwsPolicy {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// The same in every account.
    pub(crate) fn id(&self) -> String {
        let digest = Sha256::digest(self.arn().as_bytes());
        format!("ANPA{}", &BASE32.encode(&digest)[..17])
    }
}

const fn policy(
    path: &'static str,
    name: &'static str,
    version: u32,
    document: &'static str,
) -> AwsPolicy {
    AwsPolicy { name, path, version, document }
}

const SERVICE: &str = "/service-role/";
const LINKED: &str = "/aws-service-role/";

/// All of them.
pub(crate) static ALL: &[AwsPolicy] = &[
    policy("/", "AdministratorAccess", 1, text::ADMINISTRATOR),
    policy("/", "PowerUserAccess", 7, text::POWER_USER),
    policy("/", "ReadOnlyAccess", 1, text::READ_ONLY),
    policy("/", "IAMFullAccess", 2, text::IAM_FULL),
    policy("/", "IAMReadOnlyAccess", 4, text::IAM_READ_ONLY),
    policy("/", "AmazonECS_FullAccess", 21, text::ECS_FULL),
    policy("/", "AmazonEC2ContainerRegistryPullOnly", 1, text::ECR_PULL_ONLY),
    policy("/", "AmazonEC2ContainerRegistryReadOnly", 3, text::ECR_READ_ONLY),
    policy("/", "AmazonEC2ContainerRegistryPowerUser", 3, text::ECR_POWER_USER),
    policy("/", "AmazonEC2ContainerRegistryFullAccess", 5, text::ECR_FULL),
    policy("/", "AmazonSSMManagedInstanceCore", 2, text::SSM_CORE),
    policy("/", "AmazonSSMReadOnlyAccess", 1, text::SSM_READ_ONLY),
    policy("/", "SecretsManagerReadWrite", 5, text::SECRETS),
    policy("/", "CloudWatchLogsFullAccess", 8, text::LOGS_FULL),
    policy("/", "CloudWatchLogsReadOnlyAccess", 7, text::LOGS_READ_ONLY),
    policy("/", "CloudWatchFullAccess", 4, text::CLOUDWATCH_FULL),
    policy("/", "AmazonEventBridgeFullAccess", 3, text::EVENTS_FULL),
    policy("/", "ElasticLoadBalancingFullAccess", 7, text::ELB_FULL),
    policy("/", "AmazonECSInfrastructureRolePolicyForLoadBalancers", 6, text::INFRASTRUCTURE_LB),
    policy("/", "AmazonECSInfrastructureRolePolicyForVpcLattice", 1, text::INFRASTRUCTURE_LATTICE),
    policy("/", "AmazonECSInstanceRolePolicyForManagedInstances", 4, text::MANAGED_INSTANCES),
    policy("/", "AWSXRayDaemonWriteAccess", 2, text::XRAY_DAEMON),
    policy("/", "CloudWatchAgentServerPolicy", 3, text::CLOUDWATCH_AGENT),
    policy("/", "AmazonElasticFileSystemClientReadWriteAccess", 1, text::EFS_CLIENT),
    policy("/", "AmazonS3ReadOnlyAccess", 3, text::S3_READ_ONLY),
    policy("/", "AmazonS3FullAccess", 2, text::S3_FULL),
    policy("/", "AmazonSQSFullAccess", 1, text::SQS_FULL),
    policy(SERVICE, "AmazonECSTaskExecutionRolePolicy", 1, text::TASK_EXECUTION),
    policy(SERVICE, "AmazonEC2ContainerServiceforEC2Role", 10, text::CONTAINER_INSTANCE),
    policy(SERVICE, "AmazonEC2ContainerServiceRole", 2, text::SERVICE),
    policy(SERVICE, "AmazonEC2ContainerServiceAutoscaleRole", 2, text::AUTOSCALE),
    policy(SERVICE, "AmazonEC2ContainerServiceEventsRole", 3, text::EVENTS_ROLE),
    policy(SERVICE, "AmazonECSInfrastructureRolePolicyForVolumes", 5, text::INFRASTRUCTURE_EBS),
    policy(
        SERVICE,
        "AmazonECSInfrastructureRolePolicyForServiceConnectTransportLayerSecurity",
        4,
        text::INFRASTRUCTURE_TLS,
    ),
    policy(LINKED, "AmazonECSServiceRolePolicy", 24, text::ECS_SERVICE_ROLE),
    policy(LINKED, "AWSApplicationAutoscalingECSServicePolicy", 3, text::AUTOSCALING_OF_ECS),
];

/// The policy with this ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsPolicy> {
    let rest = arn.strip_prefix("arn:aws:iam::aws:policy")?;
    ALL.iter().find(|policy| rest.strip_prefix(policy.path).is_some_and(|name| name == policy.name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_one_and_is_found_by_its_arn() {
        for known in ALL {
            let parsed = policy::Policy::parse(known.document, policy::Kind::Identity);
            parsed.unwrap_or_else(|error| panic!("{}: {}", known.name, error.located()));
            assert!(std::ptr::eq(find(&known.arn()).unwrap(), known), "{}", known.name);
            assert_eq!(known.id().len(), 21);
        }
        assert!(find("arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy").is_none());
    }
}
