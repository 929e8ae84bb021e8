//! Pure: what a commit did to tasks, instances, clusters and services, in words, for `longshore history`.

mod services;

use ledger::{Change, Commit, Row, Snapshot};
use serde::Serialize;
use terms::{ContainerInstanceArn, TaskArn};

use crate::model::{Cluster, Container, ContainerInstance, ContainerStatus, Task, TaskStatus};
use crate::tables::{ClusterKey, Tables, place_of, task_key};

/// What somebody can ask the history of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceKind {
    /// A task.
    Task,
    /// A container instance.
    Instance,
    /// A cluster.
    Cluster,
    /// A service, with its deployments.
    Service,
}

/// One thing that happened to one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// What kind of resource.
    pub kind: ResourceKind,
    /// Which.
    pub arn: String,
    /// A word for scripts: `created`, `status`, `desired`, `container`, `deleted`, ….
    pub what: &'static str,
    /// A sentence for people, without its full stop.
    pub text: String,
}

/// Everything that a commit did, in the order of its rows.
pub(crate) fn of_commit(commit: &Commit, tables: &Tables) -> Vec<Happening> {
    let mut told = Vec::new();
    commit.changes_of(&tables.tasks).for_each(|change| task(&mut told, &change));
    commit.changes_of(&tables.instances).for_each(|change| instance(&mut told, &change));
    commit.changes_of(&tables.clusters).for_each(|change| cluster(&mut told, &change));
    services::of_commit(&mut told, commit, tables);
    told
}

/// What stands after `revision` of which nobody followed how it came to be.
pub(crate) fn found_after(snapshot: &Snapshot, tables: &Tables, revision: u64) -> Vec<Happening> {
    let mut told = Vec::new();
    for (_, row) in snapshot.prefix(&tables.tasks, &()).filter(|(_, row)| row.version() > revision)
    {
        let text = format!(
            "found {} (wanted {}) on {}; how it came to this was not followed",
            row.status.as_str(),
            row.desired.as_str(),
            row.instance
        );
        told.push(of_task(&row.arn, "found", text));
    }
    for (_, row) in
        snapshot.prefix(&tables.instances, &()).filter(|(_, row)| row.version() > revision)
    {
        let away = if row.agent.connected { "connected" } else { "not connected" };
        let text = format!("found {}, its agent {away}", row.status.as_str());
        told.push(of_instance(&row.arn, "found", text));
    }
    services::found_after(&mut told, snapshot, tables, revision);
    told
}

fn of_task(arn: &TaskArn, what: &'static str, text: String) -> Happening {
    Happening { kind: ResourceKind::Task, arn: arn.to_string(), what, text }
}

fn of_instance(arn: &ContainerInstanceArn, what: &'static str, text: String) -> Happening {
    Happening { kind: ResourceKind::Instance, arn: arn.to_string(), what, text }
}

fn task<K>(told: &mut Vec<Happening>, change: &Change<K, Task>) {
    match (&change.before, &change.after) {
        (None, Some(task)) => created(told, task),
        (Some(before), Some(after)) => moved(told, before, after),
        (Some(before), None) => {
            let text = "no longer shown: it stopped long enough ago".to_owned();
            told.push(of_task(&before.arn, "forgotten", text));
        }
        (None, None) => {}
    }
}

fn instance_arn(task: &Task) -> ContainerInstanceArn {
    let (ground, id) = place_of(&task_key(&task.arn), task);
    ground.instance_arn(id)
}

fn created(told: &mut Vec<Happening>, task: &Row<Task>) {
    let definition = format!("{}:{}", task.definition.family, task.definition.revision);
    let by = task.started_by.as_deref().map(|by| format!(", started by {by}")).unwrap_or_default();
    let zone = task.zone.as_deref().map(|zone| format!(" in {zone}")).unwrap_or_default();
    let text = format!(
        "created from {definition} for {}{by}: {}, placed on {}{zone}",
        task.group,
        task.status.as_str(),
        task.instance
    );
    told.push(of_task(&task.arn, "created", text));
    let text = format!("task {} ({definition}) was placed here", task.arn.id);
    told.push(of_instance(&instance_arn(task), "task", text));
}

fn moved(told: &mut Vec<Happening>, before: &Row<Task>, after: &Row<Task>) {
    let arn = &after.arn;
    let stop =
        || after.stop.as_ref().map(|stop| format!(": {} ({})", stop.reason, stop.code.as_str()));
    if before.desired != after.desired {
        let why = stop().unwrap_or_default();
        let text = format!(
            "wanted {} instead of {}{why}",
            after.desired.as_str(),
            before.desired.as_str()
        );
        told.push(of_task(arn, "desired", text));
    }
    for (now, then) in after.containers.iter().zip(&before.containers) {
        told.extend(container(then, now).map(|text| of_task(arn, "container", text)));
    }
    if before.status != after.status {
        let why = (after.status == TaskStatus::Stopped).then(stop).flatten().unwrap_or_default();
        let text = format!("{} → {}{why}", before.status.as_str(), after.status.as_str());
        told.push(of_task(arn, "status", text));
        if matches!(after.status, TaskStatus::Running | TaskStatus::Stopped) {
            let text = format!("task {} is {}", arn.id, after.status.as_str());
            told.push(of_instance(&instance_arn(after), "task", text));
        }
    }
    let (was, is) = (&before.times, &after.times);
    if was.pull_stopped_at.is_none()
        && let Some(end) = is.pull_stopped_at
    {
        let took = is.pull_started_at.map(|begin| format!(" in {:?}", end.since(begin)));
        let text = format!("images were pulled{}", took.unwrap_or_default());
        told.push(of_task(arn, "pulled", text));
    }
    if before.health() != after.health() {
        let text = format!("health {} → {}", before.health().as_str(), after.health().as_str());
        told.push(of_task(arn, "health", text));
    }
    if before.protected_until != after.protected_until {
        let text = match after.protected_until {
            Some(until) => format!("protected from scaling in until {until}"),
            None => "no longer protected from scaling in".to_owned(),
        };
        told.push(of_task(arn, "protection", text));
    }
    if after.abandoned && !before.abandoned {
        let text = "its instance was taken away; its containers may still run there".to_owned();
        told.push(of_task(arn, "abandoned", text));
    }
}

fn container(before: &Container, after: &Container) -> Option<String> {
    if before.status == after.status {
        return None;
    }
    let mut text =
        format!("container {}: {} → {}", after.name, before.status.as_str(), after.status.as_str());
    if after.status == ContainerStatus::Stopped {
        if let Some(code) = after.exit_code {
            text += &format!(", exit code {code}");
        }
        if let Some(reason) = &after.reason {
            text += &format!(", {reason}");
        }
    }
    Some(text)
}

fn instance<K>(told: &mut Vec<Happening>, change: &Change<K, ContainerInstance>) {
    match (&change.before, &change.after) {
        (None, Some(row)) => {
            let name = row.node.as_deref().map(|name| format!(" as '{name}'")).unwrap_or_default();
            told.push(of_instance(&row.arn, "created", format!("registered{name}")));
            told.push(of_cluster_of(&row.arn, format!("instance {} registered{name}", row.arn.id)));
        }
        (Some(before), Some(after)) => instance_moved(told, before, after),
        (Some(before), None) => {
            let text = "no longer shown: it was deregistered long enough ago".to_owned();
            told.push(of_instance(&before.arn, "forgotten", text));
        }
        (None, None) => {}
    }
}

fn instance_moved(
    told: &mut Vec<Happening>,
    before: &Row<ContainerInstance>,
    after: &Row<ContainerInstance>,
) {
    let arn = &after.arn;
    if before.status != after.status {
        let text = format!("{} → {}", before.status.as_str(), after.status.as_str());
        told.push(of_cluster_of(arn, format!("instance {} is {}", arn.id, after.status.as_str())));
        told.push(of_instance(arn, "status", text));
    }
    if before.agent.connected != after.agent.connected {
        let text = match (after.agent.connected, &after.agent.version) {
            (true, Some(version)) => format!("its agent connected (version {version})"),
            (true, None) => "its agent connected".to_owned(),
            (false, _) => "its agent is away".to_owned(),
        };
        told.push(of_instance(arn, "agent", text));
    }
    if before.attributes != after.attributes {
        let text = "its attributes changed".to_owned();
        told.push(of_instance(arn, "attributes", text));
    }
    if before.registered != after.registered {
        told.push(of_instance(arn, "resources", "it registered other resources".to_owned()));
    }
}

fn of_cluster_of(arn: &ContainerInstanceArn, text: String) -> Happening {
    let ContainerInstanceArn { region, account, cluster, .. } = arn;
    let arn = format!("arn:aws:ecs:{region}:{account}:cluster/{cluster}");
    Happening { kind: ResourceKind::Cluster, arn, what: "instance", text }
}

fn cluster(told: &mut Vec<Happening>, change: &Change<ClusterKey, Cluster>) {
    let arn = change.key.arn().to_string();
    let mut tell = |what, text: String| {
        told.push(Happening { kind: ResourceKind::Cluster, arn: arn.clone(), what, text });
    };
    match (&change.before, &change.after) {
        (None, Some(_)) => tell("created", "created".to_owned()),
        (Some(_), None) => tell("forgotten", "no longer shown: it was deleted".to_owned()),
        (Some(before), Some(after)) if before.status != after.status => {
            tell("status", format!("{} → {}", before.status.as_str(), after.status.as_str()));
        }
        (Some(before), Some(after)) => {
            let changed = [
                ("settings", before.settings != after.settings),
                ("configuration", before.configuration != after.configuration),
                ("capacity providers", before.capacity_providers != after.capacity_providers),
                ("default strategy", before.default_strategy != after.default_strategy),
                ("tags", before.tags != after.tags),
            ];
            for (name, _) in changed.into_iter().filter(|(_, changed)| *changed) {
                tell("updated", format!("its {name} changed"));
            }
        }
        (None, None) => {}
    }
}
