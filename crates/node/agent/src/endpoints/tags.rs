//! `taskWithTags`: the control plane is asked for the tags of the task and of its instance
//! (agent-protocol §6.3). What it refuses is told in the answer, from version 4 on.

use serde_json::{Value, json};

use super::Sources;
use super::metadata::Version;
use crate::engine::TaskState;
use crate::transport::CallError;

/// Adds the tags to a task's metadata.
pub(super) async fn add(agent: &Sources, task: &TaskState, version: Version, told: &mut Value) {
    let instance = agent.instance.read().clone().unwrap_or_default();
    let arn = task.task.arn.to_string();
    let (of_instance, of_task) =
        tokio::join!(agent.transport.tags(&instance), agent.transport.tags(&arn));
    let mut errors = Vec::new();
    for (field, resource, tags) in
        [("ContainerInstanceTags", instance, of_instance), ("TaskTags", arn, of_task)]
    {
        match tags {
            Ok(tags) if tags.is_empty() => {}
            Ok(tags) => told[field] = json!(tags),
            Err(error) => errors.push(failure(field, &resource, &error)),
        }
    }
    if version == Version::V4 && !errors.is_empty() {
        told["Errors"] = errors.into();
    }
}

fn failure(field: &str, resource: &str, error: &CallError) -> Value {
    let (code, message, status) = match error {
        CallError::Service { code, message } => (code.as_str(), message.clone(), 400),
        CallError::Transport(cause) => ("InternalServerError", cause.clone(), 500),
    };
    json!({
        "ErrorField": field,
        "ErrorCode": code,
        "ErrorMessage": message,
        "StatusCode": status,
        "ResourceARN": resource,
    })
}
