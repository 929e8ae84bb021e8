//! Commands as steps of a task's trace, timed and counted.

use std::future::Future;
use std::time::Instant;

use terms::TaskId;
use tracing::{Instrument, field};

use crate::engine::{Command, ContainerRef, Event, Failure};

/// A step of a task.
pub(crate) struct Step {
    name: &'static str,
    task: TaskId,
    container: Option<usize>,
}

/// The step that a command is; none for what happens all the time or without an end.
pub(crate) fn of(command: &Command) -> Option<Step> {
    let of_task = |name, task| Some(Step { name, task, container: None });
    let of_container = |name, container: &ContainerRef| {
        Some(Step { name, task: container.task.id, container: Some(container.index) })
    };
    match command {
        Command::Prepare { task } => of_task("prepare", task.arn.id),
        Command::Withdraw { task } => of_task("withdraw", task.arn.id),
        Command::Pull { container, .. } => of_container("pull", container),
        Command::Create(creation) => of_container("create", &creation.container),
        Command::Start { container, .. } => of_container("start", container),
        Command::Restart { container, .. } => of_container("restart", container),
        Command::Signal { container, .. } => of_container("signal", container),
        Command::Release { container, .. } => of_container("release", container),
        Command::Submit { change } => of_task("report", change.task.id),
        Command::Remove { task, .. } => of_task("remove", task.arn.id),
        Command::HealthChanged
        | Command::CancelPull { .. }
        | Command::Serve { .. }
        | Command::Probe { .. } => None,
    }
}

/// Carries a step out, and tells how it went.
pub(crate) async fn carried_out<F>(step: Option<Step>, future: F) -> Option<Event>
where
    F: Future<Output = Option<Event>>,
{
    let Some(Step { name, task, container }) = step else { return future.await };
    let span = tracing::info_span!(
        target: meters::TRACE,
        parent: None,
        "step",
        step = name,
        task = %task,
        container,
        failed = field::Empty,
    );
    let begun = Instant::now();
    let event = future.instrument(span.clone()).await;
    let failure = event.as_ref().and_then(failure);
    if let Some(failure) = failure {
        span.record("failed", field::display(failure));
    }
    meters::agent().step(name, failure.is_none(), begun.elapsed());
    event
}

/// What a step failed with.
fn failure(event: &Event) -> Option<&Failure> {
    match event {
        Event::Prepared { result, .. } => result.as_ref().err(),
        Event::Pulled { result, .. } => result.as_ref().err(),
        Event::Created { result, .. } => result.as_ref().err(),
        Event::Started { result, .. } => result.as_ref().err(),
        Event::Restarted { result, .. } => result.as_ref().err(),
        Event::Removed { result, .. } => result.as_ref().err(),
        _ => None,
    }
}
