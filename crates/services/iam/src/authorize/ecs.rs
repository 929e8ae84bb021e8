//! What calls of ECS need besides: its condition keys, `iam:PassRole` and tags on creation.

use policy::Context as Keys;
use serde_json::Value;
use wire::Context;

use super::keys::{plain, tags};
use super::table::members;

/// Who takes the roles of tasks.
const TASKS: &str = "ecs-tasks.amazonaws.com";
/// Who takes roles that ECS itself works with.
const ECS: &str = "ecs.amazonaws.com";

/// Calls that are about no cluster, or name it in the resource alone.
const WITHOUT_CLUSTER: [&str; 22] = [
    "CreateCapacityProvider",
    "CreateCluster",
    "DeleteAccountSetting",
    "DeleteCapacityProvider",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeCapacityProviders",
    "DescribeClusters",
    "DescribeTaskDefinition",
    "DiscoverPollEndpoint",
    "ListAccountSettings",
    "ListClusters",
    "ListServicesByNamespace",
    "ListTagsForResource",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "RegisterTaskDefinition",
    "TagResource",
    "UntagResource",
    "UpdateCapacityProvider",
];

fn arn(context: &Context, kind: &str, name: &str) -> String {
    let caller = &context.caller;
    match name.starts_with("arn:") {
        true => name.to_owned(),
        false => format!("arn:aws:ecs:{}:{}:{kind}/{name}", caller.region, caller.account),
    }
}

/// The cluster's name that a call names.
fn cluster(input: &Value) -> String {
    let named = members(input, "cluster").into_iter().next();
    let named = named.unwrap_or_else(|| "default".to_owned());
    named.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Cluster and service of a deployment or revision that a call names by ARN alone:
/// `service-deployment/CLUSTER/SERVICE/ID`.
fn of_deployment(input: &Value) -> Option<(String, String)> {
    let lists = ["serviceDeploymentArns", "serviceDeploymentArn", "serviceRevisionArns"];
    let arn = lists.iter().flat_map(|list| members(input, list)).next()?;
    let mut parts = arn.split('/').skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

/// ECS's keys. ARNs are whole, whatever the request said: policies compare them so.
pub(super) fn keys(keys: &mut Keys, context: &Context, input: &Value) {
    let named = of_deployment(input);
    let name = named.as_ref().map_or_else(|| cluster(input), |(cluster, _)| cluster.clone());
    if let Some((cluster, service)) = &named {
        keys.set("ecs:service", arn(context, "service", &format!("{cluster}/{service}")));
    }
    if !WITHOUT_CLUSTER.contains(&context.operation) {
        keys.set("ecs:cluster", arn(context, "cluster", &name));
    }
    let first = |member: &str| members(input, member).into_iter().next();
    if let Some(service) = first("service") {
        keys.set("ecs:service", arn(context, "service", &format!("{name}/{service}")));
    }
    if let Some(task) = first("task") {
        keys.set("ecs:task", arn(context, "task", &format!("{name}/{task}")));
    }
    if let Some(definition) = first("taskDefinition") {
        keys.set("ecs:task-definition", arn(context, "task-definition", &definition));
    }
    let instances = members(input, "containerInstances");
    if !instances.is_empty() {
        let full = |id: &String| arn(context, "container-instance", &format!("{name}/{id}"));
        keys.set_list("ecs:container-instances", instances.iter().map(full).collect());
    }
    let mut providers = members(input, "capacityProviderStrategy.capacityProvider");
    providers.extend(members(input, "capacityProviders"));
    if !providers.is_empty() {
        let full = |name: &String| arn(context, "capacity-provider", name);
        keys.set_list("ecs:capacity-provider", providers.iter().map(full).collect());
    }
    if matches!(context.operation, "RunTask" | "StartTask" | "CreateService") {
        // False unless it is asked for, so that a policy may demand it either way.
        keys.set("ecs:enable-execute-command", "false");
    }
    for (key, member) in [
        ("ecs:enable-execute-command", "enableExecuteCommand"),
        ("ecs:enable-ecs-managed-tags", "enableECSManagedTags"),
        ("ecs:propagate-tags", "propagateTags"),
        ("ecs:container-name", "container"),
        ("ecs:account-setting", "name"),
        ("ecs:namespace", "namespace"),
        ("ecs:namespace", "serviceConnectConfiguration.namespace"),
        ("ecs:propagate-tags", "managedInstancesProvider.propagateTags"),
        (
            "ecs:fargate-ephemeral-storage-kms-key",
            "configuration.managedStorageConfiguration.fargateEphemeralStorageKmsKeyId",
        ),
        ("ecs:enable-service-connect", "serviceConnectConfiguration.enabled"),
    ] {
        plain(keys, input, key, member);
    }
    for (key, member, unit) in [
        ("ecs:task-cpu", "cpu", "vcpu"),
        ("ecs:task-memory", "memory", "gb"),
        ("ecs:task-cpu", "overrides.cpu", "vcpu"),
        ("ecs:task-memory", "overrides.memory", "gb"),
    ] {
        if let Some(text) = first(member) {
            keys.set(key, in_units(&text, unit));
        }
    }
    of_launch(keys, context, input);
}

/// A size as the number that policies compare: `0.5 vCPU` is 512, `1 GB` is 1024.
fn in_units(text: &str, unit: &str) -> String {
    let lower = text.trim().to_ascii_lowercase();
    let count = lower.strip_suffix(unit).and_then(|count| count.trim().parse::<f64>().ok());
    count.map_or(lower, |count| (count * 1024.0).to_string())
}

/// Keys of what is launched or defined: networks, volumes, what it can run on.
fn of_launch(keys: &mut Keys, context: &Context, input: &Value) {
    let first = |member: &str| members(input, member).into_iter().next();
    let network = "networkConfiguration.awsvpcConfiguration";
    if let Some(assign) = first(&format!("{network}.assignPublicIp")) {
        keys.set("ecs:auto-assign-public-ip", (assign == "ENABLED").to_string());
    }
    let subnets = members(input, &format!("{network}.subnets"));
    if !subnets.is_empty() {
        keys.set_list("ecs:subnet", subnets);
    }
    let compatible = members(input, "requiresCompatibilities");
    if !compatible.is_empty() {
        keys.set_list("ecs:compute-compatibility", compatible);
    }
    if context.operation == "RegisterTaskDefinition" {
        let privileged = members(input, "containerDefinitions.privileged");
        keys.set("ecs:privileged", privileged.iter().any(|one| one == "true").to_string());
    }
    if !members(input, "vpcLatticeConfigurations.roleArn").is_empty() {
        keys.set("ecs:enable-vpc-lattice", "true");
    }
    let has_volumes = !members(input, "volumeConfigurations.name").is_empty();
    if has_volumes {
        keys.set("ecs:enable-ebs-volumes", "true");
    }
}

/// A role that a call hands on, and to whom.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) role: String,
    pub(super) service: &'static str,
}

/// The roles that a call names, and whether it starts what a task definition names roles for.
pub(super) fn passed(operation: &str, input: &Value) -> Vec<Passed> {
    let mut roles = Vec::new();
    let mut add = |member: &str, service| {
        roles.extend(members(input, member).into_iter().map(|role| Passed { role, service }));
    };
    match operation {
        "RegisterTaskDefinition" => {
            add("taskRoleArn", TASKS);
            add("executionRoleArn", TASKS);
        }
        "RunTask" | "StartTask" => {
            add("overrides.taskRoleArn", TASKS);
            add("overrides.executionRoleArn", TASKS);
            add("volumeConfigurations.managedEBSVolume.roleArn", ECS);
        }
        "CreateService" | "UpdateService" => {
            add("role", ECS);
            add("volumeConfigurations.managedEBSVolume.roleArn", ECS);
            add("loadBalancers.advancedConfiguration.roleArn", ECS);
        }
        _ => {}
    }
    roles.retain(|passed| !passed.role.is_empty());
    roles
}

/// The task definition whose roles the call hands on to tasks.
pub(super) fn starts(operation: &str, input: &Value) -> Option<String> {
    match operation {
        "RunTask" | "StartTask" | "CreateService" | "UpdateService" | "CreateTaskSet" => {
            members(input, "taskDefinition").into_iter().next()
        }
        _ => None,
    }
}

pub(super) const OF_TASKS: &str = TASKS;

/// What a creation with tags tags: it needs `ecs:TagResource` on that, too.
pub(super) fn tagged(context: &Context, input: &Value, own: &str) -> Option<String> {
    let creates = context.operation.starts_with("Create")
        || context.operation.starts_with("Register")
        || matches!(context.operation, "RunTask" | "StartTask");
    let propagates = members(input, "propagateTags").iter().any(|from| from != "NONE");
    let is_tagged = !tags(input).is_empty() || propagates;
    (creates && is_tagged).then(|| match context.operation {
        "RunTask" | "StartTask" => arn(context, "task", &format!("{}/*", cluster(input))),
        "RegisterContainerInstance" => {
            arn(context, "container-instance", &format!("{}/*", cluster(input)))
        }
        _ => own.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use terms::{Timestamp, Uuid};
    use wire::{Caller, CallerKind};

    use super::*;

    fn context(operation: &'static str) -> Context {
        let caller = Caller {
            account: "111122223333".parse().unwrap(),
            region: "eu-west-1".parse().unwrap(),
            arn: String::new(),
            user_id: String::new(),
            access_key_id: String::new(),
            kind: CallerKind::Operator,
        };
        Context {
            caller: Arc::new(caller),
            request_id: Uuid::from_random([0; 16]),
            now: Timestamp::from_millis(0),
            service: "ecs",
            operation,
            source: None,
            user_agent: None,
            session_token: None,
            endpoint: String::new(),
        }
    }

    fn check(operation: &'static str, input: Value, expected: &[(&str, &str)]) {
        let mut found = Keys::default();
        keys(&mut found, &context(operation), &input);
        let got: Vec<(&str, String)> = found
            .iter()
            .map(|(key, values)| match values {
                policy::Values::One(value) => (key, value.clone()),
                policy::Values::List(values) | policy::Values::Either(values) => {
                    (key, values.join(","))
                }
            })
            .collect();
        let got: Vec<_> = got.iter().map(|(key, value)| (*key, value.as_str())).collect();
        assert_eq!(got, expected, "{operation}");
    }

    fn ours(rest: &str) -> String {
        format!("arn:aws:ecs:eu-west-1:111122223333:{rest}")
    }

    #[test]
    fn keys_are_those_of_the_reference() {
        let (prod, default) = (ours("cluster/prod"), ours("cluster/default"));
        check(
            "RunTask",
            json!({ "taskDefinition": "web:9", "cluster": "prod", "enableExecuteCommand": true,
                "propagateTags": "TASK_DEFINITION", "enableECSManagedTags": true,
                "capacityProviderStrategy": [{ "capacityProvider": "FARGATE" }],
                "networkConfiguration": { "awsvpcConfiguration": {
                    "subnets": ["subnet-1"], "assignPublicIp": "ENABLED" } },
                "volumeConfigurations": [{ "name": "v" }],
                "overrides": { "cpu": "256", "memory": "512" } }),
            &[
                ("ecs:auto-assign-public-ip", "true"),
                ("ecs:capacity-provider", &ours("capacity-provider/FARGATE")),
                ("ecs:cluster", &prod),
                ("ecs:enable-ebs-volumes", "true"),
                ("ecs:enable-ecs-managed-tags", "true"),
                ("ecs:enable-execute-command", "true"),
                ("ecs:propagate-tags", "TASK_DEFINITION"),
                ("ecs:subnet", "subnet-1"),
                ("ecs:task-cpu", "256"),
                ("ecs:task-definition", &ours("task-definition/web:9")),
                ("ecs:task-memory", "512"),
            ],
        );
        check(
            "CreateService",
            json!({ "serviceName": "web", "taskDefinition": "web",
                "serviceConnectConfiguration": { "enabled": true, "namespace": "inner" },
                "vpcLatticeConfigurations": [{ "roleArn": "r" }] }),
            &[
                ("ecs:cluster", &default),
                ("ecs:enable-execute-command", "false"),
                ("ecs:enable-service-connect", "true"),
                ("ecs:enable-vpc-lattice", "true"),
                ("ecs:namespace", "inner"),
                ("ecs:task-definition", &ours("task-definition/web")),
            ],
        );
    }

    #[test]
    fn what_a_call_does_not_name_has_no_key() {
        let prod = ours("cluster/prod");
        check(
            "ExecuteCommand",
            json!({ "cluster": &prod, "task": "1", "container": "main" }),
            &[
                ("ecs:cluster", &prod),
                ("ecs:container-name", "main"),
                ("ecs:task", &ours("task/prod/1")),
            ],
        );
        check(
            "DescribeServiceDeployments",
            json!({ "serviceDeploymentArns": [ours("service-deployment/prod/web/1")] }),
            &[("ecs:cluster", &prod), ("ecs:service", &ours("service/prod/web"))],
        );
        check(
            "RegisterTaskDefinition",
            json!({ "family": "web", "requiresCompatibilities": ["FARGATE"], "cpu": ".25 vCPU",
                "memory": "1 GB",
                "containerDefinitions": [{ "privileged": false }, { "privileged": true }] }),
            &[
                ("ecs:compute-compatibility", "FARGATE"),
                ("ecs:privileged", "true"),
                ("ecs:task-cpu", "256"),
                ("ecs:task-memory", "1024"),
            ],
        );
        check("DescribeClusters", json!({ "clusters": ["prod"] }), &[]);
        check("TagResource", json!({ "resourceArn": &prod }), &[]);
        check("PutAccountSetting", json!({ "name": "x" }), &[("ecs:account-setting", "x")]);
    }
}
