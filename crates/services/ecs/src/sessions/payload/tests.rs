//! Payloads against recorded ones. Each file in `goldens/` holds a task definition as
//! RegisterTaskDefinition takes it, what a task of it says besides, and the payload that follows.
//! `LONGSHORE_UPDATE_GOLDENS=1` writes the payloads anew; read the difference before committing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shapes_ecs as shapes;

use super::super::OwnRegistry;
use super::super::testing::task_arn;
use super::super::tests::world;
use super::{Settings, TaskEndpoint, roles, task};
use crate::model::{
    DesiredStatus, Document, NetworkMode, Task, TaskDefinition, TaskNetwork, TaskStatus,
};

/// The document that AWS JSON stands for.
fn document<T>(value: &Value) -> Document<T>
where
    Document<T>: serde::de::DeserializeOwned,
{
    serde_json::from_value(Value::String(value.to_string())).expect("a document")
}

fn definition(golden: &Value) -> TaskDefinition {
    let document: Document<shapes::TaskDefinition> = document(&golden["definition"]);
    let network_mode = match golden["definition"]["networkMode"].as_str() {
        None | Some("bridge") => NetworkMode::Bridge,
        Some("host") => NetworkMode::Host,
        Some("awsvpc") => NetworkMode::Awsvpc,
        Some(_) => NetworkMode::None,
    };
    TaskDefinition { document, network_mode, ..world::definition() }
}

fn task_of(golden: &Value) -> Task {
    let number = |member: &str| {
        let value = golden["task"][member].as_u64()?;
        u32::try_from(value).ok()
    };
    let containers = golden["definition"]["containerDefinitions"].as_array();
    let names = containers.into_iter().flatten().filter_map(|container| container["name"].as_str());
    let desired = match golden["task"]["desiredStatus"].as_str() {
        Some("STOPPED") => DesiredStatus::Stopped,
        _ => DesiredStatus::Running,
    };
    let overrides = match &golden["overrides"] {
        Value::Null => Document::default(),
        given => document(given),
    };
    Task {
        containers: names.map(world::container).collect(),
        cpu: number("cpu"),
        memory: number("memory"),
        execute_command: golden["task"]["executeCommand"] == true,
        group: golden["task"]["group"].as_str().unwrap_or("family:hello").into(),
        network: network(golden).map(Box::new),
        overrides,
        ..world::task(1, TaskStatus::Pending, desired)
    }
}

/// The interface that every awsvpc task of the goldens has.
fn network(golden: &Value) -> Option<TaskNetwork> {
    let is_awsvpc = golden["definition"]["networkMode"] == "awsvpc";
    is_awsvpc.then(crate::model::sample::network)
}

/// The payload, with Docker's texts as the JSON that they hold, and the roles.
fn payload(golden: &Value) -> Value {
    let (definition, row) = (definition(golden), task_of(golden));
    let endpoint = match golden["endpoint"].as_str() {
        Some(url) => TaskEndpoint::Url(url.to_owned()),
        None => TaskEndpoint::None,
    };
    let log_mode = golden["logMode"].as_str().map(str::to_owned);
    let given = |name: &str| golden[name].as_str().map(str::to_owned);
    let (logs_endpoint, ecr_endpoint) = (given("logsEndpoint"), given("ecrEndpoint"));
    let registry = golden["registry"]
        .as_str()
        .map(|url| OwnRegistry { url: url.to_owned(), hosts: vec!["localhost:4566".to_owned()] });
    let settings = Settings { endpoint, log_mode, logs_endpoint, ecr_endpoint, registry };
    let sent = task(&row, &definition, &settings);
    let mut payload = serde_json::to_value(&sent).expect("JSON");
    for container in payload["containers"].as_array_mut().into_iter().flatten() {
        for member in ["config", "hostConfig"] {
            let text = container["dockerConfig"][member].as_str().expect("a text").to_owned();
            container["dockerConfig"][member] = serde_json::from_str(&text).expect("JSON");
        }
    }
    let roles: Vec<Value> = (roles(&row, &definition).into_iter())
        .map(|(kind, arn)| json!({ "type": kind, "arn": arn }))
        .collect();
    json!({ "task": payload, "roles": roles })
}

fn goldens() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sessions/payload/goldens");
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn payloads_are_as_recorded() {
    let is_update = std::env::var_os("LONGSHORE_UPDATE_GOLDENS").is_some();
    let files = goldens();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a golden");
        let mut golden: Value = serde_json::from_str(&text).expect("JSON");
        let payload = payload(&golden);
        if is_update {
            golden["payload"] = payload;
            let text = serde_json::to_string_pretty(&golden).expect("JSON") + "\n";
            std::fs::write(&file, text).expect("written");
        } else {
            assert_eq!(payload, golden["payload"], "{}", file.display());
        }
    }
}

#[test]
fn agents_read_every_payload() {
    for file in goldens() {
        let text = std::fs::read_to_string(&file).expect("a golden");
        let golden: Value = serde_json::from_str(&text).expect("JSON");
        let nothing = Settings {
            endpoint: TaskEndpoint::None,
            log_mode: None,
            logs_endpoint: None,
            ecr_endpoint: None,
            registry: None,
        };
        let sent = task(&task_of(&golden), &definition(&golden), &nothing);
        let frame = serde_json::to_string(&sent).expect("JSON");
        let read: agent_protocol::task::PayloadTask = serde_json::from_str(&frame).expect("JSON");
        let agent_protocol::task::PayloadTask::Valid(read) = read else {
            panic!("{}: {read:?}", file.display())
        };
        assert_eq!(*read, sent, "{}", file.display());
        assert_eq!(read.arn, task_arn(1));
    }
}
