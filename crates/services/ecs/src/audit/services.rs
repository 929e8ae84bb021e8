//! Services, as an outside checker reads them.

use std::time::Duration;

use ledger::Revision as Version;
use terms::{TaskDefinitionArn, Timestamp};

use crate::model::{
    CapacityChoice, Deployment, DeploymentController, MonitorStatus, Revision, RevisionId,
    SchedulingStrategy, Service, ServiceEvent, ServiceEventKind, Stability, TaskSet, Threshold,
    Workload,
};
use crate::tables::{DeploymentKey, ServiceEventKey, ServiceKey, TaskSetKey};

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedService {
    /// Its name; a cluster has one of each.
    pub name: String,
    /// The revision that wrote it last.
    pub version: Version,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: &'static str,
    /// Whether it has one task on each instance.
    pub is_daemon: bool,
    /// Whether task sets decide, and not the scheduler.
    pub is_external: bool,
    /// How many tasks it is to have.
    pub desired: u32,
    /// `minimumHealthyPercent`.
    pub minimum_healthy_percent: u32,
    /// `maximumPercent`.
    pub maximum_percent: u32,
    /// The circuit breaker, if it is on.
    pub breaker: Option<AuditedBreaker>,
    /// The alarms that end a deployment, if they are on.
    pub alarms: Option<AuditedAlarms>,
    /// For how many minutes alarms are watched after the last task was replaced, if it says so.
    pub bake_minutes: Option<u32>,
    /// Whether a deployment may be a success before all tasks are replaced.
    pub early_success: bool,
    /// For how long after a task's start its health checks do not count.
    pub grace: Duration,
    /// The current deployment.
    pub primary: Option<String>,
    /// How much it has said so far: the number of its last event.
    pub last_event: u64,
    /// What it has said and does not say again for a while.
    pub said: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A circuit breaker that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedBreaker {
    /// Whether the service goes back.
    pub rollback: bool,
    /// `COUNT`, `BOUNDED_PERCENT` or `UNBOUNDED_PERCENT`.
    pub kind: &'static str,
    /// So many, or so many percent.
    pub value: u32,
    /// Whether a healthy task makes the count begin anew.
    pub reset_on_healthy: bool,
}

/// Alarms that end a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedAlarms {
    /// Their names.
    pub names: Vec<String>,
    /// Whether the service goes back.
    pub rollback: bool,
}

/// One item of a capacity provider strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedShare {
    /// The provider.
    pub provider: String,
    /// How many tasks go there first.
    pub base: u32,
    /// Its part of the others.
    pub weight: u32,
}

/// One task set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedTaskSet {
    /// The service's name.
    pub service: String,
    /// As in `ecs-svc/1234567890123456789`.
    pub id: String,
    /// The revision that wrote it last.
    pub version: Version,
    /// `PRIMARY`, `ACTIVE` or `DRAINING`.
    pub status: &'static str,
    /// What its tasks run.
    pub definition: TaskDefinitionArn,
    /// How its tasks are shared out; empty if any instance will do.
    pub strategy: Vec<AuditedShare>,
    /// Its part of the service's desired count, in hundredths of a percent.
    pub scale: u64,
    /// `computedDesiredCount`.
    pub computed_desired: u32,
    /// Whether it says that it is steady.
    pub is_steady: bool,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedDeployment {
    /// The service's name.
    pub service: String,
    /// As in `ecs-svc/1234567890123456789`.
    pub id: String,
    /// The revision that wrote it last.
    pub version: Version,
    /// `PRIMARY`, `ACTIVE` or `INACTIVE`.
    pub status: &'static str,
    /// `rolloutState`.
    pub rollout: &'static str,
    /// `rolloutStateReason`.
    pub reason: String,
    /// Status of its service deployment.
    pub progress: &'static str,
    /// Whether the service deployment is over.
    pub is_over: bool,
    /// What it brings.
    pub revision: String,
    /// How many tasks it is to have.
    pub desired: u32,
    /// `failedTasks`.
    pub failed_tasks: u32,
    /// What the service goes back to, since this failed.
    pub rollback_to: Option<String>,
    /// When it was COMPLETED last.
    pub completed_at: Option<Timestamp>,
    /// Whether alarms end it.
    pub watches_alarms: bool,
}

/// One revision of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedRevision {
    /// The service's name.
    pub service: String,
    /// Its number.
    pub id: String,
    /// What its tasks run.
    pub definition: TaskDefinitionArn,
    /// How its tasks are shared out; empty if any instance will do.
    pub strategy: Vec<AuditedShare>,
}

/// Something that a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedEvent {
    /// The service's name.
    pub service: String,
    /// Its number: each is one more than the one before it.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The text.
    pub message: String,
    /// The deployment that it says is complete.
    pub completed: Option<String>,
    /// The deployment that it says has failed.
    pub failed: Option<String>,
    /// Whether it says that the service is steady.
    pub is_steady: bool,
}

pub(super) fn service(row: &Service, version: Version) -> AuditedService {
    let rules = &row.configuration;
    AuditedService {
        name: row.arn.name.to_string(),
        version,
        status: row.status.as_str(),
        is_daemon: row.scheduling == SchedulingStrategy::Daemon,
        is_external: row.controller == DeploymentController::External,
        desired: row.desired,
        minimum_healthy_percent: rules.minimum_healthy_percent,
        maximum_percent: rules.maximum_percent,
        breaker: rules.breaker.enable.then(|| {
            let (kind, value) = match rules.breaker.threshold {
                Threshold::Count(value) => ("COUNT", value),
                Threshold::BoundedPercent(value) => ("BOUNDED_PERCENT", value),
                Threshold::UnboundedPercent(value) => ("UNBOUNDED_PERCENT", value),
            };
            let (rollback, reset_on_healthy) =
                (rules.breaker.rollback, rules.breaker.reset_on_healthy);
            AuditedBreaker { rollback, kind, value, reset_on_healthy }
        }),
        alarms: rules
            .alarms
            .as_ref()
            .filter(|alarms| alarms.enable)
            .map(|alarms| AuditedAlarms { names: alarms.names.clone(), rollback: alarms.rollback }),
        bake_minutes: rules.bake_minutes,
        early_success: rules.early.is_some(),
        grace: Duration::from_secs(row.grace_seconds.unwrap_or(0).into()),
        primary: row.primary.map(|id| id.to_string()),
        last_event: row.course.last_event,
        said: row.course.said.iter().map(|(text, _)| text.clone()).collect(),
        created_at: row.created_at,
    }
}

pub(super) fn deployment(
    key: &DeploymentKey,
    row: &Deployment,
    version: Version,
) -> AuditedDeployment {
    AuditedDeployment {
        service: key.0.1.to_string(),
        id: row.id.to_string(),
        version,
        status: row.status.as_str(),
        rollout: row.rollout.as_str(),
        reason: row.rollout_reason.clone(),
        progress: row.progress.as_str(),
        is_over: row.progress.is_over(),
        revision: row.revision.to_string(),
        desired: row.desired,
        failed_tasks: row.failed_tasks,
        rollback_to: row.rollback.as_ref().map(|rollback| rollback.to.to_string()),
        completed_at: row.completed_at,
        watches_alarms: row.alarms == MonitorStatus::Monitoring,
    }
}

fn strategy(workload: &Workload) -> Vec<AuditedShare> {
    let CapacityChoice::Strategy(items) = &workload.capacity else { return Vec::new() };
    let share = |item: &crate::model::StrategyItem| AuditedShare {
        provider: item.provider.to_string(),
        base: item.base,
        weight: item.weight,
    };
    items.iter().map(share).collect()
}

pub(super) fn task_set(key: &TaskSetKey, row: &TaskSet, version: Version) -> AuditedTaskSet {
    AuditedTaskSet {
        service: key.0.1.to_string(),
        id: row.id.to_string(),
        version,
        status: row.status.as_str(),
        definition: row.workload.definition.clone(),
        strategy: strategy(&row.workload),
        // 0 to 100 percent: it fits.
        scale: (row.scale_percent * 100.0).round() as u64,
        computed_desired: row.computed_desired,
        is_steady: row.stability == Stability::SteadyState,
    }
}

pub(super) fn revision(key: &(ServiceKey, RevisionId), row: &Revision) -> AuditedRevision {
    AuditedRevision {
        service: key.0.1.to_string(),
        id: row.id.to_string(),
        definition: row.workload.definition.clone(),
        strategy: strategy(&row.workload),
    }
}

pub(super) fn event(key: &ServiceEventKey, row: &ServiceEvent) -> AuditedEvent {
    let (mut completed, mut failed) = (None, None);
    if let ServiceEventKind::DeploymentCompleted(id) = &row.kind {
        completed = Some(id.to_string());
    }
    use ServiceEventKind::{DeploymentFailed, DeploymentStopped};
    if let DeploymentFailed(id) | DeploymentStopped(id) = &row.kind {
        failed = Some(id.to_string());
    }
    AuditedEvent {
        service: key.0.1.to_string(),
        number: key.1,
        at: row.created_at,
        message: row.message.clone(),
        completed,
        failed,
        is_steady: row.kind == ServiceEventKind::SteadyState,
    }
}
