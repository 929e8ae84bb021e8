//! Tasks.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shapes_ecs as shapes;
use terms::{
    CapacityProviderName, ClusterName, ContainerInstanceId, TaskArn, TaskDefinitionArn, Text,
    Timestamp,
};

use super::{
    Container, Demand, DeploymentId, DesiredStatus, Document, Explanation, Health, OnFargate,
    Registration, Shared, Stop, Tag, TaskDisk, TaskNetwork, TaskStatus, TaskTarget, is_default,
};

/// When things happened to a task; absent means not yet, or never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskTimes {
    /// The first news from its agent.
    #[serde(
        rename = "c",
        alias = "connected_at",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) connected_at: Option<Timestamp>,
    /// The agent began to pull images.
    #[serde(
        rename = "p",
        alias = "pull_started_at",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) pull_started_at: Option<Timestamp>,
    /// The agent had its images.
    #[serde(
        rename = "q",
        alias = "pull_stopped_at",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) pull_stopped_at: Option<Timestamp>,
    /// It came to run.
    #[serde(rename = "r", alias = "started_at", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    /// It was asked to stop.
    #[serde(rename = "s", alias = "stopping_at", default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopping_at: Option<Timestamp>,
    /// Its first essential container ended.
    #[serde(
        rename = "e",
        alias = "execution_stopped_at",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) execution_stopped_at: Option<Timestamp>,
    /// It stopped.
    #[serde(rename = "t", alias = "stopped_at", default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped_at: Option<Timestamp>,
}

/// One task.
///
/// **Invariant:** `desired` and `stop` belong to the control plane, `status` and the containers to
/// the agent's reports; `status` only moves forward.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    /// Region, account, cluster and id.
    #[serde(rename = "a", alias = "arn")]
    pub(crate) arn: TaskArn,
    /// What it runs.
    #[serde(rename = "d", alias = "definition")]
    pub(crate) definition: Shared<TaskDefinitionArn>,
    /// The group that spread and distinctInstance count, as in `family:web`.
    #[serde(rename = "g", alias = "group")]
    pub(crate) group: Text,
    /// Who started it, as the caller said.
    #[serde(rename = "b", alias = "started_by", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_by: Option<Text>,
    /// The instance that it was placed on.
    #[serde(rename = "i", alias = "instance")]
    pub(crate) instance: ContainerInstanceId,
    /// The capacity provider that placed it; none for a task with a launch type.
    #[serde(
        rename = "p",
        alias = "capacity_provider",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) capacity_provider: Option<CapacityProviderName>,
    /// The zone of that instance.
    #[serde(rename = "z", alias = "zone", default, skip_serializing_if = "Option::is_none")]
    pub(crate) zone: Option<Text>,
    /// Its `ecs.cpu-architecture`, shown among the task's attributes.
    #[serde(
        rename = "h",
        alias = "architecture",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) architecture: Option<Text>,
    /// What scheduling reserves for it until it has stopped.
    #[serde(rename = "m", alias = "demand")]
    pub(crate) demand: Shared<Demand>,
    /// Task-level CPU units, after overrides.
    #[serde(rename = "c", alias = "cpu", default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<u32>,
    /// Task-level MiB, after overrides.
    #[serde(rename = "y", alias = "memory", default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<u32>,
    /// Overrides as given, to be returned as given; merged when the payload is made.
    #[serde(rename = "o", alias = "overrides")]
    pub(crate) overrides: Document<shapes::TaskOverride>,
    /// What is wanted of it.
    #[serde(rename = "w", alias = "desired")]
    pub(crate) desired: DesiredStatus,
    /// Where it is (`lastStatus`).
    #[serde(rename = "s", alias = "status")]
    pub(crate) status: TaskStatus,
    /// Why it stops or stopped.
    #[serde(rename = "x", alias = "stop", default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Stop>,
    /// Its containers, in the order of the task definition.
    #[serde(rename = "n", alias = "containers", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) containers: Vec<Container>,
    /// When it was made.
    #[serde(rename = "t", alias = "created_at")]
    pub(crate) created_at: Timestamp,
    /// When other things happened to it.
    #[serde(rename = "l", alias = "times")]
    pub(crate) times: TaskTimes,
    /// Its interface, if its network mode is awsvpc.
    #[serde(rename = "e", alias = "network", default, skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<Box<TaskNetwork>>,
    /// Its EBS volume.
    #[serde(rename = "D", alias = "disk", default, skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<Box<TaskDisk>>,
    /// What it has of Fargate; none if it is on an instance of its cluster.
    #[serde(rename = "F", alias = "fargate", default, skip_serializing_if = "Option::is_none")]
    pub(crate) fargate: Option<Box<OnFargate>>,
    /// Until when a service may not end it to grow smaller or to deploy; past is as good as none.
    #[serde(
        rename = "u",
        alias = "protected_until",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) protected_until: Option<Timestamp>,
    /// Whether its instance was taken away before it had stopped. Its record says STOPPED, as ECS
    /// has it, but nobody stopped its containers: they may still run there.
    #[serde(rename = "f", alias = "abandoned", default, skip_serializing_if = "is_default")]
    pub(crate) abandoned: bool,
    /// The deployment or task set of a service that it belongs to.
    #[serde(rename = "r", alias = "deployment", default, skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<OfDeployment>,
    /// The targets of load balancers that it is to be, or is.
    #[serde(rename = "T", alias = "targets", default, skip_serializing_if = "is_default")]
    pub(crate) targets: Box<[TaskTarget]>,
    /// Tags.
    #[serde(rename = "k", alias = "tags", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<Tag>,
    /// Whether ECS Exec was asked for.
    #[serde(rename = "q", alias = "execute_command", default, skip_serializing_if = "is_default")]
    pub(crate) execute_command: bool,
    /// Why it is where it is.
    #[serde(rename = "j", alias = "explanation")]
    pub(crate) explanation: Shared<Explanation>,
    /// Grows by one with each change of this record.
    #[serde(rename = "v", alias = "version")]
    pub(crate) version: u64,
}

/// What a task is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfDeployment {
    /// The deployment, or the task set.
    #[serde(rename = "i", alias = "id")]
    pub(crate) id: DeploymentId,
    /// Whether the scheduler has seen the task's end.
    #[serde(rename = "c", alias = "counted", default, skip_serializing_if = "is_default")]
    pub(crate) counted: bool,
}

/// The group of tasks on a fleet: see [`Task::spread_group`].
pub(crate) fn fleet_group(cluster: &ClusterName, group: &str) -> Arc<str> {
    format!("{cluster}/{group}").into()
}

/// What stands before a service's name in the group of its tasks.
const SERVICE_GROUP: &str = "service:";

impl Task {
    /// Whether a service started it (ECS semantics §5.1, group).
    pub(crate) fn is_of_service(&self) -> bool {
        self.group.starts_with(SERVICE_GROUP)
    }

    /// The group as placement counts it. On a fleet tasks of many clusters are beside each other, so
    /// there the cluster's name stands before it, and a `/`, which no cluster's name has.
    pub(crate) fn spread_group(&self) -> Arc<str> {
        match self.fargate {
            None => self.group.shared(),
            Some(_) => fleet_group(&self.arn.cluster, &self.group),
        }
    }

    /// The name of the service that started it, if one did.
    pub(crate) fn service_name(&self) -> Option<&str> {
        self.group.strip_prefix(SERVICE_GROUP)
    }

    /// Its targets that are registered, with how they are.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (&TaskTarget, &Registration)> {
        self.targets.iter().filter_map(|target| Some((target, target.standing()?)))
    }

    /// When its protection ends, if it is protected at `now` (ECS semantics §5.5). Nothing clears
    /// a protection that has expired: the time says it.
    pub(crate) fn protection(&self, now: Timestamp) -> Option<Timestamp> {
        self.protected_until.filter(|until| *until > now)
    }

    /// The task's health: that of its essential containers, the worst first (ECS semantics §5.1).
    pub(crate) fn health(&self) -> Health {
        let essential = || self.containers.iter().filter(|c| c.essential).map(|c| c.health);
        if essential().any(|health| health == Health::Unhealthy) {
            Health::Unhealthy
        } else if essential().all(|health| health == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Unknown
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Map, Value};
    use terms::Timestamp;

    use super::super::sample::{disk, network, task};
    use super::*;
    use crate::model::{Binding, Protocol, StopCode};

    const TASK: &str = "a arn d definition g group b started_by i instance p capacity_provider \
        z zone h architecture m demand c cpu y memory o overrides w desired s status x stop \
        n containers t created_at l times e network D disk F fargate u protected_until f abandoned r deployment T targets k tags \
        q execute_command j explanation v version";
    const TIMES: &str = "c connected_at p pull_started_at q pull_stopped_at r started_at \
        s stopping_at e execution_stopped_at t stopped_at";
    const CONTAINER: &str = "i id n name m image e essential k health_check c cpu y memory \
        z memory_reservation s status d image_digest p pinned r runtime_id x exit_code o reason b bindings \
        h health g gpu_ids a exec_agent";
    const BINDING: &str = "a bind_ip c container_port h host_port r container_port_range \
        s host_port_range p protocol";
    const DEMAND: &str = "c cpu m memory t tcp u udp g gpus";
    const EXPLANATION: &str =
        "c considered f fitting r refused e examples s strategy m constraints t retries";

    /// An object with the names that members had in older rows; each member must be in the list.
    fn older(object: &Value, letters: &str) -> Map<String, Value> {
        let words: Vec<_> = letters.split_whitespace().collect();
        let name = |letter: &str| {
            let pair = words.chunks(2).find(|pair| pair[0] == letter);
            pair.unwrap_or_else(|| panic!("{letter} has a name"))[1].to_owned()
        };
        let members = object.as_object().unwrap().iter();
        members.map(|(letter, value)| (name(letter), value.clone())).collect()
    }

    /// A task of which every member is there.
    fn full() -> Task {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let mut full = task(1);
        full.started_by = Some("me".into());
        full.capacity_provider = Some("spot".parse().unwrap());
        full.zone = Some("us-east-1a".into());
        full.architecture = Some("x86_64".into());
        full.demand.tcp.insert(80);
        full.demand.udp.insert(53);
        full.demand.gpus = 1;
        (full.cpu, full.memory) = (Some(256), Some(512));
        full.stop = Some(Stop { code: StopCode::UserInitiated, reason: "enough".to_owned() });
        full.network = Some(Box::new(network()));
        full.disk = Some(Box::new(disk()));
        full.fargate = Some(Box::new(OnFargate { platform: "1.4.0".into(), storage_gib: 21 }));
        full.protected_until = Some(now);
        (full.abandoned, full.execute_command) = (true, true);
        full.tags.push(Tag { key: "k".to_owned(), value: "v".to_owned() });
        let id = DeploymentId::from_bytes([7; 16]);
        full.deployment = Some(OfDeployment { id, counted: true });
        let at = Registration { id: "i-1".into(), port: 32768, since: now, is_over: true };
        let (group, container) = ("arn:aws:a".into(), "web".into());
        full.targets = [TaskTarget { group, container, port: 80, at: Some(at) }].into();
        full.explanation.strategy.push("spread".to_owned());
        full.explanation.constraints.push("distinctInstance".to_owned());
        (full.explanation.fitting, full.explanation.retries) = (2, 1);
        let times = &mut full.times;
        for time in [
            &mut times.connected_at,
            &mut times.pull_started_at,
            &mut times.pull_stopped_at,
            &mut times.started_at,
            &mut times.stopping_at,
            &mut times.execution_stopped_at,
            &mut times.stopped_at,
        ] {
            *time = Some(now);
        }
        let web = &mut full.containers[0];
        (web.memory, web.memory_reservation) = (Some(64), Some(32));
        web.image_digest = Some("sha256:00".into());
        web.pinned = true;
        web.runtime_id = Some("00".to_owned());
        (web.exit_code, web.reason) = (Some(1), Some("why".to_owned()));
        (web.health_check, web.health) = (true, Health::Healthy);
        web.gpu_ids.push("GPU-1".to_owned());
        web.exec_agent = Some(crate::model::ExecAgent::wanted());
        web.bindings.push(Binding {
            bind_ip: "0.0.0.0".into(),
            container_port: Some(80),
            host_port: Some(8080),
            container_port_range: Some("1-2".to_owned()),
            host_port_range: Some("3-4".to_owned()),
            protocol: Protocol::Udp,
        });
        full
    }

    #[test]
    fn older_rows_are_read() {
        for row in [task(1), full()] {
            let stored = serde_json::to_value(&row).unwrap();
            assert_eq!(serde_json::from_value::<Task>(stored.clone()).unwrap(), row);
            let mut old = older(&stored, TASK);
            for (member, letters) in
                [("times", TIMES), ("demand", DEMAND), ("explanation", EXPLANATION)]
            {
                old[member] = older(&old[member], letters).into();
            }
            if let Some(of) = old.get_mut("deployment") {
                *of = older(of, "i id c counted").into();
            }
            for container in old["containers"].as_array_mut().unwrap() {
                let mut older_container = older(container, CONTAINER);
                for binding in
                    older_container.get_mut("bindings").into_iter().flat_map(Value::as_array_mut)
                {
                    binding.iter_mut().for_each(|one| *one = older(one, BINDING).into());
                }
                *container = older_container.into();
            }
            assert_eq!(serde_json::from_value::<Task>(old.into()).unwrap(), row);
        }
    }

    #[test]
    fn what_is_absent_takes_no_room() {
        let stored = serde_json::to_value(task(1)).unwrap();
        let members: Vec<_> = stored.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members.concat(), "adgijlmnostvw");
        assert_eq!(stored["l"], serde_json::json!({}));
    }
}
