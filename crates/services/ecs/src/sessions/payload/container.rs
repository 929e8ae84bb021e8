//! One container of a payload.

use agent_protocol::task::{
    AsmAuthData, Container, Dependency, DependencyCondition, EcrAuthData, ManagedAgent, MountPoint,
    PortMapping, RegistryAuthentication, RestartPolicy, Secret, VolumeFrom,
};
use serde_json::{Value, json};
use shapes_ecs as shapes;
use terms::ContainerArn;

use super::{Context, docker, environment};

/// The container as the agent gets it: typed members here, the rest in Docker's own forms.
pub(super) fn container(context: &Context<'_>, spec: &shapes::ContainerDefinition) -> Container {
    let name = spec.name.clone().unwrap_or_default();
    let overrides = context.overrides(&name);
    let record = context.task.containers.iter().find(|container| container.name == name);
    let written = spec.image.clone().unwrap_or_default();
    let pinned = record.filter(|record| record.pinned).and_then(|one| one.image_digest.as_deref());
    let image = match pinned {
        // What a tag meant to the first task of a service revision (ECS semantics §7.9).
        Some(digest) if !written.contains('@') => format!("{written}@{digest}"),
        Some(_) | None => written,
    };
    let arn = record.map(|record| ContainerArn {
        region: context.task.arn.region.clone(),
        account: context.task.arn.account.clone(),
        cluster: context.task.arn.cluster.clone(),
        task: context.task.arn.id,
        id: record.id,
    });
    let size = |overridden: Option<i32>, defined: Option<i32>| {
        u32::try_from(overridden.or(defined).unwrap_or(0)).unwrap_or(0)
    };
    let command = overrides.and_then(|o| o.command.clone()).or_else(|| spec.command.clone());
    let has_health_check = spec.health_check.is_some();
    Container {
        container_arn: arn,
        essential: spec.essential.unwrap_or(true),
        cpu: size(overrides.and_then(|o| o.cpu), spec.cpu),
        memory: size(overrides.and_then(|o| o.memory), spec.memory),
        command: command.filter(|words| !words.is_empty()),
        entry_point: spec.entry_point.clone().filter(|words| !words.is_empty()),
        environment: environment::of(context, spec, overrides),
        links: spec.links.clone().unwrap_or_default(),
        port_mappings: spec.port_mappings.iter().flatten().map(port).collect(),
        mount_points: spec.mount_points.iter().flatten().map(mount_point).collect(),
        volumes_from: spec.volumes_from.iter().flatten().map(volume_from).collect(),
        depends_on: spec.depends_on.iter().flatten().map(dependency).collect(),
        start_timeout: spec.start_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        stop_timeout: spec.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        secrets: secrets(context, spec),
        environment_files: environment_files(spec, overrides),
        registry_authentication: registry(context, spec, &image),
        logs_auth_strategy: logs_auth(context, spec),
        health_check_type: has_health_check.then(|| "docker".to_owned()),
        firelens_configuration: spec.firelens_configuration.as_ref().map(firelens),
        managed_agents: managed_agents(context, spec),
        restart_policy: spec.restart_policy.as_ref().map(restart_policy),
        docker_config: docker::config(context, spec, overrides),
        // Amazon's agent takes nothing but a command here, and no empty text.
        overrides: "{}".to_owned(),
        name,
        image,
        ..Container::default()
    }
}

fn port(mapping: &shapes::PortMapping) -> PortMapping {
    let number = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    PortMapping {
        container_port: number(mapping.container_port),
        host_port: number(mapping.host_port),
        container_port_range: mapping.container_port_range.clone(),
        protocol: Some(mapping.protocol.as_ref().map_or("tcp", |p| p.as_str()).to_lowercase()),
    }
}

fn mount_point(mount: &shapes::MountPoint) -> MountPoint {
    MountPoint {
        source_volume: mount.source_volume.clone().unwrap_or_default(),
        container_path: mount.container_path.clone().unwrap_or_default(),
        read_only: mount.read_only.unwrap_or(false),
    }
}

fn volume_from(volume: &shapes::VolumeFrom) -> VolumeFrom {
    VolumeFrom {
        source_container: volume.source_container.clone().unwrap_or_default(),
        read_only: volume.read_only.unwrap_or(false),
    }
}

fn dependency(dependency: &shapes::ContainerDependency) -> Dependency {
    let condition = match dependency.condition {
        shapes::ContainerCondition::Start => DependencyCondition::Start,
        shapes::ContainerCondition::Complete => DependencyCondition::Complete,
        shapes::ContainerCondition::Success => DependencyCondition::Success,
        shapes::ContainerCondition::Healthy => DependencyCondition::Healthy,
    };
    Dependency { container_name: dependency.container_name.clone(), condition }
}

/// Secrets for the environment, then those for the log driver.
fn secrets(context: &Context<'_>, spec: &shapes::ContainerDefinition) -> Vec<Secret> {
    let secret = |secret: &shapes::Secret, kind: &str, target: &str| {
        let (provider, region) = provider(&secret.value_from);
        let value_from = asked_for(&secret.value_from);
        Secret {
            name: secret.name.clone(),
            may_begin_with_slash: value_from != secret.value_from && !value_from.starts_with('/'),
            value_from,
            region: region.unwrap_or_else(|| context.task.arn.region.as_str()).to_owned(),
            provider: provider.to_owned(),
            kind: kind.to_owned(),
            target: target.to_owned(),
        }
    };
    let log_options = spec.log_configuration.iter().flat_map(|log| log.secret_options.iter());
    let environment = spec.secrets.iter().flatten();
    let environment = environment.map(|s| secret(s, "ENVIRONMENT_VARIABLE", "CONTAINER"));
    environment.chain(log_options.flatten().map(|s| secret(s, "BOOTSTRAP", "LOG_DRIVER"))).collect()
}

/// Who keeps a secret, and the region in its ARN: a bare name is an SSM parameter.
fn provider(value_from: &str) -> (&'static str, Option<&str>) {
    let mut fields = value_from.split(':');
    let service = fields.nth(2);
    let region = fields.next().filter(|region| !region.is_empty());
    match service {
        Some("secretsmanager") => ("asm", region),
        Some(_) | None => ("ssm", region),
    }
}

/// What agents ask the store for: a parameter by its name, for they look for that in the answer; a
/// secret by its ARN. Where a parameter's ARN says not whether its name begins with a slash, none does;
/// our agent is told, and asks for the other too.
fn asked_for(value_from: &str) -> String {
    let path = match value_from.split_once(":parameter/") {
        Some((head, path)) if head.starts_with("arn:") && head.contains(":ssm:") => path,
        Some(_) | None => return value_from.to_owned(),
    };
    match path.contains('/') {
        true => format!("/{path}"),
        false => path.to_owned(),
    }
}

/// An override's files replace the definition's (ECS semantics §3.4).
fn environment_files(
    spec: &shapes::ContainerDefinition,
    overrides: Option<&shapes::ContainerOverride>,
) -> Vec<Value> {
    let overridden = overrides.and_then(|o| o.environment_files.as_ref());
    let files = overridden.or(spec.environment_files.as_ref()).into_iter().flatten();
    files.map(|file| json!({ "type": file.type_.as_str(), "value": file.value })).collect()
}

/// How the agent gets the right to pull the image, if it needs one.
fn registry(
    context: &Context<'_>,
    spec: &shapes::ContainerDefinition,
    image: &str,
) -> Option<RegistryAuthentication> {
    if let Some(credentials) = &spec.repository_credentials {
        let parameter = credentials.credentials_parameter.clone();
        let (_, region) = provider(&parameter);
        let region = region.unwrap_or_else(|| context.task.arn.region.as_str()).to_owned();
        return Some(RegistryAuthentication {
            kind: "asm".to_owned(),
            asm_auth_data: Some(AsmAuthData { credentials_parameter: parameter, region }),
            ..RegistryAuthentication::default()
        });
    }
    let (registry_id, region, endpoint) = ecr_registry(context, image)?;
    Some(RegistryAuthentication {
        kind: "ecr".to_owned(),
        ecr_auth_data: Some(EcrAuthData {
            registry_id: registry_id.to_owned(),
            region: region.to_owned(),
            endpoint_override: endpoint,
            use_execution_role: context.has_execution_role(),
        }),
        ..RegistryAuthentication::default()
    })
}

/// Account and region of an image in ECR, and where the right to pull it is asked for; empty is
/// AWS's own. Images of the task's own account are in the registry beside us.
fn ecr_registry<'a>(
    context: &'a Context<'_>,
    image: &'a str,
) -> Option<(&'a str, &'a str, String)> {
    let host = image.split_once('/')?.0;
    let (arn, own) = (&context.task.arn, context.settings.registry.as_ref());
    if let Some(own) = own.filter(|own| own.hosts.iter().any(|known| known == host)) {
        return Some((arn.account.as_str(), arn.region.as_str(), own.url.clone()));
    }
    let (account, region) = ecr_host(host)?;
    let named = context.settings.ecr_endpoint.clone();
    let ours = own.filter(|_| account == arn.account.as_str()).map(|own| own.url.clone());
    Some((account, region, named.or(ours).unwrap_or_default()))
}

/// Account and region that a host of ECR names: `<account>.dkr.ecr.<region>.<suffix>`.
fn ecr_host(host: &str) -> Option<(&str, &str)> {
    let (account, rest) = host.split_once(".dkr.ecr.")?;
    let (region, suffix) = rest.split_once('.')?;
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (is_account && suffix.starts_with("amazonaws.com")).then_some((account, region))
}

/// `ExecutionRole` makes the agent give that role's credentials to the awslogs driver.
fn logs_auth(context: &Context<'_>, spec: &shapes::ContainerDefinition) -> Option<String> {
    let log = spec.log_configuration.as_ref()?;
    let is_meant = log.log_driver.as_str() == "awslogs" && context.has_execution_role();
    is_meant.then(|| "ExecutionRole".to_owned())
}

fn firelens(firelens: &shapes::FirelensConfiguration) -> Value {
    json!({ "type": firelens.type_.as_str(), "options": firelens.options.clone().unwrap_or_default() })
}

fn managed_agents(context: &Context<'_>, spec: &shapes::ContainerDefinition) -> Vec<ManagedAgent> {
    if !context.task.execute_command {
        return Vec::new();
    }
    let linux = spec.linux_parameters.as_ref();
    let has_init = linux.and_then(|linux| linux.init_process_enabled).unwrap_or(false);
    let properties = [("initProcessEnabled".to_owned(), has_init.to_string())];
    vec![ManagedAgent {
        name: "ExecuteCommandAgent".to_owned(),
        properties: properties.into_iter().collect(),
    }]
}

fn restart_policy(policy: &shapes::ContainerRestartPolicy) -> RestartPolicy {
    let period = policy.restart_attempt_period.and_then(|seconds| u32::try_from(seconds).ok());
    RestartPolicy {
        enabled: policy.enabled,
        ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        restart_attempt_period: period,
    }
}
