//! The documents, a file each.

macro_rules! documents {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) const $name: &str = include_str!(concat!("texts/", $file, ".json"));)*
    };
}

documents! {
    ADMINISTRATOR = "administrator";
    AUTOSCALE = "autoscale";
    AUTOSCALING_OF_ECS = "autoscaling_of_ecs";
    CLOUDWATCH_AGENT = "cloudwatch_agent";
    CLOUDWATCH_FULL = "cloudwatch_full";
    CONTAINER_INSTANCE = "container_instance";
    ECR_FULL = "ecr_full";
    ECR_POWER_USER = "ecr_power_user";
    ECR_PULL_ONLY = "ecr_pull_only";
    ECR_READ_ONLY = "ecr_read_only";
    ECS_FULL = "ecs_full";
    ECS_SERVICE_ROLE = "ecs_service_role";
    EFS_CLIENT = "efs_client";
    ELB_FULL = "elb_full";
    EVENTS_FULL = "events_full";
    EVENTS_ROLE = "events_role";
    IAM_FULL = "iam_full";
    IAM_READ_ONLY = "iam_read_only";
    INFRASTRUCTURE_EBS = "infrastructure_ebs";
    INFRASTRUCTURE_LATTICE = "infrastructure_lattice";
    INFRASTRUCTURE_LB = "infrastructure_lb";
    INFRASTRUCTURE_TLS = "infrastructure_tls";
    LOGS_FULL = "logs_full";
    LOGS_READ_ONLY = "logs_read_only";
    MANAGED_INSTANCES = "managed_instances";
    POWER_USER = "power_user";
    READ_ONLY = "read_only";
    S3_FULL = "s3_full";
    S3_READ_ONLY = "s3_read_only";
    SECRETS = "secrets";
    SERVICE = "service";
    SQS_FULL = "sqs_full";
    SSM_CORE = "ssm_core";
    SSM_READ_ONLY = "ssm_read_only";
    TASK_EXECUTION = "task_execution";
    XRAY_DAEMON = "xray_daemon";
}
