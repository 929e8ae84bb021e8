//! How Amazon's agent reads what the control plane says (agent protocol §2.5, §2.6, §9): what it
//! would drop, refuse or stumble over is told.

use serde_json::{Map, Value};

/// Members that the agent wants as texts, wherever they stand in a task or container.
const TEXTS: [&str; 12] = [
    "arn",
    "family",
    "version",
    "desiredStatus",
    "overrides",
    "name",
    "image",
    "taskClusterArn",
    "networkMode",
    "containerArn",
    "healthCheckType",
    "logsAuthStrategy",
];

/// Checks a frame for the agent, as its message and type.
///
/// # Errors
/// What the agent would not take.
pub fn check(kind: &str, body: &Value) -> Result<(), String> {
    let named = |name: &str| present(body, name);
    match kind {
        "HeartbeatMessage" | "TaskStopVerificationAck" => named("messageId"),
        "TaskManifestMessage" => {
            named("messageId")?;
            if !body["timeline"].is_i64() {
                return Err("a manifest without a timeline crashes the agent".to_owned());
            }
            list(body, "tasks").iter().try_for_each(|task| {
                ["taskArn", "desiredStatus"].iter().try_for_each(|name| present(task, name))
            })
        }
        "IAMRoleCredentialsMessage" => {
            ["messageId", "taskArn"].iter().try_for_each(|name| named(name))?;
            if !matches!(body["roleType"].as_str(), Some("TaskApplication" | "TaskExecution")) {
                return Err(format!("roleType {}", body["roleType"]));
            }
            credentials(&body["roleCredentials"])
        }
        "PayloadMessage" => {
            let wanted = ["messageId", "clusterArn", "containerInstanceArn"];
            wanted.iter().try_for_each(|name| named(name))?;
            if !body["seqNum"].is_i64() {
                return Err(format!("seqNum {}", body["seqNum"]));
            }
            list(body, "tasks").iter().try_for_each(task)
        }
        other => Err(format!("the agent knows no message '{other}'")),
    }
}

fn present(value: &Value, name: &str) -> Result<(), String> {
    match value[name].as_str() {
        Some(text) if !text.is_empty() => Ok(()),
        _ => Err(format!("{name} is missing or no text: {}", value[name])),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn credentials(value: &Value) -> Result<(), String> {
    let wanted = ["credentialsId", "accessKeyId", "secretAccessKey", "sessionToken", "roleArn"];
    wanted.iter().try_for_each(|name| present(value, name))?;
    present(value, "expiration")
}

fn task(task: &Value) -> Result<(), String> {
    ["arn", "version", "family"].iter().try_for_each(|name| present(task, name))?;
    texts(task)?;
    if !matches!(task["desiredStatus"].as_str(), Some("RUNNING" | "STOPPED")) {
        return Err(format!("desiredStatus {}", task["desiredStatus"]));
    }
    if list(task, "containers").is_empty() {
        return Err("a task without containers never leaves its first state".to_owned());
    }
    if task.get("cpu").is_some_and(|cpu| !cpu.is_f64()) {
        return Err(format!("cpu is counted in vCPUs: {}", task["cpu"]));
    }
    for role in ["roleCredentials", "executionRoleCredentials"] {
        task.get(role).map_or(Ok(()), credentials)?;
    }
    for volume in list(task, "volumes") {
        present(volume, "name")?;
        let is_host = volume["type"].as_str().is_none_or(|kind| kind == "host");
        if is_host && list(task, "attachments").is_empty() && !volume["host"].is_object() {
            return Err(format!("volume {} has no host", volume["name"]));
        }
    }
    list(task, "containers").iter().try_for_each(container)
}

fn texts(value: &Value) -> Result<(), String> {
    for name in TEXTS {
        if value.get(name).is_some_and(|member| !member.is_string()) {
            return Err(format!("{name} is no text: {}", value[name]));
        }
    }
    Ok(())
}

fn container(container: &Value) -> Result<(), String> {
    ["name", "image"].iter().try_for_each(|name| present(container, name))?;
    texts(container)?;
    if !container["essential"].is_boolean() {
        return Err("essential must be said".to_owned());
    }
    for name in ["cpu", "memory"] {
        if !container[name].is_u64() {
            return Err(format!("{name} {}", container[name]));
        }
    }
    let environment = container["environment"].as_object();
    let environment = environment.ok_or("environment is no map")?;
    if environment.values().any(|value| !value.is_string()) {
        return Err(format!("environment {}", container["environment"]));
    }
    let overrides = object(container, "overrides")?;
    if let Some(other) = overrides.keys().find(|name| *name != "command") {
        return Err(format!("overrides may have a command alone, not {other}"));
    }
    for port in list(container, "portMappings") {
        if !matches!(port["protocol"].as_str(), None | Some("tcp" | "udp")) {
            return Err(format!("protocol {}", port["protocol"]));
        }
    }
    for depends in list(container, "dependsOn") {
        let known = ["START", "COMPLETE", "SUCCESS", "HEALTHY"];
        if !known.iter().any(|one| depends["condition"] == **one) {
            return Err(format!("condition {}", depends["condition"]));
        }
    }
    docker(container)
}

/// The parts that travel as texts with JSON in Docker's forms.
fn docker(container: &Value) -> Result<(), String> {
    let docker = &container["dockerConfig"];
    let config = object(docker, "config")?;
    let host = object(docker, "hostConfig")?;
    if container["healthCheckType"] == "docker" && !config.contains_key("Healthcheck") {
        return Err("healthCheckType wants a Healthcheck".to_owned());
    }
    if !host.contains_key("NetworkMode") {
        return Err("hostConfig has no NetworkMode".to_owned());
    }
    for (typed, texts) in [("Env", &config), ("Cmd", &config), ("Memory", &host)] {
        if texts.contains_key(typed) {
            return Err(format!("{typed} would win over the typed member"));
        }
    }
    let options = host.get("LogConfig").and_then(|log| log["Config"].as_object());
    if options.is_some_and(|options| options.values().any(|value| !value.is_string())) {
        return Err("an option of the log driver is no text".to_owned());
    }
    Ok(())
}

/// A member that is a text with a JSON object in it.
fn object(value: &Value, name: &str) -> Result<Map<String, Value>, String> {
    let text = value[name].as_str().ok_or_else(|| format!("{name} is no text"))?;
    let parsed: Result<Value, _> = serde_json::from_str(text);
    match parsed {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(format!("{name} holds no JSON object: {text}")),
    }
}

#[test]
fn what_the_agent_would_not_take_is_told() {
    let heartbeat = serde_json::json!({"messageId": "1", "healthy": true});
    assert_eq!(check("HeartbeatMessage", &heartbeat), Ok(()));
    assert!(check("TaskManifestMessage", &heartbeat).is_err());
    assert!(check("NoMessage", &heartbeat).is_err());
    let payload = serde_json::json!({
        "messageId": "1", "clusterArn": "c", "containerInstanceArn": "i", "seqNum": 1,
        "tasks": [{"arn": "a", "family": "f", "version": 1, "desiredStatus": "RUNNING"}],
    });
    let told = check("PayloadMessage", &payload).unwrap_err();
    assert!(told.contains("version"), "{told}");
}
