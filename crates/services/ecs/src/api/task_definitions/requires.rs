//! `requiresAttributes`: what an instance's agent must be able to do.
//!
//! ECS does not publish the table; this one follows from what agents register (agent protocol
//! §1.6) and from what is seen in definitions of others.

use std::collections::BTreeMap;

use shapes_ecs as shapes;

use super::is_ecr;
use crate::model::NetworkMode;

const OLD: &str = "com.amazonaws.ecs.capability";
const NEW: &str = "ecs.capability";

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

/// The attributes that a definition requires, by name.
pub(crate) fn attributes(
    request: &shapes::RegisterTaskDefinitionRequest,
    mode: NetworkMode,
) -> Vec<(String, Option<String>)> {
    let mut needs = Needs::default();
    task(request, mode, &mut needs);
    for container in &request.container_definitions {
        self::container(container, request.execution_role_arn.is_some(), &mut needs);
    }
    request.volumes.iter().flatten().for_each(|volume| self::volume(volume, &mut needs));
    needs.0.into_iter().collect()
}

fn task(request: &shapes::RegisterTaskDefinitionRequest, mode: NetworkMode, needs: &mut Needs) {
    if mode == NetworkMode::Awsvpc {
        needs.capability("task-eni");
        needs.api("1.18");
    }
    if request.task_role_arn.is_some() {
        needs.api("1.19");
        match mode {
            NetworkMode::Host => needs.old_capability("task-iam-role-network-host"),
            NetworkMode::Bridge | NetworkMode::Awsvpc | NetworkMode::None => {
                needs.old_capability("task-iam-role");
            }
        }
    }
    if request.cpu.is_some() || request.memory.is_some() {
        needs.capability("task-cpu-mem-limit");
        needs.api("1.22");
    }
    if request.pid_mode.is_some() || request.ipc_mode.is_some() {
        needs.capability("pid-ipc-namespace-sharing");
    }
    if request.proxy_configuration.is_some() {
        needs.capability("aws-appmesh");
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
    if one.privileged == Some(true) {
        needs.old_capability("privileged-container");
    }
    if one.memory_reservation.is_some() {
        needs.api("1.21");
    }
    if one.ulimits.as_ref().is_some_and(|ulimits| !ulimits.is_empty()) {
        needs.api("1.18");
    }
    if one.health_check.is_some() {
        needs.capability("container-health-check");
        needs.api("1.24");
    }
    if one.linux_parameters.as_ref().is_some_and(|linux| linux.init_process_enabled == Some(true)) {
        needs.api("1.25");
    }
    if is_ecr(one.image.as_deref().unwrap_or("")) {
        needs.old_capability("ecr-auth");
        needs.api("1.19");
        if execution_role {
            needs.capability("execution-role-ecr-pull");
        }
    }
    if one.depends_on.as_ref().is_some_and(|list| !list.is_empty())
        || one.start_timeout.is_some()
        || one.stop_timeout.is_some()
    {
        needs.capability("container-ordering");
    }
    if one.repository_credentials.is_some() {
        needs.capability("private-registry-authentication.secretsmanager");
    }
    if one.environment_files.as_ref().is_some_and(|files| !files.is_empty()) {
        needs.capability("env-files.s3");
    }
    if one.restart_policy.as_ref().is_some_and(|policy| policy.enabled) {
        needs.capability("container-restart-policy");
    }
    if one.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some()) {
        needs.capability("network.container-port-range");
    }
    for secret in one.secrets.iter().flatten() {
        let store = if is_secrets_manager(&secret.value_from) { "asm" } else { "ssm" };
        needs.capability(&format!("secrets.{store}.environment-variables"));
    }
    if let Some(firelens) = &one.firelens_configuration {
        needs.capability(&format!("firelens.{}", firelens.type_.as_str()));
    }
    security_options(one, needs);
    logging(one, execution_role, needs);
}

fn security_options(one: &shapes::ContainerDefinition, needs: &mut Needs) {
    for option in one.docker_security_options.iter().flatten() {
        if option.starts_with("label") {
            needs.old_capability("selinux");
        } else if option.starts_with("apparmor") {
            needs.old_capability("apparmor");
        }
    }
}

fn logging(one: &shapes::ContainerDefinition, execution_role: bool, needs: &mut Needs) {
    let Some(logs) = &one.log_configuration else { return };
    let driver = logs.log_driver.as_str();
    needs.old_capability(&format!("logging-driver.{driver}"));
    let version = match driver {
        "awslogs" => "1.19",
        "gelf" | "fluentd" => "1.20",
        "splunk" => "1.22",
        _ => "1.18",
    };
    needs.api(version);
    if driver == "awslogs" && execution_role {
        needs.capability("execution-role-awslogs");
    }
    for secret in logs.secret_options.iter().flatten() {
        let store = if is_secrets_manager(&secret.value_from) { "asm" } else { "ssm" };
        needs.capability(&format!("secrets.{store}.bootstrap.log-driver"));
    }
}

fn volume(volume: &shapes::Volume, needs: &mut Needs) {
    if let Some(docker) = &volume.docker_volume_configuration {
        let driver = docker.driver.as_deref().unwrap_or("local").replace(':', ".");
        needs.capability(&format!("docker-plugin.{driver}"));
        needs.api("1.25");
    }
    if let Some(efs) = &volume.efs_volume_configuration {
        needs.capability("efs");
        needs.api("1.25");
        if efs.transit_encryption.is_some() || efs.authorization_config.is_some() {
            needs.capability("efsAuth");
        }
    }
    if volume.s3files_volume_configuration.is_some() {
        needs.capability("storage.s3-files");
    }
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        needs.capability("fsxWindowsFileServer");
    }
}

fn is_secrets_manager(value_from: &str) -> bool {
    value_from.starts_with("arn:") && value_from.contains(":secretsmanager:")
}
