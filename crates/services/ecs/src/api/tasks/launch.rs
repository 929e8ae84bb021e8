//! What RunTask and StartTask have in common: which task is meant, and its row.

use ledger::{Row, Snapshot, Tx};
use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib, TaskId, Uuid};

use super::super::{Api, tags, target};
use super::network::Network;
use super::{overrides, unbuilt};
use crate::error::Error;
use crate::model::{
    Container, ContainerInstance, ContainerSpec, ContainerStatus, DefinitionStatus, Demand,
    DesiredStatus, Document, Explanation, Health, Tag, Task, TaskDefinition, TaskStatus, TaskTimes,
};
use crate::tables::{ClusterKey, Tables};

/// Longest group, in characters.
const MAX_GROUP_CHARS: usize = 255;

/// The members of a request that say what is to be launched, whatever the operation.
pub(super) struct Launch<'a> {
    /// The operation, for its refusals.
    pub(super) operation: &'static str,
    /// Family, revision or ARN.
    pub(super) definition: &'a str,
    /// Group.
    pub(super) group: Option<&'a str>,
    /// Who starts it.
    pub(super) started_by: Option<&'a str>,
    /// Longest `started_by`, in characters.
    pub(super) started_by_max: usize,
    /// Overrides.
    pub(super) overrides: Option<&'a shapes::TaskOverride>,
    /// Subnets and security groups.
    pub(super) network: Option<&'a shapes::NetworkConfiguration>,
    /// Volumes that are configured at launch.
    pub(super) volumes: &'a [shapes::TaskVolumeConfiguration],
    /// Whether ECS Exec is wanted.
    pub(super) execute_command: bool,
    /// Tags.
    pub(super) tags: &'a [shapes::Tag],
    /// Where more tags come from.
    pub(super) propagate_tags: Option<shapes::PropagateTags>,
    /// Whether ECS's own tags are wanted.
    pub(super) managed_tags: bool,
}

impl<'a> From<&'a shapes::RunTaskRequest> for Launch<'a> {
    fn from(input: &'a shapes::RunTaskRequest) -> Self {
        Self {
            operation: "RunTask",
            definition: &input.task_definition,
            group: input.group.as_deref(),
            started_by: input.started_by.as_deref(),
            started_by_max: 128,
            overrides: input.overrides.as_ref(),
            network: input.network_configuration.as_ref(),
            volumes: input.volume_configurations.as_deref().unwrap_or_default(),
            execute_command: input.enable_execute_command == Some(true),
            tags: input.tags.as_deref().unwrap_or_default(),
            propagate_tags: input.propagate_tags,
            managed_tags: input.enable_ecs_managed_tags == Some(true),
        }
    }
}

impl<'a> From<&'a shapes::StartTaskRequest> for Launch<'a> {
    fn from(input: &'a shapes::StartTaskRequest) -> Self {
        Self {
            operation: "StartTask",
            definition: &input.task_definition,
            group: input.group.as_deref(),
            started_by: input.started_by.as_deref(),
            started_by_max: 36,
            overrides: input.overrides.as_ref(),
            network: input.network_configuration.as_ref(),
            volumes: input.volume_configurations.as_deref().unwrap_or_default(),
            execute_command: input.enable_execute_command == Some(true),
            tags: input.tags.as_deref().unwrap_or_default(),
            propagate_tags: input.propagate_tags,
            managed_tags: input.enable_ecs_managed_tags == Some(true),
        }
    }
}

/// What every task of a request has in common.
pub(super) struct Template {
    /// What it runs.
    pub(super) definition: Row<TaskDefinition>,
    /// The group, `family:…` if none was given.
    pub(super) group: String,
    /// What each task takes of its instance.
    pub(super) demand: Demand,
    /// What each task gets of the network.
    pub(super) network: Network,
    cluster: ClusterKey,
    started_by: Option<String>,
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: Vec<ContainerSpec>,
    overrides: Document<shapes::TaskOverride>,
    tags: Vec<Tag>,
}

impl Template {
    /// Reads what is to be launched in `cluster`.
    ///
    /// # Errors
    /// For each rule of ECS that the request breaks, and for what is not built.
    pub(super) fn read(
        api: &Api,
        snapshot: &Snapshot,
        cluster: &ClusterKey,
        launch: &Launch<'_>,
    ) -> Result<Self, Error> {
        let definition = definition(snapshot, &api.tables, cluster, launch.definition)?;
        let network = Network::read(api, snapshot, &cluster.scope, launch, &definition)?;
        unbuilt::refuse(launch, &definition)?;
        let group = group(launch, &definition)?;
        let merged = overrides::merge(launch.operation, &definition, launch.overrides)?;
        let tags = tags(launch, cluster, &definition)?;
        Ok(Self {
            group,
            network,
            cluster: cluster.clone(),
            started_by: launch.started_by.map(str::to_owned),
            demand: Demand::of(merged.cpu, merged.memory, &merged.containers),
            cpu: merged.cpu,
            memory: merged.memory,
            containers: merged.containers,
            overrides: Document::new(merged.shown),
            tags,
            definition,
        })
    }

    /// That what was read on a snapshot still is so: the cluster may have been deleted since, or
    /// the definition deregistered.
    pub(super) fn still_good(&self, tx: &Tx<'_>, tables: &Tables) -> Result<(), Error> {
        target::active_cluster(tx, tables, &self.cluster)?;
        let key = crate::tables::definition_key(&self.definition.arn);
        let row = tx.get(&tables.definitions, &key);
        active(row.ok_or_else(no_definition)?).map(drop)
    }

    /// Writes the task `id` on `instance`, in the transaction that chose it.
    pub(super) fn start(
        &self,
        api: &Api,
        tx: &mut Tx<'_>,
        id: TaskId,
        instance: &ContainerInstance,
        explanation: &Explanation,
    ) -> Result<Task, Error> {
        let mut task = self.task(tx, id, instance, explanation);
        self.network.attach(api, tx, &mut task, instance)?;
        tx.put(&api.tables.tasks, self.cluster.task(task.arn.id), task.clone());
        Ok(task)
    }

    fn task(
        &self,
        tx: &Tx<'_>,
        id: TaskId,
        instance: &ContainerInstance,
        explanation: &Explanation,
    ) -> Task {
        let attribute = |name: &str| instance.attributes.get(name).cloned().flatten();
        let container = |spec: &ContainerSpec| container(spec, Uuid::from_random(tx.next_id()));
        Task {
            arn: self.cluster.task_arn(id),
            definition: self.definition.arn.clone(),
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            instance: instance.arn.id,
            capacity_provider: None,
            zone: attribute("ecs.availability-zone"),
            architecture: attribute("ecs.cpu-architecture"),
            demand: self.demand.clone(),
            cpu: self.cpu.map(CpuUnits::get),
            memory: self.memory.map(MemoryMib::get),
            overrides: self.overrides.clone(),
            desired: DesiredStatus::Running,
            status: TaskStatus::Pending,
            stop: None,
            containers: self.containers.iter().map(container).collect(),
            created_at: tx.now(),
            times: TaskTimes::default(),
            tags: self.tags.clone(),
            network: None,
            execute_command: false,
            explanation: explanation.clone(),
            version: 1,
        }
    }
}

/// The task definition that a request means.
fn definition(
    snapshot: &Snapshot,
    tables: &Tables,
    cluster: &ClusterKey,
    text: &str,
) -> Result<Row<TaskDefinition>, Error> {
    let scope = &cluster.scope;
    let name = target::definition_name(scope, text);
    let row = name.and_then(|name| target::definition(snapshot, tables, scope, &name));
    active(row.ok_or_else(no_definition)?)
}

fn active(row: Row<TaskDefinition>) -> Result<Row<TaskDefinition>, Error> {
    match row.status {
        DefinitionStatus::Active => Ok(row),
        DefinitionStatus::Inactive | DefinitionStatus::DeleteInProgress => {
            Err(Error::client("TaskDefinition is inactive"))
        }
    }
}

fn no_definition() -> Error {
    Error::client("TaskDefinition not found.")
}

fn group(launch: &Launch<'_>, definition: &TaskDefinition) -> Result<String, Error> {
    let too_long = |member: &str, text: Option<&str>, most: usize| {
        if text.is_some_and(|text| text.chars().count() > most) {
            return Err(Error::invalid(format!("{member} may have at most {most} characters.")));
        }
        Ok(())
    };
    too_long("startedBy", launch.started_by, launch.started_by_max)?;
    too_long("group", launch.group, MAX_GROUP_CHARS)?;
    match launch.group.filter(|group| !group.is_empty()) {
        Some(group) if group.starts_with("service:") => {
            Err(Error::invalid("Invalid namespace for group: 'service:' is for services."))
        }
        Some(group) => Ok(group.to_owned()),
        None => Ok(format!("family:{}", definition.family())),
    }
}

/// The request's tags, then those of the definition if asked for, then ECS's own.
fn tags(
    launch: &Launch<'_>,
    cluster: &ClusterKey,
    definition: &TaskDefinition,
) -> Result<Vec<Tag>, Error> {
    let mut tags = tags::read(Some(launch.tags.to_vec()))?;
    match launch.propagate_tags.map(|from| from.as_str()) {
        Some("SERVICE") => {
            let operation = launch.operation;
            let text = format!("propagateTags SERVICE is for services, not for {operation}.");
            return Err(Error::invalid(text));
        }
        Some("TASK_DEFINITION") => {
            let new = |tag: &&Tag| !tags.iter().any(|known| known.key == tag.key);
            let more: Vec<Tag> = definition.tags.iter().filter(new).cloned().collect();
            tags.extend(more);
        }
        Some(_) | None => {}
    }
    if launch.managed_tags {
        let key = "aws:ecs:clusterName".to_owned();
        tags.push(Tag { key, value: cluster.name.to_string() });
    }
    Ok(tags)
}

fn container(spec: &ContainerSpec, id: Uuid) -> Container {
    Container {
        id,
        name: spec.name.clone(),
        image: spec.image.clone(),
        essential: spec.essential,
        health_check: spec.health_check,
        cpu: spec.cpu.get(),
        memory: spec.memory.map(MemoryMib::get),
        memory_reservation: spec.memory_reservation.map(MemoryMib::get),
        status: ContainerStatus::Pending,
        image_digest: None,
        runtime_id: None,
        exit_code: None,
        reason: None,
        bindings: Vec::new(),
        health: Health::Unknown,
    }
}
