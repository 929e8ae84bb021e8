//! Credentials of the roles of an instance's tasks: held, refreshed, sent again.
//!
//! Agents keep credentials in memory and never ask for them (agent-protocol §2.5). A task's first
//! ones go with its payload; later ones in messages of their own, always under the same
//! credentials id, because containers have it in their environment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_protocol::acs::RoleType;
use agent_protocol::task::Credentials;
use terms::{TaskArn, TaskId, Timestamp};

use super::super::view::TaskView;
use super::delivery::RESEND_AFTER;

/// Credentials that expire sooner than this are not sent again but made anew: SDKs fetch new
/// ones 5 to 15 minutes before expiry (IAM semantics §8).
const LIFE_LEFT_MIN: Duration = Duration::from_secs(20 * 60);

/// How often one message is sent: an agent that does not know the task never acks it.
const SENDINGS_MAX: u32 = 5;

/// Which credentials.
pub(crate) type CredentialsKey = (TaskId, RoleType);

/// Asks for credentials of one role of one task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialsRequest {
    /// The task, which is the session's name as well.
    pub task: TaskArn,
    /// Whether it is the task role or the execution role.
    pub role: RoleType,
    /// The role.
    pub role_arn: String,
}

impl CredentialsRequest {
    pub(crate) fn key(&self) -> CredentialsKey {
        (self.task.id, self.role)
    }
}

/// Fresh credentials.
#[derive(Debug, Clone, PartialEq)]
pub struct Minted {
    /// As the agent gets them; `credentials_id` is the same for the life of the task and role.
    pub credentials: Credentials,
    /// When they expire; `credentials.expiration` says the same in RFC 3339.
    pub expires: Timestamp,
}

/// One set of credentials that is held for the agent.
#[derive(Debug, Clone)]
struct Held {
    task: TaskArn,
    role_arn: String,
    credentials: Credentials,
    expires: Timestamp,
    refresh_at: Timestamp,
    message: Option<Message>,
}

/// The last message that carried them.
#[derive(Debug, Clone)]
struct Message {
    sent_at: Timestamp,
    sendings: u32,
    is_acked: bool,
}

/// What is held for the tasks of one instance. Outlives a connection, so that an agent that
/// comes back without asking for credentials is not flooded with them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CredentialsDesk {
    held: BTreeMap<CredentialsKey, Held>,
    asked: BTreeSet<CredentialsKey>,
}

impl CredentialsDesk {
    /// What is held from an earlier connection; requests of that connection are void.
    pub(crate) fn reopened(mut self) -> Self {
        self.asked.clear();
        self
    }

    /// The credentials of all the task's roles, or none if some must be asked for first: their
    /// requests go into `asks`, each at most once until it was answered.
    pub(crate) fn of_task(
        &mut self,
        task: &TaskView,
        now: Timestamp,
        asks: &mut Vec<CredentialsRequest>,
    ) -> Option<Vec<(RoleType, Credentials)>> {
        let mut found = Vec::with_capacity(task.roles.len());
        for (role, role_arn) in &task.roles {
            let key = (task.arn.id, *role);
            let usable = |held: &&Held| held.expires.since(now) >= LIFE_LEFT_MIN;
            match self.held.get(&key).filter(usable) {
                Some(held) => found.push((*role, held.credentials.clone())),
                None if self.asked.insert(key) => asks.push(CredentialsRequest {
                    task: task.arn.clone(),
                    role: *role,
                    role_arn: role_arn.clone(),
                }),
                None => {}
            }
        }
        (found.len() == task.roles.len()).then_some(found)
    }

    /// Keeps what was minted; it is refreshed at half its life.
    pub(crate) fn minted(&mut self, request: &CredentialsRequest, minted: Minted, now: Timestamp) {
        self.asked.remove(&request.key());
        let held = Held {
            task: request.task.clone(),
            role_arn: request.role_arn.clone(),
            credentials: minted.credentials,
            expires: minted.expires,
            refresh_at: now + minted.expires.since(now) / 2,
            message: None,
        };
        self.held.insert(request.key(), held);
    }

    /// Minting failed; the next look asks again.
    pub(crate) fn failed(&mut self, request: &CredentialsRequest) {
        self.asked.remove(&request.key());
    }

    /// The credentials went out, in a payload or by themselves.
    pub(crate) fn sent(&mut self, key: CredentialsKey, now: Timestamp) {
        if let Some(held) = self.held.get_mut(&key) {
            let sendings = held.message.as_ref().map_or(0, |message| message.sendings) + 1;
            held.message = Some(Message { sent_at: now, sendings, is_acked: false });
        }
    }

    /// An ack came for the credentials with this id.
    pub(crate) fn acked(&mut self, credentials_id: &str) {
        let is_meant = |held: &&mut Held| held.credentials.credentials_id == credentials_id;
        for held in self.held.values_mut().filter(is_meant) {
            if let Some(message) = &mut held.message {
                message.is_acked = true;
            }
        }
    }

    /// The held credentials that the agent may lack: never sent, or without an ack for too long.
    pub(crate) fn overdue(&self, now: Timestamp) -> Vec<(TaskArn, RoleType, Credentials)> {
        let is_overdue = |held: &Held| match &held.message {
            None => false,
            Some(message) => {
                !message.is_acked
                    && message.sendings < SENDINGS_MAX
                    && now.since(message.sent_at) >= RESEND_AFTER
            }
        };
        let overdue = self.held.iter().filter(|(_, held)| is_overdue(held));
        overdue.map(|((_, role), h)| (h.task.clone(), *role, h.credentials.clone())).collect()
    }

    /// Asks for new credentials in place of those at half their life.
    pub(crate) fn refresh(&mut self, now: Timestamp, asks: &mut Vec<CredentialsRequest>) {
        for (key, held) in &self.held {
            if now >= held.refresh_at && self.asked.insert(*key) {
                let (task, role_arn) = (held.task.clone(), held.role_arn.clone());
                asks.push(CredentialsRequest { task, role: key.1, role_arn });
            }
        }
    }

    /// The held credentials of one key.
    pub(crate) fn get(&self, key: CredentialsKey) -> Option<(&TaskArn, &Credentials)> {
        self.held.get(&key).map(|held| (&held.task, &held.credentials))
    }

    /// The task is over.
    pub(crate) fn forget(&mut self, task: TaskId) {
        for role in [RoleType::TaskApplication, RoleType::TaskExecution] {
            self.held.remove(&(task, role));
            self.asked.remove(&(task, role));
        }
    }

    /// Forgets all tasks but these.
    pub(crate) fn keep_only(&mut self, tasks: &BTreeSet<TaskId>) {
        self.held.retain(|(task, _), _| tasks.contains(task));
    }
}
