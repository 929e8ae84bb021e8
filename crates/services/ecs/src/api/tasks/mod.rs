//! Tasks: run, stop, describe, list, and what agents report of them (ECS semantics §5).

mod capacity;
mod devices;
mod disks;
mod fargate;
mod launch;
mod list;
mod network;
mod of_service;
mod overrides;
mod placement;
mod plan;
mod protection;
mod run;
mod service;
mod shape;
mod start;
mod submit;
mod taken;
mod targets;
mod token;

use shapes_ecs as shapes;
use wire::Context;

pub(super) use self::capacity::supports;
pub(crate) use self::fargate::{NO_CAPACITY, check_places};
pub(super) use self::launch::no_definition;
pub(crate) use self::of_service::{Placed, ServiceTemplate, service_strategies};
pub(crate) use self::placement::definition_constraints;
pub(crate) use self::plan::{Outlook, Refused, refused};
pub(super) use self::service::check_for_service;
use self::shape::{show, show_started};
pub(crate) use self::taken::Taken;
use super::target::Target;
use super::{Api, arn_of, missing, target};
use crate::decide::report;
use crate::error::Error;
use crate::model::{Stop, StopCode};

/// Most tasks that one request may describe.
const MAX_DESCRIBED: usize = 100;
/// The reason of a StopTask that gives none (ECS semantics §5.3).
const STOPPED_BY_USER: &str = "Task stopped by user";
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 1024;

/// A task as it is shown, without its tags.
pub(crate) fn show_task(task: &crate::model::Task) -> shapes::Task {
    show(task, false)
}

impl Api {
    /// Describes tasks; unknown ones are failures.
    pub(crate) async fn describe_tasks(
        &self,
        context: Context,
        input: shapes::DescribeTasksRequest,
    ) -> Result<shapes::DescribeTasksResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        if input.tasks.is_empty() {
            return Err(Error::invalid("Tasks cannot be empty."));
        }
        if input.tasks.len() > MAX_DESCRIBED {
            // Observed on ECS.
            return Err(Error::invalid("taskIds can have at most 100 items."));
        }
        let with_tags = input.include.iter().flatten().any(|one| one.as_str() == "TAGS");
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for text in &input.tasks {
            let row = match target::task(&cluster, text)? {
                Target::Id(id) => snapshot.get(&self.tables.tasks, &cluster.task(id)),
                Target::Unknown => None,
            };
            match row {
                Some(row) => tasks.push(show(&row, with_tags)),
                None => failures.push(missing(arn_of(&cluster, "task", text))),
            }
        }
        Ok(shapes::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
    }

    /// Asks for a task's end. The task is answered as it is then: its agent has yet to stop it. A
    /// task that was asked before, or has stopped, is answered as it is.
    pub(crate) async fn stop_task(
        &self,
        context: Context,
        input: shapes::StopTaskRequest,
    ) -> Result<shapes::StopTaskResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let unknown = || Error::invalid("The referenced task was not found.");
        target::active_cluster(&self.ledger.snapshot(), &self.tables, &cluster)?;
        let Target::Id(id) = target::task(&cluster, &input.task)? else { return Err(unknown()) };
        let reason = input.reason.as_deref().filter(|reason| !reason.is_empty());
        let reason = reason.unwrap_or(STOPPED_BY_USER).chars().take(MAX_REASON_CHARS);
        let stop = Stop { code: StopCode::UserInitiated, reason: reason.collect() };
        let (tables, key) = (self.tables, cluster.task(id));
        crate::trace::about(id);
        let done = self.ledger.transact("stop task", |tx| {
            let row = tx.get(&tables.tasks, &key).ok_or_else(unknown)?;
            let Some(mut next) = report::request_stop(&row, stop.clone(), tx.now()) else {
                return Ok(show(&row, true));
            };
            // StopTask takes a task's tags away (ECS semantics §2.2).
            next.tags.clear();
            let shown = show(&next, true);
            self.put_task(tx, key.clone(), next);
            Ok::<_, Error>(shown)
        });
        Ok(shapes::StopTaskResponse { task: Some(done.await?.value) })
    }
}
