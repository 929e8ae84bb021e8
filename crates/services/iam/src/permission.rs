//! What kinds of callers may do at all. What they may do it to, handlers check: an agent's key is
//! good for its own instance and the tasks on it.
//!
//! **Invariant:** what is not listed for agents is refused to them; a new operation or route is
//! closed to them until it is listed here.

use wire::{Action, Caller, CallerKind};

/// What agents call: the actions of `AmazonEC2ContainerServiceforEC2Role` that are requests of
/// ECS, what log drivers do without an execution role, and what they read besides.
const OF_AGENTS: [(&str, &str); 18] = [
    ("ecr", "BatchCheckLayerAvailability"),
    ("ecr", "BatchGetImage"),
    ("ecr", "BatchImportUpstreamImage"),
    ("ecr", "GetAuthorizationToken"),
    ("ecr", "GetDownloadUrlForLayer"),
    ("ecs", "CreateCluster"),
    ("ecs", "DeregisterContainerInstance"),
    ("ecs", "DiscoverPollEndpoint"),
    ("ecs", "ListTagsForResource"),
    ("ecs", "RegisterContainerInstance"),
    ("ecs", "SubmitAttachmentStateChanges"),
    ("ecs", "SubmitContainerStateChange"),
    ("ecs", "SubmitTaskStateChange"),
    ("ecs", "UpdateContainerInstancesState"),
    ("logs", "CreateLogGroup"),
    ("logs", "CreateLogStream"),
    ("logs", "PutLogEvents"),
    ("sts", "GetCallerIdentity"),
];

/// Where agents' channels and streams are, and where they renew their certificates.
const ROUTES_OF_AGENTS: [&str; 7] = [
    "/acs/ws",
    "/tcs/ws",
    "/_longshore/node/ws",
    "/_longshore/streams",
    "/_longshore/exec",
    "/_longshore/certificate",
    "/_longshore/agent",
];

/// Where servers of one control plane ask each other.
const ROUTES_OF_SERVERS: [&str; 3] =
    ["/_longshore/servers/audit", "/_longshore/servers/history", "/_longshore/servers/recover"];

/// What is said in an instance's name: never by a task, whatever its role is one day allowed.
const IN_AN_INSTANCES_NAME: [&str; 5] = [
    "DiscoverPollEndpoint",
    "RegisterContainerInstance",
    "SubmitAttachmentStateChanges",
    "SubmitContainerStateChange",
    "SubmitTaskStateChange",
];

/// Whether policies decide if the caller may use this route: people's, never what is said in an
/// instance's name.
pub(crate) fn is_for_policies(caller: &Caller, prefix: &str) -> bool {
    let has_policies = matches!(
        caller.kind,
        CallerKind::User(_)
            | CallerKind::UserSession(_)
            | CallerKind::Role(_)
            | CallerKind::Federated(_)
    );
    let is_inside = ROUTES_OF_SERVERS.contains(&prefix) || ROUTES_OF_AGENTS.contains(&prefix);
    has_policies && prefix.starts_with("/_longshore/") && !is_inside
}

/// Whether the caller may do this at all.
pub(crate) fn may(caller: &Caller, action: Action<'_>) -> bool {
    match (&caller.kind, action) {
        (CallerKind::Operator | CallerKind::Open, _) => true,
        (CallerKind::Node { .. }, Action::Operation(service, operation)) => {
            OF_AGENTS.contains(&(service, operation))
        }
        (CallerKind::Node { .. }, Action::Route(prefix)) => ROUTES_OF_AGENTS.contains(&prefix),
        (CallerKind::Server, Action::Route(prefix)) => ROUTES_OF_SERVERS.contains(&prefix),
        (CallerKind::Server, Action::Operation(..)) => false,
        (CallerKind::Task { .. }, Action::Operation("ecs", operation)) => {
            !IN_AN_INSTANCES_NAME.contains(&operation)
        }
        (CallerKind::Task { .. }, Action::Operation(..)) => true,
        // Their policies decide, once the input is read.
        (
            CallerKind::User(_)
            | CallerKind::UserSession(_)
            | CallerKind::Role(_)
            | CallerKind::Federated(_),
            Action::Operation(..),
        ) => true,
        (CallerKind::Anonymous, Action::Operation(service, operation)) => {
            (service, operation) == ("sts", "AssumeRoleWithWebIdentity")
        }
        (
            CallerKind::Task { .. }
            | CallerKind::User(_)
            | CallerKind::UserSession(_)
            | CallerKind::Role(_)
            | CallerKind::Federated(_)
            | CallerKind::Anonymous,
            Action::Route(_),
        ) => false,
    }
}
