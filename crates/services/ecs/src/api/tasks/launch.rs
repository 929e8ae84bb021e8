//! What RunTask and StartTask have in common: which task is meant, and its row.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Row, Tx, View};
use shapes_ecs as shapes;
use terms::{CapacityProviderName, CpuUnits, MemoryMib, TaskId, Text, Uuid};

use super::super::{Api, tags, target};
use super::devices::{Devices, Gpus};
use super::disks::{self, Wanted};
use super::network::Network;
use super::{fargate, overrides};
use crate::error::Error;
use crate::model::{
    Container, ContainerInstance, ContainerSpec, ContainerStatus, DefinitionStatus, Demand,
    DesiredStatus, Document, ExecAgent, Explanation, Health, OfDeployment, OnFargate, Platform,
    Shared, Tag, Task, TaskDefinition, TaskStatus, TaskTarget, TaskTimes, fleet_group,
};
use crate::tables::{ClusterKey, Tables};

/// Longest group, in characters.
const MAX_GROUP_CHARS: usize = 255;

/// The members of a request that say what is to be launched, whatever the operation.
#[derive(Clone, Copy)]
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
    /// Fargate's platform, if that is where it goes.
    pub(super) platform: Option<Platform>,
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
            platform: None,
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
            platform: None,
        }
    }
}

impl Launch<'_> {
    /// Checks what needs nothing but the request.
    pub(super) fn check(&self) -> Result<(), Error> {
        longest("startedBy", self.started_by, self.started_by_max)?;
        let is_known = |c: char| c.is_ascii_alphanumeric() || "-/_".contains(c);
        if self.started_by.is_some_and(|text| !text.chars().all(is_known)) {
            return Err(Error::invalid("startedBy contains invalid characters."));
        }
        longest("group", self.group, MAX_GROUP_CHARS)?;
        if self.group.is_some_and(|group| group.starts_with("service:")) {
            return Err(Error::invalid("Invalid namespace for group: 'service:' is for services."));
        }
        if self.propagate_tags.is_some_and(|from| from.as_str() == "SERVICE") {
            let operation = self.operation;
            let text = format!("propagateTags SERVICE is for services, not for {operation}.");
            return Err(Error::invalid(text));
        }
        Ok(())
    }
}

/// The text was observed on ECS for `startedBy` (convox/rack issue 1727).
fn longest(member: &str, text: Option<&str>, chars: usize) -> Result<(), Error> {
    if text.is_some_and(|text| text.chars().count() > chars) {
        return Err(Error::invalid(format!("{member} longer than {chars}.")));
    }
    Ok(())
}

/// What every task of a request has in common.
pub(super) struct Template {
    /// What it runs.
    pub(super) definition: Row<TaskDefinition>,
    /// The group, `family:…` if none was given.
    pub(super) group: Text,
    /// What each task takes of its instance.
    pub(super) demand: Shared<Demand>,
    /// What each task gets of the network.
    pub(super) network: Network,
    /// Whether its tasks can be reached by ECS Exec.
    pub(super) execute_command: bool,
    /// The EBS volume that each task gets.
    disk: Option<Wanted>,
    cluster: ClusterKey,
    started_by: Option<Text>,
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: Vec<ContainerSpec>,
    /// How many GPUs each container wants.
    gpus: Vec<Gpus>,
    overrides: Document<shapes::TaskOverride>,
    tags: Vec<Tag>,
    /// The deployment or task set that its tasks belong to.
    pub(super) deployment: Option<OfDeployment>,
    /// The targets that its tasks are to be.
    pub(super) targets: Box<[TaskTarget]>,
    /// Whether its tasks go by capacity providers: each has its instance's.
    pub(super) by_providers: bool,
    /// What its tasks have of Fargate, if that is where they go.
    pub(super) fargate: Option<OnFargate>,
    /// The digest that each container is to run; empty if tags are used as written.
    pub(super) digests: BTreeMap<String, Text>,
}

impl Template {
    /// Whether a container of its tasks has all GPUs of the instance.
    pub(super) fn takes_all_gpus(&self) -> bool {
        self.gpus.contains(&Gpus::All)
    }

    /// Reads what is to be launched in `cluster`, as `definition` has it.
    ///
    /// # Errors
    /// For each rule of ECS that the request breaks, and for what is not built.
    pub(super) fn read(
        api: &Api,
        view: &impl View,
        cluster: &ClusterKey,
        launch: &Launch<'_>,
        definition: Row<TaskDefinition>,
    ) -> Result<Self, Error> {
        let disk = disks::read(launch, &definition)?;
        let network = Network::read(api, view, &cluster.scope, launch, &definition)?;
        let merged = overrides::merge(launch, &definition)?;
        exec(launch, &definition, &merged.shown)?;
        unbuilt(launch, &definition)?;
        let group = match launch.group.filter(|group| !group.is_empty()) {
            Some(group) => group.into(),
            None => format!("family:{}", definition.family()).into(),
        };
        let tags = tags(launch, cluster, &definition)?;
        Ok(Self {
            group,
            network,
            execute_command: launch.execute_command,
            disk,
            cluster: cluster.clone(),
            started_by: launch.started_by.map(Text::from),
            demand: merged.demand.into(),
            cpu: merged.cpu,
            memory: merged.memory,
            containers: merged.containers,
            gpus: merged.gpus,
            overrides: Document::shared(merged.shown),
            tags,
            deployment: None,
            targets: Box::default(),
            by_providers: false,
            fargate: fargate::of(launch, &definition),
            digests: BTreeMap::new(),
            definition,
        })
    }

    /// Where its tasks' instances are: the cluster, or the fleet.
    pub(super) fn ground(&self) -> ClusterKey {
        match self.fargate {
            None => self.cluster.clone(),
            Some(_) => self.cluster.scope.fleet(),
        }
    }

    /// The group as placement counts it.
    pub(super) fn spread_group(&self) -> Arc<str> {
        match self.fargate {
            None => self.group.shared(),
            Some(_) => fleet_group(&self.cluster.name, &self.group),
        }
    }

    /// Refuses roles that do not trust tasks, in the words that were observed on ECS. A role that IAM
    /// does not know opens nothing, and keeps no task from starting (decision 0139).
    pub(super) fn check_roles(&self, api: &Api) -> Result<(), Error> {
        let Some(identities) = api.identities.get() else { return Ok(()) };
        let (given, document) = (&self.overrides, &self.definition.document);
        let roles = [
            given.task_role_arn.as_ref().or(document.task_role_arn.as_ref()),
            given.execution_role_arn.as_ref().or(document.execution_role_arn.as_ref()),
        ];
        // Its id is not known yet: trust is narrowed by the cluster at most.
        let task = self.cluster.task_arn(TaskId::from_bytes([0; 16])).to_string();
        let account = &self.cluster.scope.account;
        for role in roles.into_iter().flatten().filter(|role| !role.is_empty()) {
            if identities.role_of_task(account, role, &task) == iam::RoleOfTask::Untrusting {
                return Err(Error::client(format!(
                    "ECS was unable to assume the role '{role}' that was provided for this task. \
                     Please verify that the role being passed has the proper trust relationship \
                     and permissions and that your IAM user has permissions to pass this role."
                )));
            }
        }
        Ok(())
    }

    /// Gives its tasks one more tag.
    pub(super) fn add_tag(&mut self, tag: Tag) {
        self.tags.push(tag);
    }

    /// That what was read on a snapshot still is so: the cluster may have been deleted since, or
    /// the definition deregistered.
    pub(super) fn still_good(&self, tx: &Tx<'_>, tables: &Tables) -> Result<(), Error> {
        target::active_cluster(tx, tables, &self.cluster)?;
        let key = crate::tables::definition_key(&self.definition.arn);
        let row = tx.get(&tables.definitions, &key);
        active(row.ok_or_else(no_definition)?).map(drop)
    }

    /// Writes the task `id` on `instance`, in the transaction that chose it. `devices` are those
    /// of all tasks of the transaction. `provider` is that of Fargate's, if it goes by one.
    pub(super) fn start(
        &self,
        api: &Api,
        tx: &mut Tx<'_>,
        id: TaskId,
        (instance, provider): (&ContainerInstance, Option<CapacityProviderName>),
        explanation: &Shared<Explanation>,
        devices: &mut Devices,
    ) -> Result<Task, Error> {
        let mut task = self.task(tx, id, instance, explanation);
        if self.fargate.is_some() {
            task.capacity_provider = provider.filter(|_| self.by_providers);
        }
        let into = (&mut task, instance);
        devices.give(&tx.facts(), &api.tables, &self.cluster, into, &self.gpus);
        task.disk = self.disk.as_ref().map(|wanted| Box::new(wanted.disk(tx)));
        self.network.attach(api, tx, &mut task, instance);
        tx.put(&api.tables.tasks, self.cluster.task(task.arn.id), task.clone());
        Ok(task)
    }

    fn task(
        &self,
        tx: &Tx<'_>,
        id: TaskId,
        instance: &ContainerInstance,
        explanation: &Shared<Explanation>,
    ) -> Task {
        let attribute = |name: &str| instance.attributes.get(name)?.as_deref().map(Text::from);
        let container = |spec: &ContainerSpec| {
            let digest = self.digests.get(&spec.name).cloned();
            let made = container(spec, Uuid::from_random(tx.next_id()));
            let exec_agent = self.execute_command.then(ExecAgent::wanted);
            Container { pinned: digest.is_some(), image_digest: digest, exec_agent, ..made }
        };
        Task {
            arn: self.cluster.task_arn(id),
            definition: self.definition.arn.clone().into(),
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            instance: instance.arn.id,
            capacity_provider: self.by_providers.then(|| instance.provider()).flatten(),
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
            disk: None,
            fargate: self.fargate.clone().map(Box::new),
            protected_until: None,
            abandoned: false,
            targets: self.targets.clone(),
            deployment: self.deployment,
            execute_command: self.execute_command,
            explanation: explanation.clone(),
            version: 1,
        }
    }
}

/// The task definition that a request means.
///
/// # Errors
/// When there is none, or it is not ACTIVE.
pub(super) fn definition(
    view: &impl View,
    tables: &Tables,
    cluster: &ClusterKey,
    text: &str,
) -> Result<Row<TaskDefinition>, Error> {
    let scope = &cluster.scope;
    let name = target::definition_name(scope, text);
    let row = name.and_then(|name| target::definition(view, tables, scope, &name));
    active(row.ok_or_else(no_definition)?)
}

fn active(row: Row<TaskDefinition>) -> Result<Row<TaskDefinition>, Error> {
    match row.status {
        DefinitionStatus::Active => Ok(row),
        DefinitionStatus::Inactive | DefinitionStatus::DeleteInProgress => {
            Err(Error::invalid("TaskDefinition is inactive"))
        }
    }
}

pub(in crate::api) fn no_definition() -> Error {
    Error::client("TaskDefinition not found.")
}

/// ECS Exec: what ECS asks of it comes first.
fn exec(
    launch: &Launch<'_>,
    definition: &TaskDefinition,
    overrides: &shapes::TaskOverride,
) -> Result<(), Error> {
    if !launch.execute_command {
        return Ok(());
    }
    let role = overrides.task_role_arn.as_ref().or(definition.document.task_role_arn.as_ref());
    if role.is_none_or(String::is_empty) {
        // Observed on ECS (boto/boto3 issue 3173).
        return Err(Error::invalid(
            "The execute command failed because a valid task role is not being used. Specify a \
             valid task role in your task definition or as a task override and try again.",
        ));
    }
    Ok(())
}

/// Refuses what is not built: ignoring it would change what the request means.
fn unbuilt(launch: &Launch<'_>, definition: &TaskDefinition) -> Result<(), Error> {
    let unbuilt = |what: &str| Err(Error::not_built(launch.operation, what));
    let document = &definition.document;
    if document.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        return unbuilt("a task definition's inferenceAccelerators");
    }
    Ok(())
}

/// The request's tags, then those of the definition if asked for, then ECS's own.
fn tags(
    launch: &Launch<'_>,
    cluster: &ClusterKey,
    definition: &TaskDefinition,
) -> Result<Vec<Tag>, Error> {
    let mut tags = tags::read(Some(launch.tags.to_vec()))?;
    if launch.propagate_tags.is_some_and(|from| from.as_str() == "TASK_DEFINITION") {
        let new = |tag: &&Tag| !tags.iter().any(|known| known.key == tag.key);
        let more: Vec<Tag> = definition.tags.iter().filter(new).cloned().collect();
        tags = tags::merge(&tags, &more)?;
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
        name: spec.name.as_str().into(),
        image: spec.image.as_str().into(),
        essential: spec.essential,
        health_check: spec.health_check,
        cpu: spec.cpu.get(),
        memory: spec.memory.map(MemoryMib::get),
        memory_reservation: spec.memory_reservation.map(MemoryMib::get),
        status: ContainerStatus::Pending,
        image_digest: None,
        pinned: false,
        runtime_id: None,
        exit_code: None,
        reason: None,
        bindings: Vec::new(),
        health: Health::Unknown,
        gpu_ids: Vec::new(),
        exec_agent: None,
    }
}
