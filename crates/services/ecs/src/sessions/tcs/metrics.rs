//! The newest telemetry of each instance, in memory.

use std::collections::{BTreeMap, HashMap};

use agent_protocol::tcs::{InstanceStatus, PublishInstanceStatus, PublishMetrics, TaskMetric};
use parking_lot::Mutex;
use terms::{ContainerInstanceArn, TaskArn, Timestamp};

/// The most tasks of one instance whose metrics are kept.
const TASKS_PER_INSTANCE_MAX: usize = 1_000;

/// The most checks of one instance whose status is kept; agents have one today.
const CHECKS_PER_INSTANCE_MAX: usize = 16;

/// The longest name of a check, and of its result, in bytes.
const CHECK_NAME_MAX: usize = 64;

/// The most containers of one task's metrics: ECS has ten in a definition, agents add a few.
const CONTAINERS_MAX: usize = 16;

/// The longest name in a task's metrics, in bytes (ECS: 255 characters).
const NAME_MAX_BYTES: usize = 1_024;

/// Whether metrics are of a size that an agent sends: others are dropped, for they are kept in
/// memory.
fn is_small(task: &TaskMetric) -> bool {
    let is_short = |name: &str| name.len() <= NAME_MAX_BYTES;
    let mut containers = task.container_metrics.iter();
    task.container_metrics.len() <= CONTAINERS_MAX
        && is_short(&task.task_definition_family)
        && is_short(&task.task_definition_version)
        && containers.all(|container| is_short(&container.container_name))
}

/// What is known of one instance by telemetry. Gone when its session ends.
#[derive(Debug, Clone, Default)]
pub struct InstanceTelemetry {
    /// When the agent last reported anything.
    pub reported_at: Timestamp,
    /// The newest metrics by task, of the last whole round (20 s).
    pub tasks: BTreeMap<TaskArn, TaskMetric>,
    /// The checks of the instance by type.
    pub statuses: BTreeMap<String, InstanceStatus>,
    round: Option<String>,
}

/// The telemetry of all connected instances; bounded by the number of sessions.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    instances: Mutex<HashMap<ContainerInstanceArn, InstanceTelemetry>>,
    /// The checks of instances that are registered: agents tell of a check once, so these outlive
    /// a session.
    checks: Mutex<HashMap<ContainerInstanceArn, BTreeMap<String, InstanceStatus>>>,
}

impl Telemetry {
    /// What is known of an instance.
    pub(crate) fn get(&self, instance: &ContainerInstanceArn) -> Option<InstanceTelemetry> {
        self.instances.lock().get(instance).cloned()
    }

    /// What was last said of an instance's checks, by type.
    pub(crate) fn checks(&self, instance: &ContainerInstanceArn) -> Vec<InstanceStatus> {
        self.checks.lock().get(instance).into_iter().flat_map(|c| c.values().cloned()).collect()
    }

    /// Forgets the metrics of an instance that is no longer connected.
    pub(crate) fn forget(&self, instance: &ContainerInstanceArn) {
        self.instances.lock().remove(instance);
    }

    /// Forgets an instance that is no longer registered.
    pub(crate) fn forget_instance(&self, instance: &ContainerInstanceArn) {
        self.forget(instance);
        self.checks.lock().remove(instance);
    }

    /// Forgets everything.
    pub(crate) fn forget_all(&self) {
        self.instances.lock().clear();
        self.checks.lock().clear();
    }

    /// Keeps the metrics of a request. The requests of one round share a message id; the first
    /// of a new round drops what the one before left.
    pub(crate) fn metrics(
        &self,
        instance: &ContainerInstanceArn,
        metrics: PublishMetrics,
        now: Timestamp,
    ) {
        let mut instances = self.instances.lock();
        let known = instances.entry(instance.clone()).or_default();
        known.reported_at = now;
        if known.round != metrics.metadata.message_id {
            known.tasks.clear();
            known.round = metrics.metadata.message_id;
        }
        for mut task in metrics.task_metrics {
            if known.tasks.len() < TASKS_PER_INSTANCE_MAX && is_small(&task) {
                // A list that was read has room for four, and a container's metrics are 750 bytes.
                // A copy: a list that is cut where it lies leaves a hole behind it.
                task.container_metrics = task.container_metrics.to_vec();
                known.tasks.insert(task.task_arn.clone(), task);
            }
        }
    }

    /// Keeps the status of an instance's checks; tells which changed.
    pub(crate) fn status(
        &self,
        instance: &ContainerInstanceArn,
        report: PublishInstanceStatus,
        now: Timestamp,
    ) -> Vec<InstanceStatus> {
        let mut instances = self.instances.lock();
        let known = instances.entry(instance.clone()).or_default();
        known.reported_at = now;
        let mut changed = Vec::new();
        for status in report.statuses {
            if status.kind.len().max(status.status.len()) > CHECK_NAME_MAX {
                continue;
            }
            let before = known.statuses.get(&status.kind);
            if before.is_none() && known.statuses.len() >= CHECKS_PER_INSTANCE_MAX {
                continue;
            }
            if before.is_none_or(|before| before.status != status.status) {
                changed.push(status.clone());
            }
            known.statuses.insert(status.kind.clone(), status);
        }
        let mut checks = self.checks.lock();
        let checks = checks.entry(instance.clone()).or_default();
        for (kind, status) in &known.statuses {
            if checks.contains_key(kind) || checks.len() < CHECKS_PER_INSTANCE_MAX {
                checks.insert(kind.clone(), status.clone());
            }
        }
        changed
    }
}
