//! Tasks as the API shows them.

use shapes_ecs as shapes;
use terms::ContainerArn;
use wire::value::Enumeration;

use super::super::tags;
use crate::model::{
    AttachmentStatus, Binding, Container, ExecAgent, Protocol, Task, TaskDisk, TaskNetwork,
    TaskStatus,
};

/// A task as it is answered to who started it: with network mode awsvpc, before it has its
/// interface (ECS Developer Guide, "Task lifecycle states").
pub(super) fn show_started(task: &Task) -> shapes::Task {
    let Some(network) = task.network.clone().filter(|_| task.status == TaskStatus::Pending) else {
        return show(task, true);
    };
    let network = TaskNetwork { status: AttachmentStatus::Precreated, ..*network };
    let status = TaskStatus::Provisioning;
    show(&Task { status, network: Some(Box::new(network)), ..task.clone() }, true)
}

/// A task as the API shows it.
pub(super) fn show(task: &Task, with_tags: bool) -> shapes::Task {
    let arn = &task.arn;
    let instance = terms::ContainerInstanceArn {
        region: arn.region.clone(),
        account: arn.account.clone(),
        cluster: arn.cluster.clone(),
        id: task.instance,
    };
    let fargate = task.fargate.as_deref();
    let storage = fargate.and_then(|one| i32::try_from(one.storage_gib).ok());
    let cluster = terms::ClusterArn {
        region: arn.region.clone(),
        account: arn.account.clone(),
        name: arn.cluster.clone(),
    };
    let times = &task.times;
    shapes::Task {
        attachments: Some(attachments(task)),
        attributes: Some(attributes(task)),
        availability_zone: task.zone.as_ref().map(Into::into),
        capacity_provider_name: task.capacity_provider.as_ref().map(ToString::to_string),
        cluster_arn: Some(cluster.to_string()),
        connectivity: times.connected_at.map(|_| shapes::Connectivity::Connected),
        connectivity_at: times.connected_at,
        // Nodes of the operator's own are no instances that anybody sees.
        container_instance_arn: fargate.is_none().then(|| instance.to_string()),
        containers: Some(task.containers.iter().map(|one| container(task, one)).collect()),
        cpu: Some(task.demand.cpu.to_string()),
        created_at: Some(task.created_at),
        desired_status: Some(task.desired.as_str().to_owned()),
        enable_execute_command: Some(task.execute_command),
        execution_stopped_at: times.execution_stopped_at,
        group: Some(task.group.to_string()),
        health_status: shapes::HealthStatus::parse(task.health().as_str()),
        inference_accelerators: Some(Vec::new()),
        last_status: Some(task.status.as_str().to_owned()),
        ephemeral_storage: storage.map(|size_in_gi_b| shapes::EphemeralStorage { size_in_gi_b }),
        fargate_ephemeral_storage: storage.map(|size| shapes::TaskEphemeralStorage {
            size_in_gi_b: Some(size),
            ..Default::default()
        }),
        launch_type: Some(match fargate {
            None => shapes::LaunchType::Ec2,
            Some(_) => shapes::LaunchType::Fargate,
        }),
        // Only Linux has nodes.
        platform_family: fargate.map(|_| "Linux".to_owned()),
        platform_version: fargate.map(|one| one.platform.to_string()),
        memory: Some(task.demand.memory.to_string()),
        overrides: Some((*task.overrides).clone()),
        pull_started_at: times.pull_started_at,
        pull_stopped_at: times.pull_stopped_at,
        started_at: times.started_at,
        started_by: task.started_by.as_ref().map(Into::into),
        stop_code: task.stop.as_ref().and_then(|s| shapes::TaskStopCode::parse(s.code.as_str())),
        stopped_at: times.stopped_at,
        stopped_reason: task.stop.as_ref().map(|stop| stop.reason.clone()),
        stopping_at: times.stopping_at,
        tags: Some(if with_tags { tags::show(&task.tags) } else { Vec::new() }),
        task_arn: Some(arn.to_string()),
        task_definition_arn: Some(task.definition.to_string()),
        version: i64::try_from(task.version).ok(),
        ..Default::default()
    }
}

fn attributes(task: &Task) -> Vec<shapes::Attribute> {
    let architecture = task.architecture.iter().map(|value| shapes::Attribute {
        name: "ecs.cpu-architecture".to_owned(),
        value: Some(value.to_string()),
        ..Default::default()
    });
    architecture.collect()
}

fn container(task: &Task, one: &Container) -> shapes::Container {
    let arn = ContainerArn {
        region: task.arn.region.clone(),
        account: task.arn.account.clone(),
        cluster: task.arn.cluster.clone(),
        task: task.arn.id,
        id: one.id,
    };
    let digits = |amount: Option<u32>| amount.map(|amount| amount.to_string());
    shapes::Container {
        container_arn: Some(arn.to_string()),
        task_arn: Some(task.arn.to_string()),
        name: Some(one.name.to_string()),
        image: Some(one.image.to_string()),
        image_digest: one.image_digest.as_ref().map(Into::into),
        runtime_id: one.runtime_id.clone(),
        last_status: Some(one.status.as_str().to_owned()),
        exit_code: one.exit_code,
        reason: one.reason.clone(),
        network_bindings: Some(one.bindings.iter().map(binding).collect()),
        network_interfaces: Some(task.network.iter().filter_map(|it| interface(it)).collect()),
        health_status: shapes::HealthStatus::parse(one.health.as_str()),
        cpu: Some(one.cpu.to_string()),
        gpu_ids: Some(one.gpu_ids.clone()).filter(|ids| !ids.is_empty()),
        managed_agents: one.exec_agent.as_ref().map(|agent| vec![managed_agent(agent)]),
        memory: digits(one.memory),
        memory_reservation: digits(one.memory_reservation),
        ..Default::default()
    }
}

fn managed_agent(agent: &ExecAgent) -> shapes::ManagedAgent {
    shapes::ManagedAgent {
        last_started_at: agent.started_at,
        last_status: Some(agent.status.as_str().to_owned()),
        name: Some(shapes::ManagedAgentName::ExecuteCommandAgent),
        reason: agent.reason.clone(),
    }
}

fn attachments(task: &Task) -> Vec<shapes::Attachment> {
    let interface = task.network.iter().map(|it| attachment(it));
    interface.chain(task.disk.iter().map(|disk| volume(disk, task.status))).collect()
}

/// An EBS volume as a task's attachment.
fn volume(disk: &TaskDisk, status: TaskStatus) -> shapes::Attachment {
    let pair = |name: &str, value: &str| shapes::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    };
    let mut details = vec![
        pair("roleArn", &disk.role),
        pair("volumeName", &disk.name),
        pair("volumeId", &disk.id),
        pair("sizeInGiB", &disk.size_gib.to_string()),
        pair("deleteOnTermination", if disk.is_kept { "false" } else { "true" }),
    ];
    details.extend(disk.file_system.iter().map(|format| pair("filesystemType", format)));
    shapes::Attachment {
        id: Some(disk.attachment.to_string()),
        type_: Some("AmazonElasticBlockStorage".to_owned()),
        status: Some(disk.status(status).to_owned()),
        details: Some(details),
    }
}

/// An interface as a task's attachment. What is not known before the interface is there is left
/// out, as on ECS.
fn attachment(network: &TaskNetwork) -> shapes::Attachment {
    let known = network.status > AttachmentStatus::Precreated;
    let details = [
        ("subnetId", network.subnet.clone(), true),
        ("networkInterfaceId", network.interface.clone(), known),
        ("macAddress", network.mac.clone(), known),
        ("privateDnsName", network.private_dns_name.clone(), known),
        ("privateIPv4Address", network.address.to_string(), known),
    ];
    let pair = |(name, value, _): (&str, String, bool)| shapes::KeyValuePair {
        name: Some(name.to_owned()),
        value: Some(value),
    };
    shapes::Attachment {
        id: Some(network.attachment.to_string()),
        type_: Some("ElasticNetworkInterface".to_owned()),
        status: Some(network.status.as_str().to_owned()),
        details: Some(details.into_iter().filter(|(_, _, shown)| *shown).map(pair).collect()),
    }
}

/// An interface as each container of its task has it, once it is there.
fn interface(network: &TaskNetwork) -> Option<shapes::NetworkInterface> {
    (network.status > AttachmentStatus::Precreated).then(|| shapes::NetworkInterface {
        attachment_id: Some(network.attachment.to_string()),
        private_ipv4_address: Some(network.address.to_string()),
        ..Default::default()
    })
}

fn binding(binding: &Binding) -> shapes::NetworkBinding {
    shapes::NetworkBinding {
        bind_ip: Some(binding.bind_ip.to_string()),
        container_port: binding.container_port.map(i32::from),
        host_port: binding.host_port.map(i32::from),
        protocol: Some(match binding.protocol {
            Protocol::Tcp => shapes::TransportProtocol::Tcp,
            Protocol::Udp => shapes::TransportProtocol::Udp,
        }),
        container_port_range: binding.container_port_range.clone(),
        host_port_range: binding.host_port_range.clone(),
    }
}
