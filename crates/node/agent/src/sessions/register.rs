//! Registration: who this instance is, what it has and can do (agent-protocol §1).

use std::time::Duration;

use agent_protocol::{ADDRESS_ATTRIBUTE, AGENT_ATTRIBUTE, AGENT_VERSION, WAS_DEREGISTERED};
use terms::{IdSource, Uuid};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use crate::config::{AgentError, Config};
use crate::transport::{CallError, Registered, Registration, Transport};

/// Docker API versions that Amazon's agent claims; definitions ask for features by them.
const DOCKER_API_VERSIONS: [&str; 13] = [
    "1.17", "1.18", "1.19", "1.20", "1.21", "1.22", "1.23", "1.24", "1.25", "1.28", "1.29", "1.30",
    "1.32",
];

/// Capabilities in the old form, without their prefix.
const CAPABILITIES_OLD: [&str; 9] = [
    "ecr-auth",
    "privileged-container",
    "logging-driver.awsfirelens",
    "logging-driver.awslogs",
    "logging-driver.fluentd",
    "logging-driver.syslog",
    "logging-driver.json-file",
    "logging-driver.none",
    "task-iam-role",
];

/// The same, where tasks in host mode find their credentials.
const ROLES_IN_HOST_MODE: &str = "task-iam-role-network-host";

/// Capabilities in the new form, without their prefix: those that this agent really has.
const CAPABILITIES: [&str; 25] = [
    "private-registry-authentication.secretsmanager",
    "secrets.ssm.environment-variables",
    "secrets.asm.environment-variables",
    "secrets.ssm.bootstrap.log-driver",
    "secrets.asm.bootstrap.log-driver",
    "env-files.s3",
    "execute-command",
    "execution-role-awslogs",
    "execution-role-ecr-pull",
    "firelens.fluentbit",
    "firelens.fluentd",
    "firelens.non-root-user",
    "firelens.options.config.file",
    "firelens.options.config.s3",
    "logging-driver.awsfirelens.log-driver-buffer-limit",
    "container-restart-policy",
    "container-health-check",
    "task-cpu-mem-limit",
    "increased-task-cpu-limit",
    "docker-plugin.local",
    "container-ordering",
    "full-sync",
    "network.container-port-range",
    "pid-ipc-namespace-sharing",
    "task-eni",
];

/// Registers, or registers again as `saved`; tries until it is taken, refused for good, or the
/// agent is to end (`None`). `is_found_from_host` tells whether tasks in host mode find their
/// credentials.
pub(crate) async fn register(
    config: &Config,
    is_found_from_host: bool,
    saved: Option<String>,
    transport: &dyn Transport,
    ids: &dyn IdSource,
    shutdown: &CancellationToken,
) -> Result<Option<Registered>, AgentError> {
    let registration = Registration {
        cluster: config.cluster.to_string(),
        container_instance_arn: saved,
        client_token: Uuid::from_random(ids.next()).to_string(),
        attributes: attributes(config, is_found_from_host),
        cpu: config.capacity.cpu,
        memory: config.capacity.memory,
        tcp_ports: config.capacity.tcp.iter().copied().collect(),
        udp_ports: config.capacity.udp.iter().copied().collect(),
        gpus: config.gpus.iter().map(|gpu| gpu.id.clone()).collect(),
    };
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(192), 2.0);
    loop {
        let tried = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            tried = transport.register(&registration) => tried,
        };
        let error = match tried {
            Ok(registered) => return check(config, &registration, registered).map(Some),
            Err(error) => error,
        };
        if is_missing_default_cluster(config, &error) {
            _ = transport.create_cluster(config.cluster.as_str()).await;
        } else if registration.container_instance_arn.is_some() && was_deregistered(&error) {
            let (cluster, reason) = (config.cluster.clone(), error.to_string());
            return Err(AgentError::Deregistered { cluster, reason });
        } else if is_final(&error) {
            return Err(refused(config, error.to_string()));
        }
        let wait = backoff.next(ids);
        tracing::warn!(%error, ?wait, "the registration is tried again");
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn refused(config: &Config, reason: String) -> AgentError {
    AgentError::Refused { cluster: config.cluster.clone(), reason }
}

/// Every attribute must come back (agent-protocol §1.3).
fn check(
    config: &Config,
    sent: &Registration,
    registered: Registered,
) -> Result<Registered, AgentError> {
    let missing = sent.attributes.iter().find(|(name, value)| {
        let value = value.as_deref().unwrap_or_default();
        registered.attributes.get(name).map(String::as_str) != Some(value)
    });
    match missing {
        Some((name, _)) => {
            Err(refused(config, format!("the registration came back without attribute '{name}'")))
        }
        None => Ok(registered),
    }
}

fn is_missing_default_cluster(config: &Config, error: &CallError) -> bool {
    config.cluster == terms::ClusterName::default()
        && (error.code() == "ClusterNotFoundException"
            || error.to_string().contains("Cluster not found."))
}

fn was_deregistered(error: &CallError) -> bool {
    error.code() == "ClientException" && error.to_string().contains(WAS_DEREGISTERED)
}

/// What no later try can change. The server being away, or busy, is not.
fn is_final(error: &CallError) -> bool {
    match error {
        CallError::Transport(_) => false,
        CallError::Service { code, .. } => !matches!(
            code.as_str(),
            "ServerException"
                | "ThrottlingException"
                | "LimitExceededException"
                | "InternalFailure"
                | "ServiceUnavailable"
        ),
    }
}

fn attributes(config: &Config, is_found_from_host: bool) -> Vec<(String, Option<String>)> {
    let plain = |name: String| (name, None);
    let with = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
    let old = "com.amazonaws.ecs.capability";
    let mut attributes: Vec<_> = config.attributes.iter().map(|(n, v)| with(n, v)).collect();
    let versions = DOCKER_API_VERSIONS.iter();
    attributes.extend(versions.map(|version| plain(format!("{old}.docker-remote-api.{version}"))));
    let in_host_mode = is_found_from_host.then_some(&ROLES_IN_HOST_MODE);
    let capabilities = CAPABILITIES_OLD.iter().chain(in_host_mode);
    attributes.extend(capabilities.map(|name| plain(format!("{old}.{name}"))));
    attributes.extend(CAPABILITIES.iter().map(|name| plain(format!("ecs.capability.{name}"))));
    let stand_ins = [
        (&config.stand_ins.efs, &["efs", "efsAuth"][..]),
        (&config.stand_ins.fsx, &["fsxWindowsFileServer"]),
        (&config.stand_ins.ebs, &["storage.ebs-task-volume-attach", "storage.ebsta-non-root-user"]),
    ];
    let there = stand_ins.iter().filter(|(folder, _)| folder.is_some());
    let there = there.flat_map(|(_, names)| names.iter());
    attributes.extend(there.map(|name| plain(format!("ecs.capability.{name}"))));
    attributes.push(with("ecs.os-type", "linux"));
    attributes.push(with("ecs.os-family", "LINUX"));
    attributes.push(with("ecs.cpu-architecture", architecture()));
    attributes.push(with(AGENT_ATTRIBUTE, AGENT_VERSION));
    let address = config.address.map(|address| address.to_string());
    attributes.extend(address.iter().map(|address| with(ADDRESS_ATTRIBUTE, address)));
    attributes.extend(config.zone.iter().map(|zone| with("ecs.availability-zone", zone)));
    attributes.extend(config.instance_type.iter().map(|kind| with("ecs.instance-type", kind)));
    attributes
}

/// This machine's processor in ECS's words.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86" => "i386",
        other => other,
    }
}
