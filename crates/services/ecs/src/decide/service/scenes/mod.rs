//! Services in chosen situations: what is decided, and what is said, word by word.

mod alarms;
mod breaker;
mod digests;
mod early;
mod health;
mod hooks;
mod leaving;
mod protected;
mod sets;
mod switch;
mod targets;
mod told;
mod zones;

use std::time::Duration;

use terms::{ContainerInstanceId, TaskId, Timestamp};

use super::view::{Decision, Ended, Phase, Rules, Seen, Start, Traffic, View};
use super::{Rows, decide};
use crate::model::sample::{MADE, revision, service};
use crate::model::{
    CircuitBreaker, Deployment, DeploymentConfiguration, DeploymentId, DeploymentStatus, Health,
    RolloutState, ServiceDeploymentId, StopCode,
};

/// Looks that nothing may need more of to come to rest.
const LOOKS: usize = 200;

/// A service whose tasks do what the test says.
struct Scene {
    now: Timestamp,
    rules: Rules,
    view: View,
    /// Whether tasks have health checks.
    has_checks: bool,
    /// All that was said.
    said: Vec<String>,
    /// All that was started.
    starts: Vec<Start>,
    made: u8,
    /// Where traffic was to go at the last look.
    traffic: Option<Traffic>,
}

impl Scene {
    /// A service that was just made.
    fn new(configuration: DeploymentConfiguration, desired: u32) -> Self {
        let view = View::bare(service(configuration, desired));
        let mut scene = Self {
            now: MADE,
            rules: Rules::default(),
            view,
            has_checks: false,
            said: Vec::new(),
            starts: Vec::new(),
            made: 0,
            traffic: None,
        };
        scene.deploy();
        scene
    }

    /// A service whose first deployment is complete.
    fn steady(configuration: DeploymentConfiguration, desired: u32) -> Self {
        let mut scene = Self::new(configuration, desired);
        scene.roll();
        assert_eq!(scene.primary().rollout, RolloutState::Completed);
        scene.said.clear();
        scene
    }

    /// A new deployment, as UpdateService makes one.
    fn deploy(&mut self) -> DeploymentId {
        self.made += 1;
        let id = DeploymentId::from_bytes([self.made; 16]);
        for one in &mut self.view.deployments {
            if Some(one.id) == self.view.service.primary {
                *one = one.replaced(self.now);
            }
        }
        let open = |one: &&Deployment| one.status != DeploymentStatus::Inactive;
        let sources = self.view.deployments.iter().filter(open).map(|one| one.revision).collect();
        let service = &mut self.view.service;
        let brought = revision(self.made);
        let mut made = Deployment::new(
            id,
            ServiceDeploymentId::from_bytes([self.made; 16]),
            brought.id,
            sources,
            service.configuration.clone(),
            service.desired,
            self.now,
        );
        made.is_alternate = self.made.is_multiple_of(2);
        service.primary = Some(id);
        self.view.revisions.insert(brought.id, brought);
        self.view.deployments.push(made);
        id
    }

    /// One look, done as it says; gives whether tasks were started or stopped.
    fn look(&mut self) -> bool {
        let (rows, decision) = decide(&self.view, &self.rules, self.now);
        let Rows { service, deployments, revisions, task_sets } = rows;
        self.view.ended.clear();
        (self.view.service, self.view.deployments) = (service, deployments);
        (self.view.revisions, self.view.task_sets) = (revisions, task_sets);
        self.said.extend(decision.events.iter().map(|(_, text)| text.clone()));
        self.act(&decision)
    }

    fn act(&mut self, decision: &Decision) -> bool {
        self.traffic = decision.traffic;
        for stop in &decision.stops {
            for id in stop.among.iter().take(stop.count) {
                let task = self.view.tasks.iter_mut().find(|task| task.id == *id);
                task.expect("a task that is there is stopped").phase = Phase::Stopping;
            }
        }
        for start in &decision.starts {
            for at in 0..start.count as usize {
                let number = self.starts.len() as u128 * 10_000 + self.view.tasks.len() as u128;
                let mut seen = self.task(TaskId::from_bytes(number.to_be_bytes()), start.of);
                seen.zone.clone_from(&start.zone);
                seen.instance = start.on.get(at).copied().unwrap_or(seen.instance);
                self.view.tasks.push(seen);
            }
            self.starts.push(start.clone());
        }
        !decision.starts.is_empty() || !decision.stops.is_empty()
    }

    fn task(&self, id: TaskId, of: DeploymentId) -> Seen {
        let check = self.has_checks.then_some(Health::Unknown);
        Seen { check, ..Seen::made(id, of, self.now) }
    }

    /// Looks until nothing is left to be done now.
    fn settle(&mut self) {
        for _ in 0..LOOKS {
            if !self.look() {
                return;
            }
        }
        panic!("it does not come to rest: {:#?}", self.view);
    }

    /// What is to run runs, and what is to stop has stopped.
    fn agents(&mut self) {
        self.view.tasks.retain(|task| task.phase != Phase::Stopping);
        for task in &mut self.view.tasks {
            if task.phase == Phase::Pending {
                task.phase = Phase::Running(self.now);
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Lets good tasks come and old ones go until nothing changes any more.
    fn roll(&mut self) {
        for _ in 0..20 {
            self.settle();
            self.agents();
            self.settle();
            self.pass(40);
        }
        self.settle();
        self.agents();
        self.settle();
    }

    /// So many tasks of a deployment end before they run.
    fn fail(&mut self, of: DeploymentId, count: usize) {
        for _ in 0..count {
            let is_it = |task: &Seen| task.of == of && task.phase == Phase::Pending;
            let at = self.view.tasks.iter().position(is_it).expect("there is one");
            let task = self.view.tasks.remove(at);
            self.view.ended.push(Ended {
                id: task.id,
                of,
                code: Some(StopCode::TaskFailedToStart),
                check: task.check,
                created_at: task.created_at,
                started_at: None,
                stopped_at: self.now,
            });
        }
    }

    /// So many tasks of a deployment that run end by themselves.
    fn crash(&mut self, of: DeploymentId, count: usize) {
        for _ in 0..count {
            let is_it = |task: &Seen| task.of == of && matches!(task.phase, Phase::Running(_));
            let at = self.view.tasks.iter().position(is_it).expect("there is one");
            let task = self.view.tasks.remove(at);
            let Phase::Running(started) = task.phase else { continue };
            self.view.ended.push(Ended {
                id: task.id,
                of,
                code: Some(StopCode::EssentialContainerExited),
                check: task.check,
                created_at: task.created_at,
                started_at: Some(started),
                stopped_at: self.now,
            });
        }
    }

    fn deployment(&self, id: DeploymentId) -> &Deployment {
        self.view.deployments.iter().find(|one| one.id == id).expect("it is there")
    }

    fn primary(&self) -> &Deployment {
        self.deployment(self.view.service.primary.expect("there is one"))
    }

    /// Tasks of a deployment that were not asked to stop.
    fn count(&self, of: DeploymentId) -> usize {
        let live = self.view.tasks.iter().filter(|task| task.phase != Phase::Stopping);
        live.filter(|task| task.of == of).count()
    }

    fn has_said(&self, text: &str) -> bool {
        self.said.iter().any(|said| said.contains(text))
    }
}

/// 100 to 200 percent, with the circuit breaker on.
fn with_breaker(rollback: bool) -> DeploymentConfiguration {
    DeploymentConfiguration {
        breaker: CircuitBreaker { enable: true, rollback, ..CircuitBreaker::default() },
        ..DeploymentConfiguration::replica()
    }
}
