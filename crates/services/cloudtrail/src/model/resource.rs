//! What a call is about, with its type, as `LookupEvents` tells and finds it. Records have ARNs; where a
//! call was decided without any, what its input names counts.

use serde_json::Value;

/// The service and the first word of an ARN's last part, and the type (CloudFormation user guide,
/// "AWS resource and property types").
const OF_ARNS: [(&str, &str, &str); 32] = [
    ("acm", "certificate", "AWS::CertificateManager::Certificate"),
    ("cloudwatch", "alarm", "AWS::CloudWatch::Alarm"),
    ("ec2", "security-group", "AWS::EC2::SecurityGroup"),
    ("ec2", "subnet", "AWS::EC2::Subnet"),
    ("ec2", "vpc", "AWS::EC2::VPC"),
    ("ecr", "repository", "AWS::ECR::Repository"),
    ("ecs", "capacity-provider", "AWS::ECS::CapacityProvider"),
    ("ecs", "cluster", "AWS::ECS::Cluster"),
    ("ecs", "container-instance", "AWS::ECS::ContainerInstance"),
    ("ecs", "service", "AWS::ECS::Service"),
    ("ecs", "service-deployment", "AWS::ECS::ServiceDeployment"),
    ("ecs", "service-revision", "AWS::ECS::ServiceRevision"),
    ("ecs", "task", "AWS::ECS::Task"),
    ("ecs", "task-definition", "AWS::ECS::TaskDefinition"),
    ("ecs", "task-set", "AWS::ECS::TaskSet"),
    ("elasticloadbalancing", "listener", "AWS::ElasticLoadBalancingV2::Listener"),
    ("elasticloadbalancing", "listener-rule", "AWS::ElasticLoadBalancingV2::ListenerRule"),
    ("elasticloadbalancing", "loadbalancer", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("elasticloadbalancing", "targetgroup", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("events", "event-bus", "AWS::Events::EventBus"),
    ("events", "rule", "AWS::Events::Rule"),
    ("iam", "group", "AWS::IAM::Group"),
    ("iam", "instance-profile", "AWS::IAM::InstanceProfile"),
    ("iam", "oidc-provider", "AWS::IAM::OIDCProvider"),
    ("iam", "policy", "AWS::IAM::Policy"),
    ("iam", "role", "AWS::IAM::Role"),
    ("iam", "user", "AWS::IAM::User"),
    ("logs", "log-group", "AWS::Logs::LogGroup"),
    ("secretsmanager", "secret", "AWS::SecretsManager::Secret"),
    ("ssm", "parameter", "AWS::SSM::Parameter"),
    ("sts", "assumed-role", "AWS::STS::AssumedRole"),
    ("sts", "federated-user", "AWS::STS::FederatedUser"),
];

/// The service, what its inputs call the thing, and the type.
const OF_PARAMETERS: [(&str, &str, &str); 15] = [
    ("ecr", "repositoryName", "AWS::ECR::Repository"),
    ("ecs", "cluster", "AWS::ECS::Cluster"),
    ("ecs", "clusterName", "AWS::ECS::Cluster"),
    ("ecs", "family", "AWS::ECS::TaskDefinition"),
    ("ecs", "service", "AWS::ECS::Service"),
    ("ecs", "serviceName", "AWS::ECS::Service"),
    ("ecs", "task", "AWS::ECS::Task"),
    ("ecs", "taskDefinition", "AWS::ECS::TaskDefinition"),
    ("iam", "groupName", "AWS::IAM::Group"),
    ("iam", "instanceProfileName", "AWS::IAM::InstanceProfile"),
    ("iam", "policyName", "AWS::IAM::Policy"),
    ("iam", "roleName", "AWS::IAM::Role"),
    ("iam", "userName", "AWS::IAM::User"),
    ("logs", "logGroupName", "AWS::Logs::LogGroup"),
    ("secretsmanager", "secretId", "AWS::SecretsManager::Secret"),
];

/// The type of what an ARN means.
fn of_arn(arn: &str) -> Option<&'static str> {
    let mut fields = arn.splitn(6, ':');
    let service = fields.nth(2)?;
    let word = fields.nth(2)?.split(['/', ':']).next()?;
    let found = OF_ARNS.iter().find(|(of, kind, _)| *of == service && *kind == word);
    found.map(|(_, _, name)| *name)
}

/// What a call is about: each with its ARN or name, and its type if that is known.
pub(crate) fn resources(event: &Value) -> Vec<(&str, Option<&'static str>)> {
    let listed = event["resources"].as_array().into_iter().flatten();
    let mut all: Vec<_> =
        listed.filter_map(|one| one["ARN"].as_str()).map(|arn| (arn, of_arn(arn))).collect();
    if all.is_empty() {
        let source = event["eventSource"].as_str().unwrap_or_default();
        let service = source.split('.').next().unwrap_or_default();
        let named = |(of, member, name): &(&str, &str, &'static str)| {
            let value = event["requestParameters"][*member].as_str()?;
            (*of == service).then_some((value, Some(*name)))
        };
        all.extend(OF_PARAMETERS.iter().filter_map(named));
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_those_of_arns_and_else_of_names() {
        let check = |event: Value, expected: &[(&str, Option<&str>)]| {
            assert_eq!(resources(&event), expected, "{event}");
        };
        let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/prod";
        let odd = "arn:aws:kms:us-east-1:000000000000:key/1";
        let group = "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:";
        check(
            json!({ "resources": [{ "ARN": cluster }, { "ARN": odd }, { "ARN": group }],
                "eventSource": "ecs.amazonaws.com", "requestParameters": { "cluster": "prod" } }),
            &[
                (cluster, Some("AWS::ECS::Cluster")),
                (odd, None),
                (group, Some("AWS::Logs::LogGroup")),
            ],
        );
        check(
            json!({ "eventSource": "iam.amazonaws.com",
                "requestParameters": { "userName": "ada", "path": "/" } }),
            &[("ada", Some("AWS::IAM::User"))],
        );
        check(json!({ "eventSource": "sts.amazonaws.com" }), &[]);
    }
}
