//! Pure: which events a commit is told of by (ECS semantics §17). What they say in detail is
//! written by `event_source.rs`, when somebody wants it.

mod instances;

use ledger::{Change, Commit, Revision, Row, Snapshot};

use crate::model::{
    ContainerInstance, Deployment, MonitorStatus, RolloutState, ServiceEvent, ServiceEventKind,
    Task,
};
use crate::tables::{DeploymentKey, InstanceKey, ServiceEventKey, Tables, TaskKey};

/// Something that ECS tells EventBridge.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// ECS Task State Change.
    Task(TaskKey, Row<Task>),
    /// ECS Container Instance State Change, with the version that it is told with.
    Instance(InstanceKey, Row<ContainerInstance>, Revision),
    /// ECS Service Action.
    Action(ServiceEventKey, Row<ServiceEvent>, Action),
    /// ECS Deployment State Change.
    Deployment(DeploymentKey, Row<Deployment>),
}

/// An action's type and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    /// `INFO`, `WARN` or `ERROR`.
    pub(crate) kind: &'static str,
    /// As in `SERVICE_STEADY_STATE`.
    pub(crate) name: &'static str,
}

/// All that a commit is told of by, in the order of tables and rows. Instances are looked up in
/// `snapshot`, which is no older than the commit.
pub(crate) fn of_commit(commit: &Commit, snapshot: &Snapshot, tables: &Tables) -> Vec<Told> {
    let mut told = Vec::new();
    for change in commit.changes_of(&tables.tasks) {
        if is_task_news(&change)
            && let Some(row) = change.after
        {
            told.push(Told::Task(change.key, row));
        }
    }
    told.extend(instances::of_commit(commit, snapshot, tables));
    for change in commit.changes_of(&tables.services.events) {
        if change.before.is_none()
            && let Some(row) = change.after
        {
            told.extend(actions(&change.key, &row));
        }
    }
    let changes = commit.changes_of(&tables.services.deployments).filter(is_deployment_news);
    let mut deployments: Vec<_> =
        changes.filter_map(|change| Some((change.key, change.after?))).collect();
    // One that fails lets the service go back to another, whatever their ids are.
    deployments.sort_by_key(|(_, row)| row.rollout != RolloutState::Failed);
    told.extend(deployments.into_iter().map(|(key, row)| Told::Deployment(key, row)));
    told
}

/// What stands in rows that are newer than `revision`: each is told of as it is.
pub(crate) fn found_after(
    snapshot: &Snapshot,
    tables: &Tables,
    revision: Revision,
) -> Vec<(Revision, Told)> {
    let mut told = Vec::new();
    for (key, row) in snapshot.prefix(&tables.tasks, &()) {
        if row.version() > revision {
            told.push((row.version(), Told::Task(key, row)));
        }
    }
    told.extend(instances::found_after(snapshot, tables, revision));
    for (key, row) in snapshot.prefix(&tables.services.events, &()) {
        if row.version() > revision {
            told.extend(actions(&key, &row).map(|told| (row.version(), told)));
        }
    }
    for (key, row) in snapshot.prefix(&tables.services.deployments, &()) {
        if row.version() > revision && is_told(&row) {
            told.push((row.version(), Told::Deployment(key, row)));
        }
    }
    told.sort_by_key(|(revision, _)| *revision);
    told
}

/// Whether what the event shows changed: not health, protection or tags alone.
fn is_task_news(change: &Change<TaskKey, Task>) -> bool {
    let (before, after) = match (&change.before, &change.after) {
        (Some(before), Some(after)) => (before, after),
        (None, after) => return after.is_some(),
        (Some(_), None) => return false,
    };
    let mut containers = after.containers.iter().zip(&before.containers);
    let is_same = |(now, then): (&crate::model::Container, &crate::model::Container)| {
        now.status == then.status
            && now.exit_code == then.exit_code
            && now.reason == then.reason
            && now.runtime_id == then.runtime_id
    };
    before.status != after.status
        || before.desired != after.desired
        || before.times.connected_at != after.times.connected_at
        || before.network.as_ref().map(|network| network.status)
            != after.network.as_ref().map(|network| network.status)
        || before.containers.len() != after.containers.len()
        || !containers.all(is_same)
}

fn is_deployment_news(change: &Change<DeploymentKey, Deployment>) -> bool {
    match (&change.before, &change.after) {
        (None, after) => after.is_some(),
        (Some(_), None) => false,
        (Some(before), Some(after)) => {
            let is_new =
                before.rollout != after.rollout || before.rollout_reason != after.rollout_reason;
            is_new && is_told(after)
        }
    }
}

/// That a deployment failed is told when its circuit breaker or an alarm found it so; not when a
/// person stopped it (ECS semantics §17).
fn is_told(row: &Deployment) -> bool {
    let found = [row.breaker, row.alarms].contains(&MonitorStatus::Triggered);
    row.rollout != RolloutState::Failed || found
}

/// The actions that a line of a service's events is told by.
fn actions<'a>(
    key: &'a ServiceEventKey,
    row: &'a Row<ServiceEvent>,
) -> impl Iterator<Item = Told> + use<'a> {
    let steady = matches!(row.kind, ServiceEventKind::SteadyStateOf(_));
    let of_providers = steady.then_some(PROVIDERS_STEADY);
    let all = action(&row.kind).into_iter().chain(of_providers);
    all.map(move |action| Told::Action(key.clone(), row.clone(), action))
}

/// What a service that goes by capacity providers says of them when it is steady.
pub(crate) const PROVIDERS_STEADY: Action =
    Action { kind: "INFO", name: "CAPACITY_PROVIDER_STEADY_STATE" };

/// The action that a line of a service's events is, if it is one. Lines on deployments are not:
/// those have events of their own.
fn action(kind: &ServiceEventKind) -> Option<Action> {
    use ServiceEventKind as Kind;
    let (kind, name) = match kind {
        Kind::SteadyState | Kind::SteadyStateOf(_) => ("INFO", "SERVICE_STEADY_STATE"),
        Kind::TaskSetSteadyState | Kind::TaskSetSteady(_) => ("INFO", "TASKSET_STEADY_STATE"),
        Kind::TasksStopped => ("INFO", "TASKS_STOPPED"),
        Kind::DesiredCountUpdated { .. } => ("INFO", "SERVICE_DESIRED_COUNT_UPDATED"),
        Kind::RebalancingStarted => ("INFO", "SERVICE_REBALANCING_STARTED"),
        Kind::RebalancingCompleted => ("INFO", "SERVICE_REBALANCING_COMPLETED"),
        Kind::RebalancingStopped => ("INFO", "SERVICE_REBALANCING_STOPPED"),
        Kind::StartImpaired => ("WARN", "SERVICE_TASK_START_IMPAIRED"),
        Kind::PlacementFailure(_) | Kind::Unplaced { .. } => {
            ("ERROR", "SERVICE_TASK_PLACEMENT_FAILURE")
        }
        Kind::ConfigurationFailure(_) => ("ERROR", "SERVICE_TASK_CONFIGURATION_FAILURE"),
        Kind::HealthUnknown(_) => ("ERROR", "SERVICE_HEALTH_UNKNOWN"),
        Kind::DaemonConstraintViolated => ("ERROR", "SERVICE_DAEMON_PLACEMENT_CONSTRAINT_VIOLATED"),
        Kind::TasksStarted
        | Kind::DeploymentInProgress(_)
        | Kind::DeploymentCompleted(_)
        | Kind::DeploymentFailed(_)
        | Kind::DeploymentStopped(_)
        | Kind::RollingBack(_)
        | Kind::DeploymentStuck
        | Kind::TargetsRegistered
        | Kind::TargetsDeregistered
        | Kind::ConnectionsDraining
        | Kind::TargetUnhealthy
        | Kind::TrafficUnshifted
        | Kind::ProtectionBlocksScaleIn => return None,
    };
    Some(Action { kind, name })
}

/// Type and name of a deployment's event.
pub(crate) fn of_rollout(rollout: RolloutState) -> Action {
    let (kind, name) = match rollout {
        RolloutState::InProgress => ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS"),
        RolloutState::Completed => ("INFO", "SERVICE_DEPLOYMENT_COMPLETED"),
        RolloutState::Failed => ("ERROR", "SERVICE_DEPLOYMENT_FAILED"),
    };
    Action { kind, name }
}
