//! ECS calls as JSON documents, the form in which commands read files and print answers.

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use wire::client::Client;

/// Calls an operation of ECS.
///
/// # Errors
/// If the server cannot be reached or refuses; the text carries ECS's code and message.
pub async fn ecs(client: &Client, operation: &str, input: &Value) -> Result<Value> {
    let answer = client.invoke(&shapes_ecs::SERVICE, operation, input).await;
    answer.map_err(anyhow::Error::from)
}

/// A task as DescribeTasks tells it.
///
/// # Errors
/// If the call fails, or the cluster has no such task.
pub async fn task(client: &Client, cluster: &str, task: &str) -> Result<Value> {
    let input = json!({"cluster": cluster, "tasks": [task]});
    let mut answer = ecs(client, "DescribeTasks", &input).await?;
    match answer["tasks"].get_mut(0) {
        Some(task) => Ok(task.take()),
        None => Err(anyhow!(
            "the cluster {cluster} has no task {task}; 'longshore status' lists those it has"
        )),
    }
}

/// All pages of a List… operation: its ARNs in the order given.
///
/// # Errors
/// If a call fails.
pub async fn list(
    client: &Client,
    operation: &str,
    input: Value,
    field: &str,
) -> Result<Vec<Value>> {
    let (mut input, mut all) = (input, Vec::new());
    loop {
        let mut page = ecs(client, operation, &input).await?;
        if let Some(items) = page[field].as_array_mut() {
            all.append(items);
        }
        match page["nextToken"].take() {
            Value::String(token) if !token.is_empty() => input["nextToken"] = token.into(),
            _ => return Ok(all),
        }
    }
}

/// A text member, or nothing.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// The last part of an ARN: what people type.
pub fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// The id of a task that people name by id or ARN.
///
/// # Errors
/// When it is neither, with the next step.
pub fn task_id(task: &str) -> Result<&str> {
    let id = short(task);
    let good = id.len() == TASK_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then_some(id).ok_or_else(|| {
        anyhow!(
            "'{task}' is no task's id or ARN: an id has {TASK_ID_DIGITS} hexadecimal digits; \
             'longshore status' lists the tasks"
        )
    })
}

/// Digits of a task's id.
const TASK_ID_DIGITS: usize = 32;

/// The attribute under which our agents say where their published ports are reached.
pub const ADDRESS_ATTRIBUTE: &str = "longshore.address";

/// The value of a container instance's attribute, or nothing.
pub fn attribute<'a>(instance: &'a Value, name: &str) -> &'a str {
    let mut all = instance["attributes"].as_array().into_iter().flatten();
    all.find(|attribute| text(attribute, "name") == name).map_or("", |found| text(found, "value"))
}

/// The instance among these that a task is on.
pub fn instance_of<'a>(task: &Value, instances: &'a [Value]) -> Option<&'a Value> {
    let arn = text(task, "containerInstanceArn");
    instances.iter().find(|instance| text(instance, "containerInstanceArn") == arn)
}

/// Where a task is reached: its interface's address, or its published ports at its instance's
/// address, in the order of its containers.
pub fn addresses(task: &Value, instance: Option<&Value>) -> Vec<String> {
    let containers = || task["containers"].as_array().into_iter().flatten();
    let at_instance = instance.map_or("", |instance| attribute(instance, ADDRESS_ATTRIBUTE));
    let at_instance = if at_instance.is_empty() { "127.0.0.1" } else { at_instance };
    let bindings = containers().flat_map(|c| c["networkBindings"].as_array().into_iter().flatten());
    let address = |binding: &Value| {
        let port = binding["hostPort"].as_u64()?;
        let ip = match text(binding, "bindIP") {
            "" | "0.0.0.0" => at_instance,
            ip => ip,
        };
        Some(format!("{ip}:{port}"))
    };
    let interfaces =
        containers().flat_map(|c| c["networkInterfaces"].as_array().into_iter().flatten());
    let mut own: Vec<String> = interfaces
        .map(|interface| text(interface, "privateIpv4Address").to_owned())
        .filter(|address| !address.is_empty())
        .collect();
    own.dedup();
    own.into_iter().chain(bindings.filter_map(address)).collect()
}

/// Why a task stopped: its own reason, then those of its containers.
pub fn why_stopped(task: &Value) -> String {
    let containers = task["containers"].as_array().into_iter().flatten();
    let told = containers.filter_map(|container| {
        let (name, reason) = (text(container, "name"), text(container, "reason"));
        match (container["exitCode"].as_i64(), reason) {
            (None, "") => None,
            (Some(code), "") => Some(format!("{name} exited with {code}")),
            (_, reason) => Some(format!("{name}: {reason}")),
        }
    });
    let reason = match text(task, "stoppedReason") {
        "" => "no reason was given".to_owned(),
        reason => reason.to_owned(),
    };
    std::iter::once(reason).chain(told).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_by_id_or_arn() {
        let id = "5f3b2a1c4d5e6f708192a3b4c5d6e7f8";
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{id}");
        assert_eq!(task_id(id).ok(), Some(id));
        assert_eq!(task_id(&arn).ok(), Some(id));
        for wrong in ["nope", "", "web:1", &id[1..]] {
            let told = task_id(wrong).map_err(|error| error.to_string());
            assert!(told.is_err_and(|told| told.contains("longshore status")), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_where_a_task_is_reached() {
        let task = json!({"containers": [
            {"networkBindings": [{"bindIP": "0.0.0.0", "hostPort": 32768}]},
            {"networkBindings": [{"bindIP": "10.0.0.1", "hostPort": 80}]},
            {},
        ]});
        assert_eq!(addresses(&task, None), ["127.0.0.1:32768", "10.0.0.1:80"]);
        let instance = json!({"attributes": [{"name": ADDRESS_ATTRIBUTE, "value": "10.0.0.9"}]});
        assert_eq!(addresses(&task, Some(&instance)), ["10.0.0.9:32768", "10.0.0.1:80"]);
        let awsvpc = json!({"containers": [
            {"networkInterfaces": [{"privateIpv4Address": "172.31.0.5"}]},
            {"networkInterfaces": [{"privateIpv4Address": "172.31.0.5"}]},
        ]});
        assert_eq!(addresses(&awsvpc, Some(&instance)), ["172.31.0.5"]);
    }

    #[test]
    fn a_stop_is_told_with_its_causes() {
        let task = json!({"stoppedReason": "Essential container in task exited", "containers": [
            {"name": "web", "exitCode": 3},
            {"name": "db", "exitCode": 137, "reason": "OutOfMemoryError: Container killed"},
            {"name": "never"},
        ]});
        assert_eq!(
            why_stopped(&task),
            "Essential container in task exited; web exited with 3; \
             db: OutOfMemoryError: Container killed"
        );
    }
}
