//! What services say, word by word (ECS semantics §7.8; spelling as observed).

use terms::TaskId;

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

/// A task could not be made from what the service says.
pub(crate) fn unmade(service: &str, why: &str) -> (Kind, String) {
    let text = format!("(service {service}) was unable to place a task. Reason: {why}.");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u8) -> TaskId {
        TaskId::from_bytes([number; 16])
    }

    #[test]
    fn every_text_is_as_it_was_observed() {
        let deployment = DeploymentId::from_digits(1_234_567_890_123_456_789);
        let check = |(_, text): (Kind, String), expected: &str| assert_eq!(text, expected);
        check(steady("web"), "(service web) has reached a steady state.");
        check(
            set_steady("web", deployment),
            "(service web, taskSet ecs-svc/1234567890123456789) has reached a steady state.",
        );
        check(recounted("web", 3, None), "(service web) has a desired count of 3.");
        check(
            recounted("web", 3, Some(deployment)),
            "(service web, taskSet ecs-svc/1234567890123456789) has a desired count of 3.",
        );
        check(
            unknown("web", vec![task(1)]),
            &format!(
                "(service web) was unable to describe the health of (task {}).",
                "01".repeat(16)
            ),
        );
        check(
            completed("web", deployment),
            "(service web) (deployment ecs-svc/1234567890123456789) deployment completed.",
        );
        check(
            failed("web", deployment, "tasks failed to start"),
            "(service web) (deployment ecs-svc/1234567890123456789) deployment failed: tasks \
             failed to start.",
        );
        check(
            failed("web", deployment, "alarm detected"),
            "(service web) (deployment ecs-svc/1234567890123456789) deployment failed: alarm \
             detected.",
        );
        check(
            given_up("web", deployment),
            "(service web) (deployment ecs-svc/1234567890123456789) was stopped by a user.",
        );
        check(
            rolling_back("web", deployment),
            "(service web) rolling back to deployment ecs-svc/1234567890123456789.",
        );
        check(
            stuck("web"),
            "(service web) was unable to stop or start tasks during a deployment because of the \
             service deployment configuration. Update the minimumHealthyPercent or maximumPercent \
             value and try again.",
        );
        check(impaired("web"), "(service web) is unable to consistently start tasks successfully.");
        check(
            protected("web", deployment),
            "(service web) was unable to reach steady state because task set \
             (ecs-svc/1234567890123456789) was unable to scale in. Reason: The number of \
             protected tasks are more than the desired count of tasks.",
        );
        check(
            unmade("web", "TaskDefinition not found"),
            "(service web) was unable to place a task. Reason: TaskDefinition not found.",
        );
        check(
            rebalancing("web", 2),
            "(service web) is not AZ balanced with 2 tasks to move. AZ Rebalancing in progress.",
        );
        check(rebalanced("web"), "(service web) is AZ balanced.");
        check(
            rebalancing_stopped("web", "a deployment started"),
            "(service web) AZ Rebalancing stopped: a deployment started.",
        );
        check(
            violated("web", "01"),
            "(service web) was unable to keep a daemon task because (container-instance 01) no \
             longer meets the placement constraints.",
        );
    }

    #[test]
    fn tasks_are_named_ten_on_a_line() {
        let one = started("web", &[task(1)]);
        let id = "01".repeat(16);
        let expected = format!("(service web) has started 1 tasks: (task {id}).");
        assert_eq!(one, [(Kind::TasksStarted, expected)]);
        let two = stopped("web", &[task(1), task(2)]);
        let other = "02".repeat(16);
        let expected =
            format!("(service web) has stopped 2 running tasks: (task {id}) (task {other}).");
        assert_eq!(two, [(Kind::TasksStopped, expected)]);
        let many: Vec<TaskId> = (0..25).map(task).collect();
        let lines = started("web", &many);
        let begin = |line: &(Kind, String)| line.1.split(':').next().map(str::to_owned);
        let begins: Vec<_> = lines.iter().filter_map(begin).collect();
        let line = |number| format!("(service web) has started {number} tasks");
        assert_eq!(begins, [line(10), line(10), line(5)]);
        assert!(started("web", &[]).is_empty());
    }

    #[test]
    fn a_shortage_names_the_closest_instance() {
        let begin = "(service web) was unable to place a task because no container instance met \
                     all of its requirements.";
        let check = |code: &str, why: &str| {
            let closest = Closest { instance: "ab12".to_owned(), code: code.to_owned() };
            let instances = vec!["arn".to_owned()];
            let told = Shortage { closest: Some(closest), instances, provider: None };
            let (kind, text) = unplaced("web", told);
            let (reason, instances) = (code.to_owned(), vec!["arn".to_owned()]);
            assert_eq!(kind, Kind::Unplaced { reason, instances, providers: Vec::new() });
            let near = "The closest matching (container-instance ab12)";
            assert_eq!(text, format!("{begin} {near} {why}"));
        };
        check("RESOURCE:CPU", "has insufficient CPU units available.");
        check("RESOURCE:MEMORY", "has insufficient memory available.");
        check("RESOURCE:PORTS", "is already using a port required by your task.");
        check("RESOURCE:GPU", "has insufficient GPU resource available.");
        check("RESOURCE:ENI", "has insufficient network interfaces available.");
        check("AGENT", "encountered error \"AGENT\".");
        check("ATTRIBUTE", "is missing an attribute required by your task.");
        check("LOCATION", "is in an Availability Zone that your task's subnets are not in.");
        check("INACTIVE", "is not ACTIVE.");
        let constraint = "MemberOf placement constraint unsatisfied.";
        check(constraint, "encountered error \"MemberOf placement constraint unsatisfied.\".");
        let (_, text) = unplaced("web", Shortage::default());
        let none = "Reason: No Container Instances were found in your cluster.";
        assert_eq!(text, format!("{begin} {none}"));
        let provider = Some("arn".to_owned());
        let (kind, text) = unplaced("web", Shortage { provider, ..Shortage::default() });
        let none = "Reason: No Container Instances were found in your capacity provider.";
        assert_eq!(text, format!("{begin} {none}"));
        let reason = "EMPTY CAPACITY PROVIDER".to_owned();
        let providers = vec!["arn".to_owned()];
        assert_eq!(kind, Kind::Unplaced { reason, instances: Vec::new(), providers });
    }
}
