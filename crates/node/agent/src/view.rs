//! What the engine knows, for those who only read: endpoints, telemetry, log streams.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_protocol::task::Credentials;
use parking_lot::RwLock;
use runtime::ContainerId;
use terms::TaskArn;
use tokio::sync::Notify;

use crate::engine::{Engine, TaskState};

/// Digits of a container's id by which its own requests name it (`/v4/<id>`).
const ENDPOINT_ID_DIGITS: usize = 32;

/// A snapshot of all tasks, kept up to date by the core.
#[derive(Debug, Default)]
pub struct View {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    tasks: BTreeMap<TaskArn, Arc<TaskState>>,
    by_endpoint_id: BTreeMap<String, (TaskArn, usize)>,
    /// Bytes of the disk that tasks of a size held when they were last measured.
    held: BTreeMap<TaskArn, u64>,
}

/// The id in a container's own metadata address.
pub fn endpoint_id(container: &ContainerId) -> &str {
    &container.as_str()[..ENDPOINT_ID_DIGITS]
}

impl View {
    /// Takes over what changed.
    pub(crate) fn update(&self, engine: &Engine, touched: &BTreeSet<TaskArn>) {
        let mut inner = self.inner.write();
        for arn in touched {
            match engine.task(arn) {
                Some(task) => {
                    if !inner.tasks.contains_key(arn) {
                        for (index, container) in task.containers.iter().enumerate() {
                            let id = endpoint_id(&container.id).to_owned();
                            inner.by_endpoint_id.insert(id, (arn.clone(), index));
                        }
                    }
                    inner.tasks.insert(arn.clone(), Arc::clone(task));
                }
                None => {
                    inner.held.remove(arn);
                    let Some(task) = inner.tasks.remove(arn) else { continue };
                    for container in &task.containers {
                        inner.by_endpoint_id.remove(endpoint_id(&container.id));
                    }
                }
            }
        }
    }

    /// A task.
    pub fn task(&self, arn: &TaskArn) -> Option<Arc<TaskState>> {
        self.inner.read().tasks.get(arn).cloned()
    }

    /// Keeps what a task that is still here was found to hold of the disk, in bytes.
    pub(crate) fn measured(&self, arn: &TaskArn, held: u64) {
        let mut inner = self.inner.write();
        if inner.tasks.contains_key(arn) {
            inner.held.insert(arn.clone(), held);
        }
    }

    /// What a task held of the disk when it was last measured, in bytes; zero before.
    pub(crate) fn held(&self, arn: &TaskArn) -> u64 {
        self.inner.read().held.get(arn).copied().unwrap_or_default()
    }

    /// All tasks, by ARN.
    pub fn tasks(&self) -> Vec<Arc<TaskState>> {
        self.inner.read().tasks.values().cloned().collect()
    }

    /// The task and container that an id of [`endpoint_id`] names.
    pub fn by_endpoint_id(&self, id: &str) -> Option<(Arc<TaskState>, usize)> {
        let inner = self.inner.read();
        let (arn, index) = inner.by_endpoint_id.get(id)?;
        Some((Arc::clone(inner.tasks.get(arn)?), *index))
    }

    /// Whether any live task uses credentials of this id.
    pub fn knows_credentials(&self, id: &str) -> bool {
        let uses = |credentials: &Option<Credentials>| {
            credentials.as_ref().is_some_and(|credentials| credentials.credentials_id == id)
        };
        self.inner.read().tasks.values().any(|task| {
            uses(&task.task.role_credentials) || uses(&task.task.execution_role_credentials)
        })
    }
}

/// How long credentials are waited for: a restarted agent connects to the control plane first, which
/// may be starting itself.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(60);

/// Credentials of tasks' roles, by their id; in memory only.
#[derive(Debug, Default)]
pub struct CredentialStore {
    by_id: RwLock<BTreeMap<String, Credentials>>,
    came: Notify,
}

impl CredentialStore {
    /// Stores credentials, in the place of older ones of the same id.
    pub fn put(&self, credentials: Credentials) {
        self.by_id.write().insert(credentials.credentials_id.clone(), credentials);
        self.came.notify_waiters();
    }

    /// The credentials of this id.
    pub fn get(&self, id: &str) -> Option<Credentials> {
        self.by_id.read().get(id).cloned()
    }

    /// The credentials of this id, as soon as they are there; none if they do not come.
    pub(crate) async fn wait(&self, id: &str) -> Option<Credentials> {
        let come = async {
            loop {
                let mut came = std::pin::pin!(self.came.notified());
                // Before the look, or what comes between the two would be missed.
                came.as_mut().enable();
                if let Some(credentials) = self.get(id) {
                    return credentials;
                }
                came.await;
            }
        };
        tokio::time::timeout(CREDENTIALS_WAIT, come).await.ok()
    }

    /// Forgets the credentials of this id.
    pub fn remove(&self, id: &str) {
        self.by_id.write().remove(id);
    }
}
