//! Services.

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{ServiceArn, Timestamp};

use super::machine::machine;
use super::{DeploymentConfiguration, DeploymentId, Document, StrategyItem, Tag, is_fargate};

/// Where a service is in its life (ECS semantics §7.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ServiceStatus {
    /// It is kept at its desired count.
    Active,
    /// It was deleted, and its tasks end.
    Draining,
    /// Its tasks have ended; it is still described for a while.
    Inactive,
}

/// What can happen to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceChange {
    /// It is deleted.
    Deleted,
    /// The last of its tasks is stopping or has stopped.
    Emptied,
}

machine! {
    ServiceStatus by ServiceChange {
        Active { Deleted => Draining }
        Draining { Deleted => Draining, Emptied => Inactive }
        Inactive { Deleted => Inactive }
    }
}

impl ServiceStatus {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

/// How many tasks a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum SchedulingStrategy {
    /// As many as desired.
    Replica,
    /// One on each instance that will do.
    Daemon,
}

impl SchedulingStrategy {
    /// The word of the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Replica => "REPLICA",
            Self::Daemon => "DAEMON",
        }
    }
}

/// Who deploys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DeploymentController {
    /// The service scheduler.
    Ecs,
    /// Somebody else, by task sets.
    External,
}

/// What kind of capacity tasks go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CapacityChoice {
    /// A launch type, in the word of the API.
    LaunchType(String),
    /// Capacity providers, with base and weight.
    Strategy(Vec<StrategyItem>),
}

impl CapacityChoice {
    /// Whether tasks go to Fargate, by its launch type or its providers.
    pub(crate) fn is_fargate(&self) -> bool {
        match self {
            Self::LaunchType(name) => name == "FARGATE",
            Self::Strategy(items) => items.iter().any(|item| is_fargate(&item.provider)),
        }
    }
}

/// Whether tasks are moved so that zones have equally many (ECS semantics §7.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ZoneRebalancing {
    /// They are.
    Enabled,
    /// They stay where they are.
    Disabled,
}

/// What the scheduler keeps in mind of a service from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Course {
    /// When it was said last that the service is steady; none while it is not.
    #[serde(default)]
    pub(crate) steady_at: Option<Timestamp>,
    /// What was said lately and is not to be said again, with when.
    #[serde(default)]
    pub(crate) said: Vec<(String, Timestamp)>,
    /// The number of the last event.
    #[serde(default)]
    pub(crate) last_event: u64,
    /// When the tasks began to be moved between zones; none while they are not.
    #[serde(default)]
    pub(crate) rebalancing_since: Option<Timestamp>,
    /// When a task that was to be moved to another zone found no place there; none once one did.
    #[serde(default)]
    pub(crate) no_place_at: Option<Timestamp>,
}

/// One service. How many tasks it has is never stored: that follows from its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Region, account, cluster and name.
    pub(crate) arn: ServiceArn,
    /// Where it is in its life.
    pub(crate) status: ServiceStatus,
    /// How many tasks it has.
    pub(crate) scheduling: SchedulingStrategy,
    /// Who deploys.
    pub(crate) controller: DeploymentController,
    /// What new tasks go to.
    pub(crate) capacity: CapacityChoice,
    /// How many tasks it is to have; nothing is read from it for DAEMON.
    pub(crate) desired: u32,
    /// How its deployments go.
    pub(crate) configuration: DeploymentConfiguration,
    /// The current deployment; none with the controller EXTERNAL, and once it is deleted.
    pub(crate) primary: Option<DeploymentId>,
    /// Placement constraints as given.
    #[serde(default)]
    pub(crate) constraints: Vec<Document<shapes::PlacementConstraint>>,
    /// Placement strategies as given.
    #[serde(default)]
    pub(crate) strategies: Vec<Document<shapes::PlacementStrategy>>,
    /// The role that load balancers are spoken to with, as given.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// For how many seconds after a task's start its health checks do not count; none if not given.
    #[serde(default)]
    pub(crate) grace_seconds: Option<u32>,
    /// Whether tasks are moved between zones.
    pub(crate) rebalancing: ZoneRebalancing,
    /// Whether ECS Exec was asked for.
    #[serde(default)]
    pub(crate) execute_command: bool,
    /// Whether tasks get ECS's own tags.
    #[serde(default)]
    pub(crate) managed_tags: bool,
    /// Where tasks' tags come from, in the word of the API.
    #[serde(default)]
    pub(crate) propagate_tags: Option<String>,
    /// Tags.
    #[serde(default)]
    pub(crate) tags: Vec<Tag>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Who made it (an ARN).
    pub(crate) created_by: String,
    /// The last change of `status`; deleted services are forgotten some time after it.
    pub(crate) changed_at: Timestamp,
    /// The token of the request that made it.
    #[serde(default)]
    pub(crate) client_token: Option<String>,
    /// That request, to tell a repetition from another one: without its token and its cluster.
    #[serde(default)]
    pub(crate) request: Option<Document<shapes::CreateServiceRequest>>,
    /// What the scheduler keeps in mind.
    #[serde(default)]
    pub(crate) course: Course,
}

/// What a line of a service's `events` is about; each has an event of EventBridge of its own
/// (ECS semantics §17), or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServiceEventKind {
    /// Tasks were started.
    TasksStarted,
    /// Tasks were stopped.
    TasksStopped,
    /// Load balancers know tasks.
    TargetsRegistered,
    /// They send them nothing new.
    TargetsDeregistered,
    /// They end what is under way to them.
    ConnectionsDraining,
    /// A rule does not share traffic out as it is to.
    TrafficUnshifted,
    /// A target fails its checks.
    TargetUnhealthy,
    /// The service is steady.
    SteadyState,
    /// The service is steady, and its tasks go by these capacity providers, told by their ARNs.
    SteadyStateOf(Vec<String>),
    /// As [`Self::TaskSetSteady`], in rows of before it was.
    TaskSetSteadyState,
    /// This task set is steady.
    TaskSetSteady(DeploymentId),
    /// A deployment began.
    DeploymentInProgress(DeploymentId),
    /// A deployment is complete.
    DeploymentCompleted(DeploymentId),
    /// A deployment failed.
    DeploymentFailed(DeploymentId),
    /// A person stopped a deployment.
    DeploymentStopped(DeploymentId),
    /// The service goes back to an earlier deployment.
    RollingBack(DeploymentId),
    /// Percentages forbid every step of a deployment.
    DeploymentStuck,
    /// As [`Self::Unplaced`], in rows of before it was.
    PlacementFailure(String),
    /// A task found no instance.
    Unplaced {
        /// The reason of the instance that came closest, as in `RESOURCE:CPU`.
        reason: String,
        /// Instances that refused for it, by their ARNs; not all of very many.
        instances: Vec<String>,
        /// The capacity providers that the task was to go to, by their ARNs.
        providers: Vec<String>,
    },
    /// A task could not be made from what the service says.
    ConfigurationFailure(String),
    /// Tasks end before they run.
    StartImpaired,
    /// Protected tasks keep the service larger than desired.
    ProtectionBlocksScaleIn,
    /// Tasks begin to be moved between zones.
    RebalancingStarted,
    /// Tasks are even over the zones.
    RebalancingCompleted,
    /// Moving tasks between zones was given up.
    RebalancingStopped,
    /// A daemon's instance does not meet its constraints any more.
    DaemonConstraintViolated,
    /// The scheduler computed another desired count; nobody said it.
    DesiredCountUpdated {
        /// The count.
        desired: u32,
        /// The task set that it is of; the service if none is named.
        set: Option<DeploymentId>,
    },
    /// What the health checks of these tasks say is not known any more.
    HealthUnknown(Vec<terms::TaskId>),
}

impl ServiceEventKind {
    /// Whether it is a line of the service's `events`; what is not is told to EventBridge alone.
    pub(crate) const fn is_line(&self) -> bool {
        !matches!(self, Self::DesiredCountUpdated { .. } | Self::HealthUnknown(_))
    }
}

/// A line of a service's `events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServiceEvent {
    /// Its id.
    pub(crate) id: terms::Uuid,
    /// When.
    pub(crate) created_at: Timestamp,
    /// The text.
    pub(crate) message: String,
    /// What it is about.
    pub(crate) kind: ServiceEventKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_one_way() {
        use {ServiceChange as E, ServiceStatus as S};
        let check = |from: S, event: E, to: Option<S>| assert_eq!(from.next(event).ok(), to);
        check(S::Active, E::Deleted, Some(S::Draining));
        check(S::Active, E::Emptied, None);
        check(S::Draining, E::Deleted, Some(S::Draining));
        check(S::Draining, E::Emptied, Some(S::Inactive));
        check(S::Inactive, E::Deleted, Some(S::Inactive));
        check(S::Inactive, E::Emptied, None);
    }
}
