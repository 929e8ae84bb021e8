//! GetTaskProtection and UpdateTaskProtection (ECS semantics §5.5).

use std::time::Duration;

use ledger::Tx;
use shapes_ecs as shapes;
use terms::{TaskId, Timestamp};
use wire::Context;

use super::super::target::Target;
use super::super::{Api, arn_of, missing, target};
use crate::decide::service::percent::Bounds;
use crate::error::Error;
use crate::model::{RolloutState, Task, TaskStatus};
use crate::tables::{ClusterKey, Tables, TaskKey, service_of};

/// Most tasks that one request may ask about.
const MAX_ASKED: usize = 100;
/// Most tasks that one request may change.
const MAX_CHANGED: usize = 10;
/// How long a protection may last, in minutes.
const MINUTES: std::ops::RangeInclusive<i32> = 1..=2_880;
/// How long it lasts if the request does not say, in minutes.
const DEFAULT_MINUTES: i32 = 120;

/// A task of a request: as it was named, and what was meant.
type Named<'a> = (&'a str, Target<TaskId>);

impl Api {
    /// Tells which tasks are protected. Only those of services can be; others are failures.
    pub(crate) async fn get_task_protection(
        &self,
        context: Context,
        input: shapes::GetTaskProtectionRequest,
    ) -> Result<shapes::GetTaskProtectionResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let texts = input.tasks.unwrap_or_default();
        let mut answer = Answer::default();
        for (text, target) in read(&cluster, &texts, MAX_ASKED)? {
            let row = key(&cluster, target).and_then(|key| snapshot.get(&self.tables.tasks, &key));
            match row {
                Some(row) => answer.add(&row, protectable(&row), context.now),
                None => answer.missing(&cluster, text),
            }
        }
        Ok(shapes::GetTaskProtectionResponse {
            protected_tasks: Some(answer.tasks),
            failures: Some(answer.failures),
        })
    }

    /// Protects tasks of services, or ends their protection. Its time begins anew with each call.
    pub(crate) async fn update_task_protection(
        &self,
        context: Context,
        input: shapes::UpdateTaskProtectionRequest,
    ) -> Result<shapes::UpdateTaskProtectionResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        target::active_cluster(&self.ledger.snapshot(), &self.tables, &cluster)?;
        let named = read(&cluster, &input.tasks, MAX_CHANGED)?;
        let minutes = input.expires_in_minutes.unwrap_or(DEFAULT_MINUTES);
        if !MINUTES.contains(&minutes) {
            return Err(Error::invalid("expiresInMinutes must be between 1 and 2880."));
        }
        let lasts = Duration::from_secs(60 * u64::from(minutes.unsigned_abs()));
        let lasts = input.protection_enabled.then_some(lasts);
        let tables = self.tables;
        let done = self.ledger.transact("update task protection", |tx| {
            target::active_cluster(tx, &tables, &cluster)?;
            let (mut answer, now) = (Answer::default(), tx.now());
            for &(text, target) in &named {
                let found =
                    key(&cluster, target).and_then(|key| Some((tx.get(&tables.tasks, &key)?, key)));
                let Some((row, key)) = found else {
                    answer.missing(&cluster, text);
                    continue;
                };
                let is_new = lasts.is_some() && row.protection(now).is_none();
                if is_new && blocks_deployment(tx, &tables, &key, &row) {
                    answer.fail(&row, "DEPLOYMENT_BLOCKED");
                    continue;
                }
                let next = protect(&row, lasts.map(|lasts| now + lasts));
                answer.add(next.as_ref().unwrap_or(&row), protectable(&row), now);
                if let Some(next) = next {
                    tx.put(&tables.tasks, key, next);
                }
            }
            Ok::<_, Error>(answer)
        });
        let answer = done.await?.value;
        Ok(shapes::UpdateTaskProtectionResponse {
            protected_tasks: Some(answer.tasks),
            failures: Some(answer.failures),
        })
    }
}

/// The tasks of a request.
fn read<'a>(
    cluster: &ClusterKey,
    texts: &'a [String],
    most: usize,
) -> Result<Vec<Named<'a>>, Error> {
    if texts.is_empty() {
        return Err(Error::invalid("Tasks cannot be empty."));
    }
    if texts.len() > most {
        return Err(Error::invalid(format!("taskIds can have at most {most} items.")));
    }
    texts.iter().map(|text| Ok((text.as_str(), target::task(cluster, text)?))).collect()
}

fn key(cluster: &ClusterKey, target: Target<TaskId>) -> Option<TaskKey> {
    match target {
        Target::Id(id) => Some(cluster.task(id)),
        Target::Unknown => None,
    }
}

/// Whether a task can be protected: one of a service, that has not stopped.
fn protectable(task: &Task) -> bool {
    task.is_of_service() && task.status != TaskStatus::Stopped
}

/// The task with its protection changed; `None` if it cannot have one, or stays as it is.
fn protect(task: &Task, until: Option<Timestamp>) -> Option<Task> {
    let changes = protectable(task) && task.protected_until != until;
    changes.then(|| Task { protected_until: until, version: task.version + 1, ..task.clone() })
}

/// Whether a task's protection would keep a deployment from its end: what it replaces is protected
/// in more tasks already than there may be beside the new ones (ECS semantics §5.5).
fn blocks_deployment(tx: &Tx<'_>, tables: &Tables, key: &TaskKey, task: &Task) -> bool {
    let deploying = || {
        let of = task.deployment?;
        let service = service_of(key, task)?;
        let row = tx.get(&tables.services.rows, &service)?;
        let primary = row.primary.filter(|id| *id != of.id)?;
        let newest = tx.get(&tables.services.deployments, &(service.clone(), primary))?;
        (newest.rollout == RolloutState::InProgress).then_some((service, row, primary))
    };
    let Some((service, row, primary)) = deploying() else { return false };
    let upper = Bounds::of(row.desired, &row.configuration).upper;
    let is_kept = |other: &Task| {
        let is_old = other.deployment.is_some_and(|of| of.id != primary);
        is_old && other.arn.id != task.arn.id && other.protection(tx.now()).is_some()
    };
    let live = tx.index(&tables.services.live_tasks, &service);
    let kept = live.filter(|(_, other)| is_kept(other)).count();
    kept >= usize::try_from(upper.saturating_sub(row.desired)).unwrap_or(usize::MAX)
}

/// What an operation answers of its tasks.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    tasks: Vec<shapes::ProtectedTask>,
    failures: Vec<shapes::Failure>,
}

impl Answer {
    fn missing(&mut self, cluster: &ClusterKey, text: &str) {
        self.failures.push(missing(arn_of(cluster, "task", text)));
    }

    fn fail(&mut self, task: &Task, reason: &str) {
        let (arn, reason) = (Some(task.arn.to_string()), Some(reason.to_owned()));
        self.failures.push(shapes::Failure { arn, reason, detail: None });
    }

    fn add(&mut self, task: &Task, is_protectable: bool, now: Timestamp) {
        if !is_protectable {
            return self.fail(task, "TASK_NOT_VALID");
        }
        let arn = Some(task.arn.to_string());
        let expiration_date = task.protection(now);
        self.tasks.push(shapes::ProtectedTask {
            task_arn: arn,
            protection_enabled: Some(expiration_date.is_some()),
            expiration_date,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::{MADE, task};

    const MINUTE: Duration = Duration::from_secs(60);

    fn of_service() -> Task {
        Task { group: "service:web".into(), ..task(1) }
    }

    /// What GetTaskProtection says of the task, so many minutes after it was made.
    fn shown(task: &Task, minutes: u32) -> (Option<bool>, Option<Timestamp>) {
        let mut answer = Answer::default();
        answer.add(task, protectable(task), MADE + MINUTE * minutes);
        let shown = answer.tasks.into_iter().next();
        shown.map_or((None, None), |one| (one.protection_enabled, one.expiration_date))
    }

    #[test]
    fn protection_ends_by_itself_and_begins_anew_with_each_call() {
        let until = |minutes: u32| Some(MADE + MINUTE * minutes);
        let first = protect(&of_service(), until(120)).expect("a change");
        assert_eq!(first.version, 2);
        assert_eq!(shown(&first, 0), (Some(true), until(120)));
        assert_eq!(shown(&first, 119), (Some(true), until(120)));
        assert_eq!(shown(&first, 120), (Some(false), None));
        let longer = protect(&first, until(180)).expect("a change");
        assert_eq!(shown(&longer, 120), (Some(true), until(180)));
        let ended = protect(&longer, None).expect("a change");
        assert_eq!(shown(&ended, 0), (Some(false), None));
        assert_eq!(protect(&ended, None), None);
    }

    #[test]
    fn only_tasks_of_services_that_go_on_can_be_protected() {
        let stopped = Task { status: TaskStatus::Stopped, ..of_service() };
        for other in [task(1), stopped] {
            assert_eq!(protect(&other, Some(MADE + MINUTE)), None);
            assert_eq!(shown(&other, 0), (None, None));
        }
    }
}
