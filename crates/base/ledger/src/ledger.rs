//! The ledger itself: transactions in, batches to the store, snapshots and the feed out.

mod store_thread;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex, MutexGuard};
use terms::{Clock, IdSource};
use tokio::sync::{broadcast, oneshot, watch};
use tracing::Instrument;

use crate::error::{LedgerError, TransactError};
use crate::feed::{Commit, FEED_COMMITS, Feed};
use crate::head::{self, EncodedWrite, Head, Taken, Waiter};
use crate::load;
use crate::role::Leadership;
use crate::schema::Schema;
use crate::snapshot::Snapshot;
use crate::state::{Revision, State};
use crate::store::{EtcdSettings, Pace, Store, StoreError};
use crate::tx::{Reads, Sources, Tx, Writes};

/// How often a transaction runs beside others before it runs alone, holding the head.
pub const OPTIMISTIC_RUNS: usize = 3;

/// All state, in typed tables. Clones are the same ledger; when the last is dropped, what waits
/// for the store is still committed and the store is closed.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    schema: Arc<Schema>,
    sources: Sources,
    /// The last durable state: what snapshots show.
    published: ArcSwap<State>,
    feed: broadcast::Sender<Arc<Commit>>,
    head: Mutex<Head>,
    /// Wakes the store's thread: enough is pending, or the ledger closes.
    wake: Condvar,
    store: Mutex<Box<dyn Store>>,
    pace: Pace,
    leadership: watch::Sender<Leadership>,
}

/// A transaction's value, and the revision it is true at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed<T> {
    /// What the function returned.
    pub value: T,
    /// The revision of its commit; if it wrote nothing, the revision that it read.
    pub revision: Revision,
}

/// What has to become durable before a transaction's answer may go out.
enum Durable {
    Already,
    After(oneshot::Receiver<Result<(), LedgerError>>),
}

enum Attempt<T, E> {
    Done { outcome: Result<T, E>, revision: Revision, durable: Durable },
    Conflict,
}

impl Ledger {
    /// Loads all rows from the store, rebuilds the indexes, and starts taking transactions.
    ///
    /// # Errors
    /// When the store cannot be read, or holds rows that this schema's records cannot be read from.
    pub fn open(
        schema: Schema,
        mut store: Box<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, StoreError> {
        let state = load::load(&schema, &mut *store)?;
        let shared = Shared::new(Arc::new(schema), Sources { clock, ids }, state, store);
        let shared = Arc::new(shared);
        let thread = match shared.pace {
            Pace::Inline => None,
            Pace::OwnThread => Some(store_thread::start(shared.clone())?),
        };
        Ok(Self { inner: Arc::new(Inner { shared, thread }) })
    }

    /// Opens the ledger that several servers share on an etcd: loads all rows, follows what the
    /// leader writes, and campaigns for the leadership. Its tasks run on the tokio runtime that it
    /// is called on.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses, a newer program wrote its keys, or it holds rows
    /// that this schema's records cannot be read from.
    pub async fn join(
        _schema: Schema,
        settings: EtcdSettings,
        _clock: Arc<dyn Clock>,
        _ids: Arc<dyn IdSource>,
    ) -> Result<Self, StoreError> {
        let problem = "joining is not built yet".to_owned();
        Err(StoreError::Etcd { endpoints: settings.endpoints.join(","), problem })
    }

    /// Whether this ledger takes transactions, and when that changes. Always
    /// [`Leadership::Leading`] for [`Ledger::open`].
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.shared.leadership.subscribe()
    }

    /// A snapshot at least as new as everything that any server of the store acknowledged before
    /// the call. At once when this ledger surely leads; otherwise after asking the store.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn current(&self) -> Result<Snapshot, LedgerError> {
        Ok(self.snapshot())
    }

    /// Stops leading for good: what is acknowledged is durable, and another server takes over at
    /// once. Returns when the leadership is given up; does nothing for [`Ledger::open`].
    pub async fn resign(&self) {}

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.inner.shared.schema
    }

    pub(crate) fn durable(&self) -> Arc<State> {
        self.inner.shared.published.load_full()
    }

    /// Another ledger of the same tables, clock and ids, over a store that never waits.
    pub(crate) fn with_state(&self, state: State, store: Box<dyn Store>) -> Self {
        let Shared { schema, sources, .. } = &*self.inner.shared;
        let shared = Shared::new(schema.clone(), sources.clone(), state, store);
        Self { inner: Arc::new(Inner { shared: Arc::new(shared), thread: None }) }
    }

    /// The state after the last durable commit.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.shared.published.load_full())
    }

    /// The changes from now on.
    pub fn subscribe(&self) -> Feed {
        Feed::new(self.clone())
    }

    /// How many rows each table has, by the tables' names.
    pub fn row_counts(&self) -> Vec<(&'static str, usize)> {
        let state = self.inner.shared.published.load();
        let tables = self.inner.shared.schema.tables().iter().zip(0..);
        tables.map(|(spec, number)| (spec.name, state.table(number).rows.len())).collect()
    }

    /// How many transactions wait for the store; at most [`crate::MAX_WAITING`].
    pub fn waiting(&self) -> usize {
        self.inner.shared.head.lock().waiting()
    }

    pub(crate) fn receiver(&self) -> broadcast::Receiver<Arc<Commit>> {
        self.inner.shared.feed.subscribe()
    }

    /// The clock that transactions read.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.shared.sources.clock
    }

    /// Seals with the first key what was read in the clear or sealed with an older one. Gives how
    /// many rows that were; none without keys.
    ///
    /// # Errors
    /// As [`Ledger::transact`].
    pub async fn reseal(&self) -> Result<usize, LedgerError> {
        let Some(keys) = self.inner.shared.schema.secrets_keys().cloned() else { return Ok(0) };
        let stale = keys.stale();
        if stale.is_empty() {
            return Ok(0);
        }
        let written = self
            .transact("ledger: reseal", |tx| {
                stale.iter().for_each(|(table, key)| tx.rewrite(*table, key));
                Ok::<_, std::convert::Infallible>(())
            })
            .await;
        match written {
            Ok(_) => {
                stale.iter().for_each(|(table, key)| keys.is_fresh(*table, key));
                Ok(stale.len())
            }
            Err(TransactError::Ledger(error)) => Err(error),
            Err(TransactError::Rejected(never)) => match never {},
        }
    }

    /// Runs `body` as one transaction: all its reads (but those of [`Tx::facts`]) and writes
    /// happen at one revision, where what it guards ([`Tx::guard`]) is so. Answers
    /// when its writes are durable and every snapshot taken from then on shows them.
    ///
    /// `body` may run several times, the last time with the whole ledger waiting for it, so it is
    /// short and has no effects but the writes. If it writes nothing and met no conflict, only
    /// memory was touched. Dropping the future while it waits for the store does not take the
    /// writes back.
    ///
    /// # Errors
    /// What `body` answers, with nothing written; or [`LedgerError`].
    pub async fn transact<T, E>(
        &self,
        name: &'static str,
        mut body: impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<Committed<T>, TransactError<E>> {
        let shared = &*self.inner.shared;
        let span = tracing::info_span!(target: meters::TRACE, "transaction", name);
        let (outcome, revision, durable) = span.in_scope(|| shared.attempts(name, &mut body))?;
        if let Durable::After(receiver) = durable {
            let wait =
                tracing::info_span!(target: meters::TRACE, parent: &span, "commit", revision);
            receiver.instrument(wait).await.unwrap_or_else(|_| Err(stopped()))?;
        }
        match outcome {
            Ok(value) => Ok(Committed { value, revision }),
            Err(rejection) => Err(TransactError::Rejected(rejection)),
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger(at {})", self.inner.shared.published.load().revision)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.head.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's store thread panicked");
        }
    }
}

type Settled<T, E> = (Result<T, E>, Revision, Durable);

impl Shared {
    fn new(schema: Arc<Schema>, sources: Sources, state: State, store: Box<dyn Store>) -> Self {
        let pace = store.pace();
        Self {
            schema,
            sources,
            published: ArcSwap::from_pointee(state.clone()),
            feed: broadcast::Sender::new(FEED_COMMITS),
            head: Mutex::new(Head::new(state)),
            wake: Condvar::new(),
            store: Mutex::new(store),
            pace,
            leadership: watch::Sender::new(Leadership::Leading),
        }
    }

    /// Runs the function until an outcome stands; a conflict moves it to a fresh state.
    fn attempts<T, E>(
        &self,
        name: &'static str,
        body: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<Settled<T, E>, LedgerError> {
        let mut base = self.published.load_full();
        for _ in 0..OPTIMISTIC_RUNS {
            let mut tx = Tx::new(&self.schema, &base, &self.sources);
            let outcome = body(&mut tx);
            let (reads, writes) = tx.finish();
            match self.attempt(name, base.revision, outcome, &reads, writes)? {
                Attempt::Done { outcome, revision, durable } => {
                    return Ok((outcome, revision, durable));
                }
                // What it collided with may not be durable yet, so the head is what is fresh.
                Attempt::Conflict => {
                    meters::ledger().conflicts.inc();
                    base = Arc::new(self.head.lock().state.clone());
                }
            }
        }
        self.run_alone(name, body)
    }

    fn attempt<T, E>(
        &self,
        name: &'static str,
        base: Revision,
        outcome: Result<T, E>,
        reads: &Reads,
        writes: Writes,
    ) -> Result<Attempt<T, E>, LedgerError> {
        if outcome.is_err() || writes.is_empty() {
            let durable = self.when_durable(base);
            return Ok(Attempt::Done { outcome, revision: base, durable });
        }
        let writes = head::encode(&self.schema, writes)?;
        let head = self.writable_head()?;
        if !head.holds(base, reads) {
            return Ok(Attempt::Conflict);
        }
        let (revision, durable) = self.submit(head, name, writes);
        Ok(Attempt::Done { outcome, revision, durable })
    }

    /// The last resort: nobody else can commit while the function runs.
    fn run_alone<T, E>(
        &self,
        name: &'static str,
        body: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<Settled<T, E>, LedgerError> {
        tracing::debug!(name, "a transaction keeps colliding and runs alone");
        meters::ledger().alone.inc();
        let head = self.writable_head()?;
        let mut tx = Tx::new(&self.schema, &head.state, &self.sources);
        let outcome = body(&mut tx);
        let (reads, writes) = tx.finish();
        if outcome.is_err() || writes.is_empty() {
            let revision = head.state.revision;
            drop(head);
            return Ok((outcome, revision, self.when_durable(revision)));
        }
        if !head.guards_hold(&reads) {
            return Err(LedgerError::Contradiction { name });
        }
        let writes = head::encode(&self.schema, writes)?;
        let (revision, durable) = self.submit(head, name, writes);
        Ok((outcome, revision, durable))
    }

    fn writable_head(&self) -> Result<MutexGuard<'_, Head>, LedgerError> {
        let head = self.head.lock();
        match &head.refused {
            Some(error) => Err(error.clone()),
            None if head.is_crowded() => {
                meters::ledger().crowded.inc();
                Err(LedgerError::Crowded)
            }
            None => Ok(head),
        }
    }

    fn submit(
        &self,
        mut head: MutexGuard<'_, Head>,
        name: &'static str,
        writes: Vec<EncodedWrite>,
    ) -> (Revision, Durable) {
        let before = head.state.revision;
        let revision = head.apply(&self.schema, name, writes);
        if revision == before {
            drop(head);
            return (revision, self.when_durable(revision));
        }
        let receiver = head.wait_for(revision);
        let is_enough = head.pending() >= head.wake_at;
        drop(head);
        match self.pace {
            Pace::OwnThread if is_enough => {
                self.wake.notify_one();
            }
            Pace::OwnThread => {}
            Pace::Inline => {
                self.flush();
            }
        }
        (revision, Durable::After(receiver))
    }

    /// What a transaction that wrote nothing waits for: it may have read what is not durable yet.
    fn when_durable(&self, revision: Revision) -> Durable {
        let is_durable = || self.published.load().revision >= revision;
        if is_durable() {
            return Durable::Already;
        }
        let mut head = self.head.lock();
        if is_durable() {
            return Durable::Already;
        }
        Durable::After(head.wait_for(revision))
    }

    /// Makes what is pending durable, publishes it, and answers those who waited. Gives how many
    /// transactions that were, and how many others gathered meanwhile.
    fn flush(&self) -> (usize, usize) {
        let mut store = self.store.lock();
        let Some(Taken { batch, state, commits }) = self.head.lock().take() else { return (0, 0) };
        let carried = commits.len();
        tracing::trace!(revision = batch.revision, carried, rows = batch.writes.len(), "commit");
        let begun = Instant::now();
        let outcome = store.commit(&batch);
        meters::ledger().committed(carried, batch.writes.len(), begun.elapsed(), outcome.is_ok());
        match outcome {
            Ok(()) => (carried, self.publish(state, commits)),
            Err(error) => {
                self.refuse(error);
                (carried, 0)
            }
        }
    }

    fn publish(&self, state: State, commits: Vec<Arc<Commit>>) -> usize {
        let durable = state.revision;
        self.published.store(Arc::new(state));
        for commit in commits {
            // An error means that nobody listens.
            let _ = self.feed.send(commit);
        }
        let mut head = self.head.lock();
        let (ready, gathered) = (head.take_waiters(durable), head.pending());
        drop(head);
        ready.into_iter().for_each(|waiter| waiter.tell(Ok(())));
        gathered
    }

    fn refuse(&self, error: StoreError) {
        tracing::error!(error = &error as &dyn std::error::Error, "the ledger's store failed");
        let error = LedgerError::StoreFailed(Arc::new(error));
        let durable = State::clone(&self.published.load());
        let waiting: Vec<Waiter> = self.head.lock().refuse(durable, error.clone());
        waiting.into_iter().for_each(|waiter| waiter.tell(Err(error.clone())));
    }
}

fn stopped() -> LedgerError {
    LedgerError::StoreFailed(Arc::new(StoreError::Stopped))
}
