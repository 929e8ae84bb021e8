//! A deployment played to its end: the service scheduler's own steps on an imagined ledger, with
//! tasks that start, are healthy and stop at once.

use std::collections::BTreeMap;
use std::time::Duration;

use ledger::Row;
use serde::Serialize;
use terms::{ServiceArn, TaskId};

use super::usage;
use crate::ServiceRules;
use crate::api::Api;
use crate::error::Error;
use crate::model::{
    Deployment, DeploymentId, DesiredStatus, Health, Progress, RolloutState, Task, TaskStatus,
};
use crate::tables::{ServiceKey, TaskKey, service_key};

/// Looks of the scheduler after which a deployment is taken not to end.
const LOOKS_MAX: usize = 2_000;
/// Steps that are told one by one; of more, only the last are left out.
const STEPS_TOLD: usize = 200;

/// Tasks that one transaction changes, as many as every store takes.
const TASKS_AT_ONCE: usize = 100;

/// How a deployment would go.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rollout {
    /// Whether a deployment would begin; if not, the service goes on with what it has.
    deploys: bool,
    /// How it would end.
    end: End,
    /// How often the scheduler looked.
    looks: usize,
    /// How many tasks there are at each step.
    steps: Vec<Step>,
    /// Steps that there are beyond those.
    steps_left_out: usize,
    /// What the service would say, the oldest first.
    events: Vec<String>,
    /// Where its tasks would be.
    placements: Vec<Place>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum End {
    /// The deployment is complete, or bakes with all its tasks; the service has what it is to have.
    Completed,
    /// Tasks find no place.
    NoPlace,
    /// The percentages allow neither a start nor a stop.
    Stuck,
    /// There is no deployment, or it is somebody else's business.
    #[default]
    None,
}

/// Tasks at one step of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    /// Of the new deployment, on their way.
    new_pending: usize,
    /// Of it, RUNNING.
    new_running: usize,
    /// Of earlier ones, on their way or RUNNING.
    old: usize,
    /// Told to stop.
    stopping: usize,
}

/// Tasks of the service on one instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    instance: String,
    availability_zone: String,
    tasks: usize,
}

impl Rollout {
    /// Whether everything that is wanted would run.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.end, End::Completed | End::None)
    }
}

impl Api {
    /// Plays the deployment of the service with this ARN.
    ///
    /// # Errors
    /// When the service is not there.
    pub(super) async fn play_rollout(&self, arn: &str) -> Result<Rollout, Error> {
        let arn: ServiceArn = arn.parse().map_err(|_| Error::ServiceNotFound)?;
        let key = service_key(&arn);
        // What takes time in earnest takes none here: the order is what is asked for.
        let rules = ServiceRules { settle: Duration::ZERO, ..ServiceRules::default() };
        let is_new = |one: &Row<Deployment>| one.progress == Progress::Pending;
        let deploys = self.primary_deployment(&key).as_ref().is_some_and(is_new);
        let mut rollout = Rollout { deploys, ..Rollout::default() };
        let already = self.events_said(&key);
        let mut waits_for_room = false;
        for _ in 0..LOOKS_MAX {
            let looked = self.reconcile_service(&key, &rules).await;
            let looked = looked.map_err(|error| Error::invalid(error.to_string()))?;
            waits_for_room = looked.waits_for_room;
            rollout.looks += 1;
            self.note_step(&key, &mut rollout);
            if self.advance(&key).await? == 0 && !looked.at_once {
                break;
            }
        }
        self.note_end(&key, &mut rollout, waits_for_room);
        rollout.events = self.events_after(&key, already);
        rollout.placements = self.rollout_places(&key);
        Ok(rollout)
    }

    fn primary(&self, key: &ServiceKey) -> Option<DeploymentId> {
        self.ledger.snapshot().get(&self.tables.services.rows, key)?.primary
    }

    fn primary_deployment(&self, key: &ServiceKey) -> Option<Row<Deployment>> {
        let row = (key.clone(), self.primary(key)?);
        self.ledger.snapshot().get(&self.tables.services.deployments, &row)
    }

    fn live(&self, key: &ServiceKey) -> Vec<(TaskKey, Task)> {
        let snapshot = self.ledger.snapshot();
        let rows = snapshot.index(&self.tables.services.live_tasks, key);
        rows.map(|(key, row)| (key, (*row).clone())).collect()
    }

    fn note_step(&self, key: &ServiceKey, rollout: &mut Rollout) {
        let primary = self.primary(key);
        let mut step = Step::default();
        for (_, task) in self.live(key) {
            let is_new = task.deployment.map(|of| of.id) == primary;
            let count = match (task.desired, task.status, is_new) {
                (DesiredStatus::Stopped, ..) => &mut step.stopping,
                (DesiredStatus::Running, _, false) => &mut step.old,
                (DesiredStatus::Running, TaskStatus::Running, true) => &mut step.new_running,
                (DesiredStatus::Running, _, true) => &mut step.new_pending,
            };
            *count += 1;
        }
        if rollout.steps.last() == Some(&step) {
            return;
        }
        match rollout.steps.len() < STEPS_TOLD {
            true => rollout.steps.push(step),
            false => rollout.steps_left_out += 1,
        }
    }

    /// Tasks that are to run, run and are healthy; those that are to stop have stopped. Gives how
    /// many have changed.
    async fn advance(&self, key: &ServiceKey) -> Result<usize, Error> {
        let tasks = self.live(key);
        let mut changed = 0;
        for some in tasks.chunks(TASKS_AT_ONCE) {
            let done = self.ledger.transact("imagine progress", |tx| {
                let mut moved = 0;
                for (key, task) in some {
                    let mut next = task.clone();
                    match (task.desired, task.status) {
                        (DesiredStatus::Stopped, _) => {
                            next.status = TaskStatus::Stopped;
                            next.times.stopped_at = Some(tx.now());
                        }
                        (DesiredStatus::Running, TaskStatus::Running) => continue,
                        (DesiredStatus::Running, _) => {
                            next.status = TaskStatus::Running;
                            next.times.started_at = Some(tx.now());
                            // Its targets are healthy as well: it is as good as without any.
                            next.targets = Box::default();
                            for container in &mut next.containers {
                                container.health = Health::Healthy;
                            }
                        }
                    }
                    next.version += 1;
                    tx.put(&self.tables.tasks, key.clone(), next);
                    moved += 1;
                }
                Ok::<_, Error>(moved)
            });
            changed += done.await?.value;
        }
        Ok(changed)
    }

    fn note_end(&self, key: &ServiceKey, rollout: &mut Rollout, waits_for_room: bool) {
        rollout.end = match self.primary_deployment(key) {
            None => End::None,
            Some(_) if waits_for_room => End::NoPlace,
            Some(row) if row.baking_since.is_some() => End::Completed,
            Some(row) => match row.rollout {
                RolloutState::Completed => End::Completed,
                RolloutState::InProgress | RolloutState::Failed => End::Stuck,
            },
        };
    }

    fn events_said(&self, key: &ServiceKey) -> u64 {
        let snapshot = self.ledger.snapshot();
        let row = snapshot.get(&self.tables.services.rows, key);
        row.map_or(0, |row| row.course.last_event)
    }

    fn events_after(&self, key: &ServiceKey, already: u64) -> Vec<String> {
        let snapshot = self.ledger.snapshot();
        let rows = snapshot.prefix(&self.tables.services.events, key);
        let new = rows.filter(|((_, number), row)| *number > already && row.kind.is_line());
        new.map(|(_, row)| row.message.clone()).collect()
    }

    fn rollout_places(&self, key: &ServiceKey) -> Vec<Place> {
        let mut by_instance: BTreeMap<_, Vec<TaskId>> = BTreeMap::new();
        for (task, row) in self.live(key) {
            by_instance.entry(row.instance).or_default().push(task.1);
        }
        let snapshot = self.ledger.snapshot();
        let place = |(id, tasks): (_, Vec<TaskId>)| {
            let row = snapshot.get(&self.tables.instances, &key.0.instance(id))?;
            let zone = row.attributes.get(placement::ZONE).and_then(Option::as_deref);
            Some(Place {
                instance: usage::name(&row),
                availability_zone: zone.unwrap_or_default().to_owned(),
                tasks: tasks.len(),
            })
        };
        by_instance.into_iter().filter_map(place).collect()
    }
}
