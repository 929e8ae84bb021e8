//! The parts of a container that travel in Docker's own forms, as JSON texts.

use std::collections::BTreeMap;

use agent_protocol::docker::{ContainerConfig, Device, HealthCheck, HostConfig, LogConfig, Ulimit};
use agent_protocol::task::DockerConfig;
use shapes_ecs as shapes;

use super::Context;
use crate::model::NetworkMode;

const MIB: i64 = 1024 * 1024;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// ECS's defaults of a health check (API reference, `HealthCheck`), in seconds and tries.
const INTERVAL_DEFAULT_S: i32 = 30;
const TIMEOUT_DEFAULT_S: i32 = 5;
const RETRIES_DEFAULT: i32 = 3;

/// `dockerConfig`: the API version that the features need, `config` and `hostConfig`.
pub(super) fn config(
    context: &Context<'_>,
    spec: &shapes::ContainerDefinition,
    overrides: Option<&shapes::ContainerOverride>,
) -> DockerConfig {
    let has_init = spec.linux_parameters.as_ref().and_then(|linux| linux.init_process_enabled);
    let version = match (context.network_mode(), has_init, &spec.health_check) {
        (NetworkMode::Awsvpc, _, _) | (_, Some(true), _) => "1.25",
        (_, _, Some(_)) => "1.24",
        (_, _, None) => "1.18",
    };
    DockerConfig::new(version, &container_config(spec), &host_config(context, spec, overrides))
}

fn container_config(spec: &shapes::ContainerDefinition) -> ContainerConfig {
    ContainerConfig {
        hostname: spec.hostname.clone(),
        user: spec.user.clone(),
        working_dir: spec.working_directory.clone(),
        labels: spec.docker_labels.clone().unwrap_or_default(),
        tty: spec.pseudo_terminal,
        open_stdin: spec.interactive,
        network_disabled: spec.disable_networking,
        healthcheck: spec.health_check.as_ref().map(health_check),
        ..ContainerConfig::default()
    }
}

fn health_check(check: &shapes::HealthCheck) -> HealthCheck {
    let number = |value: Option<i32>, default: i32| value.unwrap_or(default).unsigned_abs();
    let nanoseconds = |value, default| u64::from(number(value, default)) * NANOSECONDS_PER_SECOND;
    HealthCheck {
        test: check.command.clone(),
        interval: nanoseconds(check.interval, INTERVAL_DEFAULT_S),
        timeout: nanoseconds(check.timeout, TIMEOUT_DEFAULT_S),
        retries: number(check.retries, RETRIES_DEFAULT),
        start_period: nanoseconds(check.start_period, 0),
    }
}

fn host_config(
    context: &Context<'_>,
    spec: &shapes::ContainerDefinition,
    overrides: Option<&shapes::ContainerOverride>,
) -> HostConfig {
    let bytes = |mib: i32| i64::from(mib) * MIB;
    let overridden =
        |field: fn(&shapes::ContainerOverride) -> Option<i32>| overrides.and_then(field);
    let reservation = overridden(|o| o.memory_reservation).or(spec.memory_reservation);
    let memory = overridden(|o| o.memory).or(spec.memory);
    let host = HostConfig {
        network_mode: Some(context.network_mode().as_str().to_owned()),
        memory_reservation: reservation.map(bytes),
        log_config: spec.log_configuration.as_ref().map(|log| log_config(context, spec, log)),
        privileged: spec.privileged,
        readonly_rootfs: spec.readonly_root_filesystem,
        extra_hosts: spec.extra_hosts.iter().flatten().map(extra_host).collect(),
        dns: spec.dns_servers.clone().unwrap_or_default(),
        dns_search: spec.dns_search_domains.clone().unwrap_or_default(),
        ulimits: spec.ulimits.iter().flatten().map(ulimit).collect(),
        security_opt: spec.docker_security_options.clone().unwrap_or_default(),
        sysctls: spec.system_controls.iter().flatten().filter_map(sysctl).collect(),
        ..HostConfig::default()
    };
    match &spec.linux_parameters {
        Some(linux) => {
            let of_task = context.task.memory.and_then(|mib| i32::try_from(mib).ok());
            linux_parameters(host, linux, memory.map(bytes), of_task.map(bytes))
        }
        None => host,
    }
}

fn linux_parameters(
    host: HostConfig,
    linux: &shapes::LinuxParameters,
    memory_bytes: Option<i64>,
    of_task_bytes: Option<i64>,
) -> HostConfig {
    let capabilities = linux.capabilities.as_ref();
    let add = capabilities.and_then(|capabilities| capabilities.add.clone());
    let drop = capabilities.and_then(|capabilities| capabilities.drop.clone());
    // Docker limits memory and swap together; swappiness means nothing without that limit
    // (ECS semantics §3.4). A container without one of its own has no more than its task.
    let swap_bytes = linux.max_swap.map(|mib| i64::from(mib) * MIB);
    let limit = memory_bytes.or(of_task_bytes);
    let memory_swap = swap_bytes.zip(limit).map(|(swap, memory)| swap + memory);
    HostConfig {
        cap_add: add.unwrap_or_default(),
        cap_drop: drop.unwrap_or_default(),
        devices: linux.devices.iter().flatten().map(device).collect(),
        shm_size: linux.shared_memory_size.map(|mib| i64::from(mib) * MIB),
        tmpfs: linux.tmpfs.iter().flatten().map(tmpfs).collect(),
        init: linux.init_process_enabled,
        memory: of_task_bytes.filter(|_| memory_swap.is_some() && memory_bytes.is_none()),
        memory_swap,
        memory_swappiness: linux.swappiness.filter(|_| memory_swap.is_some()).map(i64::from),
        ..host
    }
}

fn device(device: &shapes::Device) -> Device {
    let permissions = device.permissions.as_deref().unwrap_or_default();
    let letter = |permission: &shapes::DeviceCgroupPermission| match permission {
        shapes::DeviceCgroupPermission::Read => 'r',
        shapes::DeviceCgroupPermission::Write => 'w',
        shapes::DeviceCgroupPermission::Mknod => 'm',
    };
    let letters: String = permissions.iter().map(letter).collect();
    Device {
        path_on_host: device.host_path.clone(),
        path_in_container: device
            .container_path
            .clone()
            .unwrap_or_else(|| device.host_path.clone()),
        cgroup_permissions: if letters.is_empty() { "rwm".to_owned() } else { letters },
    }
}

fn tmpfs(tmpfs: &shapes::Tmpfs) -> (String, String) {
    let mut options = tmpfs.mount_options.clone().unwrap_or_default();
    options.push(format!("size={}m", tmpfs.size));
    (tmpfs.container_path.clone(), options.join(","))
}

fn extra_host(host: &shapes::HostEntry) -> String {
    format!("{}:{}", host.hostname, host.ip_address)
}

fn ulimit(limit: &shapes::Ulimit) -> Ulimit {
    Ulimit {
        name: limit.name.as_str().to_owned(),
        soft: i64::from(limit.soft_limit),
        hard: i64::from(limit.hard_limit),
    }
}

fn sysctl(control: &shapes::SystemControl) -> Option<(String, String)> {
    Some((control.namespace.clone()?, control.value.clone()?))
}

/// The log driver and its options. Docker's awslogs driver knows no prefix of streams: ECS makes
/// the stream's name from it (ECS semantics §3.4, `<prefix>/<container>/<task id>`). A delivery
/// mode that is not given is the account's (API reference, `LogConfiguration`).
fn log_config(
    context: &Context<'_>,
    spec: &shapes::ContainerDefinition,
    log: &shapes::LogConfiguration,
) -> LogConfig {
    let mut config: BTreeMap<String, String> = log.options.clone().unwrap_or_default();
    if log.log_driver.as_str() == "awslogs"
        && let Some(prefix) = config.remove("awslogs-stream-prefix")
    {
        let container = spec.name.as_deref().unwrap_or_default();
        let stream = format!("{prefix}/{container}/{}", context.task.arn.id);
        config.entry("awslogs-stream".to_owned()).or_insert(stream);
    }
    // Docker's own driver would go to AWS.
    if let Some(endpoint) = &context.settings.logs_endpoint
        && log.log_driver == shapes::LogDriver::Awslogs
    {
        config.entry("awslogs-endpoint".to_owned()).or_insert_with(|| endpoint.clone());
    }
    // FireLens has no delivery mode: its router does what the driver of others does.
    if let Some(mode) = &context.settings.log_mode
        && log.log_driver != shapes::LogDriver::Awsfirelens
    {
        config.entry("mode".to_owned()).or_insert_with(|| mode.clone());
    }
    LogConfig { kind: log.log_driver.as_str().to_owned(), config }
}
