//! What is known of one container.

use std::time::Duration;

use agent_protocol::task::{Container, DependencyCondition, Task};
use runtime::ContainerId;
use terms::Timestamp;

use crate::logs::firelens::{is_routed, router_of};

use super::event::{End, Place, PulledImage};
use super::health::{Health, Plan};
use super::phase::{Phase, Status, Step};
use super::restart::Restarts;
use crate::spec::{self, PortRange};

/// One container of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerState {
    /// Its id, chosen when the task was taken over.
    pub id: ContainerId,
    /// Its name in the task.
    pub name: String,
    /// Its name for people, as ECS's agent forms it.
    pub docker_name: String,
    /// Whether its end ends the task.
    pub essential: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether a registry named its image's manifest.
    pub resolved: bool,
    /// Its image's manifest.
    pub digest: Option<String>,
    /// Its image.
    pub image: Option<PulledImage>,
    /// Whether the runtime ever had it.
    pub existed: bool,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When its command was started.
    pub started_at: Option<Timestamp>,
    /// Its place in the network.
    pub network: Option<Place>,
    /// How far its stop has come.
    pub stop: Stop,
    /// How it ended.
    pub end: Option<End>,
    /// Whether its network and endpoints are gone.
    pub released: bool,
    /// Its health, if it is checked.
    pub health: Option<Health>,
    /// The ranges of ports that it wants published.
    pub port_ranges: Vec<PortRange>,
    /// Its restarts in place.
    pub restarts: Restarts,
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// Nobody asked.
    #[default]
    NotAsked,
    /// The stop signal was sent; SIGKILL follows at this instant.
    Asked(Timestamp),
    /// SIGKILL was sent; again at this instant if it is still there.
    Killed(Timestamp),
}

impl ContainerState {
    /// A container that nothing was done for.
    pub fn new(task: &Task, container: &Container, id: ContainerId, now: Timestamp) -> Self {
        let checked = container.health_check_type.as_deref() == Some("docker");
        let check = container.docker_config.config().ok().and_then(|config| config.healthcheck);
        let plan = check.filter(|_| checked).and_then(|check| Plan::of(&check));
        Self {
            docker_name: docker_name(task, container, &id),
            id,
            name: container.name.clone(),
            essential: container.essential,
            phase: Phase::None,
            resolved: false,
            digest: None,
            image: None,
            existed: false,
            created_at: None,
            started_at: None,
            network: None,
            stop: Stop::NotAsked,
            end: None,
            released: false,
            health: plan.map(|plan| Health::new(plan, now)),
            port_ranges: spec::port_ranges(container),
            restarts: Restarts::default(),
        }
    }

    /// Takes a step that the phase has; one that it has not is a late answer, and is ignored.
    pub(super) fn step(&mut self, step: Step) -> bool {
        match self.phase.next(step) {
            Ok(phase) => {
                self.phase = phase;
                true
            }
            Err(_) => false,
        }
    }

    /// The status that ECS's agent gives it.
    pub fn status(&self) -> Status {
        self.phase.status(self.resolved)
    }

    /// The start of its command, if it ever ran.
    pub fn ran_since(&self) -> Option<Timestamp> {
        self.started_at.or(self.end.as_ref().and_then(|end| end.started_at))
    }

    /// The signal that asks it to end: the definition's, the image's, or SIGTERM.
    pub(super) fn stop_signal(&self, container: &Container) -> String {
        let own = container.docker_config.config().ok().and_then(|config| config.stop_signal);
        own.or_else(|| self.image.as_ref()?.stop_signal.clone())
            .filter(|signal| !signal.is_empty())
            .unwrap_or_else(|| "SIGTERM".to_owned())
    }
}

/// `ecs-<family>-<revision>-<container>-<20 hex>` (agent-protocol §6.1).
fn docker_name(task: &Task, container: &Container, id: &ContainerId) -> String {
    let digits = &id.as_str()[..20];
    format!("ecs-{}-{}-{}-{digits}", task.family, task.version, container.name)
}

/// What a container waits for: links, shared volumes and the router of its output included.
pub fn dependencies(task: &Task, container: &Container) -> Vec<(String, DependencyCondition)> {
    let declared = container.depends_on.iter().map(|d| (d.container_name.clone(), d.condition));
    let links = container.links.iter().map(|link| {
        let name = link.split_once(':').map_or(link.as_str(), |(name, _)| name);
        (name.to_owned(), DependencyCondition::Start)
    });
    let volumes = container
        .volumes_from
        .iter()
        .map(|from| (from.source_container.clone(), DependencyCondition::Create));
    let declared: Vec<_> = declared.chain(links).chain(volumes).collect();
    // Amazon's agent adds this one unless the definition says what to wait for.
    let router = router_of(task).filter(|router| {
        is_routed(container) && declared.iter().all(|(name, _)| *name != router.name)
    });
    let router = router.map(|router| (router.name.clone(), DependencyCondition::Start));
    declared.into_iter().chain(router).collect()
}

/// Whether a container's dependencies let it go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All are met.
    Met,
    /// Not yet; look again at this instant at the latest, if given.
    Waiting(Option<Timestamp>),
    /// They never will be.
    Failed(String),
}

/// Whether the dependencies of container `index` let it be created at `now`.
pub fn verdict(task: &Task, states: &[ContainerState], index: usize, now: Timestamp) -> Verdict {
    let mut waiting = None;
    let target = &task.containers[index].name;
    for (name, condition) in dependencies(task, &task.containers[index]) {
        let Some(at) = task.containers.iter().position(|container| container.name == name) else {
            return Verdict::Failed(format!(
                "dependency graph: container ordering dependency [{name}] for target [{target}] does not exist."
            ));
        };
        match one(&task.containers[at], &states[at], condition, now) {
            One::Met => {}
            One::Waiting(until) => {
                let earliest = waiting.flatten().into_iter().chain(until).min();
                waiting = Some(earliest);
            }
            One::TimedOut => {
                return Verdict::Failed(format!(
                    "dependency graph: container ordering dependency [{name}] for target [{target}] has timed out."
                ));
            }
            One::Failed(how) => {
                return Verdict::Failed(format!(
                    "dependency graph: failed to resolve container ordering dependency [{name}] for target [{target}] as dependency {how}."
                ));
            }
        }
    }
    waiting.map_or(Verdict::Met, Verdict::Waiting)
}

enum One {
    Met,
    Waiting(Option<Timestamp>),
    TimedOut,
    Failed(&'static str),
}

fn one(
    container: &Container,
    state: &ContainerState,
    condition: DependencyCondition,
    now: Timestamp,
) -> One {
    let code = state.end.as_ref().map(|end| end.code);
    let met = match (condition, code) {
        (DependencyCondition::Create, None) => state.phase >= Phase::Created,
        (DependencyCondition::Create, Some(_)) if state.existed => true,
        (DependencyCondition::Start, None) => state.phase == Phase::Running,
        (DependencyCondition::Start, Some(_)) if state.ran_since().is_some() => true,
        (DependencyCondition::Complete, Some(Some(_)))
        | (DependencyCondition::Success, Some(Some(0))) => true,
        (DependencyCondition::Success, Some(Some(_))) => {
            return One::Failed("did not exit successfully");
        }
        (DependencyCondition::Create | DependencyCondition::Start, Some(_))
        | (DependencyCondition::Complete | DependencyCondition::Success, Some(None)) => {
            return One::Failed("never started");
        }
        (DependencyCondition::Healthy, Some(_)) => return One::Failed("has stopped"),
        (DependencyCondition::Healthy, None) => match &state.health {
            None if container.health_check_type.is_some() => {
                return One::Failed(
                    "has a health check that begins with neither CMD nor CMD-SHELL",
                );
            }
            None => return One::Failed("has no health check"),
            Some(health) => health.status == agent_protocol::tcs::HealthStatus::Healthy,
        },
        (DependencyCondition::Complete | DependencyCondition::Success, None) => false,
    };
    if met {
        return One::Met;
    }
    // Amazon's agent measures from the dependency's own start, for what comes after it.
    let timeout = container.start_timeout.filter(|&seconds| seconds > 0);
    let until = state
        .started_at
        .zip(timeout)
        .map(|(at, seconds)| at + Duration::from_secs(u64::from(seconds)));
    match until {
        Some(until) if until <= now => One::TimedOut,
        until => One::Waiting(until),
    }
}

/// Why the containers' dependencies can never be met, if so: a cycle or an unknown name.
pub fn check_dependencies(task: &Task) -> Result<(), String> {
    let index = |name: &str| task.containers.iter().position(|c| c.name == name);
    let mut settled = vec![false; task.containers.len()];
    loop {
        let mut moved = false;
        for (at, container) in task.containers.iter().enumerate() {
            if settled[at] {
                continue;
            }
            let mut ready = true;
            for (name, _) in dependencies(task, container) {
                match index(&name) {
                    Some(other) => ready &= settled[other],
                    None => {
                        return Err(format!(
                            "container '{}' depends on '{name}', which is not in the task",
                            container.name
                        ));
                    }
                }
            }
            if ready {
                (settled[at], moved) = (true, true);
            }
        }
        if settled.iter().all(|&done| done) {
            return Ok(());
        }
        if !moved {
            let stuck = settled.iter().zip(&task.containers).filter(|(done, _)| !**done);
            let names: Vec<_> = stuck.map(|(_, container)| container.name.as_str()).collect();
            return Err(format!("containers depend on each other: {}", names.join(", ")));
        }
    }
}
