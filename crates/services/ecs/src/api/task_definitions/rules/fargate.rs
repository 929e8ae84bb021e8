//! What Fargate asks for and what it refuses (ECS semantics §3.3 and §3.4).
//!
//! The texts were observed but where it is said.

use shapes_ecs as shapes;
use shapes_ecs::LogDriver;

use super::sizes;
use super::task::{Task, items};
use crate::api::task_definitions::is_ecr;
use crate::error::Error;
use crate::model::NetworkMode;

/// The drivers that Fargate has.
const LOG_DRIVERS: [LogDriver; 3] = [LogDriver::Awslogs, LogDriver::Splunk, LogDriver::Awsfirelens];
/// The only capability that can be added.
const CAPABILITY: &str = "SYS_PTRACE";
/// Longest `startTimeout` and `stopTimeout`, in seconds.
const MAX_TIMEOUT_SECONDS: i32 = 120;

/// Checks a definition that is to run on Fargate.
pub(super) fn check(task: &Task<'_>) -> Result<(), Error> {
    let request = task.request;
    if task.network_mode != NetworkMode::Awsvpc {
        return Err(Error::client("Fargate only supports network mode ‘awsvpc’."));
    }
    sizes::check_fargate(task.cpu, task.memory, task.is_windows())?;
    if let Some(mode) = request.pid_mode.filter(|mode| *mode != shapes::PidMode::Task) {
        return Err(Error::client(format!(
            "Tasks using the Fargate launch type do not support pidMode '{}'. The supported \
             value for pidMode is 'task'.",
            mode.as_str()
        )));
    }
    if request.ipc_mode.is_some() {
        return Err(unsupported("ipcMode"));
    }
    if !items(&request.placement_constraints).is_empty() {
        return Err(unsupported("constraints"));
    }
    items(&request.volumes).iter().try_for_each(volume)?;
    task.containers().iter().try_for_each(|one| container(one, task))
}

fn unsupported(what: &str) -> Error {
    Error::client(format!("Fargate compatible task definitions do not support {what}"))
}

/// The text of Windows volumes is in the style of the others.
fn volume(volume: &shapes::Volume) -> Result<(), Error> {
    if volume.host.as_ref().is_some_and(|host| host.source_path.is_some()) {
        return Err(unsupported("sourcePath"));
    }
    if volume.docker_volume_configuration.is_some() {
        return Err(unsupported("dockerVolumeConfiguration"));
    }
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        return Err(unsupported("fsxWindowsFileServerVolumeConfiguration"));
    }
    Ok(())
}

fn container(one: &shapes::ContainerDefinition, task: &Task<'_>) -> Result<(), Error> {
    if one.privileged == Some(true) {
        return Err(Error::client(
            "Fargate requires that the ‘privileged’ setting be ‘false’ at the container level.",
        ));
    }
    if !items(&one.docker_security_options).is_empty() {
        return Err(unsupported("dockerSecurityOptions"));
    }
    if !items(&one.resource_requirements).is_empty() {
        return Err(Error::client(
            "Tasks using the Fargate launch type do not support GPU resource requirements.",
        ));
    }
    timeouts(one)?;
    one.linux_parameters.as_ref().map_or(Ok(()), linux)?;
    if is_ecr(one.image.as_deref().unwrap_or("")) && !task.has_execution_role() {
        return Err(needs_role("ECR images"));
    }
    logging(one, task)?;
    let options = one.firelens_configuration.as_ref().and_then(|one| one.options.as_ref());
    if options.and_then(|options| options.get("config-file-type")).is_some_and(|kind| kind == "s3")
    {
        return Err(Error::client(
            "Fargate launch type does not support FirelensConfiguration config file from 's3'",
        ));
    }
    Ok(())
}

/// Observed for the stop timeout.
fn timeouts(one: &shapes::ContainerDefinition) -> Result<(), Error> {
    for (what, value) in [("start", one.start_timeout), ("stop", one.stop_timeout)] {
        if value.is_some_and(|seconds| seconds > MAX_TIMEOUT_SECONDS) {
            return Err(Error::client(format!(
                "Tasks using the Fargate launch type must have a container {what} timeout of \
                 less than {MAX_TIMEOUT_SECONDS} seconds."
            )));
        }
    }
    Ok(())
}

fn linux(linux: &shapes::LinuxParameters) -> Result<(), Error> {
    let refused = [
        (!items(&linux.devices).is_empty(), "devices"),
        (linux.shared_memory_size.is_some(), "sharedMemorySize"),
        (linux.max_swap.is_some(), "maxSwap"),
        (linux.swappiness.is_some(), "swappiness"),
    ];
    if let Some((_, what)) = refused.into_iter().find(|(given, _)| *given) {
        return Err(unsupported(what));
    }
    let added = linux.capabilities.as_ref().map_or(&[][..], |one| items(&one.add));
    match added.iter().find(|name| *name != CAPABILITY) {
        Some(name) => Err(Error::client(format!("{name} is not allowed on Fargate."))),
        None => Ok(()),
    }
}

fn needs_role(what: &str) -> Error {
    Error::client(format!(
        "Fargate requires task definition to have execution role ARN to support {what}."
    ))
}

fn logging(one: &shapes::ContainerDefinition, task: &Task<'_>) -> Result<(), Error> {
    let Some(logs) = &one.log_configuration else { return Ok(()) };
    if !LOG_DRIVERS.contains(&logs.log_driver) {
        return Err(Error::client(format!(
            "{} is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]",
            logs.log_driver.as_str()
        )));
    }
    if logs.log_driver != LogDriver::Awslogs {
        return Ok(());
    }
    let prefix = logs.options.as_ref().and_then(|options| options.get("awslogs-stream-prefix"));
    if prefix.is_none_or(String::is_empty) {
        return Err(Error::client(
            "Fargate requires log configuration options to include awslogs-stream-prefix to \
             support log driver awslogs.",
        ));
    }
    if !task.has_execution_role() {
        return Err(needs_role("log driver awslogs"));
    }
    Ok(())
}
