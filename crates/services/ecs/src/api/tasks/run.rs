//! RunTask (ECS semantics §5.4, §6).

use ledger::{Row, Tx};
use placement::Refusal;
use shapes_ecs as shapes;
use terms::{CpuUnits, MemoryMib, TaskId, Uuid};
use wire::Context;

use super::super::{Api, tags, target};
use super::{overrides, placement as wishes, show, unbuilt};
use crate::decide::placing;
use crate::error::Error;
use crate::model::{
    Container, ContainerInstance, ContainerSpec, ContainerStatus, DefinitionStatus, Demand,
    DesiredStatus, Document, Explanation, Health, Tag, Task, TaskDefinition, TaskStatus, TaskTimes,
};
use crate::tables::{ClusterKey, RunToken, Scope, Tables};

/// How many tasks one request may start.
const TASKS: std::ops::RangeInclusive<i32> = 1..=10;
/// Longest client token, in characters.
const MAX_TOKEN_CHARS: usize = 64;
/// Longest `startedBy`, in characters.
const MAX_STARTED_BY_CHARS: usize = 128;
/// Longest group, in characters.
const MAX_GROUP_CHARS: usize = 255;
/// Most entries of `failures[]`.
const MAX_FAILURES: usize = 100;

/// What every task of a request has in common.
struct Template {
    definition: Row<TaskDefinition>,
    group: String,
    started_by: Option<String>,
    demand: Demand,
    cpu: Option<CpuUnits>,
    memory: Option<MemoryMib>,
    containers: Vec<ContainerSpec>,
    overrides: Document<shapes::TaskOverride>,
    tags: Vec<Tag>,
}

/// What the transaction answers.
struct Answer {
    tasks: Vec<shapes::Task>,
    failures: Vec<shapes::Failure>,
}

impl Api {
    /// Starts tasks where they fit. Those that fit nowhere are failures, not errors.
    pub(crate) async fn run_task(
        &self,
        context: Context,
        mut input: shapes::RunTaskRequest,
    ) -> Result<shapes::RunTaskResponse, Error> {
        let scope = target::scope(&context);
        let cluster = target::cluster(&scope, input.cluster.as_deref())?;
        let token = token(input.client_token.take())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let count = count(input.count)?;
        let definition = self.definition(&snapshot, &scope, &input)?;
        unbuilt::refuse(&input, &definition)?;
        let template = template(&input, &cluster, definition)?;
        let Template { definition, demand, group, .. } = &template;
        let request = wishes::request(&input, definition, demand, group, count)?;
        let (tables, seed) = (self.tables, self.seed());
        let mut runs = 0;
        let done = self.ledger.transact("run task", |tx| {
            runs += 1;
            if let Some(known) = repeated(tx, &tables, &cluster, token.as_deref(), &input)? {
                return Ok(known);
            }
            target::active_cluster(tx, &tables, &cluster)?;
            still_active(tx, &tables, &template)?;
            // Planned on what is durable now; only what was chosen is read by the transaction.
            let fleet = placing::fleet(&self.ledger.snapshot(), &tables, &cluster);
            if fleet.is_empty() {
                return Err(Error::invalid("No Container Instances were found in your cluster."));
            }
            let placed = placing::place(tx, &tables, &cluster, fleet, &request, seed);
            let retries = placed.retries + runs - 1;
            let told = placing::explain(&placed.placement, &request, &cluster, retries);
            let mut tasks = Vec::new();
            for &id in &placed.placement.placed {
                let instance = tx.get(&tables.instances, &cluster.instance(id));
                let instance = instance.ok_or_else(|| Error::client("An instance went away."))?;
                let task = template.task(tx, &cluster, &instance, &told);
                tasks.push(show(&task, true));
                tx.put(&tables.tasks, cluster.task(task.arn.id), task);
            }
            remember(tx, &tables, &cluster, token.as_deref(), &input, &tasks);
            Ok(Answer { tasks, failures: failures(&cluster, &placed.placement.shortage) })
        });
        let Answer { tasks, failures } = done.await?.value;
        Ok(shapes::RunTaskResponse { tasks: Some(tasks), failures: Some(failures) })
    }

    /// The task definition that a request means.
    fn definition(
        &self,
        snapshot: &ledger::Snapshot,
        scope: &Scope,
        input: &shapes::RunTaskRequest,
    ) -> Result<Row<TaskDefinition>, Error> {
        let name = target::definition_name(scope, &input.task_definition);
        let row = name.and_then(|name| target::definition(snapshot, &self.tables, scope, &name));
        let row = row.ok_or_else(|| Error::client("TaskDefinition not found."))?;
        match row.status {
            DefinitionStatus::Active => Ok(row),
            DefinitionStatus::Inactive | DefinitionStatus::DeleteInProgress => {
                Err(Error::client("TaskDefinition is inactive"))
            }
        }
    }

    /// A number for placement's chances.
    fn seed(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.ids.next();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

fn token(token: Option<String>) -> Result<Option<String>, Error> {
    let Some(token) = token else { return Ok(None) };
    let good = (1..=MAX_TOKEN_CHARS).contains(&token.len())
        && token.bytes().all(|byte| (33..=126).contains(&byte));
    let text = "clientToken must be 1 to 64 ASCII characters, without spaces.";
    good.then_some(Some(token)).ok_or_else(|| Error::invalid(text))
}

fn count(count: Option<i32>) -> Result<u32, Error> {
    let count = count.unwrap_or(1);
    let good = TASKS.contains(&count).then_some(count).and_then(|count| u32::try_from(count).ok());
    good.ok_or_else(|| Error::invalid("Count should be between 1 and 10."))
}

fn template(
    input: &shapes::RunTaskRequest,
    cluster: &ClusterKey,
    definition: Row<TaskDefinition>,
) -> Result<Template, Error> {
    let too_long = |member: &str, text: &Option<String>, most: usize| {
        if text.as_ref().is_some_and(|text| text.chars().count() > most) {
            return Err(Error::invalid(format!("{member} may have at most {most} characters.")));
        }
        Ok(())
    };
    too_long("startedBy", &input.started_by, MAX_STARTED_BY_CHARS)?;
    too_long("group", &input.group, MAX_GROUP_CHARS)?;
    let group = input.group.clone().filter(|group| !group.is_empty());
    if group.as_ref().is_some_and(|group| group.starts_with("service:")) {
        return Err(Error::invalid("Invalid namespace for group: 'service:' is for services."));
    }
    let group = group.unwrap_or_else(|| format!("family:{}", definition.family()));
    let merged = overrides::merge(&definition, input.overrides.as_ref())?;
    let tags = tags(input, cluster, &definition)?;
    Ok(Template {
        group,
        started_by: input.started_by.clone(),
        demand: Demand::of(merged.cpu, merged.memory, &merged.containers),
        cpu: merged.cpu,
        memory: merged.memory,
        containers: merged.containers,
        overrides: Document::new(merged.shown),
        tags,
        definition,
    })
}

/// The request's tags, then those of the definition if asked for, then ECS's own.
fn tags(
    input: &shapes::RunTaskRequest,
    cluster: &ClusterKey,
    definition: &TaskDefinition,
) -> Result<Vec<Tag>, Error> {
    let mut tags = tags::read(input.tags.clone())?;
    match input.propagate_tags.map(|from| from.as_str()) {
        Some("SERVICE") => {
            return Err(Error::invalid("propagateTags SERVICE is for services, not for RunTask."));
        }
        Some("TASK_DEFINITION") => {
            let new = |tag: &&Tag| !tags.iter().any(|known| known.key == tag.key);
            let more: Vec<Tag> = definition.tags.iter().filter(new).cloned().collect();
            tags.extend(more);
        }
        Some(_) | None => {}
    }
    if input.enable_ecs_managed_tags == Some(true) {
        let key = "aws:ecs:clusterName".to_owned();
        tags.push(Tag { key, value: cluster.name.to_string() });
    }
    Ok(tags)
}

/// What an earlier request with the same token did.
fn repeated(
    tx: &Tx<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    token: Option<&str>,
    input: &shapes::RunTaskRequest,
) -> Result<Option<Answer>, Error> {
    let Some(token) = token else { return Ok(None) };
    let Some(known) = tx.get(&tables.run_tokens, &(cluster.clone(), token.to_owned())) else {
        return Ok(None);
    };
    if *known.request != *input {
        let tasks = known.tasks.iter().map(|&id| cluster.task_arn(id).to_string());
        return Err(Error::TokenReused { tasks: tasks.collect() });
    }
    let tasks = known.tasks.iter().filter_map(|&id| tx.get(&tables.tasks, &cluster.task(id)));
    let tasks = tasks.map(|task| show(&task, true)).collect();
    Ok(Some(Answer { tasks, failures: Vec::new() }))
}

/// Notes what a request with a token did, if it did anything.
fn remember(
    tx: &mut Tx<'_>,
    tables: &Tables,
    cluster: &ClusterKey,
    token: Option<&str>,
    input: &shapes::RunTaskRequest,
    tasks: &[shapes::Task],
) {
    let Some(token) = token.filter(|_| !tasks.is_empty()) else { return };
    let id = |task: &shapes::Task| -> Option<TaskId> {
        task.task_arn.as_deref()?.rsplit('/').next()?.parse().ok()
    };
    let row = RunToken {
        request: Document::new(input.clone()),
        tasks: tasks.iter().filter_map(id).collect(),
        created_at: tx.now(),
    };
    tx.put(&tables.run_tokens, (cluster.clone(), token.to_owned()), row);
}

/// The definition may have been deregistered since it was looked up.
fn still_active(tx: &Tx<'_>, tables: &Tables, template: &Template) -> Result<(), Error> {
    let key = crate::tables::definition_key(&template.definition.arn);
    match tx.get(&tables.definitions, &key).map(|row| row.status) {
        Some(DefinitionStatus::Active) => Ok(()),
        Some(_) => Err(Error::client("TaskDefinition is inactive")),
        None => Err(Error::client("TaskDefinition not found.")),
    }
}

fn failures(cluster: &ClusterKey, refusals: &[Refusal]) -> Vec<shapes::Failure> {
    let failure = |refusal: &Refusal| shapes::Failure {
        arn: Some(cluster.instance_arn(refusal.instance).to_string()),
        reason: Some(refusal.reason.code().to_owned()),
        detail: Some(refusal.reason.to_string()),
    };
    refusals.iter().take(MAX_FAILURES).map(failure).collect()
}

impl Template {
    /// One task on `instance`.
    fn task(
        &self,
        tx: &Tx<'_>,
        cluster: &ClusterKey,
        instance: &ContainerInstance,
        explanation: &Explanation,
    ) -> Task {
        let attribute = |name: &str| instance.attributes.get(name).cloned().flatten();
        let container = |spec: &ContainerSpec| container(spec, Uuid::from_random(tx.next_id()));
        Task {
            arn: cluster.task_arn(TaskId::from_bytes(tx.next_id())),
            definition: self.definition.arn.clone(),
            group: self.group.clone(),
            started_by: self.started_by.clone(),
            instance: instance.arn.id,
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
            execute_command: false,
            explanation: explanation.clone(),
            version: 1,
        }
    }
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
