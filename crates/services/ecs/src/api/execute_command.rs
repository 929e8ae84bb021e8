//! ExecuteCommand: a session with a container of a running task (ECS semantics §19).

use agent_protocol::exec::{CLIENT_PATH, split};
use shapes_ecs as shapes;
use shapes_ecs::ExecuteCommandLogging;
use terms::ContainerArn;
use wire::Context;

use super::target::Target;
use super::{Api, target};
use crate::error::Error;
use crate::model::{
    Cluster, Container, ContainerStatus, DesiredStatus, ExecSession, Task, TaskStatus,
};
use crate::tables::{definition_key, place_of};

const OPERATION: &str = "ExecuteCommand";

/// Observed on ECS.
const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when \
    the task was run or the execute command agent isn’t running. Wait and try again or run a new \
    task with execute command enabled and try again.";

/// Observed on ECS.
const NOT_INTERACTIVE: &str = "Interactive is the only mode supported currently.";

impl Api {
    /// Begins a session: its command starts when the client opens the session's stream.
    pub(crate) async fn execute_command(
        &self,
        context: Context,
        input: shapes::ExecuteCommandRequest,
    ) -> Result<shapes::ExecuteCommandResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        let row = target::active_cluster(&snapshot, &self.tables, &cluster)?;
        if !input.interactive {
            return Err(Error::invalid(NOT_INTERACTIVE));
        }
        if !split(&input.command).is_ok_and(|words| !words.is_empty()) {
            return Err(Error::invalid("The command is empty, or has a quote without its end."));
        }
        let unknown = || Error::invalid("The referenced task was not found.");
        let Target::Id(id) = target::task(&cluster, &input.task)? else { return Err(unknown()) };
        let task = snapshot.get(&self.tables.tasks, &cluster.task(id)).ok_or_else(unknown)?;
        let container = container(&task, input.container.as_deref())?;
        check(&task, container)?;
        let definition = snapshot.get(&self.tables.definitions, &definition_key(&task.definition));
        let document = definition.as_ref().map(|definition| &definition.document);
        let specs = document.and_then(|document| document.container_definitions.as_deref());
        let mut specs = specs.unwrap_or_default().iter();
        let spec = specs.find(|spec| spec.name.as_deref() == Some(&container.name));
        let logs = logs(&row, spec)?;
        let (ground, instance) = place_of(&cluster.task(id), &task);
        if !self.sessions.reaches(&ground.instance_arn(instance)) {
            return Err(Error::TargetNotConnected);
        }
        let made = ExecSession {
            task: task.arn.clone(),
            container: container.name.to_string(),
            command: input.command,
            token: String::new(),
            is_spent: false,
            is_begun: false,
            created_at: context.now,
            log: logs.group,
            bucket: logs.bucket,
        };
        let session = self.sessions.new_session(&cluster.scope, made).await?;
        Ok(shapes::ExecuteCommandResponse {
            cluster_arn: Some(cluster.arn().to_string()),
            container_arn: Some(arn(&task, container).to_string()),
            container_name: Some(container.name.to_string()),
            interactive: Some(true),
            session: Some(shapes::Session {
                stream_url: Some(stream_url(&context.endpoint, &session.id)),
                session_id: Some(session.id),
                token_value: Some(session.token),
            }),
            task_arn: Some(task.arn.to_string()),
        })
    }
}

/// Where a client opens the stream of a session: at the server that it called.
pub(crate) fn stream_url(endpoint: &str, session: &str) -> String {
    let base = endpoint.strip_prefix("http").unwrap_or(endpoint).trim_end_matches('/');
    format!("ws{base}{CLIENT_PATH}/{session}?role=publish_subscribe")
}

/// The container that is meant: one need not be named that is the only one.
fn container<'a>(task: &'a Task, name: Option<&str>) -> Result<&'a Container, Error> {
    match (name.filter(|name| !name.is_empty()), &task.containers[..]) {
        (Some(name), all) => all.iter().find(|one| one.name == *name).ok_or_else(|| {
            Error::invalid(format!("The task has no container with the name '{name}'."))
        }),
        (None, [one]) => Ok(one),
        (None, _) => Err(Error::invalid(
            "The task has several containers: the name of one must be specified.",
        )),
    }
}

fn check(task: &Task, container: &Container) -> Result<(), Error> {
    let agent = container.exec_agent.as_ref().map(|agent| agent.status);
    let is_running = container.status == ContainerStatus::Running
        && task.desired == DesiredStatus::Running
        && task.status != TaskStatus::Stopped;
    if agent != Some(ContainerStatus::Running) || !is_running {
        return Err(Error::invalid(NOT_ENABLED));
    }
    Ok(())
}

/// Where the output of a session goes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Logs {
    /// The log group, and its region if it is another one; the stream has the session's id.
    group: Option<(String, Option<String>)>,
    /// The bucket, and what the object's key begins with.
    bucket: Option<(String, String)>,
}

/// Where the session's output goes, as the cluster's configuration says. What a configuration asks
/// for and is not there is refused here, where ECS too finds it out: a configuration is taken with
/// any key and any group.
fn logs(cluster: &Cluster, spec: Option<&shapes::ContainerDefinition>) -> Result<Logs, Error> {
    let configuration = cluster.configuration.as_ref();
    let exec = configuration.and_then(|it| it.execute_command_configuration.as_ref());
    if exec.is_some_and(|exec| given(&exec.kms_key_id).is_some()) {
        return Err(Error::not_built(OPERATION, "a cluster's kmsKeyId"));
    }
    match exec.and_then(|exec| exec.logging) {
        Some(ExecuteCommandLogging::None) => Ok(Logs::default()),
        Some(ExecuteCommandLogging::Override) => {
            let log = exec.and_then(|exec| exec.log_configuration.as_ref());
            log.map_or_else(|| Ok(Logs::default()), overriding)
        }
        Some(ExecuteCommandLogging::Default) | None => {
            Ok(Logs { group: spec.and_then(awslogs), bucket: None })
        }
    }
}

fn overriding(log: &shapes::ExecuteCommandLogConfiguration) -> Result<Logs, Error> {
    if log.cloud_watch_encryption_enabled == Some(true) {
        return Err(Error::not_built(OPERATION, "a cluster's cloudWatchEncryptionEnabled"));
    }
    if log.s3_encryption_enabled == Some(true) {
        return Err(Error::not_built(OPERATION, "a cluster's s3EncryptionEnabled"));
    }
    let prefix = log.s3_key_prefix.clone().unwrap_or_default();
    Ok(Logs {
        group: given(&log.cloud_watch_log_group_name).map(|group| (group, None)),
        bucket: given(&log.s3_bucket_name).map(|bucket| (bucket, prefix)),
    })
}

fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// Where the container's own output goes.
fn awslogs(spec: &shapes::ContainerDefinition) -> Option<(String, Option<String>)> {
    let log = spec.log_configuration.as_ref()?;
    if log.log_driver.as_str() != "awslogs" {
        return None;
    }
    let options = log.options.as_ref()?;
    let group = options.get("awslogs-group")?;
    Some((group.clone(), options.get("awslogs-region").cloned()))
}

fn arn(task: &Task, container: &Container) -> ContainerArn {
    ContainerArn {
        region: task.arn.region.clone(),
        account: task.arn.account.clone(),
        cluster: task.arn.cluster.clone(),
        task: task.arn.id,
        id: container.id,
    }
}
