//! One look at a service: the rows as they become, and what is decided on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use terms::{TaskId, Timestamp};

use super::tally::Tally;
use super::view::{Decision, Rules, View};
use super::{health, texts};
use crate::model::{
    Deployment, DeploymentId, DeploymentStatus, Revision, RevisionId, RolloutState, Service,
    ServiceEventKind, TaskSet,
};

/// How long what was said is not said again (ECS semantics §7.7).
const SAID_FOR: Duration = Duration::from_secs(6 * 60 * 60);
/// How many things said are remembered; the oldest goes first.
const MAX_SAID: usize = 16;

/// The rows of a service after a look at it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// The service.
    pub(crate) service: Service,
    /// Its deployments.
    pub(crate) deployments: Vec<Deployment>,
    /// Their revisions.
    pub(crate) revisions: BTreeMap<RevisionId, Revision>,
    /// Its task sets; those that are missing are over.
    pub(crate) task_sets: Vec<TaskSet>,
}

/// A look that is being taken.
pub(super) struct Look<'a> {
    pub(super) view: &'a View,
    pub(super) rules: &'a Rules,
    pub(super) now: Timestamp,
    pub(super) rows: Rows,
    pub(super) out: Decision,
}

impl<'a> Look<'a> {
    pub(super) fn new(view: &'a View, rules: &'a Rules, now: Timestamp) -> Self {
        let rows = Rows {
            service: view.service.clone(),
            deployments: view.deployments.clone(),
            revisions: view.revisions.clone(),
            task_sets: view.task_sets.clone(),
        };
        Self { view, rules, now, rows, out: Decision::default() }
    }

    /// The service's name, for what it says.
    pub(super) fn name(&self) -> String {
        self.rows.service.arn.name.to_string()
    }

    /// Says something.
    pub(super) fn say(&mut self, what: (ServiceEventKind, String)) {
        self.out.events.push(what);
    }

    /// Says something unless it was said lately.
    pub(super) fn say_once(&mut self, what: (ServiceEventKind, String)) {
        if remember(&mut self.rows.service, &what.1, self.now) {
            self.say(what);
        }
    }

    /// The tasks of a deployment or task set.
    pub(super) fn tally(&self, of: DeploymentId) -> Tally<'a> {
        let grace = self.rows.service.grace_seconds.unwrap_or(0);
        let grace = Duration::from_secs(grace.into());
        let deployment = self.rows.deployments.iter().find(|one| one.id == of);
        let rules = health::rules_of(&self.rows.service, deployment, self.rules);
        Tally::of(of, &self.view.tasks, grace, &rules, self.now)
    }

    /// Asks for a look when something may have changed by then.
    pub(super) fn look_again(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at.filter(|at| *at > self.now) {
            self.out.look_again(at);
        }
    }

    /// The place of the primary deployment among the rows.
    pub(super) fn primary(&self) -> Option<usize> {
        let id = self.rows.service.primary?;
        self.rows.deployments.iter().position(|one| one.id == id)
    }

    /// The places of the deployments before it that are not INACTIVE, the oldest first.
    pub(super) fn others(&self) -> Vec<usize> {
        let rows = &self.rows.deployments;
        let primary = self.rows.service.primary;
        let is_other =
            |one: &Deployment| Some(one.id) != primary && one.status != DeploymentStatus::Inactive;
        let mut places: Vec<usize> = (0..rows.len()).filter(|&at| is_other(&rows[at])).collect();
        places.sort_by_key(|&at| (rows[at].created_at, rows[at].id));
        places
    }

    /// Takes note of the tasks that have stopped: what they say of their deployment, and of
    /// whether starts have to wait.
    pub(super) fn count_ends(&mut self) {
        let (view, rules) = (self.view, self.rules);
        for ended in &view.ended {
            let is_failure = health::is_failure(ended, rules);
            let by_itself = health::by_itself(ended);
            let throttle = if let Some(one) = self.deployment_mut(ended.of) {
                if is_failure && one.rollout == RolloutState::InProgress {
                    one.failed_tasks = one.failed_tasks.saturating_add(1);
                }
                &mut one.throttle
            } else if let Some(set) = self.rows.task_sets.iter_mut().find(|one| one.id == ended.of)
            {
                &mut set.throttle
            } else {
                continue;
            };
            let (made, stopped) = (ended.created_at, ended.stopped_at);
            match ended.started_at {
                None if by_itself => throttle.count(made, stopped, &rules.throttle),
                None => {}
                Some(started) if by_itself => {
                    throttle.count_run(made, (started, stopped), &rules.throttle);
                }
                Some(started) => throttle.ran(started, stopped),
            }
        }
    }

    /// Lets starts go on of what has come to run meanwhile, and says of what has not that it does
    /// not.
    pub(super) fn heed_throttles(&mut self) {
        use super::view::Phase;
        let runs = |of: DeploymentId| {
            let started = self.view.tasks.iter().filter(|task| task.of == of);
            let started = started.filter_map(|task| match task.phase {
                Phase::Running(at) => Some(at),
                Phase::Pending | Phase::Stopping => None,
            });
            started.max()
        };
        let newest: BTreeMap<DeploymentId, Timestamp> = (self.rows.deployments.iter())
            .map(|one| one.id)
            .chain(self.rows.task_sets.iter().map(|one| one.id))
            .filter_map(|id| Some((id, runs(id)?)))
            .collect();
        let mut is_impaired = false;
        let throttles = (self.rows.deployments.iter_mut())
            .filter(|one| one.status == DeploymentStatus::Primary)
            .map(|one| (one.id, &mut one.throttle))
            .chain(self.rows.task_sets.iter_mut().map(|one| (one.id, &mut one.throttle)));
        for (id, throttle) in throttles {
            if let Some(started) = newest.get(&id) {
                throttle.ran(*started, self.now);
            }
            is_impaired |= throttle.is_impaired();
        }
        if is_impaired {
            self.say_once(texts::impaired(&self.name()));
        }
    }

    fn deployment_mut(&mut self, id: DeploymentId) -> Option<&mut Deployment> {
        self.rows.deployments.iter_mut().find(|one| one.id == id)
    }

    /// Stops tasks at once whose instance is lost or takes them no further.
    pub(super) fn evict(&mut self, tally: &Tally<'_>) {
        use super::view::Why;
        let stop = |out: &mut Decision, tasks: &Vec<TaskId>, why| {
            out.stop(tasks.clone(), tasks.len(), why);
        };
        stop(&mut self.out, &tally.lost, Why::Lost);
        stop(&mut self.out, &tally.evicted, Why::Draining);
    }
}

/// Remembers that something was said; false if it was said lately.
pub(crate) fn remember(service: &mut Service, text: &str, now: Timestamp) -> bool {
    let said = &mut service.course.said;
    if said.iter().any(|(known, at)| known == text && now.since(*at) < SAID_FOR) {
        return false;
    }
    said.retain(|(known, _)| known != text);
    if said.len() >= MAX_SAID {
        said.remove(0);
    }
    said.push((text.to_owned(), now));
    true
}
