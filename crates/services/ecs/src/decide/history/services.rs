//! What a commit did to services and their deployments.

use ledger::{Change, Commit, Snapshot};

use super::{Happening, ResourceKind};
use crate::model::{Deployment, Service};
use crate::tables::{DeploymentKey, ServiceKey, Tables};

/// Adds what a commit did, in the order of its rows; what services say of themselves comes last.
pub(super) fn of_commit(told: &mut Vec<Happening>, commit: &Commit, tables: &Tables) {
    let tables = &tables.services;
    commit.changes_of(&tables.rows).for_each(|change| service(told, &change));
    commit.changes_of(&tables.deployments).for_each(|change| deployment(told, &change));
    for change in commit.changes_of(&tables.events) {
        if let (None, Some(line)) = (&change.before, &change.after) {
            tell(told, &change.key.0, "said", line.message.trim_end_matches('.').to_owned());
        }
    }
}

/// Adds what stands after `revision`: each service, each deployment, and what services said, which
/// is whole but for its time.
pub(super) fn found_after(
    told: &mut Vec<Happening>,
    snapshot: &Snapshot,
    tables: &Tables,
    revision: u64,
) {
    let tables = &tables.services;
    for (key, row) in snapshot.prefix(&tables.rows, &()).filter(|(_, row)| row.version() > revision)
    {
        let text = format!("found {}, {} wanted", row.status.as_str(), row.desired);
        tell(told, &key, "found", text);
    }
    let deployments = snapshot.prefix(&tables.deployments, &());
    for ((service, id), row) in deployments.filter(|(_, row)| row.version() > revision) {
        let (rollout, progress) = (row.rollout.as_str(), row.progress.as_str());
        let why = &row.rollout_reason;
        let text = format!("deployment {id} was found {rollout} ({progress}): {why}");
        tell(told, &service, "found", text);
    }
    let lines = snapshot.prefix(&tables.events, &());
    for ((service, _), line) in lines.filter(|(_, line)| line.created() > revision) {
        let text = format!("{} (at {})", line.message.trim_end_matches('.'), line.created_at);
        tell(told, &service, "said", text);
    }
}

fn tell(told: &mut Vec<Happening>, key: &ServiceKey, what: &'static str, text: String) {
    let arn = key.0.service_arn(key.1.clone()).to_string();
    told.push(Happening { kind: ResourceKind::Service, arn, what, text });
}

fn service(told: &mut Vec<Happening>, change: &Change<ServiceKey, Service>) {
    let key = &change.key;
    match (&change.before, &change.after) {
        (None, Some(row)) => {
            let text = format!("created by {}, {} wanted", row.created_by, row.desired);
            tell(told, key, "created", text);
        }
        (Some(_), None) => {
            let text = "no longer shown: it was deleted long enough ago".to_owned();
            tell(told, key, "forgotten", text);
        }
        (Some(before), Some(after)) => {
            if before.status != after.status {
                let text = format!("{} → {}", before.status.as_str(), after.status.as_str());
                tell(told, key, "status", text);
            }
            if before.desired != after.desired {
                let text = format!("{} wanted instead of {}", after.desired, before.desired);
                tell(told, key, "desired", text);
            }
            if before.configuration != after.configuration {
                let text = "its deployment configuration changed".to_owned();
                tell(told, key, "updated", text);
            }
        }
        (None, None) => {}
    }
}

fn deployment(told: &mut Vec<Happening>, change: &Change<DeploymentKey, Deployment>) {
    let (service, id) = &change.key;
    match (&change.before, &change.after) {
        (None, Some(row)) => {
            let text = format!("deployment {id} of revision {} began", row.revision);
            tell(told, service, "deployment", text);
        }
        (Some(before), Some(after)) if before.rollout != after.rollout => {
            let (then, now) = (before.rollout.as_str(), after.rollout.as_str());
            let text = format!("deployment {id}: {then} → {now}: {}", after.rollout_reason);
            tell(told, service, "deployment", text);
        }
        (Some(before), Some(after)) if before.progress != after.progress => {
            let (then, now) = (before.progress.as_str(), after.progress.as_str());
            let why = after.progress_reason.as_deref().unwrap_or_default();
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            tell(told, service, "deployment", format!("deployment {id}: {then} → {now}{why}"));
        }
        _ => {}
    }
}
