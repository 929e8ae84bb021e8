//! Rows for tests.

use std::collections::BTreeMap;

use terms::{ContainerInstanceId, TaskId, Timestamp, Uuid};

use super::{
    AgentInfo, AttachmentStatus, Capacity, CapacityChoice, Container, ContainerInstance,
    ContainerStatus, Course, Demand, Deployment, DeploymentConfiguration, DeploymentController,
    DeploymentId, DesiredStatus, Document, Explanation, Health, InstanceStatus, Resolution,
    Revision, RevisionId, SchedulingStrategy, Service, ServiceDeploymentId, ServiceStatus, Task,
    TaskDisk, TaskNetwork, TaskStatus, TaskTimes, Workload, ZoneRebalancing,
};

/// When sample rows were made.
pub(crate) const MADE: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A task that was just placed, with an essential container `web` and another one, `side`.
pub(crate) fn task(number: u8) -> Task {
    let id = TaskId::from_bytes([number; 16]);
    let text = "arn:aws:ecs:us-east-1:000000000000";
    Task {
        arn: format!("{text}:task/default/{id}").parse().expect("a task ARN"),
        definition: format!("{text}:task-definition/web:1")
            .parse::<terms::TaskDefinitionArn>()
            .expect("an ARN")
            .into(),
        group: "family:web".into(),
        started_by: None,
        instance: ContainerInstanceId::from_bytes([1; 16]),
        capacity_provider: None,
        zone: None,
        architecture: None,
        demand: Demand::default().into(),
        cpu: None,
        memory: None,
        overrides: Document::default(),
        desired: DesiredStatus::Running,
        status: TaskStatus::Pending,
        stop: None,
        containers: vec![container("web", true), container("side", false)],
        created_at: MADE,
        times: TaskTimes::default(),
        tags: Vec::new(),
        network: None,
        disk: None,
        fargate: None,
        protected_until: None,
        abandoned: false,
        targets: Box::default(),
        deployment: None,
        execute_command: false,
        explanation: Explanation::default().into(),
        version: 1,
    }
}

/// An instance that is ACTIVE and connected, with nothing to give.
pub(crate) fn instance(number: u8) -> ContainerInstance {
    let id = ContainerInstanceId::from_bytes([number; 16]);
    let text = "arn:aws:ecs:us-east-1:000000000000";
    ContainerInstance {
        arn: format!("{text}:container-instance/default/{id}").parse().expect("an ARN"),
        status: InstanceStatus::Active,
        ec2_instance_id: None,
        attributes: BTreeMap::new(),
        capacity: Capacity::default(),
        registered: Vec::new(),
        agent: AgentInfo { connected: true, ..AgentInfo::default() },
        node: None,
        registered_at: MADE,
        changed_at: MADE,
        tags: Vec::new(),
        version: 1,
    }
}

/// A REPLICA service called `web`, in which nothing has happened.
pub(crate) fn service(configuration: DeploymentConfiguration, desired: u32) -> Service {
    Service {
        arn: "arn:aws:ecs:us-east-1:000000000000:service/default/web".parse().expect("an ARN"),
        status: ServiceStatus::Active,
        scheduling: SchedulingStrategy::Replica,
        controller: DeploymentController::Ecs,
        capacity: CapacityChoice::LaunchType("EC2".to_owned()),
        desired,
        configuration,
        primary: None,
        constraints: Vec::new(),
        strategies: Vec::new(),
        role: None,
        grace_seconds: None,
        rebalancing: ZoneRebalancing::Disabled,
        execute_command: false,
        managed_tags: false,
        propagate_tags: None,
        tags: Vec::new(),
        created_at: MADE,
        created_by: "arn:aws:iam::000000000000:root".to_owned(),
        changed_at: MADE,
        client_token: None,
        request: None,
        course: Course::default(),
    }
}

/// A deployment that brings [`revision`] with this number.
pub(crate) fn deployment(number: u8) -> Deployment {
    let id = DeploymentId::from_bytes([number; 16]);
    Deployment::new(
        id,
        ServiceDeploymentId::from_bytes([number; 16]),
        revision(number).id,
        Vec::new(),
        DeploymentConfiguration::replica(),
        1,
        MADE,
    )
}

/// A revision of `web:1` on instances.
pub(crate) fn revision(number: u8) -> Revision {
    let text = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:1";
    Revision {
        id: RevisionId::from_digits(DeploymentId::from_bytes([number; 16]).digits()),
        workload: Workload {
            definition: text.parse().expect("an ARN"),
            capacity: CapacityChoice::LaunchType("EC2".to_owned()),
            platform_version: None,
            network: None,
            volume: None,
            balanced: Vec::new(),
        },
        images: Vec::new(),
        resolution: Resolution::default(),
        created_at: MADE,
    }
}

/// An EBS volume.
pub(crate) fn disk() -> TaskDisk {
    TaskDisk {
        attachment: terms::Uuid::from_random([9; 16]),
        id: "vol-0123456789abcdef0".to_owned(),
        name: "data".into(),
        size_gib: 10,
        file_system: Some("ext4".into()),
        role: "arn:aws:iam::000000000000:role/ecsInfrastructureRole".into(),
        is_kept: true,
    }
}

/// An interface that its agent has not taken yet.
pub(crate) fn network() -> TaskNetwork {
    TaskNetwork {
        attachment: Uuid::from_random([9; 16]),
        status: AttachmentStatus::Attaching,
        subnet: "subnet-0123456789abcdef0".to_owned(),
        interface: "eni-0123456789abcdef0".to_owned(),
        mac: "02:00:ac:1f:00:07".to_owned(),
        address: [172, 31, 0, 7].into(),
        prefix: 20,
        gateway: [172, 31, 0, 1].into(),
        private_dns_name: "ip-172-31-0-7.ec2.internal".to_owned(),
    }
}

fn container(name: &str, essential: bool) -> Container {
    Container {
        id: Uuid::from_random([name.len() as u8; 16]),
        name: name.into(),
        image: name.into(),
        essential,
        health_check: false,
        cpu: 0,
        memory: None,
        memory_reservation: None,
        status: ContainerStatus::Pending,
        image_digest: None,
        pinned: false,
        runtime_id: None,
        exit_code: None,
        reason: None,
        bindings: Vec::new(),
        health: Health::Unknown,
        gpu_ids: Vec::new(),
        exec_agent: None,
    }
}
