//! Services and what belongs to them.

use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table};
use terms::{CapacityProviderName, ServiceArn, ServiceName, Timestamp};

use super::{ClusterKey, Scope, TaskKey};
use crate::model::{
    CapacityChoice, Deployment, DeploymentId, DeploymentStatus, Registration, Revision, RevisionId,
    RolloutState, SchedulingStrategy, Service, ServiceDeploymentId, ServiceEvent, ServiceStatus,
    StrategyItem, Task, TaskSet, TaskStatus, TaskTarget,
};

/// A service's key.
pub(crate) type ServiceKey = (ClusterKey, ServiceName);
/// A deployment's key.
pub(crate) type DeploymentKey = (ServiceKey, DeploymentId);
/// A service revision's key.
pub(crate) type RevisionKey = (ServiceKey, RevisionId);
/// The key of a line of a service's events.
pub(crate) type ServiceEventKey = (ServiceKey, u64);
/// A task set's key.
pub(crate) type TaskSetKey = (ServiceKey, DeploymentId);

/// The key that a service's ARN names.
pub(crate) fn service_key(arn: &ServiceArn) -> ServiceKey {
    let scope = Scope { account: arn.account.clone(), region: arn.region.clone() };
    (scope.cluster(arn.cluster.clone()), arn.name.clone())
}

/// The service that a task belongs to, if one started it.
pub(crate) fn service_of(key: &TaskKey, task: &Task) -> Option<ServiceKey> {
    task.deployment.as_ref()?;
    let name = task.service_name()?.parse().ok()?;
    Some((key.0.clone(), name))
}

impl ClusterKey {
    /// The ARN of a service in the cluster.
    pub(crate) fn service_arn(&self, name: ServiceName) -> ServiceArn {
        let Scope { account, region } = self.scope.clone();
        ServiceArn { region, account, cluster: self.name.clone(), name }
    }
}

impl Key for DeploymentId {
    fn encode(&self, writer: &mut KeyWriter) {
        self.digits().encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        u64::decode(reader).map(Self::from_digits)
    }
}

impl Key for RevisionId {
    fn encode(&self, writer: &mut KeyWriter) {
        self.digits().encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        u64::decode(reader).map(Self::from_digits)
    }
}

impl Key for ServiceDeploymentId {
    fn encode(&self, writer: &mut KeyWriter) {
        writer.text(self.as_str());
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        let text = reader.text()?;
        text.parse().map_err(|_| KeyError::new("a service deployment id"))
    }
}

impl Record for Service {}
impl Record for Deployment {}
impl Record for Revision {}
impl Record for ServiceEvent {}
impl Record for TaskSet {}

/// Tables of services.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceTables {
    /// Services.
    pub(crate) rows: Table<ServiceKey, Service>,
    /// Services by status: `(cluster, status)`.
    pub(crate) by_status: Index<(ClusterKey, ServiceStatus), ServiceKey, Service>,
    /// Services of the strategy DAEMON that are not INACTIVE, by cluster.
    pub(crate) daemons: Index<ClusterKey, ServiceKey, Service>,
    /// Services that have not ended, by the token of the request that made them.
    pub(crate) by_token: Index<(ClusterKey, String), ServiceKey, Service>,
    /// Services that are not INACTIVE, by the alarms that end their deployments.
    pub(crate) by_alarm: Index<(Scope, String), ServiceKey, Service>,
    /// Services that are not INACTIVE, by the capacity providers of their strategy.
    pub(crate) by_provider: Index<(ClusterKey, CapacityProviderName), ServiceKey, Service>,
    /// Deleted services by when their last task ended.
    pub(crate) gone: Index<Timestamp, ServiceKey, Service>,
    /// Deployments.
    pub(crate) deployments: Table<DeploymentKey, Deployment>,
    /// Deployments by the last part of their ARN.
    pub(crate) deployments_by_arn:
        Index<(ServiceKey, ServiceDeploymentId), DeploymentKey, Deployment>,
    /// Deployments that are not INACTIVE, by service.
    pub(crate) open_deployments: Index<ServiceKey, DeploymentKey, Deployment>,
    /// Deployments that are COMPLETED, by when they came to be: `(service, when)`. One that was gone
    /// back to and failed is none of them.
    pub(crate) completed: Index<(ServiceKey, Timestamp), DeploymentKey, Deployment>,
    /// Deployments that are over and INACTIVE, by when they ended.
    pub(crate) finished: Index<Timestamp, DeploymentKey, Deployment>,
    /// Deployments by when the first of their hooks is to be called.
    pub(crate) hooked: Index<Timestamp, DeploymentKey, Deployment>,
    /// Service revisions.
    pub(crate) revisions: Table<RevisionKey, Revision>,
    /// What services said.
    pub(crate) events: Table<ServiceEventKey, ServiceEvent>,
    /// Task sets.
    pub(crate) task_sets: Table<TaskSetKey, TaskSet>,
    /// Tasks of services that have not stopped.
    pub(crate) live_tasks: Index<ServiceKey, TaskKey, Task>,
    /// Tasks of services that have not stopped, by the targets that they are: the group's ARN, the
    /// id and the port.
    pub(crate) by_target: Index<(String, String, u32), TaskKey, Task>,
    /// Tasks of services that have stopped, and whose end the scheduler has yet to see.
    pub(crate) ended_tasks: Index<ServiceKey, TaskKey, Task>,
}

impl ServiceTables {
    /// Declares them; `tasks` is the table of tasks.
    pub(super) fn declare(schema: &mut Schema, tasks: &Table<TaskKey, Task>) -> Self {
        let rows = schema.table("ecs.services");
        let deployments = schema.table("ecs.service_deployments");
        Self {
            rows,
            by_status: schema.index(&rows, "status", by_status),
            daemons: schema.index(&rows, "daemon", daemons),
            by_token: schema.index(&rows, "token", by_token),
            by_alarm: schema.index(&rows, "alarm", by_alarm),
            by_provider: schema.index(&rows, "provider", by_provider),
            gone: schema.index(&rows, "gone", gone),
            deployments,
            deployments_by_arn: schema.index(&deployments, "arn", deployments_by_arn),
            open_deployments: schema.index(&deployments, "open", open_deployments),
            completed: schema.index(&deployments, "completed", completed),
            finished: schema.index(&deployments, "finished", finished),
            hooked: schema.index(&deployments, "hooked", hooked),
            revisions: schema.table("ecs.service_revisions"),
            events: schema.table("ecs.service_events"),
            task_sets: schema.table("ecs.task_sets"),
            live_tasks: schema.index(tasks, "service", live_tasks),
            by_target: schema.index(tasks, "target", by_target),
            ended_tasks: schema.index(tasks, "ended", ended_tasks),
        }
    }
}

fn by_status(key: &ServiceKey, row: &Service) -> Vec<(ClusterKey, ServiceStatus)> {
    vec![(key.0.clone(), row.status)]
}

fn daemons(key: &ServiceKey, row: &Service) -> Vec<ClusterKey> {
    let is_daemon = row.scheduling == SchedulingStrategy::Daemon;
    let is_there = row.status != ServiceStatus::Inactive;
    Vec::from_iter((is_daemon && is_there).then(|| key.0.clone()))
}

fn by_token(key: &ServiceKey, row: &Service) -> Vec<(ClusterKey, String)> {
    let is_there = row.status != ServiceStatus::Inactive;
    let token = row.client_token.clone().filter(|_| is_there);
    Vec::from_iter(token.map(|token| (key.0.clone(), token)))
}

fn by_alarm(key: &ServiceKey, row: &Service) -> Vec<(Scope, String)> {
    let alarms = row.configuration.alarms.iter().filter(|alarms| alarms.enable);
    let alarms = alarms.filter(|_| row.status != ServiceStatus::Inactive);
    alarms.flat_map(|one| &one.names).map(|name| (key.0.scope.clone(), name.clone())).collect()
}

fn by_provider(key: &ServiceKey, row: &Service) -> Vec<(ClusterKey, CapacityProviderName)> {
    let items: &[StrategyItem] = match &row.capacity {
        CapacityChoice::Strategy(items) if row.status != ServiceStatus::Inactive => items,
        CapacityChoice::Strategy(_) | CapacityChoice::LaunchType(_) => &[],
    };
    items.iter().map(|item| (key.0.clone(), item.provider.clone())).collect()
}

fn gone(_: &ServiceKey, row: &Service) -> Vec<Timestamp> {
    Vec::from_iter((row.status == ServiceStatus::Inactive).then_some(row.changed_at))
}

fn deployments_by_arn(
    key: &DeploymentKey,
    row: &Deployment,
) -> Vec<(ServiceKey, ServiceDeploymentId)> {
    vec![(key.0.clone(), row.service_deployment.clone())]
}

fn open_deployments(key: &DeploymentKey, row: &Deployment) -> Vec<ServiceKey> {
    // One that is over for its service may still have to be told so.
    let is_open = row.status != DeploymentStatus::Inactive || !row.progress.is_over();
    Vec::from_iter(is_open.then(|| key.0.clone()))
}

fn completed(key: &DeploymentKey, row: &Deployment) -> Vec<(ServiceKey, Timestamp)> {
    let is_complete = row.rollout == RolloutState::Completed;
    Vec::from_iter(row.completed_at.filter(|_| is_complete).map(|at| (key.0.clone(), at)))
}

fn finished(_: &DeploymentKey, row: &Deployment) -> Vec<Timestamp> {
    let is_over = row.status == DeploymentStatus::Inactive && row.progress.is_over();
    Vec::from_iter(row.finished_at.filter(|_| is_over))
}

fn hooked(_: &DeploymentKey, row: &Deployment) -> Vec<Timestamp> {
    Vec::from_iter(row.next_call())
}

fn live_tasks(key: &TaskKey, row: &Task) -> Vec<ServiceKey> {
    Vec::from_iter(service_of(key, row).filter(|_| row.status != TaskStatus::Stopped))
}

fn by_target(_: &TaskKey, row: &Task) -> Vec<(String, String, u32)> {
    let is_live = row.status != TaskStatus::Stopped;
    let targets = row.targets.iter().filter(|_| is_live);
    let registered = targets.filter_map(|target| Some((target, target.at.as_ref()?)));
    let name = |(target, at): (&TaskTarget, &Registration)| {
        (target.group.to_string(), at.id.to_string(), u32::from(at.port))
    };
    registered.map(name).collect()
}

fn ended_tasks(key: &TaskKey, row: &Task) -> Vec<ServiceKey> {
    let is_new = row.deployment.is_some_and(|of| !of.counted);
    let has_ended = row.status == TaskStatus::Stopped && is_new;
    Vec::from_iter(service_of(key, row).filter(|_| has_ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RolloutChange;
    use crate::model::sample::{MADE, deployment, service};

    #[test]
    fn a_way_back_leads_to_what_is_complete_and_not_to_what_was() {
        let web = service(crate::model::DeploymentConfiguration::replica(), 1);
        let mut row = deployment(1);
        let key = (service_key(&web.arn), row.id);
        let mut check = |change: Option<RolloutChange>, expected: usize| {
            if let Some(change) = change {
                row.rollout = row.rollout.next(change).expect("a legal change");
                row.completed_at.get_or_insert(MADE);
            }
            assert_eq!(completed(&key, &row).len(), expected, "{:?}", row.rollout);
        };
        check(None, 0);
        check(Some(RolloutChange::Finished), 1);
        check(Some(RolloutChange::Restored), 0);
        check(Some(RolloutChange::GivenUp), 0);
    }
}
