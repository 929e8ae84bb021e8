//! What `longshore why` tells of a task, in plain words.

use agent_protocol::node::PullUnderWay;
use serde::Serialize;
use terms::Timestamp;

use crate::model::{
    Container, ContainerInstance, ContainerStatus, DesiredStatus, Health, Task, TaskStatus,
};

/// The answer: one sentence, then what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Why {
    /// The task.
    pub(crate) task_arn: String,
    /// Where it is.
    pub(crate) last_status: &'static str,
    /// What is wanted of it.
    pub(crate) desired_status: &'static str,
    /// The answer in one sentence.
    pub(crate) summary: String,
    /// Why it is on its instance.
    pub(crate) placement: Vec<String>,
    /// What each container tells.
    pub(crate) containers: Vec<String>,
}

/// Explains a task. `instance` is the one that it was placed on, if it is still known; `pulls` are
/// the images that its agent is pulling for it.
pub(crate) fn explain(
    task: &Task,
    instance: Option<&ContainerInstance>,
    pulls: &[PullUnderWay],
    now: Timestamp,
) -> Why {
    let pull = |name: &str| pulls.iter().find(|pull| pull.container == name);
    let containers = task.containers.iter().map(|c| container(c, pull(c.name.as_str())));
    Why {
        task_arn: task.arn.to_string(),
        last_status: task.status.as_str(),
        desired_status: task.desired.as_str(),
        summary: summary(task, instance, now),
        placement: placement(task),
        containers: containers.collect(),
    }
}

fn summary(task: &Task, instance: Option<&ContainerInstance>, now: Timestamp) -> String {
    let since = |at: Option<Timestamp>| {
        let seconds = now.since(at.unwrap_or(task.created_at)).as_secs();
        format!("for {seconds} s")
    };
    let place = format!("{} {}", kind(task), task.instance);
    let away = !instance.is_some_and(|instance| instance.agent.connected);
    let stop = task.stop.as_ref().map(|stop| format!("{} ({})", stop.reason, stop.code.as_str()));
    let stop = stop.unwrap_or_else(|| "nothing is known".to_owned());
    match task.status {
        TaskStatus::Stopped => {
            let stopped = since(task.times.stopped_at);
            format!("It has been stopped {stopped}: {stop}.{}", left_behind(task))
        }
        TaskStatus::Stopping | TaskStatus::Deactivating | TaskStatus::Deprovisioning if away => {
            format!("It is to stop ({stop}), but the agent of {place} is not connected.")
        }
        TaskStatus::Stopping | TaskStatus::Deactivating | TaskStatus::Deprovisioning => {
            format!("It is being stopped {}: {stop}.", since(task.times.stopping_at))
        }
        TaskStatus::Running if task.health() == Health::Unhealthy => {
            format!("It runs on {place} {}, but is unhealthy.", since(task.times.started_at))
        }
        TaskStatus::Running => format!("It runs on {place} {}.", since(task.times.started_at)),
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => {
            format!("{} ({}).", waiting(task, &place, away), since(None))
        }
    }
}

/// What a task is on.
fn kind(task: &Task) -> &'static str {
    match task.fargate {
        None => "container instance",
        Some(_) => "Fargate node",
    }
}

/// What may be left of a task whose instance was taken away.
fn left_behind(task: &Task) -> String {
    if !task.abandoned {
        return String::new();
    }
    let address = match task.network {
        Some(_) => ", so their address goes to no other task as long as stopped tasks are kept",
        None => "",
    };
    let instance = task.instance;
    format!(
        " Nobody stopped its containers: they may still run on container instance {instance}, \
         which was deregistered{address}."
    )
}

/// What a task that does not run yet waits for.
fn waiting(task: &Task, place: &str, away: bool) -> String {
    if task.desired == DesiredStatus::Stopped {
        return format!("It was stopped before it ran; {place} has not yet said so");
    }
    if away {
        return format!("It waits for the agent of {place}, which is not connected");
    }
    match (task.times.pull_started_at, task.times.pull_stopped_at) {
        (Some(_), None) => format!("The agent of {place} is pulling its images"),
        (_, Some(_)) => format!("The agent of {place} has its images and is starting it"),
        (None, None) if task.times.connected_at.is_some() => {
            format!("The agent of {place} is preparing it")
        }
        (None, None) => format!("It was sent to {place}, which has not reported on it"),
    }
}

fn placement(task: &Task) -> Vec<String> {
    let told = &task.explanation;
    let zone = task.zone.as_ref().map(|zone| format!(" in zone {zone}")).unwrap_or_default();
    if told.considered == 0 {
        let instance = task.instance;
        let text =
            format!("It was started on container instance {instance}{zone}: StartTask named it.");
        return vec![text];
    }
    let rules = if told.strategy.is_empty() {
        "at random, as no strategy was asked for".to_owned()
    } else {
        format!("by {}", told.strategy.join(", then "))
    };
    let mut lines = vec![format!(
        "It was placed on {} {}{zone}: of {} instances {} could take it; chosen {rules}.",
        kind(task),
        task.instance,
        told.considered,
        told.fitting,
    )];
    if !told.constraints.is_empty() {
        lines.push(format!("It was bound by {}.", told.constraints.join(", and by ")));
    }
    // Some of ECS's words for a reason are whole sentences.
    let word = |reason: &str| reason.trim_end_matches('.').to_owned();
    let counts =
        told.refused.iter().map(|count| format!("{} × {}", count.instances, word(&count.reason)));
    let counts: Vec<String> = counts.collect();
    if !counts.is_empty() {
        lines.push(format!("Refused: {}.", counts.join(", ")));
    }
    let examples = told.examples.iter();
    lines.extend(
        examples
            .map(|note| format!("{}: {} ({}).", note.instance, note.detail, word(&note.reason))),
    );
    if told.retries > 0 {
        let times = told.retries;
        lines.push(format!("The choice was made again {times} times, as other tasks were faster."));
    }
    lines
}

fn container(container: &Container, pull: Option<&PullUnderWay>) -> String {
    let name = &container.name;
    let kind = if container.essential { "essential" } else { "not essential" };
    let mut text =
        format!("{name} ({kind}, image {}): {}", container.image, container.status.as_str());
    if let Some(code) = container.exit_code {
        text.push_str(&format!(", exit code {code}{}", signal(code)));
    }
    if container.health_check && container.status == ContainerStatus::Running {
        text.push_str(&format!(", health {}", container.health.as_str()));
    }
    if let Some(reason) = &container.reason {
        text.push_str(&format!(", {reason}"));
    }
    if let Some(pull) = pull {
        text.push_str(&format!(", {}", pulling(pull)));
    }
    text
}

/// How far a pull has come.
fn pulling(pull: &PullUnderWay) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut text = match pull.layers {
        0 => "asking the registry".to_owned(),
        layers => format!(
            "pulling: {:.1} of {:.1} MiB, {} of {layers} layers ready",
            mib(pull.bytes),
            mib(pull.total_bytes),
            pull.layers_ready,
        ),
    };
    if let Some(trouble) = &pull.trouble {
        text.push_str(&format!(" ({trouble})"));
    }
    text
}

/// What usually stands behind an exit code.
fn signal(code: i32) -> &'static str {
    match code {
        137 => " (killed: SIGKILL, or out of memory)",
        143 => " (ended by SIGTERM)",
        139 => " (crashed: SIGSEGV)",
        134 => " (aborted: SIGABRT)",
        _ => "",
    }
}
