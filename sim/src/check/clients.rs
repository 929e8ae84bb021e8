//! What clients were promised, and what they see.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use terms::TaskId;

use super::{Checker, broken};
use crate::world::Violation;

/// What answers have promised.
#[derive(Default)]
pub(super) struct Promises {
    /// Tasks of acknowledged RunTask and StartTask.
    tasks: BTreeMap<TaskId, Promise>,
    /// Tasks by client token: how many were asked for, and which were first answered.
    tokens: BTreeMap<String, Token>,
    /// Revisions of task definitions that were given out: their content.
    definitions: BTreeMap<String, String>,
}

#[derive(Default)]
struct Promise {
    /// An acknowledged RunTask or StartTask.
    made: bool,
    /// An acknowledged StopTask.
    stopped: bool,
    /// The furthest that an answer has shown it.
    shown: Seen,
}

#[derive(Default)]
struct Token {
    count: usize,
    tasks: Vec<TaskId>,
}

/// How far one task has come in what clients have seen, when they asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) rank: u8,
    pub(crate) stops: bool,
}

/// The places of statuses in a task's life.
fn rank(status: &str) -> u8 {
    let all = [
        "PROVISIONING",
        "PENDING",
        "ACTIVATING",
        "RUNNING",
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
    ];
    all.iter().position(|name| *name == status).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

impl Checker {
    /// RunTask (or StartTask) was answered with these tasks.
    pub(crate) fn ran(
        &mut self,
        token: Option<&str>,
        count: usize,
        tasks: &[TaskId],
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        for id in tasks {
            self.clients.tasks.entry(*id).or_default().made = true;
            if !self.tasks.contains_key(id) && !self.forgotten.contains(id) {
                let detail = format!("RunTask answered {id}, which is not there");
                found.push(broken("no acknowledged write is lost", detail));
            }
        }
        if tasks.len() > count {
            found
                .push(broken("RunTask starts what was asked for", format!("{tasks:?} of {count}")));
        }
        let Some(token) = token else { return found };
        let known = self.clients.tokens.entry(token.to_owned()).or_default();
        known.count = known.count.max(count);
        if known.tasks.is_empty() {
            known.tasks = tasks.to_vec();
        } else if !tasks.is_empty() && known.tasks != tasks {
            let detail = format!("{token}: first {:?}, then {tasks:?}", known.tasks);
            found.push(broken("a client token stands for one set of tasks", detail));
        }
        found
    }

    /// A client used this token for so many tasks, whatever came of it.
    pub(crate) fn used_token(&mut self, token: &str, count: usize) {
        let known = self.clients.tokens.entry(token.to_owned()).or_default();
        known.count = known.count.max(count);
    }

    /// StopTask was acknowledged.
    pub(crate) fn stopped(&mut self, id: TaskId) -> Vec<Violation> {
        self.clients.tasks.entry(id).or_default().stopped = true;
        match self.tasks.get(&id) {
            Some(task) if task.wants_running => {
                let detail = format!("StopTask of {id} was acknowledged, and it is to run");
                vec![broken("no acknowledged write is lost", detail)]
            }
            _ => Vec::new(),
        }
    }

    /// DeregisterContainerInstance was acknowledged.
    pub(crate) fn deregistered(&mut self, instance: &str) -> Vec<Violation> {
        let Ok(id) = instance.parse() else { return Vec::new() };
        match self.instances.get(&id) {
            Some(row) if !row.is_gone => {
                let detail = format!("the instance {id} was deregistered, and is {}", row.status);
                vec![broken("no acknowledged write is lost", detail)]
            }
            _ => Vec::new(),
        }
    }

    /// RegisterTaskDefinition was acknowledged.
    pub(crate) fn defined(&mut self, arn: &str, content: &str) -> Vec<Violation> {
        let known = self.clients.definitions.insert(arn.to_owned(), content.to_owned());
        match known {
            Some(before) => {
                let detail = format!("{arn} is {content}, and was {before}");
                vec![broken("no revision is given out twice", detail)]
            }
            None => Vec::new(),
        }
    }

    /// What a client may rely on when it asks for a task now: of a server that is alone all that
    /// was published; of one among several, which may be on its way to others, all that answers
    /// have acknowledged or shown.
    pub(crate) fn expected(&self, id: TaskId) -> (bool, Seen) {
        let known = self.tasks.get(&id);
        let promise = self.clients.tasks.get(&id);
        let must_be = promise.is_some() && known.is_some();
        if self.several {
            let shown = promise.map(|promise| Seen {
                stops: promise.stopped || promise.shown.stops,
                ..promise.shown
            });
            return (must_be, shown.unwrap_or_default());
        }
        let seen = known.map(|task| Seen { rank: task.rank, stops: !task.wants_running });
        (must_be, seen.unwrap_or_default())
    }

    /// DescribeTasks was answered; `expected` is what held when it was asked.
    pub(crate) fn described(
        &mut self,
        answer: &Value,
        expected: &BTreeMap<TaskId, (bool, Seen)>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let shown = answer["tasks"].as_array().into_iter().flatten();
        let shown: BTreeMap<TaskId, &Value> =
            shown.filter_map(|task| Some((id_of(task["taskArn"].as_str()?)?, task))).collect();
        for (id, (must_be, seen)) in expected {
            let Some(task) = shown.get(id) else {
                if *must_be && !self.forgotten.contains(id) {
                    let detail = format!("DescribeTasks misses {id}: {answer}");
                    found.push(broken("no acknowledged write is lost", detail));
                }
                continue;
            };
            let status = task["lastStatus"].as_str().unwrap_or_default();
            let stops = task["desiredStatus"] == "STOPPED";
            if rank(status) < seen.rank || (seen.stops && !stops) {
                let detail = format!("{id} is described as {status}, older than {seen:?}");
                found.push(broken("no read is stale", detail));
            }
            let shown = &mut self.clients.tasks.entry(*id).or_default().shown;
            shown.rank = shown.rank.max(rank(status));
            shown.stops |= stops;
        }
        found
    }

    /// Tasks that ListTasks of all that are to run must show when it is asked now.
    pub(crate) fn listed_when_asked(&self) -> Vec<TaskId> {
        let acknowledged = self.clients.tasks.iter().filter(|(_, promise)| promise.made);
        let ids = acknowledged.map(|(id, _)| *id);
        ids.filter(|id| self.wants_running(*id)).collect()
    }

    /// ListTasks of all that are to run was answered whole; `expected` is what was to be there when
    /// it was asked.
    pub(crate) fn listed(&self, answer: &Value, expected: &[TaskId]) -> Vec<Violation> {
        let shown = answer["taskArns"].as_array().into_iter().flatten();
        let shown: BTreeSet<TaskId> = shown.filter_map(|arn| id_of(arn.as_str()?)).collect();
        let missed = expected.iter().filter(|id| !shown.contains(id) && self.wants_running(**id));
        let detail = |id| format!("ListTasks misses {id}, which is to run");
        missed.map(|id| broken("no acknowledged write is lost", detail(id))).collect()
    }

    fn wants_running(&self, id: TaskId) -> bool {
        self.tasks.get(&id).is_some_and(|task| task.wants_running)
    }

    /// What must hold of all promises, whenever it is asked.
    pub(crate) fn kept(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for (id, promise) in &self.clients.tasks {
            match self.tasks.get(id) {
                None if !self.forgotten.contains(id) => {
                    let detail = format!("task {id} was acknowledged and is gone");
                    found.push(broken("no acknowledged write is lost", detail));
                }
                Some(task) if promise.stopped && task.wants_running => {
                    let detail = format!("task {id} was stopped and is to run");
                    found.push(broken("no acknowledged write is lost", detail));
                }
                Some(_) | None => {}
            }
        }
        for (token, known) in &self.clients.tokens {
            let made = self.tasks.values().filter(|t| t.started_by.as_ref() == Some(token)).count();
            if made > known.count {
                let detail = format!("{token}: {made} tasks of {}", known.count);
                found.push(broken("a client token stands for one set of tasks", detail));
            }
        }
        found
    }
}

/// The id in a task's ARN.
pub(crate) fn id_of(arn: &str) -> Option<TaskId> {
    arn.rsplit('/').next()?.parse().ok()
}
