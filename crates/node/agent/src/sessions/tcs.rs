//! TCS: metrics and health every 20 seconds, a changed health at once (agent-protocol §4).

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::tcs::{
    AgentMessage, ContainerHealth, MAX_TASKS_PER_REQUEST, Metadata, PublishHealth,
    PublishInstanceStatus, PublishMetrics, ServerMessage, TaskHealth,
};
use terms::Uuid;
use tokio::time::{Instant, MissedTickBehavior};

use super::Context;
use super::backoff::{Backoff, spread};
use super::sampler::Sampler;
use crate::engine::{Phase, Status, TaskState};
use crate::transport::{Channel, Closed, ConnectError, InstanceQuery};

/// Time between two publications.
const PERIOD: Duration = Duration::from_secs(20);
/// Time between two samples. Amazon's agent takes one each second; four to a publication tell
/// nearly as much and keep an idle agent idle.
const SAMPLE_PERIOD: Duration = Duration::from_secs(5);
/// Without a message for this long, plus up to as much again, the connection is closed.
const INACTIVITY: Duration = Duration::from_secs(60);
/// A connection lives this long, plus up to [`ROTATION_SPREAD`].
const ROTATION: Duration = Duration::from_secs(30 * 60);
/// See [`ROTATION`].
const ROTATION_SPREAD: Duration = Duration::from_secs(5 * 60);
/// A connection that lived this long ends the run of failures.
const SETTLED: Duration = Duration::from_secs(60);
/// The wait when the control plane does not know the instance any more.
const INACTIVE_WAIT: Duration = Duration::from_secs(3600);

type Tcs = Channel<AgentMessage, ServerMessage>;

/// Keeps the channel until the agent ends.
pub(crate) async fn run(context: &Context) {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60), 2.0);
    let mut sampler = Sampler::default();
    while !context.shutdown.is_cancelled() {
        let since = Instant::now();
        let closed = match connect(context).await {
            Ok(channel) => session(context, &mut sampler, channel).await,
            Err(error) => error.into(),
        };
        if since.elapsed() >= SETTLED {
            backoff.reset();
        }
        let wait = match closed {
            Closed::Cleanly => {
                backoff.reset();
                continue;
            }
            Closed::Busy(wait) => spread(wait, wait, &*context.ids),
            Closed::Broken(error) => {
                let wait = backoff.next(&*context.ids);
                tracing::debug!(error, ?wait, "the telemetry channel is tried again");
                wait
            }
            Closed::Inactive(_) => INACTIVE_WAIT,
        };
        if !context.wait(wait).await {
            return;
        }
    }
}

async fn connect(context: &Context) -> Result<Tcs, ConnectError> {
    let endpoints = context.discover().await.map_err(ConnectError::Failed)?;
    let endpoint = endpoints
        .telemetry_endpoint
        .ok_or_else(|| ConnectError::Failed("the server names no telemetry endpoint".to_owned()))?;
    let query = InstanceQuery {
        endpoint,
        cluster: context.cluster.clone(),
        container_instance_arn: context.instance.clone(),
    };
    tokio::select! {
        biased;
        () = context.shutdown.cancelled() => Err(ConnectError::Failed("ending".to_owned())),
        channel = context.transport.tcs(&query) => channel,
    }
}

async fn session(context: &Context, sampler: &mut Sampler, mut channel: Tcs) -> Closed {
    let ids = &*context.ids;
    let expires = Instant::now() + spread(ROTATION, ROTATION_SPREAD, ids);
    let mut inactive_at = Instant::now() + spread(INACTIVITY, INACTIVITY, ids);
    let mut samples = tokio::time::interval(SAMPLE_PERIOD);
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut publications = tokio::time::interval(PERIOD);
    publications.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let messages = tokio::select! {
            biased;
            () = context.shutdown.cancelled() => {
                channel.sender.close("").await;
                return Closed::Cleanly;
            }
            message = channel.receiver.receive() => match message {
                Ok(_) => {
                    inactive_at = Instant::now() + spread(INACTIVITY, INACTIVITY, ids);
                    continue;
                }
                Err(closed) => return closed,
            },
            () = context.inactive.notified() => {
                channel.sender.close("").await;
                return Closed::Inactive("the instance is gone".to_owned());
            }
            () = context.health_changed.notified() => {
                let mut messages = health(context, &context.view.tasks());
                messages.extend(instance(context));
                messages
            }
            _ = publications.tick() => publication(context, sampler),
            _ = samples.tick() => {
                let tasks = context.view.tasks();
                sampler.sample(&tasks, &*context.containers, context.clock.now()).await;
                continue;
            }
            () = tokio::time::sleep_until(expires) => {
                channel.sender.close("").await;
                return Closed::Cleanly;
            }
            () = tokio::time::sleep_until(inactive_at) => {
                channel.sender.close("").await;
                return Closed::Broken("no message came for a minute or more".to_owned());
            }
        };
        for message in messages {
            if let Err(closed) = channel.sender.send(message).await {
                return closed;
            }
        }
    }
}

fn publication(context: &Context, sampler: &mut Sampler) -> Vec<AgentMessage> {
    let tasks = context.view.tasks();
    let mut messages = metrics(context, sampler, &tasks);
    messages.extend(health(context, &tasks));
    messages.extend(instance(context));
    messages
}

/// What the instance says of itself, if it is news.
fn instance(context: &Context) -> Option<AgentMessage> {
    let statuses = context.health.take();
    if statuses.is_empty() {
        return None;
    }
    let request_id = Some(Uuid::from_random(context.ids.next()).to_string());
    let metadata = Metadata { request_id, ..metadata(context) };
    let timestamp = context.clock.now().seconds_f64();
    Some(PublishInstanceStatus { metadata, statuses, timestamp }.into())
}

fn metadata(context: &Context) -> Metadata {
    Metadata {
        cluster: context.cluster.clone(),
        container_instance: context.instance.clone(),
        ..Metadata::default()
    }
}

/// The metadata of a round of requests; one message id for all, `fin` on the last.
fn round(context: &Context) -> impl Fn(bool) -> Metadata {
    let message_id = Some(Uuid::from_random(context.ids.next()).to_string());
    let base = Metadata { message_id, ..metadata(context) };
    move |is_last| Metadata { fin: Some(is_last), ..base.clone() }
}

/// An instance without tasks says that it is idle.
fn metrics(
    context: &Context,
    sampler: &mut Sampler,
    tasks: &[Arc<TaskState>],
) -> Vec<AgentMessage> {
    let round = round(context);
    let timestamp = context.clock.now().seconds_f64();
    let busy = tasks.iter().any(|task| task.status() == Status::Running);
    if !busy {
        let metadata = Metadata { idle: Some(true), ..round(true) };
        return vec![PublishMetrics { metadata, task_metrics: Vec::new(), timestamp }.into()];
    }
    let all = sampler.take(tasks);
    let count = all.len().div_ceil(MAX_TASKS_PER_REQUEST);
    let requests = all.chunks(MAX_TASKS_PER_REQUEST).enumerate().map(|(index, part)| {
        let metadata = Metadata { idle: Some(false), ..round(index + 1 == count) };
        PublishMetrics { metadata, task_metrics: part.to_vec(), timestamp }.into()
    });
    requests.collect()
}

/// The health of all running containers that have a check.
fn health(context: &Context, tasks: &[Arc<TaskState>]) -> Vec<AgentMessage> {
    let all: Vec<_> = tasks.iter().filter_map(|task| task_health(task)).collect();
    let round = round(context);
    let timestamp = context.clock.now().seconds_f64();
    let count = all.len().div_ceil(MAX_TASKS_PER_REQUEST);
    let requests = all.chunks(MAX_TASKS_PER_REQUEST).enumerate().map(|(index, part)| {
        let metadata = round(index + 1 == count);
        PublishHealth { metadata, tasks: part.to_vec(), timestamp }.into()
    });
    requests.collect()
}

fn task_health(task: &TaskState) -> Option<TaskHealth> {
    let checked = task.containers.iter().filter(|container| container.phase == Phase::Running);
    let containers: Vec<_> = checked
        .filter_map(|container| {
            let health = container.health.as_ref()?;
            Some(ContainerHealth {
                container_name: container.name.clone(),
                health_status: health.status,
                status_since: health.since.seconds_f64(),
            })
        })
        .collect();
    (!containers.is_empty()).then(|| TaskHealth {
        task_arn: task.task.arn.clone(),
        task_definition_family: task.task.family.clone(),
        task_definition_version: task.task.version.clone(),
        containers,
    })
}
