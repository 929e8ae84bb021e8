//! The introspection API (agent-protocol §6.6): what this agent is and runs, for people and tools
//! on the machine. On loopback, where Amazon's agent listens too: port 51678.

use std::net::SocketAddr;
use std::sync::Arc;

use agent_protocol::AGENT_VERSION;
use agent_protocol::task::DesiredStatus;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metadata::{self, Version};
use super::{Answer, Request, Sources, routes};
use crate::engine::{Status, TaskState};

/// A container's id that is no longer than this is a short one.
const SHORT_ID_MAX: usize = 12;
/// What this program may be used under.
const LICENSE: &str = include_str!("../../../../../LICENSE");
/// What is shown of a container, of all that metadata has.
const OF_CONTAINERS: [&str; 11] = [
    "DockerId",
    "DockerName",
    "Name",
    "Image",
    "ImageID",
    "CreatedAt",
    "StartedAt",
    "Ports",
    "Networks",
    "Volumes",
    "RestartCount",
];

/// Serves it at `at` until `ended`; the address it got. Somebody else's being there already is no
/// reason for an agent not to run.
pub(crate) async fn open(
    at: SocketAddr,
    sources: Arc<Sources>,
    ended: CancellationToken,
) -> Option<SocketAddr> {
    let listener = match TcpListener::bind(at).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            tracing::info!(%at, "another agent has the introspection API's port");
            return None;
        }
        Err(error) => {
            tracing::warn!(%at, %error, "the introspection API is not served");
            return None;
        }
    };
    let at = listener.local_addr().ok()?;
    tracing::info!(%at, "the introspection API is served");
    super::serve(Box::new(listener), ended, move |_, request| {
        std::future::ready(answer(&sources, &request))
    });
    Some(at)
}

fn answer(sources: &Sources, request: &Request) -> Answer {
    if request.method() != Method::GET {
        return routes::text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n");
    }
    match request.uri().path() {
        "/v1/metadata" => routes::document(StatusCode::OK, &of_agent(sources)),
        "/v1/tasks" => {
            let (status, told) =
                tasks(&sources.view.tasks(), request.uri().query().unwrap_or_default());
            routes::document(status, &told)
        }
        "/license" => routes::text(StatusCode::OK, LICENSE),
        // Amazon's agent answers every other path so, too.
        _ => {
            let commands = ["/v1/metadata", "/v1/tasks", "/license"];
            routes::document(StatusCode::OK, &json!({ "AvailableCommands": commands }))
        }
    }
}

fn of_agent(sources: &Sources) -> Value {
    json!({
        "Cluster": sources.cluster,
        "ContainerInstanceArn": sources.instance.read().clone(),
        "Version": format!("Longshore - v{AGENT_VERSION}"),
    })
}

/// All tasks, or the one that the query asks for.
fn tasks(all: &[Arc<TaskState>], query: &str) -> (StatusCode, Value) {
    let asked = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
    };
    let decoded = |text: &str| text.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/");
    let empty = json!({ "Arn": "", "DesiredStatus": "", "KnownStatus": "", "Family": "",
        "Version": "", "Containers": [] });
    let one = |found: Vec<&Arc<TaskState>>| match found.as_slice() {
        [] => (StatusCode::NOT_FOUND, empty.clone()),
        [task] => (StatusCode::OK, shown(task)),
        _ => (StatusCode::BAD_REQUEST, empty.clone()),
    };
    match (asked("taskarn"), asked("dockerid")) {
        (None, None) => {
            let tasks: Vec<_> = all.iter().map(|task| shown(task)).collect();
            (StatusCode::OK, json!({ "Tasks": tasks }))
        }
        (Some(_), Some(_)) => (StatusCode::BAD_REQUEST, empty),
        (Some(arn), None) => {
            let arn = decoded(arn);
            one(all.iter().filter(|task| task.task.arn.to_string() == arn).collect())
        }
        (None, Some(id)) => {
            let is_it = |container: &crate::engine::ContainerState| match id.len() {
                0..=SHORT_ID_MAX => container.id.as_str().starts_with(id),
                _ => container.id.as_str() == id,
            };
            one(all.iter().filter(|task| task.containers.iter().any(is_it)).collect())
        }
    }
}

fn shown(task: &TaskState) -> Value {
    let known = match task.status() {
        Status::None | Status::ManifestPulled | Status::Pulled | Status::Created => "PENDING",
        Status::Running => "RUNNING",
        Status::Stopped => "STOPPED",
    };
    let desired = match task.desired {
        DesiredStatus::Running => "RUNNING",
        DesiredStatus::Stopped => "STOPPED",
    };
    let existing = (0..task.containers.len()).filter(|index| task.containers[*index].existed);
    let container = |index| {
        let all = metadata::container(task, index, Version::V4, "");
        let members = OF_CONTAINERS.iter().filter_map(|name| {
            let value = all.get(*name)?.clone();
            Some(((*name).to_owned(), value))
        });
        Value::Object(members.collect::<Map<_, _>>())
    };
    json!({
        "Arn": task.task.arn.to_string(),
        "DesiredStatus": desired,
        "KnownStatus": known,
        "Family": task.task.family,
        "Version": task.task.version,
        "Containers": existing.map(container).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::task::{Container, Task};
    use runtime::ContainerId;
    use terms::Timestamp;

    use super::*;

    fn task(number: u8) -> Arc<TaskState> {
        let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{number:032x}");
        let container = Container { name: "main".to_owned(), ..Container::default() };
        let task = Task {
            family: "web".to_owned(),
            containers: vec![container],
            ..Task::new(arn.parse().unwrap(), DesiredStatus::Running)
        };
        let mut bytes = [0xab; 32];
        bytes[5] = number;
        let id = ContainerId::from_bytes(bytes);
        let mut state = TaskState::new(Arc::new(task), &[id], Timestamp::from_millis(0));
        state.containers[0].existed = true;
        Arc::new(state)
    }

    #[test]
    fn tasks_are_found_by_arn_and_by_container() {
        let all = [task(1), task(2)];
        let check = |query: &str, status: u16, arn: &str| {
            let (got, told) = tasks(&all, query);
            assert_eq!((got.as_u16(), told["Arn"].as_str()), (status, Some(arn)), "{query}");
        };
        let arn = all[1].task.arn.to_string();
        let id = all[0].containers[0].id.to_string();
        check(&format!("taskarn={arn}"), 200, &arn);
        check(&format!("taskarn={}", arn.replace(':', "%3A").replace('/', "%2F")), 200, &arn);
        check(&format!("dockerid={id}"), 200, &all[0].task.arn.to_string());
        check("dockerid=ababababab01", 200, &all[0].task.arn.to_string());
        check("dockerid=abab", 400, "");
        check("dockerid=ffff", 404, "");
        check(&format!("dockerid={id}&taskarn={arn}"), 400, "");
        let (status, told) = tasks(&all, "");
        assert_eq!((status, told["Tasks"].as_array().unwrap().len()), (StatusCode::OK, 2));
        assert_eq!(told["Tasks"][0]["KnownStatus"], "PENDING");
        assert_eq!(told["Tasks"][0]["Containers"][0]["Name"], "main");
    }
}
