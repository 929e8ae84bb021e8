//! Tells the request's span which tasks it is about.

use std::fmt::Write;

use terms::{TaskId, Timestamp};

use crate::model::{Task, TaskStatus};

/// These tasks began with the present request.
pub(crate) fn started(tasks: impl IntoIterator<Item = TaskId>) {
    let span = tracing::Span::current();
    if span.is_disabled() {
        return;
    }
    let mut ids = String::new();
    for task in tasks {
        let comma = if ids.is_empty() { "" } else { "," };
        let _ = write!(ids, "{comma}{task}");
    }
    span.record("started", ids);
}

/// The present request is about this task.
pub(crate) fn about(task: TaskId) {
    tracing::Span::current().record("task", tracing::field::display(task));
}

/// A report moved a task on: counts and tells of a start or a stop.
pub(crate) fn moved(before: TaskStatus, task: &Task, now: Timestamp) {
    if task.status == before {
        return;
    }
    let (id, created) = (task.arn.id, task.created_at);
    if task.status == TaskStatus::Running {
        let start = task.times.started_at.unwrap_or(now).since(created);
        meters::ecs().start_seconds.observe(start.as_secs_f64());
        meters::step!("RUNNING", id, created.millis());
    }
    if task.status == TaskStatus::Stopped {
        let code = task.stop.as_ref().map_or("none", |stop| stop.code.as_str());
        meters::ecs().stopped.get_or_create(&meters::Reason { reason: code }).inc();
        let from = task.times.started_at.unwrap_or(created);
        meters::step!("STOPPED", id, from.millis(), code = code);
    }
}
