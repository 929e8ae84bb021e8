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

/// Calls that are about no cluster.
const WITHOUT_CLUSTER: [&str; 14] = [
    "CreateCapacityProvider",
    "DeleteAccountSetting",
    "DeleteCapacityProvider",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeCapacityProviders",
    "DescribeTaskDefinition",
    "ListAccountSettings",
    "ListClusters",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "RegisterTaskDefinition",
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

/// ECS's keys. ARNs are whole, whatever the request said: policies compare them so.
pub(super) fn keys(keys: &mut Keys, context: &Context, input: &Value) {
    let name = cluster(input);
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
        ("ecs:enable-service-connect", "serviceConnectConfiguration.enabled"),
        ("ecs:task-cpu", "cpu"),
        ("ecs:task-memory", "memory"),
        ("ecs:task-cpu", "overrides.cpu"),
        ("ecs:task-memory", "overrides.memory"),
    ] {
        plain(keys, input, key, member);
    }
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
