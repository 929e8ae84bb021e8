//! The feed of committed changes.

use std::fmt;
use std::sync::Arc;

use terms::Cause;
use tokio::sync::broadcast;

use crate::bytes::Bytes;
use crate::key::{self, Key};
use crate::ledger::Ledger;
use crate::record::Record;
use crate::schema::Table;
use crate::snapshot::Snapshot;
use crate::state::{Entry, Revision, Row};

/// How many commits a reader may be behind before it has to start again from a snapshot.
pub const FEED_COMMITS: usize = 4096;

/// What one transaction changed; on a server that follows, what one batch of the leader's
/// changed, which may hold several transactions.
pub struct Commit {
    /// The revision that it was applied to.
    pub(crate) since: Revision,
    pub(crate) revision: Revision,
    pub(crate) name: &'static str,
    pub(crate) cause: Option<Arc<Cause>>,
    pub(crate) changes: Vec<ErasedChange>,
}

pub(crate) struct ErasedChange {
    pub(crate) table: u16,
    pub(crate) key: Bytes,
    pub(crate) before: Option<Arc<Entry>>,
    pub(crate) after: Option<Arc<Entry>>,
}

/// One row's change: created (`before` is `None`), written, or deleted (`after` is `None`).
#[derive(Debug, Clone)]
pub struct Change<K, V> {
    /// The row's key.
    pub key: K,
    /// The row before the commit.
    pub before: Option<Row<V>>,
    /// The row after the commit.
    pub after: Option<Row<V>>,
}

impl Commit {
    /// The revision that this commit made: one more than that of the commit before it, or more
    /// than that if it holds several transactions of another server.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The name that the transaction was given; `replicated` for what another server wrote.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The request in whose name the transaction ran; none if it ran in no request's, or if the
    /// commit was made by another server.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_deref()
    }

    /// Whether any row of the table changed.
    pub fn touches<K: Key, V: Record>(&self, table: &Table<K, V>) -> bool {
        self.changes.iter().any(|change| change.table == table.number)
    }

    /// The changes of one table, each row at most once, in the order of their keys.
    pub fn changes_of<K: Key, V: Record>(
        &self,
        table: &Table<K, V>,
    ) -> impl Iterator<Item = Change<K, V>> {
        let number = table.number;
        let row = |entry: &Option<Arc<Entry>>| entry.as_ref().map(|entry| Row::of(entry));
        self.changes.iter().filter(move |change| change.table == number).map(move |change| Change {
            key: key::decode(&change.key).expect("checked when written"),
            before: row(&change.before),
            after: row(&change.after),
        })
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commit({} {}, {} rows)", self.revision, self.name, self.changes.len())
    }
}

/// What goes through the feed.
#[derive(Clone)]
pub(crate) enum Item {
    Commit(Arc<Commit>),
    /// All was loaded again; what changed meanwhile is not known.
    Reloaded,
}

/// The reader missed commits: it fell more than [`FEED_COMMITS`] behind, or the ledger loaded
/// everything again. [`Feed::restart`] and look at everything again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the reader of the change feed missed commits")]
pub struct Lagged;

/// Commits after a snapshot, in order, without gaps.
pub struct Feed {
    ledger: Ledger,
    snapshot: Snapshot,
    position: Revision,
    commits: broadcast::Receiver<Item>,
    lagged: bool,
}

impl Feed {
    pub(crate) fn new(ledger: Ledger) -> Self {
        // First the receiver, then the snapshot: a commit between the two is seen twice, not never.
        let commits = ledger.receiver();
        let snapshot = ledger.snapshot();
        Self { position: snapshot.revision(), ledger, snapshot, commits, lagged: false }
    }

    /// The state that the feed starts after.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The revision of the last commit that was given, or of the snapshot before the first.
    pub fn position(&self) -> Revision {
        self.position
    }

    /// Starts again from now, and gives the snapshot to look at.
    pub fn restart(&mut self) -> &Snapshot {
        *self = Self::new(self.ledger.clone());
        &self.snapshot
    }

    /// The next commit; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Lagged`] when commits were missed, and from then on until [`Feed::restart`].
    pub async fn next(&mut self) -> Result<Arc<Commit>, Lagged> {
        while !self.lagged {
            match self.commits.recv().await {
                Ok(item) => {
                    if let Some(commit) = self.pass(item) {
                        return Ok(commit);
                    }
                }
                Err(broadcast::error::RecvError::Lagged(_)) => self.lag(),
                Err(broadcast::error::RecvError::Closed) => closed(),
            }
        }
        Err(Lagged)
    }

    /// The next commit if there is one; does not wait.
    ///
    /// # Errors
    /// As [`Feed::next`].
    pub fn try_next(&mut self) -> Result<Option<Arc<Commit>>, Lagged> {
        while !self.lagged {
            match self.commits.try_recv() {
                Ok(item) => {
                    if let Some(commit) = self.pass(item) {
                        return Ok(Some(commit));
                    }
                }
                Err(broadcast::error::TryRecvError::Empty) => return Ok(None),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.lag(),
                Err(broadcast::error::TryRecvError::Closed) => closed(),
            }
        }
        Err(Lagged)
    }

    fn lag(&mut self) {
        self.lagged = true;
        meters::ledger().lagged.inc();
    }

    /// The commit, unless the snapshot holds it already.
    fn pass(&mut self, item: Item) -> Option<Arc<Commit>> {
        let Item::Commit(commit) = item else {
            self.lag();
            return None;
        };
        if commit.revision <= self.position {
            return None;
        }
        assert_eq!(commit.since, self.position, "the feed has no gaps");
        self.position = commit.revision;
        Some(commit)
    }
}

fn closed() -> ! {
    unreachable!("the feed holds the ledger, which holds the sender")
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feed(at {})", self.position)
    }
}
