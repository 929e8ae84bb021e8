//! What becomes of the tasks of a zone, or of an instance, when it is lost.
//!
//! Tasks that were started alone are not started again by ECS; where they are told to go is where
//! RunTask would put them, with the constraints that bound them and the strategy that placed them.

use std::collections::BTreeMap;

use placement::{Constraint, Demand, Request, RequiredAttribute, Strategy};
use serde::{Deserialize, Serialize};
use terms::{ContainerInstanceId, TaskId};

use super::change::{self, Displaced, is_called, is_in};
use super::{usage, zone_name};
use crate::api::{Api, Refused, definition_constraints, refused};
use crate::decide::shares;
use crate::error::Error;
use crate::model::{ContainerInstance, DesiredStatus, Task, TaskStatus};
use crate::tables::{ClusterKey, definition_key};

/// What fails: a zone or an instance.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Lost {
    /// All instances of a zone; its whole name, or its last letter.
    Zone(String),
    /// One instance: its name, EC2 id, id or ARN.
    Instance(String),
}

/// Where the tasks of what failed would go.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moves {
    /// What failed, as `zone us-east-1a`.
    lost: String,
    /// How many instances.
    instances: usize,
    /// How many tasks were on them that were to go on.
    tasks: usize,
    /// How many of them would find a place.
    placed: usize,
    /// The tasks by what they are.
    groups: Vec<Group>,
    /// Each task.
    moves: Vec<Move>,
}

/// Tasks that are alike.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group: String,
    task_definition_arn: String,
    tasks: usize,
    placed: usize,
    /// What each takes.
    cpu: u32,
    memory: u32,
    /// Why the first that finds no place finds none.
    shortage: Refused,
}

/// One task.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Move {
    task_arn: String,
    from: String,
    /// The instance where it would go; none if it fits nowhere.
    to: Option<String>,
    to_zone: Option<String>,
}

impl Moves {
    /// Whether every task would find a place.
    pub(super) fn all_fit(&self) -> bool {
        self.placed == self.tasks
    }
}

/// Lets it fail and places the tasks anew, group by group in the order in which they were made.
pub(super) async fn play(api: &Api, cluster: &ClusterKey, lost: &Lost) -> Result<Moves, Error> {
    let names = names(api, cluster);
    let (told, displaced, instances) = fail(api, cluster, lost).await?;
    let mut groups: BTreeMap<_, Vec<Displaced>> = BTreeMap::new();
    let going_on = displaced.into_iter().filter(|(_, task)| task.desired == DesiredStatus::Running);
    for (id, task) in going_on {
        let demand = format!("{:?}", task.demand);
        let alike = (
            (task.group.clone(), task.definition.to_string()),
            (demand, task.capacity_provider.clone()),
            task.explanation.constraints.clone(),
        );
        groups.entry(alike).or_default().push((id, task));
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.iter_mut().for_each(|group| group.sort_by_key(|(id, task)| (task.created_at, *id)));
    groups.sort_by_key(|group| group.first().map(|(id, task)| (task.created_at, *id)));
    let mut all =
        Moves { lost: told, instances, tasks: 0, placed: 0, groups: Vec::new(), moves: Vec::new() };
    for tasks in groups {
        let (group, moves) = place(api, cluster, &tasks, &names).await?;
        all.tasks += group.tasks;
        all.placed += group.placed;
        all.groups.push(group);
        all.moves.extend(moves);
    }
    Ok(all)
}

/// What people call each instance, and its zone.
type Names = BTreeMap<ContainerInstanceId, (String, Option<String>)>;

fn names(api: &Api, cluster: &ClusterKey) -> Names {
    let snapshot = api.ledger.snapshot();
    let name = |row: &ContainerInstance| {
        (usage::name(row), row.attributes.get(placement::ZONE).cloned().flatten())
    };
    let rows = snapshot.prefix(&api.tables.instances, cluster);
    rows.map(|(key, row)| (key.1, name(&row))).collect()
}

/// Whether an instance is among what failed.
type Which<'a> = Box<dyn Fn(&ContainerInstance) -> bool + Send + Sync + 'a>;

/// Takes away what failed: what it is called, the tasks on it, how many instances it was.
async fn fail(
    api: &Api,
    cluster: &ClusterKey,
    lost: &Lost,
) -> Result<(String, Vec<Displaced>, usize), Error> {
    let (told, whether): (_, Which<'_>) = match lost {
        Lost::Zone(zone) => {
            let name = zone_name(cluster, zone);
            (format!("zone {name}"), Box::new(move |row| is_in(row, &name)))
        }
        Lost::Instance(name) => (format!("instance {name}"), Box::new(|row| is_called(row, name))),
    };
    let before = usage::of(api, cluster).len();
    let tables = api.tables;
    let done = api.ledger.transact("imagine a failure", |tx| {
        let missing = || Error::invalid(format!("There is no instance to lose with {told}."));
        change::remove(tx, &tables, cluster, &*whether)?.ok_or_else(missing)
    });
    let displaced = done.await?.value;
    Ok((told, displaced, before - usage::of(api, cluster).len()))
}

/// Places tasks that are alike, and writes them where they go.
async fn place(
    api: &Api,
    cluster: &ClusterKey,
    tasks: &[Displaced],
    names: &Names,
) -> Result<(Group, Vec<Move>), Error> {
    let Some((_, first)) = tasks.first() else {
        return Err(Error::invalid("A group without tasks."));
    };
    let request = request(api, first, tasks.len())?;
    let ids: Vec<TaskId> = tasks.iter().map(|(id, _)| *id).collect();
    let snapshot = api.ledger.snapshot();
    // Always the same chances: the same question has the same answer.
    let plan = api.placer.plan(&snapshot.facts(), cluster, &request, &ids, SEED);
    let goes: BTreeMap<TaskId, ContainerInstanceId> = plan.placed.iter().copied().collect();
    let tables = api.tables;
    let written = api.ledger.transact("imagine moves", |tx| {
        for (id, before) in tasks {
            let Some(&instance) = goes.get(id) else { continue };
            let status = TaskStatus::Pending;
            let moved = Task { instance, status, ..Task::clone(before) };
            tx.put(&tables.tasks, cluster.task(*id), moved);
        }
        Ok::<_, Error>(())
    });
    written.await?;
    let group = Group {
        group: first.group.to_string(),
        task_definition_arn: first.definition.to_string(),
        tasks: tasks.len(),
        placed: goes.len(),
        cpu: request.demand.cpu.get(),
        memory: request.demand.memory.get(),
        shortage: refused(cluster, &plan.shortage),
    };
    let called = |id: &ContainerInstanceId| names.get(id).map(|(name, _)| name.clone());
    let moved = tasks.iter().map(|(id, task)| Move {
        task_arn: task.arn.to_string(),
        from: called(&task.instance).unwrap_or_default(),
        to: goes.get(id).and_then(called),
        to_zone: goes.get(id).and_then(|to| names.get(to)).and_then(|(_, zone)| zone.clone()),
    });
    Ok((group, moved.collect()))
}

/// What placement's chances begin with.
const SEED: u64 = 1;

/// Such tasks as a request. An interface may be in any zone: which other subnets a task might have
/// had is not kept with it.
fn request(api: &Api, task: &Task, count: usize) -> Result<Request, Error> {
    let key = definition_key(&task.definition);
    let definition = api.ledger.snapshot().get(&api.tables.definitions, &key);
    let mut attributes = Vec::new();
    let kept = task.explanation.constraints.iter();
    let mut constraints: Vec<Constraint> =
        kept.filter_map(|words| Constraint::from_words(words)).collect();
    if let Some(definition) = &definition {
        attributes.extend(definition.requires.iter().map(|(name, value)| RequiredAttribute {
            name: name.as_str().into(),
            value: value.as_deref().map(Into::into),
        }));
        // Those that StartTask or a daemon put on an instance, and rows of older versions, have none.
        let own = definition_constraints(definition)?;
        let own = own.into_iter().filter(|one| !constraints.contains(one)).collect::<Vec<_>>();
        constraints.extend(own);
    }
    attributes.extend(task.capacity_provider.iter().map(shares::belongs_to));
    let demand = &task.demand;
    Ok(Request {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        group: task.group.as_str().into(),
        demand: Demand {
            cpu: demand.cpu,
            memory: demand.memory,
            tcp: demand.tcp.iter().copied().collect(),
            udp: demand.udp.iter().copied().collect(),
            gpus: demand.gpus,
            enis: u32::from(task.network.is_some()),
            running: 0,
        },
        attributes,
        zones: None,
        constraints,
        strategies: task
            .explanation
            .strategy
            .iter()
            .filter_map(|w| Strategy::from_words(w))
            .collect(),
    })
}
