//! What services say, word by word (ECS semantics §7.8; spelling as observed).

#[cfg(test)]
mod tests;

use terms::TaskId;

use super::view::Unwell;
use crate::decide::shares::EMPTY_PROVIDER;
use crate::model::{DeploymentId, ServiceEventKind as Kind};

/// Tasks that one line names; the others are counted.
const MAX_NAMED: usize = 10;

fn named(tasks: &[TaskId]) -> String {
    let named = tasks.iter().take(MAX_NAMED).map(|task| format!("(task {task})"));
    named.collect::<Vec<_>>().join(" ")
}

/// Tasks were started; more than ten are told on several lines, as ECS does.
pub(crate) fn started(service: &str, tasks: &[TaskId]) -> Vec<(Kind, String)> {
    let line = |tasks: &[TaskId]| {
        let text =
            format!("(service {service}) has started {} tasks: {}.", tasks.len(), named(tasks));
        (Kind::TasksStarted, text)
    };
    tasks.chunks(MAX_NAMED).map(line).collect()
}

/// Tasks were stopped.
pub(crate) fn stopped(service: &str, tasks: &[TaskId]) -> Vec<(Kind, String)> {
    let line = |tasks: &[TaskId]| {
        let number = tasks.len();
        let text =
            format!("(service {service}) has stopped {number} running tasks: {}.", named(tasks));
        (Kind::TasksStopped, text)
    };
    tasks.chunks(MAX_NAMED).map(line).collect()
}

/// Targets were registered.
pub(crate) fn registered(service: &str, group: &str, count: usize) -> (Kind, String) {
    let text = format!("(service {service}) registered {count} targets in (target-group {group})");
    (Kind::TargetsRegistered, text)
}

/// Targets were deregistered.
pub(crate) fn deregistered(service: &str, group: &str, count: usize) -> (Kind, String) {
    let text =
        format!("(service {service}) deregistered {count} targets in (target-group {group})");
    (Kind::TargetsDeregistered, text)
}

/// A rule does not share traffic out as it is to: it is gone, or forwards nothing.
pub(crate) fn undirected(service: &str, rule: &str) -> (Kind, String) {
    let text = format!(
        "(service {service}) was unable to shift traffic: (listener-rule {rule}) does not forward to \
         the service's target groups."
    );
    (Kind::TrafficUnshifted, text)
}

/// Tasks end what load balancers have under way to them.
pub(crate) fn draining(service: &str, of: DeploymentId, count: usize) -> (Kind, String) {
    let text = format!(
        "(service {service}, taskSet {of}) has begun draining connections on {count} tasks."
    );
    (Kind::ConnectionsDraining, text)
}

/// A target of a task fails its checks.
pub(crate) fn unwell(service: &str, task: TaskId, unwell: &Unwell) -> (Kind, String) {
    let Unwell { group, machine, port, reason } = unwell;
    let text = match port {
        None => format!(
            "(service {service}) (task {task}) is not healthy in (target-group {group}) due to \
             {reason}"
        ),
        Some(port) => {
            let machine = machine.as_ref().map(|id| format!(" (instance {id})"));
            let machine = machine.unwrap_or_default();
            format!(
                "(service {service}) (task {task}){machine} (port {port}) is unhealthy in \
                 (target-group {group}) due to (reason {reason})"
            )
        }
    };
    (Kind::TargetUnhealthy, text)
}

/// Running is desired, all healthy.
pub(crate) fn steady(service: &str) -> (Kind, String) {
    (Kind::SteadyState, format!("(service {service}) has reached a steady state."))
}

/// A task set is as it should be.
pub(crate) fn set_steady(service: &str, set: DeploymentId) -> (Kind, String) {
    let text = format!("(service {service}, taskSet {set}) has reached a steady state.");
    (Kind::TaskSetSteady(set), text)
}

/// The scheduler computed another desired count for the service, or for one of its task sets. ECS
/// tells EventBridge alone: the text is for those who read rows.
pub(crate) fn recounted(service: &str, desired: u32, set: Option<DeploymentId>) -> (Kind, String) {
    let of = set.map_or_else(String::new, |set| format!(", taskSet {set}"));
    let text = format!("(service {service}{of}) has a desired count of {desired}.");
    (Kind::DesiredCountUpdated { desired, set }, text)
}

/// What the health checks of tasks say is not known. Told to EventBridge alone, too.
pub(crate) fn unknown(service: &str, mut tasks: Vec<TaskId>) -> (Kind, String) {
    tasks.truncate(MAX_NAMED);
    let text =
        format!("(service {service}) was unable to describe the health of {}.", named(&tasks));
    (Kind::HealthUnknown(tasks), text)
}

/// A deployment is complete.
pub(crate) fn completed(service: &str, deployment: DeploymentId) -> (Kind, String) {
    let text = format!("(service {service}) (deployment {deployment}) deployment completed.");
    (Kind::DeploymentCompleted(deployment), text)
}

/// A deployment failed, as in `tasks failed to start`.
pub(crate) fn failed(service: &str, deployment: DeploymentId, why: &str) -> (Kind, String) {
    let text = format!("(service {service}) (deployment {deployment}) deployment failed: {why}.");
    (Kind::DeploymentFailed(deployment), text)
}

/// A person stopped a deployment. No text of ECS's own was found.
pub(crate) fn given_up(service: &str, deployment: DeploymentId) -> (Kind, String) {
    let text = format!("(service {service}) (deployment {deployment}) was stopped by a user.");
    (Kind::DeploymentStopped(deployment), text)
}

/// The service goes back. No text of ECS's own was found.
pub(crate) fn rolling_back(service: &str, to: DeploymentId) -> (Kind, String) {
    let text = format!("(service {service}) rolling back to deployment {to}.");
    (Kind::RollingBack(to), text)
}

/// Neither a stop nor a start is possible.
pub(crate) fn stuck(service: &str) -> (Kind, String) {
    let text = format!(
        "(service {service}) was unable to stop or start tasks during a deployment because of the \
         service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
         value and try again."
    );
    (Kind::DeploymentStuck, text)
}

/// Tasks end before they run.
pub(crate) fn impaired(service: &str) -> (Kind, String) {
    let text = format!("(service {service}) is unable to consistently start tasks successfully.");
    (Kind::StartImpaired, text)
}

/// Protected tasks keep the service larger than desired. ECS says it of task sets; a deployment
/// is named the same way.
pub(crate) fn protected(service: &str, of: DeploymentId) -> (Kind, String) {
    let text = format!(
        "(service {service}) was unable to reach steady state because task set ({of}) was unable \
         to scale in. Reason: The number of protected tasks are more than the desired count of \
         tasks."
    );
    (Kind::ProtectionBlocksScaleIn, text)
}

/// Why a task found no place: the instance that came closest, and what it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closest {
    /// The container instance's id.
    pub(crate) instance: String,
    /// The reason's code, as in `RESOURCE:CPU`.
    pub(crate) code: String,
}

/// What is told of a task that found no place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The instance that came closest.
    pub(crate) closest: Option<Closest>,
    /// Those that refused for the same reason, by their ARNs.
    pub(crate) instances: Vec<String>,
    /// The capacity provider that it was to go to, by its ARN.
    pub(crate) provider: Option<String>,
}

/// A task found no place; without an instance there is none at all to look at.
pub(crate) fn unplaced(service: &str, shortage: Shortage) -> (Kind, String) {
    let Shortage { closest, instances, provider } = shortage;
    let begin = format!(
        "(service {service}) was unable to place a task because no container instance met all of \
         its requirements."
    );
    let (code, why) = match (closest, &provider) {
        (Some(closest), _) => {
            let Closest { instance, code } = closest;
            let near = format!("The closest matching (container-instance {instance})");
            let why = format!("{near} {}", refusal(&code));
            (code, why)
        }
        // Observed on ECS.
        (None, None) => (
            "NO_INSTANCES".to_owned(),
            "Reason: No Container Instances were found in your cluster.".to_owned(),
        ),
        (None, Some(_)) => (
            EMPTY_PROVIDER.to_owned(),
            "Reason: No Container Instances were found in your capacity provider.".to_owned(),
        ),
    };
    let kind = Kind::Unplaced { reason: code, instances, providers: Vec::from_iter(provider) };
    (kind, format!("{begin} {why}"))
}

/// Tasks found no place on Fargate, in its `words`; `provider` is the ARN of the one that they are of.
pub(crate) fn no_capacity(service: &str, words: &str, provider: Option<String>) -> (Kind, String) {
    let (reason, instances) = ("RESOURCE:FARGATE".to_owned(), Vec::new());
    let kind = Kind::Unplaced { reason, instances, providers: Vec::from_iter(provider) };
    (kind, format!("(service {service}) was unable to place a task. Reason: {words}."))
}

/// What an instance lacks, as events end.
fn refusal(code: &str) -> String {
    let known = match code {
        "RESOURCE:CPU" => "has insufficient CPU units available.",
        "RESOURCE:MEMORY" => "has insufficient memory available.",
        "RESOURCE:PORTS" => "is already using a port required by your task.",
        "RESOURCE:GPU" => "has insufficient GPU resource available.",
        "RESOURCE:ENI" => "has insufficient network interfaces available.",
        "RESOURCE:DISK" => "has no room left on its disk.",
        "AGENT" => "encountered error \"AGENT\".",
        "ATTRIBUTE" => "is missing an attribute required by your task.",
        "LOCATION" => "is in an Availability Zone that your task's subnets are not in.",
        "INACTIVE" => "is not ACTIVE.",
        other => return format!("encountered error \"{other}\"."),
    };
    known.to_owned()
}

/// Whether a line tells that a task could not be started, which the next start makes good.
pub(crate) fn is_of_shortage(text: &str) -> bool {
    text.contains("was unable to place") || text.contains("failed to launch a task")
}

/// A task could not be made from what the service says.
pub(crate) fn unmade(service: &str, why: &str) -> (Kind, String) {
    // As observed on ECS, whose words for roles are others than for all else.
    let text = match why.starts_with("ECS was unable to assume the role") {
        true => format!("(service {service}) failed to launch a task with (error {why}.)."),
        false => format!("(service {service}) was unable to place a task. Reason: {why}."),
    };
    (Kind::ConfigurationFailure(why.to_owned()), text)
}

/// Tasks begin to be moved between zones.
pub(crate) fn rebalancing(service: &str, number: usize) -> (Kind, String) {
    let text = format!(
        "(service {service}) is not AZ balanced with {number} tasks to move. AZ Rebalancing in \
         progress."
    );
    (Kind::RebalancingStarted, text)
}

/// Tasks are even over the zones again.
pub(crate) fn rebalanced(service: &str) -> (Kind, String) {
    (Kind::RebalancingCompleted, format!("(service {service}) is AZ balanced."))
}

/// Moving tasks was given up.
pub(crate) fn rebalancing_stopped(service: &str, why: &str) -> (Kind, String) {
    let text = format!("(service {service}) AZ Rebalancing stopped: {why}.");
    (Kind::RebalancingStopped, text)
}

/// An instance does not meet a daemon's constraints any more.
pub(crate) fn violated(service: &str, instance: &str) -> (Kind, String) {
    let text = format!(
        "(service {service}) was unable to keep a daemon task because (container-instance \
         {instance}) no longer meets the placement constraints."
    );
    (Kind::DaemonConstraintViolated, text)
}
