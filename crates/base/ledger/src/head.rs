//! The private head: what the next transaction is checked against, and what waits for the store.
//!
//! Whoever holds the head is the single writer. It runs ahead of what is durable by the batch
//! that the store works on and the batch that gathers meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use terms::Cause;
use tokio::sync::oneshot;

use crate::bytes::Bytes;
use crate::error::LedgerError;
use crate::feed::{Commit, ErasedChange};
use crate::schema::Schema;
use crate::snapshot::Facts;
use crate::state::{Entry, Revision, State};
use crate::store::{Batch, StoredRow, Write};
use crate::tx::{NewRow, ReadSpan, Reads, Writes};

/// How many commits back a walked stretch can be checked. A transaction that started earlier
/// runs again.
const RECENT_COMMITS: usize = 1024;

/// How many transactions may wait for the store at once.
pub const MAX_WAITING: usize = 65_536;

/// A row to write, encoded before the head is taken.
pub(crate) struct EncodedWrite {
    table: u16,
    key: Bytes,
    row: Option<(NewRow, Arc<[u8]>)>,
}

/// Encodes a transaction's writes.
pub(crate) fn encode(schema: &Schema, writes: Writes) -> Result<Vec<EncodedWrite>, LedgerError> {
    let mut encoded = Vec::new();
    for (table, rows) in writes {
        let spec = schema.spec(table);
        for (key, row) in rows {
            let encode = |row: NewRow| match schema.encode_row(table, &key, &*row.value) {
                Ok(body) => Ok((row, body.into())),
                Err(source) => {
                    Err(LedgerError::Value { table: spec.name, source: Arc::new(source) })
                }
            };
            let row = row.map(encode).transpose()?;
            encoded.push(EncodedWrite { table, key, row });
        }
    }
    Ok(encoded)
}

/// Answers a caller when everything up to `revision` is durable, or never will be.
pub(crate) struct Waiter {
    revision: Revision,
    answer: oneshot::Sender<Result<(), LedgerError>>,
}

impl Waiter {
    /// The revision that it waits for.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn tell(self, outcome: Result<(), LedgerError>) {
        // A caller that no longer listens has been cancelled; its transaction stands.
        let _ = self.answer.send(outcome);
    }
}

pub(crate) struct Head {
    pub(crate) state: State,
    /// Counts the times that this ledger began to lead. What is not durable is gone when one
    /// ends, and its revisions come again with other content in the next.
    pub(crate) term: u64,
    recent: VecDeque<Arc<Commit>>,
    /// The one that was recent until the last commit: to be dropped by whoever gives the head
    /// back, for that may free many rows.
    pub(crate) past: Option<Arc<Commit>>,
    /// What gathers for the store, cut where the store's limits ask for it; only the last grows.
    packs: VecDeque<Pack>,
    limits: Limits,
    /// Set while the store takes no new rows.
    pub(crate) full: Option<LedgerError>,
    waiters: VecDeque<Waiter>,
    /// The last revision that was taken for the store.
    pub(crate) sent: Revision,
    pub(crate) refused: Option<LedgerError>,
    pub(crate) closing: bool,
    /// The store's thread is to be woken when so many commits are pending.
    pub(crate) wake_at: usize,
}

/// What a store takes in one commit. A transaction that is larger goes alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many rows.
    pub(crate) rows: usize,
    /// So many bytes of keys and bodies.
    pub(crate) bytes: usize,
    /// So many bytes in one row, at any time.
    pub(crate) row_bytes: usize,
}

impl Limits {
    /// For stores that take all.
    pub(crate) const NONE: Self =
        Self { rows: usize::MAX, bytes: usize::MAX, row_bytes: usize::MAX };
}

/// Whole commits that go to the store together.
#[derive(Default)]
struct Pack {
    writes: Vec<Write>,
    positions: HashMap<(u16, Bytes), usize>,
    commits: Vec<Arc<Commit>>,
    bytes: usize,
    /// The state after its last commit, once a later pack has begun.
    state: Option<State>,
}

/// What a row costs in a store's commit besides its key and body, in bytes.
const ROW_OVERHEAD_BYTES: usize = 64;

impl EncodedWrite {
    fn size_bytes(&self) -> usize {
        let body = self.row.as_ref().map_or(0, |(_, body)| body.len());
        ROW_OVERHEAD_BYTES + self.key.len() + body
    }
}

impl Write {
    /// What it costs in a store's commit, about.
    pub(crate) fn size_bytes(&self) -> usize {
        let body = self.row.as_ref().map_or(0, |row| row.body.len());
        ROW_OVERHEAD_BYTES + self.key.len() + body
    }
}

/// What the store has to make durable next.
pub(crate) struct Taken {
    pub(crate) batch: Batch,
    pub(crate) state: State,
    pub(crate) commits: Vec<Arc<Commit>>,
}

impl Head {
    pub(crate) fn new(state: State, limits: Limits) -> Self {
        Self {
            sent: state.revision,
            state,
            term: 0,
            recent: VecDeque::new(),
            past: None,
            packs: VecDeque::new(),
            limits,
            full: None,
            waiters: VecDeque::new(),
            refused: None,
            closing: false,
            wake_at: 1,
        }
    }

    /// Takes transactions on `state`, in a term of its own.
    pub(crate) fn begin(&mut self, state: State) {
        self.sent = state.revision;
        self.state = state;
        self.term += 1;
        self.recent.clear();
        self.packs.clear();
        self.refused = None;
        self.full = None;
        self.wake_at = 1;
    }

    /// Whether the store's limits allow the writes at all.
    pub(crate) fn admits(
        &self,
        schema: &Schema,
        writes: &[EncodedWrite],
    ) -> Result<(), LedgerError> {
        if let Some(large) = writes.iter().find(|write| write.size_bytes() > self.limits.row_bytes)
        {
            let (table, limit_bytes) = (schema.spec(large.table).name, self.limits.row_bytes);
            return Err(LedgerError::RowTooLarge { table, limit_bytes });
        }
        let Some(full) = &self.full else { return Ok(()) };
        let creates = |write: &EncodedWrite| {
            write.row.is_some() && self.state.row(write.table, &write.key).is_none()
        };
        if writes.iter().any(creates) { Err(full.clone()) } else { Ok(()) }
    }

    /// Whether all that was read from the state at `base` is still so, and all that is guarded
    /// is so.
    pub(crate) fn holds(&self, base: Revision, reads: &Reads) -> bool {
        self.unchanged(base, reads) && self.guards_hold(reads)
    }

    /// Whether all that is guarded is so. Asked even of a head that did not move: what is guarded
    /// need not have been read from it.
    pub(crate) fn guards_hold(&self, reads: &Reads) -> bool {
        let facts = Facts::new(&self.state);
        reads.guards.iter().all(|holds| holds(&facts))
    }

    fn unchanged(&self, base: Revision, reads: &Reads) -> bool {
        if base == self.state.revision {
            return true;
        }
        let unchanged = |((table, key), version): (&(u16, Bytes), &Revision)| {
            self.state.row(*table, key).map_or(0, |entry| entry.version) == *version
        };
        reads.rows.iter().all(unchanged) && (reads.spans.is_empty() || self.spans_hold(base, reads))
    }

    fn spans_hold(&self, base: Revision, reads: &Reads) -> bool {
        let Some(oldest) = self.recent.front().map(|commit| commit.revision) else { return false };
        if base + 1 < oldest {
            return false;
        }
        let since = usize::try_from(base + 1 - oldest).expect("at most RECENT_COMMITS");
        let mut changes = self.recent.range(since..).flat_map(|commit| &commit.changes);
        changes.all(|change| reads.spans.iter().all(|read| !touches(change, read)))
    }

    /// Applies writes as the next commit. Gives its revision, or the present one when nothing
    /// changes (deletes of absent rows).
    pub(crate) fn apply(
        &mut self,
        schema: &Schema,
        name: &'static str,
        writes: Vec<EncodedWrite>,
    ) -> Revision {
        let revision = self.state.revision + 1;
        self.make_room(&writes);
        let mut pack = self.packs.pop_back().unwrap_or_default();
        pack.state = None;
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            let size = write.size_bytes();
            let EncodedWrite { table, key, row } = write;
            let created = self.state.row(table, &key).map(|entry| entry.created);
            if row.is_none() && created.is_none() {
                continue;
            }
            let created = created.unwrap_or(revision);
            let spec = schema.spec(table);
            let (after, stored) = row
                .map(|(row, body)| {
                    let NewRow { value, index_keys } = row;
                    let entry = Entry { created, version: revision, value, index_keys };
                    let record_version = spec.record_version;
                    (entry, StoredRow { created, version: revision, record_version, body })
                })
                .unzip();
            let (before, after) = self.state.set(table, &key, after);
            pack.put(table, Write { table: spec.name, key: key.clone(), row: stored }, size);
            changes.push(ErasedChange { table, key, before, after });
        }
        if changes.is_empty() {
            if !pack.commits.is_empty() {
                self.packs.push_back(pack);
            }
            return self.state.revision;
        }
        self.state.revision = revision;
        let commit = Arc::new(Commit {
            since: revision - 1,
            revision,
            name,
            cause: Cause::current(),
            changes,
        });
        if self.recent.len() == RECENT_COMMITS {
            self.past = self.recent.pop_front();
        }
        self.recent.push_back(commit.clone());
        pack.commits.push(commit);
        self.packs.push_back(pack);
        revision
    }

    /// Closes the last pack if the writes do not fit into it.
    fn make_room(&mut self, writes: &[EncodedWrite]) {
        let Some(last) = self.packs.back_mut() else { return };
        let bytes: usize = writes.iter().map(EncodedWrite::size_bytes).sum();
        if last.writes.len() + writes.len() > self.limits.rows
            || last.bytes + bytes > self.limits.bytes
        {
            last.state = Some(self.state.clone());
            self.packs.push_back(Pack::default());
        }
    }

    /// A receiver that is told when `revision`, which is not yet, is durable.
    pub(crate) fn wait_for(
        &mut self,
        revision: Revision,
    ) -> oneshot::Receiver<Result<(), LedgerError>> {
        let (answer, receiver) = oneshot::channel();
        if let Some(error) = &self.refused {
            Waiter { revision, answer }.tell(Err(error.clone()));
            return receiver;
        }
        self.waiters.push_back(Waiter { revision, answer });
        receiver
    }

    /// Whether one more transaction may wait.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiters.len() >= MAX_WAITING
    }

    /// How many transactions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// How many commits wait to be taken.
    pub(crate) fn pending(&self) -> usize {
        self.packs.iter().map(|pack| pack.commits.len()).sum()
    }

    /// Whether a pack waits that will not grow.
    pub(crate) fn has_full_pack(&self) -> bool {
        self.packs.len() > 1
    }

    /// Whether what waits first is more than the store takes in one commit.
    pub(crate) fn is_oversized(&self) -> bool {
        self.packs.front().is_some_and(|pack| pack.is_over(self.limits))
    }

    /// Takes the first pack that waits for the store, if one does.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let pack = self.packs.pop_front()?;
        let Pack { writes, commits, state, .. } = pack;
        let revision = commits.last()?.revision;
        let state = state.unwrap_or_else(|| self.state.clone());
        self.sent = revision;
        Some(Taken { batch: Batch { revision, writes }, state, commits })
    }

    /// Those who wait for `durable` or less. (One may stand behind another who waits for a later
    /// revision; that one is on its way to the store, so both get their answer.)
    pub(crate) fn take_waiters(&mut self, durable: Revision) -> Vec<Waiter> {
        let ready = self.waiters.iter().take_while(|waiter| waiter.revision <= durable).count();
        self.waiters.drain(..ready).collect()
    }

    /// Drops all that is not durable and refuses every further write.
    pub(crate) fn refuse(&mut self, durable: State, error: LedgerError) -> Vec<Waiter> {
        self.state = durable;
        self.recent.clear();
        self.packs.clear();
        self.refused = Some(error);
        self.waiters.drain(..).collect()
    }
}

impl Pack {
    /// Adds a write; a later one of the same row replaces the earlier.
    fn put(&mut self, table: u16, write: Write, size_bytes: usize) {
        self.bytes += size_bytes;
        match self.positions.entry((table, write.key.clone())) {
            std::collections::hash_map::Entry::Occupied(place) => self.writes[*place.get()] = write,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(self.writes.len());
                self.writes.push(write);
            }
        }
    }

    fn is_over(&self, limits: Limits) -> bool {
        self.writes.len() > limits.rows || self.bytes > limits.bytes
    }
}

fn touches(change: &ErasedChange, read: &ReadSpan) -> bool {
    if change.table != read.table {
        return false;
    }
    match read.index {
        None => read.span.contains(&change.key),
        Some(index) => [&change.before, &change.after]
            .into_iter()
            .flatten()
            .flat_map(|entry| entry.index_keys.of(index))
            .any(|key| read.span.contains_joined(key, &change.key)),
    }
}
