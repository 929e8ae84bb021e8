//! Figures of a ledger, for whoever looks inside.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{Ledger, Writer};
use crate::cluster::ClusterFigures;
use crate::error::LedgerError;
use crate::role::Member;

/// What a table holds, in a few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableDigest {
    /// The table's name.
    pub name: &'static str,
    /// How many rows it has.
    pub rows: usize,
    /// Of its keys and their rows' versions.
    pub digest: u64,
}

impl Ledger {
    /// How many rows each table has, by the tables' names.
    pub fn row_counts(&self) -> Vec<(&'static str, usize)> {
        let state = self.inner.shared.published.load();
        let tables = self.inner.shared.schema.tables().iter().zip(0..);
        tables.map(|(spec, number)| (spec.name, state.table(number).rows.len())).collect()
    }

    /// For each table a digest of its keys and their rows' versions: equal on servers of one build
    /// that hold the same. The cost is that of looking at every row.
    pub fn digests(&self) -> Vec<TableDigest> {
        let state = self.inner.shared.published.load_full();
        let tables = self.inner.shared.schema.tables().iter().zip(0..);
        let digest = |(spec, number): (&crate::schema::TableSpec, u16)| {
            let rows = &state.table(number).rows;
            let mut hasher = DefaultHasher::new();
            for (key, entry) in rows {
                (&**key, entry.created, entry.version).hash(&mut hasher);
            }
            TableDigest { name: spec.name, rows: rows.len(), digest: hasher.finish() }
        };
        tables.map(digest).collect()
    }

    /// How this server stands with the store that it shares with others; nothing for
    /// [`Ledger::open`].
    pub fn cluster(&self) -> Option<ClusterFigures> {
        match &self.inner.shared.writer {
            Writer::Cluster(cluster) => Some(cluster.figures()),
            Writer::Inline(_) | Writer::Thread(_) | Writer::Task(..) => None,
        }
    }

    /// The servers of the store that live, this one included, as the store has them now; none for
    /// [`Ledger::open`].
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn servers(&self) -> Result<Vec<Member>, LedgerError> {
        match &self.inner.shared.writer {
            Writer::Cluster(cluster) => cluster.servers().await,
            Writer::Inline(_) | Writer::Thread(_) | Writer::Task(..) => Ok(Vec::new()),
        }
    }

    /// How many transactions wait for the store; at most [`crate::MAX_WAITING`].
    pub fn waiting(&self) -> usize {
        self.inner.shared.head.lock().waiting()
    }
}
