//! Tasks.

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{
    CapacityProviderName, ContainerInstanceId, TaskArn, TaskDefinitionArn, Text, Timestamp,
};

use super::{
    Container, Demand, DesiredStatus, Document, Explanation, Health, Stop, Tag, TaskNetwork,
    TaskStatus,
};

/// When things happened to a task; absent means not yet, or never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskTimes {
    /// The first news from its agent.
    pub(crate) connected_at: Option<Timestamp>,
    /// The agent began to pull images.
    pub(crate) pull_started_at: Option<Timestamp>,
    /// The agent had its images.
    pub(crate) pull_stopped_at: Option<Timestamp>,
    /// It came to run.
    pub(crate) started_at: Option<Timestamp>,
    /// It was asked to stop.
    pub(crate) stopping_at: Option<Timestamp>,
    /// Its first essential container ended.
    pub(crate) execution_stopped_at: Option<Timestamp>,
    /// It stopped.
    pub(crate) stopped_at: Option<Timestamp>,
}

/// One task.
///
/// **Invariant:** `desired` and `stop` belong to the control plane, `status` and the containers to
/// the agent's reports; `status` only moves forward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Region, account, cluster and id.
    pub(crate) arn: TaskArn,
    /// What it runs.
    pub(crate) definition: TaskDefinitionArn,
    /// The group that spread and distinctInstance count, as in `family:web`.
    pub(crate) group: Text,
    /// Who started it, as the caller said.
    pub(crate) started_by: Option<Text>,
    /// The instance that it was placed on.
    pub(crate) instance: ContainerInstanceId,
    /// The capacity provider that placed it; none for a task with a launch type.
    #[serde(default)]
    pub(crate) capacity_provider: Option<CapacityProviderName>,
    /// The zone of that instance.
    pub(crate) zone: Option<Text>,
    /// Its `ecs.cpu-architecture`, shown among the task's attributes.
    pub(crate) architecture: Option<Text>,
    /// What scheduling reserves for it until it has stopped.
    pub(crate) demand: Demand,
    /// Task-level CPU units, after overrides.
    pub(crate) cpu: Option<u32>,
    /// Task-level MiB, after overrides.
    pub(crate) memory: Option<u32>,
    /// Overrides as given, to be returned as given; merged when the payload is made.
    pub(crate) overrides: Document<shapes::TaskOverride>,
    /// What is wanted of it.
    pub(crate) desired: DesiredStatus,
    /// Where it is (`lastStatus`).
    pub(crate) status: TaskStatus,
    /// Why it stops or stopped.
    pub(crate) stop: Option<Stop>,
    /// Its containers, in the order of the task definition.
    pub(crate) containers: Vec<Container>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When other things happened to it.
    pub(crate) times: TaskTimes,
    /// Its interface, if its network mode is awsvpc.
    #[serde(default)]
    pub(crate) network: Option<Box<TaskNetwork>>,
    /// Until when a service may not end it to grow smaller or to deploy; past is as good as none.
    #[serde(default)]
    pub(crate) protected_until: Option<Timestamp>,
    /// Whether its instance was taken away before it had stopped. Its record says STOPPED, as ECS
    /// has it, but nobody stopped its containers: they may still run there.
    #[serde(default)]
    pub(crate) abandoned: bool,
    /// Tags.
    pub(crate) tags: Vec<Tag>,
    /// Whether ECS Exec was asked for.
    pub(crate) execute_command: bool,
    /// Why it is where it is.
    pub(crate) explanation: Explanation,
    /// Grows by one with each change of this record.
    pub(crate) version: u64,
}

/// What stands before a service's name in the group of its tasks.
const SERVICE_GROUP: &str = "service:";

impl Task {
    /// Whether a service started it (ECS semantics §5.1, group).
    pub(crate) fn is_of_service(&self) -> bool {
        self.group.starts_with(SERVICE_GROUP)
    }

    /// When its protection ends, if it is protected at `now` (ECS semantics §5.5). Nothing clears
    /// a protection that has expired: the time says it.
    pub(crate) fn protection(&self, now: Timestamp) -> Option<Timestamp> {
        self.protected_until.filter(|until| *until > now)
    }

    /// The task's health: that of its essential containers, the worst first (ECS semantics §5.1).
    pub(crate) fn health(&self) -> Health {
        let essential = || self.containers.iter().filter(|c| c.essential).map(|c| c.health);
        if essential().any(|health| health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().all(|health| health == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }
}
