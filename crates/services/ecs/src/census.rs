//! How many tasks and instances there are, by cluster and state: kept from the feed, so that
//! asking costs nothing, whatever the number of tasks.

use std::collections::BTreeMap;

use ledger::{Commit, Snapshot};

use crate::decide::history::{self, Happening};
use crate::model::{ContainerInstance, Task};
use crate::tables::{ClusterKey, Tables};

/// A reader of commits that knows this crate's rows: counts, and tells what happened.
#[derive(Debug)]
pub struct Witness {
    tables: Tables,
    tasks: BTreeMap<(ClusterKey, &'static str), i64>,
    instances: BTreeMap<(ClusterKey, &'static str), i64>,
}

/// A number of tasks or instances of one cluster in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The cluster's name.
    pub cluster: String,
    /// The state, in the word of the API; instances whose agent is away are `DISCONNECTED`.
    pub status: &'static str,
    /// How many.
    pub number: i64,
}

impl Witness {
    pub(crate) fn new(tables: Tables) -> Self {
        Self { tables, tasks: BTreeMap::new(), instances: BTreeMap::new() }
    }

    /// Counts everything anew: the cost is that of looking at each task once.
    pub fn look_around(&mut self, snapshot: &Snapshot) {
        self.tasks.clear();
        self.instances.clear();
        for ((cluster, _), row) in snapshot.prefix(&self.tables.tasks, &()) {
            add(&mut self.tasks, &cluster, task_state(&row), 1);
        }
        for ((cluster, _), row) in snapshot.prefix(&self.tables.instances, &()) {
            add(&mut self.instances, &cluster, instance_state(&row), 1);
        }
    }

    /// What stands that was written after `revision`, of which the commits were missed.
    pub fn found_after(&self, snapshot: &Snapshot, revision: u64) -> Vec<Happening> {
        history::found_after(snapshot, &self.tables, revision)
    }

    /// Takes a commit into the counts, and tells what it did.
    pub fn see(&mut self, commit: &Commit) -> Vec<Happening> {
        for change in commit.changes_of(&self.tables.tasks) {
            let cluster = &change.key.0;
            if let Some(row) = &change.before {
                add(&mut self.tasks, cluster, task_state(row), -1);
            }
            if let Some(row) = &change.after {
                add(&mut self.tasks, cluster, task_state(row), 1);
            }
        }
        for change in commit.changes_of(&self.tables.instances) {
            let cluster = &change.key.0;
            if let Some(row) = &change.before {
                add(&mut self.instances, cluster, instance_state(row), -1);
            }
            if let Some(row) = &change.after {
                add(&mut self.instances, cluster, instance_state(row), 1);
            }
        }
        history::of_commit(commit, &self.tables)
    }

    /// Tasks by cluster and state, without those of which there are none.
    pub fn tasks(&self) -> Vec<Count> {
        counts(&self.tasks)
    }

    /// Instances by cluster and state, without those of which there are none.
    pub fn instances(&self) -> Vec<Count> {
        counts(&self.instances)
    }
}

type Counted = BTreeMap<(ClusterKey, &'static str), i64>;

fn add(counts: &mut Counted, cluster: &ClusterKey, state: &'static str, number: i64) {
    let key = (cluster.clone(), state);
    let count = counts.entry(key.clone()).or_default();
    *count += number;
    if *count == 0 {
        counts.remove(&key);
    }
}

fn counts(of: &Counted) -> Vec<Count> {
    let count = |((cluster, status), number): (&(ClusterKey, &'static str), &i64)| Count {
        cluster: cluster.name.to_string(),
        status,
        number: *number,
    };
    of.iter().map(count).collect()
}

fn task_state(task: &Task) -> &'static str {
    task.status.as_str()
}

fn instance_state(instance: &ContainerInstance) -> &'static str {
    use crate::model::InstanceStatus;
    match instance.status {
        InstanceStatus::Active if !instance.agent.connected => "DISCONNECTED",
        status => status.as_str(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use ledger::Tx;
    use terms::{Cause, Uuid};

    use super::*;
    use crate::model::{DesiredStatus, Stop, StopCode, TaskStatus, sample};
    use crate::tables::{sample::ledger, task_key};

    /// What a commit tells of tasks, as `what: text`.
    fn told(witness: &mut Witness, commit: &Commit) -> Vec<String> {
        let told = witness.see(commit).into_iter();
        told.filter(|told| told.arn.contains(":task/"))
            .map(|told| format!("{}: {}", told.what, told.text))
            .collect()
    }

    #[tokio::test]
    async fn commits_are_counted_and_told_with_their_cause() {
        let (ledger, tables) = ledger();
        let mut feed = ledger.subscribe();
        let mut witness = Witness::new(tables);
        let task = sample::task(1);
        let put = async |task: &Task| {
            let body = |tx: &mut Tx<'_>| {
                tx.put(&tables.tasks, task_key(&task.arn), task.clone());
                Ok::<_, ()>(())
            };
            let request_id = Uuid::from_random([9; 16]);
            let caller = "arn:aws:iam::000000000000:root".to_owned();
            let cause = Cause { request_id, service: "ecs", operation: "RunTask", caller };
            let mut done = std::pin::pin!(ledger.transact("run task", body));
            let cause = Arc::new(cause);
            std::future::poll_fn(|cx| cause.scope(|| done.as_mut().poll(cx))).await
        };
        assert!(put(&task).await.is_ok());
        let commit = feed.next().await.unwrap();
        assert_eq!(commit.cause().map(|cause| cause.operation), Some("RunTask"));
        let lines = told(&mut witness, &commit);
        assert!(
            lines[0].starts_with("created: created from web:1 for family:web: PENDING"),
            "{lines:?}"
        );
        let count = |status, number| Count { cluster: "default".to_owned(), status, number };
        assert_eq!(witness.tasks(), [count("PENDING", 1)]);

        let mut stopping = task.clone();
        stopping.desired = DesiredStatus::Stopped;
        stopping.status = TaskStatus::Stopping;
        let reason = "enough".to_owned();
        stopping.stop = Some(Stop { code: StopCode::UserInitiated, reason });
        assert!(put(&stopping).await.is_ok());
        let commit = feed.next().await.unwrap();
        let lines = told(&mut witness, &commit);
        let expected = [
            "desired: wanted STOPPED instead of RUNNING: enough (UserInitiated)",
            "status: PENDING → STOPPING",
        ];
        assert_eq!(lines, expected);
        assert_eq!(witness.tasks(), [count("STOPPING", 1)]);

        let mut late = Witness::new(tables);
        late.look_around(&ledger.snapshot());
        assert_eq!(late.tasks(), [count("STOPPING", 1)]);
        assert!(late.found_after(&ledger.snapshot(), commit.revision()).is_empty());
        let found = late.found_after(&ledger.snapshot(), commit.revision() - 1);
        assert!(found[0].text.starts_with("found STOPPING (wanted STOPPED)"), "{found:?}");
    }
}
