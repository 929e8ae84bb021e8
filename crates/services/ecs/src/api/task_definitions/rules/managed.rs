//! What ECS Managed Instances refuse (ECS Developer Guide, "Amazon ECS task definition
//! differences for Amazon ECS Managed Instances"). The texts are in the style of Fargate's.

use shapes_ecs as shapes;
use shapes_ecs::LogDriver;

use super::task::{Task, items};
use crate::error::Error;
use crate::model::NetworkMode;

/// The drivers that they have.
const LOG_DRIVERS: [LogDriver; 3] = [LogDriver::Awslogs, LogDriver::Splunk, LogDriver::Awsfirelens];

/// Checks a definition that is to run on Managed Instances.
pub(super) fn check(task: &Task<'_>) -> Result<(), Error> {
    let request = task.request;
    match task.network_mode {
        NetworkMode::Awsvpc | NetworkMode::Host => {}
        NetworkMode::Bridge | NetworkMode::None => {
            let text = "Managed Instances only support network modes ‘awsvpc’ and ‘host’.";
            return Err(Error::client(text));
        }
    }
    let refused = [
        (task.is_windows(), "Windows"),
        (request.ephemeral_storage.is_some(), "ephemeralStorage"),
        (request.ipc_mode.is_some(), "ipcMode"),
        (request.pid_mode == Some(shapes::PidMode::Host), "pidMode 'host'"),
        (request.proxy_configuration.is_some(), "proxyConfiguration"),
    ];
    refuse(&refused)?;
    for volume in items(&request.volumes) {
        refuse(&[
            (volume.host.as_ref().is_some_and(|host| host.source_path.is_some()), "sourcePath"),
            (volume.docker_volume_configuration.is_some(), "dockerVolumeConfiguration"),
            (
                volume.fsx_windows_file_server_volume_configuration.is_some(),
                "fsxWindowsFileServerVolumeConfiguration",
            ),
        ])?;
    }
    task.containers().iter().try_for_each(container)
}

fn refuse(refused: &[(bool, &str)]) -> Result<(), Error> {
    match refused.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Error::client(format!(
            "Managed Instances compatible task definitions do not support {what}"
        ))),
        None => Ok(()),
    }
}

fn container(one: &shapes::ContainerDefinition) -> Result<(), Error> {
    let none = shapes::LinuxParameters::default();
    let linux = one.linux_parameters.as_ref().unwrap_or(&none);
    refuse(&[
        (one.disable_networking == Some(true), "disableNetworking"),
        (!items(&one.dns_search_domains).is_empty(), "dnsSearchDomains"),
        (!items(&one.dns_servers).is_empty(), "dnsServers"),
        (one.docker_labels.as_ref().is_some_and(|labels| !labels.is_empty()), "dockerLabels"),
        (!items(&one.docker_security_options).is_empty(), "dockerSecurityOptions"),
        (!items(&one.extra_hosts).is_empty(), "extraHosts"),
        (one.hostname.is_some(), "hostname"),
        (!items(&one.links).is_empty(), "links"),
        (linux.max_swap.is_some(), "maxSwap"),
        (linux.swappiness.is_some(), "swappiness"),
        (linux.shared_memory_size.is_some(), "sharedMemorySize"),
    ])?;
    match one.log_configuration.as_ref().map(|logs| logs.log_driver) {
        Some(driver) if !LOG_DRIVERS.contains(&driver) => Err(Error::client(format!(
            "{} is not a valid log driver. Must be one of [awslogs,splunk,awsfirelens]",
            driver.as_str()
        ))),
        Some(_) | None => Ok(()),
    }
}
