//! `requiresAttributes`: what an instance's agent must be able to do.
//!
//! ECS does not publish the table. This one follows from what agents register (agent protocol
//! §1.6) and from definitions that ECS answered with: a task role brings no version of Docker's
//! API, `mode` brings 1.28, `awslogs-create-group` and `startPeriod` bring 1.29, a file system of
//! EFS always brings `efsAuth`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use agent_protocol::SWAPPINESS_CAPABILITY;
use shapes_ecs as shapes;
use shapes_ecs::LogDriver;
use terms::CpuUnits;

use super::is_ecr;
use super::rules::is_sandboxed;
use crate::model::NetworkMode;

const OLD: &str = "com.amazonaws.ecs.capability";
const NEW: &str = "ecs.capability";
/// Task-level CPU up to here is what the oldest agents can limit: 10 vCPU.
const OLD_TASK_CPU_UNITS: CpuUnits = CpuUnits::new(10_240);
/// What no instance here has, in names of ours: sandboxes of Nitro, Neuron devices, NVIDIA's
/// Multi-Process Service.
const CONFIDENTIAL: &str = "ecs.capability.trusted-execution";
const NEURON: &str = "ecs.capability.neuron-device";
const SHARED_GPU: &str = "ecs.capability.gpu-sharing";
/// What ECS asks of an instance without saying so in the definition (observed: definitions with
/// a size of their own, and with `runtimePlatform`, do not list these).
const UNSAID: [&str; 7] = [
    CONFIDENTIAL,
    NEURON,
    SHARED_GPU,
    "ecs.capability.task-cpu-mem-limit",
    "ecs.cpu-architecture",
    "ecs.os-type",
    SWAPPINESS_CAPABILITY,
];

/// Whether ECS lists an attribute in the definition that requires it.
pub(super) fn is_shown(name: &str) -> bool {
    !UNSAID.contains(&name)
}

/// Collects attributes: a name and, for some, a value.
#[derive(Default)]
struct Needs(BTreeMap<String, Option<String>>);

impl Needs {
    fn old_capability(&mut self, name: &str) {
        self.0.insert(format!("{OLD}.{name}"), None);
    }

    fn capability(&mut self, name: &str) {
        self.0.insert(format!("{NEW}.{name}"), None);
    }

    fn api(&mut self, version: &str) {
        self.old_capability(&format!("docker-remote-api.{version}"));
    }
}

/// The attributes that a definition requires, by name; `cpu` is the task's own.
pub(super) fn attributes(
    request: &shapes::RegisterTaskDefinitionRequest,
    mode: NetworkMode,
    cpu: Option<CpuUnits>,
) -> Vec<(String, Option<String>)> {
    let mut needs = Needs::default();
    task(request, mode, cpu, &mut needs);
    for container in &request.container_definitions {
        self::container(container, request.execution_role_arn.is_some(), &mut needs);
    }
    request.volumes.iter().flatten().for_each(|volume| self::volume(volume, &mut needs));
    needs.0.into_iter().collect()
}

fn task(
    request: &shapes::RegisterTaskDefinitionRequest,
    mode: NetworkMode,
    cpu: Option<CpuUnits>,
    needs: &mut Needs,
) {
    if mode == NetworkMode::Awsvpc {
        needs.capability("task-eni");
        needs.api("1.18");
    }
    if request.task_role_arn.as_deref().is_some_and(|role| !role.is_empty()) {
        needs.old_capability("task-iam-role");
        if mode == NetworkMode::Host {
            needs.old_capability("task-iam-role-network-host");
        }
    }
    if request.cpu.is_some() || request.memory.is_some() {
        needs.capability("task-cpu-mem-limit");
    }
    if cpu.is_some_and(|cpu| cpu > OLD_TASK_CPU_UNITS) {
        needs.capability("increased-task-cpu-limit");
    }
    if request.pid_mode.is_some() || request.ipc_mode.is_some() {
        needs.capability("pid-ipc-namespace-sharing");
    }
    if request.proxy_configuration.is_some() {
        needs.capability("aws-appmesh");
    }
    if is_sandboxed(request) {
        needs.0.insert(CONFIDENTIAL.to_owned(), None);
    }
    if request.enable_fault_injection == Some(true) {
        needs.capability("fault-injection");
    }
    let platform = request.runtime_platform.as_ref();
    if let Some(family) = platform.and_then(|platform| platform.operating_system_family) {
        let kind = if family.as_str() == "LINUX" { "linux" } else { "windows" };
        needs.0.insert("ecs.os-type".to_owned(), Some(kind.to_owned()));
    }
    if let Some(architecture) = platform.and_then(|platform| platform.cpu_architecture) {
        let word = architecture.as_str().to_ascii_lowercase();
        needs.0.insert("ecs.cpu-architecture".to_owned(), Some(word));
    }
}

fn container(one: &shapes::ContainerDefinition, execution_role: bool, needs: &mut Needs) {
    let some = |list: Option<usize>| list.is_some_and(|length| length > 0);
    if one.privileged == Some(true) {
        needs.old_capability("privileged-container");
    }
    if one.memory_reservation.is_some() {
        needs.api("1.21");
    }
    if some(one.ulimits.as_ref().map(Vec::len)) || some(one.docker_labels.as_ref().map(|l| l.len()))
    {
        needs.api("1.18");
    }
    if some(one.system_controls.as_ref().map(Vec::len)) {
        needs.api("1.24");
    }
    if let Some(check) = &one.health_check {
        needs.capability("container-health-check");
        needs.api(if check.start_period.is_some() { "1.29" } else { "1.24" });
    }
    if is_ecr(one.image.as_deref().unwrap_or("")) {
        needs.old_capability("ecr-auth");
        if execution_role {
            needs.capability("execution-role-ecr-pull");
        }
    }
    if some(one.depends_on.as_ref().map(Vec::len))
        || one.start_timeout.is_some()
        || one.stop_timeout.is_some()
    {
        needs.capability("container-ordering");
    }
    if one.repository_credentials.is_some() {
        needs.capability("private-registry-authentication.secretsmanager");
    }
    if some(one.environment_files.as_ref().map(Vec::len)) {
        needs.capability("env-files.s3");
    }
    if one.restart_policy.as_ref().is_some_and(|policy| policy.enabled) {
        needs.capability("container-restart-policy");
    }
    if one.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some()) {
        needs.capability("network.container-port-range");
    }
    for requirement in one.resource_requirements.iter().flatten() {
        if requirement.type_ == shapes::ResourceType::NeuronDevice {
            needs.0.insert(NEURON.to_owned(), None);
        }
        if requirement.sharing_strategy.is_some() {
            needs.0.insert(SHARED_GPU.to_owned(), None);
        }
    }
    one.linux_parameters.iter().for_each(|linux| self::linux(linux, needs));
    secrets(one.secrets.as_deref(), "environment-variables", needs);
    security_options(one, needs);
    firelens(one, needs);
    logging(one, execution_role, needs);
}

fn linux(linux: &shapes::LinuxParameters, needs: &mut Needs) {
    // It means nothing without swap (ECS semantics §3.4).
    if linux.swappiness.is_some() && linux.max_swap.is_some_and(|mib| mib > 0) {
        needs.0.insert(SWAPPINESS_CAPABILITY.to_owned(), None);
    }
    if linux.init_process_enabled == Some(true) {
        needs.api("1.25");
    }
    if linux.shared_memory_size.is_some() || linux.tmpfs.as_ref().is_some_and(|t| !t.is_empty()) {
        needs.api("1.22");
    }
}

fn secrets(secrets: Option<&[shapes::Secret]>, purpose: &str, needs: &mut Needs) {
    for secret in secrets.unwrap_or_default() {
        let is_secret = secret.value_from.contains(":secretsmanager:");
        let store = if is_secret { "asm" } else { "ssm" };
        needs.capability(&format!("secrets.{store}.{purpose}"));
    }
}

fn firelens(one: &shapes::ContainerDefinition, needs: &mut Needs) {
    let Some(firelens) = &one.firelens_configuration else { return };
    needs.capability(&format!("firelens.{}", firelens.type_.as_str()));
    let kind = firelens.options.as_ref().and_then(|options| options.get("config-file-type"));
    if let Some(kind) = kind {
        needs.capability(&format!("firelens.options.config.{kind}"));
    }
    let user = one.user.as_deref().and_then(|user| user.split(':').next()).unwrap_or("");
    if !matches!(user, "" | "0" | "root") {
        needs.capability("firelens.non-root-user");
    }
}

fn security_options(one: &shapes::ContainerDefinition, needs: &mut Needs) {
    for option in one.docker_security_options.iter().flatten() {
        if option.starts_with("label") {
            needs.old_capability("selinux");
        } else if option.starts_with("apparmor") {
            needs.old_capability("apparmor");
        } else if option.starts_with("credentialspec") {
            needs.capability("gmsa");
        }
    }
    for spec in one.credential_specs.iter().flatten() {
        let domainless = spec.starts_with("credentialspecdomainless:");
        needs.capability(if domainless { "gmsa-domainless" } else { "gmsa" });
    }
}

fn logging(one: &shapes::ContainerDefinition, execution_role: bool, needs: &mut Needs) {
    let Some(logs) = &one.log_configuration else { return };
    needs.old_capability(&format!("logging-driver.{}", logs.log_driver.as_str()));
    let given = |name: &str| logs.options.as_ref().is_some_and(|all| all.contains_key(name));
    match logs.log_driver {
        LogDriver::Awslogs => {
            needs.api("1.19");
            if execution_role {
                needs.capability("execution-role-awslogs");
            }
            if given("awslogs-create-group") {
                needs.api("1.29");
            }
        }
        LogDriver::Awsfirelens => {
            if given("log-driver-buffer-limit") {
                needs.capability("logging-driver.awsfirelens.log-driver-buffer-limit");
            }
        }
        LogDriver::JsonFile | LogDriver::Syslog => needs.api("1.18"),
        LogDriver::Journald | LogDriver::None => needs.api("1.19"),
        LogDriver::Gelf | LogDriver::Fluentd => needs.api("1.20"),
        LogDriver::Splunk => needs.api("1.22"),
    }
    if logs.log_driver != LogDriver::Awsfirelens && (given("mode") || given("max-buffer-size")) {
        needs.api("1.28");
    }
    secrets(logs.secret_options.as_deref(), "bootstrap.log-driver", needs);
}

fn volume(volume: &shapes::Volume, needs: &mut Needs) {
    if let Some(docker) = &volume.docker_volume_configuration {
        let driver = docker.driver.as_deref().unwrap_or("local").replace(':', ".");
        needs.capability(&format!("docker-plugin.{driver}"));
        needs.api("1.25");
    }
    if volume.efs_volume_configuration.is_some() {
        needs.capability("efs");
        needs.capability("efsAuth");
        needs.api("1.25");
    }
    if volume.s3files_volume_configuration.is_some() {
        needs.capability("storage.s3-files");
    }
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        needs.capability("fsxWindowsFileServer");
    }
    if volume.configured_at_launch == Some(true) {
        needs.capability("storage.ebs-task-volume-attach");
    }
}
