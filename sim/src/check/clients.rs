//! What clients were promised, and what they see.

use std::collections::BTreeMap;

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
    /// An acknowledged StopTask.
    stopped: bool,
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
            self.clients.tasks.entry(*id).or_default();
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

    /// What a client may rely on when it asks for a task now.
    pub(crate) fn expected(&self, id: TaskId) -> (bool, Seen) {
        let known = self.tasks.get(&id);
        let must_be = self.clients.tasks.contains_key(&id) && known.is_some();
        let seen = known.map(|task| Seen { rank: task.rank, stops: !task.wants_running });
        (must_be, seen.unwrap_or_default())
    }

    /// DescribeTasks was answered; `expected` is what held when it was asked.
    pub(crate) fn described(
        &self,
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
        }
        found
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
