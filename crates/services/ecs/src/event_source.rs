//! What ECS tells EventBridge, in the form that its documentation shows ("Amazon ECS events").

#[cfg(test)]
mod tests;

use std::sync::Arc;

use events::{Moment, Source};
use ledger::{Commit, Ledger, Revision, Row, Snapshot};
use serde_json::{Map, Value, json};
use terms::Timestamp;
use wire::protocol::JsonWriter;
use wire::value::Structure;

use crate::Ecs;
use crate::api;
use crate::decide::events::{self as decide, Told};
use crate::model::{ContainerInstance, ServiceEventKind, Task};
use crate::tables::{ClusterKey, InstanceKey, ServiceKey, Tables};

const SOURCE: &str = "aws.ecs";
/// Room for a detail, in bytes, at first.
const DETAIL_BYTES: usize = 2048;

/// Makes events of this crate's rows. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventSource {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
}

impl Ecs {
    /// Makes events of what commits do to tasks, instances, services and deployments.
    pub fn event_source(&self) -> Arc<dyn Source> {
        let (ledger, tables) = (self.api.ledger.clone(), self.api.tables);
        Arc::new(EventSource { ledger, tables })
    }
}

impl Source for EventSource {
    fn of_commit(&self, commit: &Commit) -> Vec<Moment> {
        let told = decide::of_commit(commit, &self.ledger.snapshot(), &self.tables);
        told.into_iter().map(|told| self.moment(told)).collect()
    }

    fn found_after(&self, snapshot: &Snapshot, revision: Revision) -> Vec<(Revision, Moment)> {
        let told = decide::found_after(snapshot, &self.tables, revision);
        told.into_iter().map(|(revision, told)| (revision, self.moment(told))).collect()
    }
}

impl EventSource {
    fn moment(&self, told: Told) -> Moment {
        let now = self.ledger.clock().now();
        match told {
            Told::Task((cluster, _), row) => {
                let arn = row.arn.to_string();
                let detail = Arc::new(move || task(&row, now));
                moment(&cluster, "ECS Task State Change", arn, detail)
            }
            Told::Instance(key, row, version) => {
                let (this, arn) = (self.clone(), row.arn.to_string());
                let cluster = key.0.clone();
                let detail = Arc::new(move || this.instance(&key, &row, version, now));
                moment(&cluster, "ECS Container Instance State Change", arn, detail)
            }
            Told::Action((key, _), row, action) => {
                let cluster = key.0.clone();
                let arn = cluster.service_arn(key.1.clone()).to_string();
                let detail = Arc::new(move || {
                    let mut detail = json!({
                        "eventType": action.kind,
                        "eventName": action.name,
                        "clusterArn": key.0.arn().to_string(),
                        "createdAt": row.created_at.to_string(),
                    });
                    add_particulars(&mut detail, &key, (&row.kind, action));
                    detail.to_string()
                });
                moment(&cluster, "ECS Service Action", arn, detail)
            }
            Told::Deployment(((cluster, service), id), row) => {
                let arn = cluster.service_arn(service).to_string();
                let action = decide::of_rollout(row.rollout);
                let detail = Arc::new(move || {
                    json!({
                        "eventType": action.kind,
                        "eventName": action.name,
                        "deploymentId": id.to_string(),
                        "updatedAt": row.updated_at.to_string(),
                        "reason": reason(&row.rollout_reason),
                    })
                    .to_string()
                });
                moment(&cluster, "ECS Deployment State Change", arn, detail)
            }
        }
    }

    /// The instance with what is free on it when somebody wants to know: an event that is written
    /// out late tells of a newer state, as does the one after it.
    fn instance(
        &self,
        key: &InstanceKey,
        row: &ContainerInstance,
        version: Revision,
        now: Timestamp,
    ) -> String {
        let snapshot = self.ledger.snapshot();
        let tasks: Vec<Row<Task>> =
            snapshot.index(&self.tables.held, key).map(|(_, task)| task).collect();
        let shown = api::show_instance(row, &tasks, version);
        let mut detail = object(&shown);
        for name in ["runningTasksCount", "pendingTasksCount", "tags", "attachments"] {
            detail.remove(name);
        }
        detail.insert("clusterArn".to_owned(), json!(key.0.arn().to_string()));
        detail.insert("updatedAt".to_owned(), json!(now.to_string()));
        Value::Object(detail).to_string()
    }
}

/// Why a deployment is where it is, as events say it: `rolloutStateReason` has `tasks failed`, and the
/// documented event `task failed` (ECS semantics §17).
fn reason(rollout_state_reason: &str) -> String {
    rollout_state_reason.replace("tasks failed to start", "task failed to start")
}

/// Adds what only some actions have: why, how many, and of which instances, capacity providers, tasks
/// and task sets of the service.
fn add_particulars(
    detail: &mut Value,
    of: &ServiceKey,
    (kind, action): (&ServiceEventKind, decide::Action),
) {
    use ServiceEventKind as Kind;
    match kind {
        Kind::PlacementFailure(reason) | Kind::ConfigurationFailure(reason) => {
            detail["reason"] = json!(reason);
        }
        Kind::Unplaced { reason, instances, providers } => {
            detail["reason"] = json!(reason);
            for (name, arns) in
                [("containerInstanceArns", instances), ("capacityProviderArns", providers)]
            {
                if !arns.is_empty() {
                    detail[name] = json!(arns);
                }
            }
        }
        Kind::SteadyStateOf(providers) if action == decide::PROVIDERS_STEADY => {
            detail["capacityProviderArns"] = json!(providers);
        }
        Kind::TaskSetSteady(set) => detail["taskSetArns"] = json!([api::task_set_arn(of, *set)]),
        Kind::DesiredCountUpdated { desired, set } => {
            detail["desiredCount"] = json!(desired);
            if let Some(set) = set {
                detail["taskSetArns"] = json!([api::task_set_arn(of, *set)]);
            }
        }
        Kind::HealthUnknown(tasks) => {
            let arn = |id: &terms::TaskId| of.0.task_arn(*id).to_string();
            detail["taskArns"] = json!(tasks.iter().map(arn).collect::<Vec<_>>());
        }
        _ => {}
    }
}

fn moment(
    cluster: &ClusterKey,
    detail_type: &'static str,
    arn: String,
    detail: Arc<dyn Fn() -> String + Send + Sync>,
) -> Moment {
    let crate::tables::Scope { account, region } = cluster.scope.clone();
    let scope = events::Scope { account, region };
    Moment { scope, source: SOURCE, detail_type, resources: vec![arn], detail }
}

/// The task as DescribeTasks shows it, without health and tags, its interfaces called `eni`, and
/// with times in words.
fn task(row: &Task, now: Timestamp) -> String {
    let mut shown = api::show_task(row);
    for attachment in shown.attachments.iter_mut().flatten() {
        attachment.type_ = Some("eni".to_owned());
    }
    let mut detail = object(&shown);
    for name in ["healthStatus", "tags", "inferenceAccelerators"] {
        detail.remove(name);
    }
    let containers = detail.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.remove("healthStatus");
    }
    detail.insert("updatedAt".to_owned(), json!(now.to_string()));
    Value::Object(detail).to_string()
}

/// A shape as JSON with times in ISO 8601.
fn object<T: Structure + wire::value::Value>(shape: &T) -> Map<String, Value> {
    let mut writer = JsonWriter::with_capacity(DETAIL_BYTES).with_times_in_words();
    shape.write(&mut writer, T::SCHEMA);
    serde_json::from_slice(&writer.finish()).unwrap_or_default()
}
