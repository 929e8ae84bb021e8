//! Keys, tables and indexes. Only this crate reads and writes them.
//!
//! Rows under one key of an index come in the order of their own keys, so a page of a listing
//! begins behind the row that the one before ended with; keys that many rows have in common are
//! in memory once. Indexes of instances and definitions whose listings may run backwards end with
//! the row's own id instead.

mod indexes;
#[cfg(test)]
pub(crate) mod sample;
mod services;

use agent_protocol::FARGATE_FLEET;
use ledger::{Index, Key, KeyError, KeyReader, KeyWriter, Record, Schema, Table, Totals};
use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{
    AccountId, CapacityProviderArn, CapacityProviderName, ClusterArn, ClusterName,
    ContainerInstanceArn, ContainerInstanceId, Family, Region, TaskArn, TaskDefinitionArn, TaskId,
    Timestamp, Uuid,
};

pub(crate) use self::services::{
    DeploymentKey, ServiceEventKey, ServiceKey, ServiceTables, TaskSetKey, service_key, service_of,
};
use crate::decide::room;
use crate::model::{
    AccountSetting, Amount, CapacityProvider, Cluster, ContainerInstance, DefinitionStatus,
    DesiredStatus, Document, ExecSession, FamilyCounter, FamilyListing, InstanceStatus,
    SchedulingStrategy, ServiceStatus, Task, TaskDefinition, TaskStatus, Usage, UseOf,
};

/// Account and region: the first part of every key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    /// The account.
    pub(crate) account: AccountId,
    /// The region.
    pub(crate) region: Region,
}

impl Key for Scope {
    fn encode(&self, writer: &mut KeyWriter) {
        self.account.encode(writer);
        self.region.encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { account: Key::decode(reader)?, region: Key::decode(reader)? })
    }
}

impl Scope {
    /// The key of the cluster called `name`.
    pub(crate) fn cluster(&self, name: ClusterName) -> ClusterKey {
        ClusterKey { scope: self.clone(), name }
    }

    /// Under which the nodes for Fargate tasks of this account and region are.
    pub(crate) fn fleet(&self) -> ClusterKey {
        self.cluster(FARGATE_FLEET.parse().expect("it is made as names of clusters are"))
    }

    /// The ARN of a revision.
    pub(crate) fn definition_arn(&self, family: Family, revision: u32) -> TaskDefinitionArn {
        let Self { account, region } = self.clone();
        TaskDefinitionArn { region, account, family, revision }
    }

    /// The ARN of a capacity provider.
    pub(crate) fn provider_arn(&self, name: CapacityProviderName) -> CapacityProviderArn {
        let Self { account, region } = self.clone();
        CapacityProviderArn { region, account, name }
    }
}

/// A cluster's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClusterKey {
    /// Where it is.
    pub(crate) scope: Scope,
    /// What it is called there.
    pub(crate) name: ClusterName,
}

impl Key for ClusterKey {
    fn encode(&self, writer: &mut KeyWriter) {
        self.scope.encode(writer);
        self.name.encode(writer);
    }

    fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Ok(Self { scope: Key::decode(reader)?, name: Key::decode(reader)? })
    }
}

impl ClusterKey {
    /// The cluster's ARN.
    pub(crate) fn arn(&self) -> ClusterArn {
        let Scope { account, region } = self.scope.clone();
        ClusterArn { region, account, name: self.name.clone() }
    }

    /// The ARN of a task in the cluster.
    pub(crate) fn task_arn(&self, id: TaskId) -> TaskArn {
        let Scope { account, region } = self.scope.clone();
        TaskArn { region, account, cluster: self.name.clone(), id }
    }

    /// The ARN of an instance of the cluster.
    pub(crate) fn instance_arn(&self, id: ContainerInstanceId) -> ContainerInstanceArn {
        let Scope { account, region } = self.scope.clone();
        ContainerInstanceArn { region, account, cluster: self.name.clone(), id }
    }

    /// Whether it stands for the nodes of the operator's own, and is no cluster.
    pub(crate) fn is_fleet(&self) -> bool {
        self.name.as_str() == FARGATE_FLEET
    }

    /// Whether `row`, a task with this key, is on an instance of this cluster, or of this fleet.
    pub(crate) fn is_under(&self, key: &TaskKey, row: &Task) -> bool {
        match row.fargate {
            None => *self == key.0,
            Some(_) => self.is_fleet() && self.scope == key.0.scope,
        }
    }

    /// The key of a task in the cluster.
    pub(crate) fn task(&self, id: TaskId) -> TaskKey {
        (self.clone(), id)
    }

    /// The key of an instance of the cluster.
    pub(crate) fn instance(&self, id: ContainerInstanceId) -> InstanceKey {
        (self.clone(), id)
    }
}

/// A task's key.
pub(crate) type TaskKey = (ClusterKey, TaskId);
/// A container instance's key.
pub(crate) type InstanceKey = (ClusterKey, ContainerInstanceId);
/// A family's key.
pub(crate) type FamilyKey = (Scope, Family);
/// A task definition's key; the revisions of a family stand together, in numeric order.
pub(crate) type DefinitionKey = (Scope, Family, u32);
/// A capacity provider's key.
pub(crate) type ProviderKey = (Scope, CapacityProviderName);
/// The key of an account setting: whose it is (the ARN of a user, a role or the root), its name.
pub(crate) type SettingKey = (Scope, String, String);
/// The key of a RunTask's client token.
pub(crate) type TokenKey = (ClusterKey, String);

/// The key of an interface, by its id.
pub(crate) type InterfaceKey = (Scope, String);

/// The key that a task's ARN names.
pub(crate) fn task_key(arn: &TaskArn) -> TaskKey {
    let scope = Scope { account: arn.account.clone(), region: arn.region.clone() };
    scope.cluster(arn.cluster.clone()).task(arn.id)
}

/// Where the instance of a task is: in its cluster, or in the fleet.
pub(crate) fn ground_of(key: &TaskKey, row: &Task) -> ClusterKey {
    match row.fargate {
        None => key.0.clone(),
        Some(_) => key.0.scope.fleet(),
    }
}

/// The key of the instance that a task is on.
pub(crate) fn place_of(key: &TaskKey, row: &Task) -> InstanceKey {
    ground_of(key, row).instance(row.instance)
}

/// The key that an instance's ARN names.
pub(crate) fn instance_key(arn: &ContainerInstanceArn) -> InstanceKey {
    let scope = Scope { account: arn.account.clone(), region: arn.region.clone() };
    scope.cluster(arn.cluster.clone()).instance(arn.id)
}

/// The key that a task definition's ARN names.
pub(crate) fn definition_key(arn: &TaskDefinitionArn) -> DefinitionKey {
    let scope = Scope { account: arn.account.clone(), region: arn.region.clone() };
    (scope, arn.family.clone(), arn.revision)
}

/// What a RunTask with a client token did, so that it is not done again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunToken {
    /// The request, to tell a repetition from another one under the same token.
    pub(crate) request: Document<shapes::RunTaskRequest>,
    /// The tasks that it made.
    pub(crate) tasks: Vec<TaskId>,
    /// When.
    pub(crate) created_at: Timestamp,
}

/// An interface whose task was abandoned. It is kept for a time and then given back, whatever
/// becomes of the task's row or its cluster: containers that nobody stopped may have its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrphanedInterface {
    /// When the task was abandoned.
    pub(crate) since: Timestamp,
}

/// That a task gave back what it held of an instance. The row's revision is what counts: it is part of
/// the instance's version, which grows also when tasks end (decision 0060).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Release {
    /// When one did so last.
    pub(crate) at: Timestamp,
}

/// The key of what a task used: when it stopped, and its id.
pub(crate) type UsageKey = (Scope, Timestamp, TaskId);
/// The key of what was used on a day: when that began, in UTC, and of what, in words.
pub(crate) type UsedDayKey = (Scope, Timestamp, String);

/// What was used on a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsedDay {
    /// Of what.
    #[serde(rename = "o")]
    pub(crate) of: UseOf,
    /// How much.
    #[serde(rename = "a")]
    pub(crate) amount: Amount,
}

impl Record for Usage {}
impl Record for UsedDay {}
impl Record for AccountSetting {}
impl Record for CapacityProvider {}
impl Record for Cluster {}
impl Record for ContainerInstance {}
impl Record for ExecSession {}
impl Record for FamilyCounter {}
impl Record for TaskDefinition {}
impl Record for Task {}
impl Record for RunToken {}
impl Record for OrphanedInterface {}
impl Record for Release {}

/// Tasks by instance: `(cluster, instance, desired)`.
type TasksByInstance = Index<(ClusterKey, ContainerInstanceId, DesiredStatus), TaskKey, Task>;
/// Tasks by a text: `(cluster, text, desired)`.
type TasksByText = Index<(ClusterKey, String, DesiredStatus), TaskKey, Task>;

/// Every table and index of this crate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    /// Clusters.
    pub(crate) clusters: Table<ClusterKey, Cluster>,
    /// Deleted clusters by the time of their deletion.
    pub(crate) deleted_clusters: Index<Timestamp, ClusterKey, Cluster>,
    /// Clusters that were not deleted, by the capacity providers that they have.
    pub(crate) clusters_by_provider: Index<(Scope, CapacityProviderName), ClusterKey, Cluster>,
    /// Capacity providers.
    pub(crate) providers: Table<ProviderKey, CapacityProvider>,
    /// Capacity providers that were not deleted, by the name of their Auto Scaling group.
    pub(crate) providers_by_group: Index<(Scope, String), ProviderKey, CapacityProvider>,
    /// Deleted capacity providers by the time of their deletion.
    pub(crate) deleted_providers: Index<Timestamp, ProviderKey, CapacityProvider>,
    /// Account settings that were set.
    pub(crate) account_settings: Table<SettingKey, AccountSetting>,
    /// Container instances.
    pub(crate) instances: Table<InstanceKey, ContainerInstance>,
    /// Instances by status: `(cluster, status, instance)`.
    pub(crate) instances_by_status:
        Index<(ClusterKey, InstanceStatus, ContainerInstanceId), InstanceKey, ContainerInstance>,
    /// ACTIVE instances with a connected agent, by zone.
    pub(crate) instances_by_zone: Index<ZoneOf, InstanceKey, ContainerInstance>,
    /// Instances by the node whose key registered them.
    pub(crate) instances_by_node: Index<(ClusterKey, String), InstanceKey, ContainerInstance>,
    /// When tasks gave back what they held of instances; written without being read.
    pub(crate) releases: Table<InstanceKey, Release>,
    /// Deregistered instances by the time of their deregistration.
    pub(crate) gone_instances: Index<Timestamp, InstanceKey, ContainerInstance>,
    /// Counters of families.
    pub(crate) families: Table<FamilyKey, FamilyCounter>,
    /// Task definitions.
    pub(crate) definitions: Table<DefinitionKey, TaskDefinition>,
    /// Task definitions by status: `(scope, status, family, revision)`.
    pub(crate) definitions_by_status:
        Index<(Scope, DefinitionStatus, Family, u32), DefinitionKey, TaskDefinition>,
    /// Task definitions that are being deleted, by when that was asked.
    pub(crate) deleted_definitions: Index<Timestamp, DefinitionKey, TaskDefinition>,
    /// Families by the lists that they are in: `(scope, list, family)`.
    pub(crate) families_by_listing: Index<(Scope, FamilyListing, Family), FamilyKey, FamilyCounter>,
    /// Tasks that have not stopped, by definition: what keeps a deleted one.
    pub(crate) live_by_definition: Index<DefinitionKey, TaskKey, Task>,
    /// Tasks.
    pub(crate) tasks: Table<TaskKey, Task>,
    /// Tasks that have not stopped, by instance: what they hold is what is not free there.
    pub(crate) held: Index<(ClusterKey, ContainerInstanceId), TaskKey, Task>,
    /// What those tasks hold of each instance, ports apart ([`crate::decide::room::figures`]).
    pub(crate) room: Totals<(ClusterKey, ContainerInstanceId)>,
    /// Tasks that have not stopped, by `lastStatus`.
    pub(crate) live: Index<(ClusterKey, TaskStatus), TaskKey, Task>,
    /// Tasks by `desiredStatus`: `(cluster, desired)`.
    pub(crate) tasks_by_desired: Index<(ClusterKey, DesiredStatus), TaskKey, Task>,
    /// Tasks that have not stopped, by the capacity provider that placed them.
    pub(crate) tasks_by_provider: Index<(ClusterKey, CapacityProviderName), TaskKey, Task>,
    /// Tasks by instance.
    pub(crate) tasks_by_instance: TasksByInstance,
    /// Tasks by family.
    pub(crate) tasks_by_family: TasksByText,
    /// Tasks by who started them.
    pub(crate) tasks_by_starter: TasksByText,
    /// Tasks of services, by the service's name.
    pub(crate) tasks_by_service: TasksByText,
    /// Stopped tasks by the time they stopped.
    pub(crate) stopped: Index<Timestamp, TaskKey, Task>,
    /// Tasks that have not stopped, by the attachment of their interface.
    pub(crate) tasks_by_attachment: Index<Uuid, TaskKey, Task>,
    /// Client tokens of RunTask.
    pub(crate) run_tokens: Table<TokenKey, RunToken>,
    /// Client tokens of RunTask by age.
    pub(crate) run_tokens_by_age: Index<Timestamp, TokenKey, RunToken>,
    /// Interfaces of abandoned tasks.
    pub(crate) orphans: Table<InterfaceKey, OrphanedInterface>,
    /// Interfaces of abandoned tasks by age.
    pub(crate) orphans_by_age: Index<Timestamp, InterfaceKey, OrphanedInterface>,
    /// What tasks used of Fargate that stopped lately.
    pub(crate) usage: Table<UsageKey, Usage>,
    /// The same by when they stopped.
    pub(crate) usage_by_age: Index<Timestamp, UsageKey, Usage>,
    /// What those used that stopped before, by the day.
    pub(crate) used_days: Table<UsedDayKey, UsedDay>,
    /// The same by day.
    pub(crate) used_days_by_age: Index<Timestamp, UsedDayKey, UsedDay>,
    /// Services and what belongs to them.
    pub(crate) services: ServiceTables,
}

/// A cluster, a capacity provider (empty: whichever, or none), and a zone in which it has instances.
pub(crate) type ZoneOf = (ClusterKey, String, String);

impl Tables {
    /// Declares them.
    pub(crate) fn declare(schema: &mut Schema) -> Self {
        let clusters = schema.table("ecs.clusters");
        let providers = schema.table("ecs.capacity_providers");
        let instances = schema.table("ecs.container_instances");
        let families = schema.table("ecs.families");
        let definitions = schema.table("ecs.task_definitions");
        let tasks = schema.table("ecs.tasks");
        let run_tokens = schema.table("ecs.run_tokens");
        let orphans = schema.table("ecs.orphaned_interfaces");
        let usage = schema.table("ecs.fargate_usage");
        let used_days = schema.table("ecs.fargate_days");
        let held = schema.index(&tasks, "held", indexes::held);
        Self {
            clusters,
            deleted_clusters: schema.index(&clusters, "deleted", indexes::deleted_clusters),
            clusters_by_provider: schema.index(
                &clusters,
                "provider",
                indexes::clusters_by_provider,
            ),
            providers,
            providers_by_group: schema.index(&providers, "group", indexes::providers_by_group),
            deleted_providers: schema.index(&providers, "deleted", indexes::deleted_providers),
            account_settings: schema.table("ecs.account_settings"),
            instances,
            instances_by_status: schema.index(&instances, "status", indexes::instances_by_status),
            instances_by_zone: schema.index(&instances, "zone", indexes::instances_by_zone),
            instances_by_node: schema.index(&instances, "node", indexes::instances_by_node),
            gone_instances: schema.index(&instances, "gone", indexes::gone_instances),
            families,
            families_by_listing: schema.index(&families, "listing", indexes::families_by_listing),
            definitions,
            definitions_by_status: schema.index(
                &definitions,
                "status",
                indexes::definitions_by_status,
            ),
            deleted_definitions: schema.index(
                &definitions,
                "deleted",
                indexes::deleted_definitions,
            ),
            tasks,
            live_by_definition: schema.index(&tasks, "definition", indexes::live_by_definition),
            held,
            room: schema.totals(&held, room::figures),
            live: schema.index(&tasks, "live", indexes::live),
            tasks_by_desired: schema.index(&tasks, "desired", indexes::tasks_by_desired),
            tasks_by_provider: schema.index(&tasks, "provider", indexes::tasks_by_provider),
            tasks_by_instance: schema.index(&tasks, "instance", indexes::tasks_by_instance),
            tasks_by_family: indexes::by_text(schema, &tasks, "family", |row| {
                Some(row.definition.family.as_str())
            }),
            tasks_by_starter: indexes::by_text(schema, &tasks, "starter", |row| {
                row.started_by.as_deref()
            }),
            tasks_by_service: indexes::by_text(schema, &tasks, "service_name", Task::service_name),
            tasks_by_attachment: schema.index(&tasks, "attachment", indexes::tasks_by_attachment),
            stopped: schema.index(&tasks, "stopped", indexes::stopped),
            run_tokens,
            run_tokens_by_age: schema.index(&run_tokens, "age", indexes::run_tokens_by_age),
            orphans,
            orphans_by_age: schema.index(&orphans, "age", indexes::orphans_by_age),
            releases: schema.table("ecs.releases"),
            usage,
            usage_by_age: schema.index(&usage, "age", indexes::usage_by_age),
            used_days,
            used_days_by_age: schema.index(&used_days, "age", indexes::used_days_by_age),
            services: ServiceTables::declare(schema, &tasks),
        }
    }
}

/// Lets enumerations be parts of keys; the number of each value never changes, but needs not to
/// be stable between programs, for only indexes use it, and they are rebuilt on load.
macro_rules! key_of_enum {
    ($($name:ident: $($value:ident)*;)*) => {$(
        impl Key for $name {
            fn encode(&self, writer: &mut KeyWriter) {
                writer.fixed(&[*self as u8]);
            }

            fn decode(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                let [number] = reader.fixed()?;
                let values = [$($name::$value),*];
                let found = values.into_iter().find(|value| *value as u8 == number);
                found.ok_or(KeyError::new(concat!("a ", stringify!($name))))
            }
        }
    )*};
}

key_of_enum! {
    DefinitionStatus: Active Inactive DeleteInProgress;
    FamilyListing: All Active Inactive;
    InstanceStatus: Active Draining Inactive;
    DesiredStatus: Running Stopped;
    SchedulingStrategy: Replica Daemon;
    ServiceStatus: Active Draining Inactive;
    TaskStatus:
        Provisioning Pending Activating Running Deactivating Stopping Deprovisioning Stopped;
}
