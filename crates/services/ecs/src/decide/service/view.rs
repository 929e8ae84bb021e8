//! What a decider looks at, and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use terms::{CapacityProviderName, ContainerInstanceId, TaskId, Text, Timestamp};

pub(crate) use crate::ServiceRules as Rules;
use crate::decide::shares::Counts;
use crate::model::{
    CapacityChoice, Deployment, DeploymentId, Health, Revision, RevisionId, Service,
    ServiceEventKind, StopCode, StrategyItem, TaskSet, Workload,
};

/// A service and all that a decision about it depends on.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The service.
    pub(crate) service: Service,
    /// Its deployments that are not over, and the one that was completed last.
    pub(crate) deployments: Vec<Deployment>,
    /// Their revisions.
    pub(crate) revisions: BTreeMap<RevisionId, Revision>,
    /// Its task sets.
    pub(crate) task_sets: Vec<TaskSet>,
    /// Its tasks that have not stopped.
    pub(crate) tasks: Vec<Seen>,
    /// Its tasks that have stopped since the last look.
    pub(crate) ended: Vec<Ended>,
    /// The instances that a daemon belongs on, those with room and those without.
    pub(crate) eligible: BTreeSet<ContainerInstanceId>,
    /// The zones that tasks could be in; empty if that is not known.
    pub(crate) zones: BTreeSet<Text>,
    /// The alarms of the service's deployments.
    pub(crate) alarms: Alarms,
    /// How many tasks of the primary deployment found no place just now.
    pub(crate) unplaced: u32,
}

impl View {
    /// A service that has nothing yet.
    #[cfg(test)]
    pub(super) fn bare(service: Service) -> Self {
        Self {
            service,
            deployments: Vec::new(),
            revisions: BTreeMap::new(),
            task_sets: Vec::new(),
            tasks: Vec::new(),
            ended: Vec::new(),
            eligible: BTreeSet::new(),
            zones: BTreeSet::new(),
            alarms: Alarms::default(),
            unplaced: 0,
        }
    }

    /// What the tasks of a deployment or task set are made from.
    pub(crate) fn workload(&self, of: DeploymentId) -> Option<&Workload> {
        if let Some(one) = self.deployments.iter().find(|one| one.id == of) {
            return Some(&self.revisions.get(&one.revision)?.workload);
        }
        self.task_sets.iter().find(|one| one.id == of).map(|set| &set.workload)
    }

    /// What the service's tasks are made from.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Workload> {
        let sets = self.task_sets.iter().map(|set| &set.workload);
        self.revisions.values().map(|one| &one.workload).chain(sets)
    }

    /// The capacity provider strategy that those tasks go by; empty if any instance will do.
    pub(crate) fn strategy(&self, of: DeploymentId) -> &[StrategyItem] {
        match self.workload(of).map(|workload| &workload.capacity) {
            Some(CapacityChoice::Strategy(items)) => items,
            Some(CapacityChoice::LaunchType(_)) | None => &[],
        }
    }

    /// How many of those tasks each capacity provider has, but for those that were asked to stop.
    pub(crate) fn by_provider(&self, of: DeploymentId) -> Counts {
        let mut counts = Counts::new();
        let live = self.tasks.iter().filter(|task| task.of == of && task.phase != Phase::Stopping);
        for provider in live.filter_map(|task| task.provider.clone()) {
            *counts.entry(provider).or_default() += 1;
        }
        counts
    }
}

/// What is known of a service's alarms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alarms {
    /// Those in ALARM.
    pub(crate) alarming: Vec<String>,
    /// The longest time that one of them looks back on.
    pub(crate) looks_back: Duration,
}

/// Where a task is, as far as services care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On its way to RUNNING.
    Pending,
    /// There, since then.
    Running(Timestamp),
    /// It was asked to stop.
    Stopping,
}

/// What is known of the instance that a task is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Whether the instance is DRAINING.
    pub(crate) is_draining: bool,
    /// Since when its agent is away.
    pub(crate) away_since: Option<Timestamp>,
}

/// What load balancers have to do with a task's next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// Its containers run, and load balancers are to know it.
    Ready,
    /// Nothing new comes from them; what is under way may go on until then.
    Leaving {
        /// The end of the longest deregistration delay.
        until: Timestamp,
        /// Whether nothing is under way any more.
        is_idle: bool,
    },
}

/// A target of a task that fails its checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unwell {
    /// The group's ARN.
    pub(crate) group: Text,
    /// The id of the machine, if the target is one's port.
    pub(crate) machine: Option<Text>,
    /// The port; none if it is not registered.
    pub(crate) port: Option<u16>,
    /// Why, in ELB's words.
    pub(crate) reason: String,
}

/// A task that has not stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Which.
    pub(crate) id: TaskId,
    /// The deployment or task set that made it.
    pub(crate) of: DeploymentId,
    /// Where it is.
    pub(crate) phase: Phase,
    /// What the health checks of its essential containers and of its targets say, the worst; none
    /// if there are none.
    pub(crate) check: Option<Health>,
    /// What load balancers have to do with its next step.
    pub(crate) balance: Option<Balance>,
    /// A target of it that fails.
    pub(crate) unwell: Option<Unwell>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Until when it may not be stopped for being one too many.
    pub(crate) protected_until: Option<Timestamp>,
    /// The instance.
    pub(crate) instance: ContainerInstanceId,
    /// The instance's zone.
    pub(crate) zone: Option<Text>,
    /// The capacity provider that it went to, if it went by one.
    pub(crate) provider: Option<CapacityProviderName>,
    /// What is known of the instance.
    pub(crate) ground: Ground,
    /// The digests that it reported, by container, once each container has one.
    pub(crate) digests: Option<Vec<(String, String)>>,
}

#[cfg(test)]
impl Seen {
    /// A task without checks that was just made.
    pub(super) fn made(id: TaskId, of: DeploymentId, now: Timestamp) -> Self {
        Self {
            id,
            of,
            phase: Phase::Pending,
            check: None,
            balance: None,
            unwell: None,
            created_at: now,
            protected_until: None,
            instance: ContainerInstanceId::from_bytes([1; 16]),
            zone: None,
            provider: None,
            ground: Ground::default(),
            digests: None,
        }
    }
}

/// A task that has stopped.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended {
    /// Which.
    pub(crate) id: TaskId,
    /// The deployment or task set that made it.
    pub(crate) of: DeploymentId,
    /// Why, if it is known.
    pub(crate) code: Option<StopCode>,
    /// What the health checks of its essential containers said last; none if there are none.
    pub(crate) check: Option<Health>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it came to run, if it ever did.
    pub(crate) started_at: Option<Timestamp>,
    /// When it stopped.
    pub(crate) stopped_at: Timestamp,
}

/// Why tasks are stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// They are too many, or their deployment is over.
    Scaling,
    /// Their health checks failed.
    Unhealthy,
    /// Their instance drains.
    Draining,
    /// Their instance is lost.
    Lost,
}

/// Tasks to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// The deployment or task set that they are of.
    pub(crate) of: DeploymentId,
    /// How many.
    pub(crate) count: u32,
    /// The instances that they go on, one each; chosen by placement if empty.
    pub(crate) on: Vec<ContainerInstanceId>,
    /// The only zone that will do; any if none is named.
    pub(crate) zone: Option<Text>,
}

/// Tasks to be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    /// Those that may be.
    pub(crate) among: Vec<TaskId>,
    /// How many of them are; the scale-in order says which (ECS semantics §6.3).
    pub(crate) count: usize,
    /// Why.
    pub(crate) why: Why,
}

/// Which part of the traffic goes to a deployment's tasks, in thousandths; the rest goes to those in
/// the other target groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The deployment.
    pub(crate) to: DeploymentId,
    /// Of production traffic.
    pub(crate) production: u32,
    /// Of test traffic.
    pub(crate) test: u32,
}

/// What is to be done, and what is to be remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// Tasks to be started.
    pub(crate) starts: Vec<Start>,
    /// Tasks to be stopped.
    pub(crate) stops: Vec<Stop>,
    /// Where traffic is to go.
    pub(crate) traffic: Option<Traffic>,
    /// Tasks to be made known to load balancers.
    pub(crate) activates: Vec<TaskId>,
    /// Tasks to which load balancers have nothing under way any more: they are to stop now.
    pub(crate) releases: Vec<TaskId>,
    /// What the service says.
    pub(crate) events: Vec<(ServiceEventKind, String)>,
    /// When to look again if nothing changes before.
    pub(crate) look_again_at: Option<Timestamp>,
}

impl Decision {
    /// Asks for a look at `at`, unless one is asked for that is earlier.
    pub(crate) fn look_again(&mut self, at: Timestamp) {
        self.look_again_at = Some(self.look_again_at.map_or(at, |known| known.min(at)));
    }

    pub(crate) fn start(&mut self, of: DeploymentId, count: u32) {
        if count > 0 {
            self.starts.push(Start { of, count, on: Vec::new(), zone: None });
        }
    }

    pub(crate) fn stop(&mut self, among: Vec<TaskId>, count: usize, why: Why) {
        let count = count.min(among.len());
        if count > 0 {
            self.stops.push(Stop { among, count, why });
        }
    }
}
