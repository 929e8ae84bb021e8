//! The ledger itself: transactions in, batches to the store, snapshots and the feed out.

mod figures;
mod publish;
mod reseal;
mod sent;
mod store_task;
mod store_thread;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use parking_lot::{Condvar, Mutex, MutexGuard};
use terms::{Clock, IdSource};
use tokio::sync::{Notify, broadcast, oneshot};
use tracing::Instrument;

use crate::cluster::{self, Cluster, OwnThread};
use crate::error::{LedgerError, TransactError};
use crate::feed::{FEED_COMMITS, Feed, Item};
use crate::head::{self, EncodedWrite, Head, Limits};
use crate::load;
use crate::role::Leadership;
use crate::schema::Schema;
use crate::snapshot::Snapshot;
use crate::state::{Revision, State};
use crate::store::{Etcd, EtcdSettings, Pace, Store, StoreError};
use crate::tx::{Reads, Sources, Tx, Writes};
use crate::watch;

pub use figures::TableDigest;

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

pub(crate) struct Shared {
    pub(crate) schema: Arc<Schema>,
    sources: Sources,
    /// The last durable state: what snapshots show.
    pub(crate) published: ArcSwap<State>,
    feed: broadcast::Sender<Item>,
    pub(crate) head: Mutex<Head>,
    /// Wakes the store's thread: enough is pending, or the ledger closes.
    wake: Condvar,
    writer: Writer,
    pub(crate) leadership: watch::Sender<Leadership>,
}

/// Who makes commits durable.
enum Writer {
    /// The caller, at once.
    Inline(Mutex<Box<dyn Store>>),
    /// The ledger's thread.
    Thread(Mutex<Box<dyn Store>>),
    /// A task of the runtime.
    Task(Mutex<Box<dyn Store>>, Notify),
    /// The tasks of a ledger that servers share.
    Cluster(Arc<Cluster>),
}

/// What a run of a transaction's function starts from.
struct Base {
    state: Arc<State>,
    /// The term that it belongs to, if it is a head: then it may never become durable.
    term: Option<u64>,
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
        let writer = match store.pace() {
            Pace::Inline => Writer::Inline(Mutex::new(store)),
            Pace::OwnThread => Writer::Thread(Mutex::new(store)),
            Pace::Task => Writer::Task(Mutex::new(store), Notify::new()),
        };
        let head = Head::new(state, Limits::NONE);
        let shared = Shared::new(
            Arc::new(schema),
            Sources { clock, ids },
            head,
            writer,
            Leadership::Leading,
        );
        let thread = match shared.writer {
            Writer::Thread(_) => Some(store_thread::start(shared.clone())?),
            Writer::Task(..) => {
                tokio::spawn(store_task::serve(shared.clone()));
                None
            }
            Writer::Inline(_) | Writer::Cluster(_) => None,
        };
        Ok(Self { inner: Arc::new(Inner { shared, thread }) })
    }

    /// Opens the ledger that several servers share on an etcd: loads all rows, follows what the
    /// leader writes, and campaigns for the leadership. Its tasks run on a thread of their own.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses, a newer program wrote its keys, or it holds rows
    /// that this schema's records cannot be read from.
    pub async fn join(
        schema: Schema,
        settings: EtcdSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, StoreError> {
        let (thread, runtime) = OwnThread::start()?;
        let joined = runtime.spawn(async move {
            let etcd = cluster::connect(&settings).await?;
            Self::join_by(etcd, schema, settings, Sources { clock, ids }, Some(thread)).await
        });
        joined.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// As [`Ledger::join`], on an etcd of the caller's: endpoints, certificates and user of the
    /// settings are not looked at. Its tasks run on the tokio runtime that it is called on.
    ///
    /// # Errors
    /// As [`Ledger::join`].
    pub async fn join_on(
        etcd: Arc<dyn Etcd>,
        schema: Schema,
        settings: EtcdSettings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self, StoreError> {
        Self::join_by(etcd, schema, settings, Sources { clock, ids }, None).await
    }

    async fn join_by(
        etcd: Arc<dyn Etcd>,
        schema: Schema,
        settings: EtcdSettings,
        sources: Sources,
        thread: Option<OwnThread>,
    ) -> Result<Self, StoreError> {
        let schema = Arc::new(schema);
        let (cluster, mirror) = Cluster::join(etcd, &schema, settings, thread).await?;
        let mut head = Head::new(mirror.state.clone(), cluster::LIMITS);
        let leader = mirror.leader_member();
        head.refused = Some(LedgerError::NotLeading { leader: leader.clone() });
        let writer = Writer::Cluster(cluster.clone());
        let following = Leadership::Following { leader };
        let shared = Shared::new(schema, sources, head, writer, following);
        cluster.start(shared.clone(), mirror);
        Ok(Self { inner: Arc::new(Inner { shared, thread: None }) })
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
        if let Writer::Cluster(cluster) = &self.inner.shared.writer {
            cluster.catch_up(&self.inner.shared).await?;
        }
        Ok(self.snapshot())
    }

    /// Passes when this ledger leads: by its lease, or because the store says so.
    ///
    /// # Errors
    /// [`LedgerError::NotLeading`], or when the store does not answer.
    pub async fn confirm_leading(&self) -> Result<(), LedgerError> {
        let shared = &self.inner.shared;
        match &shared.writer {
            Writer::Cluster(cluster) => cluster.admit(&shared.leadership).await,
            Writer::Inline(_) | Writer::Thread(_) | Writer::Task(..) => Ok(()),
        }
    }

    /// Stops leading for good: what is acknowledged is durable, and another server takes over at
    /// once. Returns when the leadership is given up; does nothing for [`Ledger::open`].
    pub async fn resign(&self) {
        if let Writer::Cluster(cluster) = &self.inner.shared.writer {
            cluster.resign().await;
        }
    }

    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.inner.shared.schema
    }

    pub(crate) fn durable(&self) -> Arc<State> {
        self.inner.shared.published.load_full()
    }

    /// Another ledger of the same tables, clock and ids, over a store that never waits.
    pub(crate) fn with_state(&self, state: State, store: Box<dyn Store>) -> Self {
        let Shared { schema, sources, .. } = &*self.inner.shared;
        let head = Head::new(state, Limits::NONE);
        let writer = Writer::Inline(Mutex::new(store));
        let sources = sources.clone();
        let shared = Shared::new(schema.clone(), sources, head, writer, Leadership::Leading);
        Self { inner: Arc::new(Inner { shared, thread: None }) }
    }

    /// The state after the last durable commit.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.shared.published.load_full())
    }

    /// The changes from now on.
    pub fn subscribe(&self) -> Feed {
        Feed::new(self.clone())
    }

    pub(crate) fn receiver(&self) -> broadcast::Receiver<Item> {
        self.inner.shared.feed.subscribe()
    }

    /// The clock that transactions read.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.shared.sources.clock
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
        if let Writer::Cluster(cluster) = &shared.writer {
            cluster.admit(&shared.leadership).await?;
        }
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
        match &self.shared.writer {
            Writer::Cluster(cluster) => cluster.wake.notify_one(),
            Writer::Task(_, wake) => wake.notify_one(),
            Writer::Inline(_) | Writer::Thread(_) => {}
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the ledger's store thread panicked");
        }
    }
}

type Settled<T, E> = (Result<T, E>, Revision, Durable);

impl Shared {
    fn new(
        schema: Arc<Schema>,
        sources: Sources,
        head: Head,
        writer: Writer,
        leadership: Leadership,
    ) -> Arc<Self> {
        Arc::new(Self {
            schema,
            sources,
            published: ArcSwap::from_pointee(head.state.clone()),
            feed: broadcast::Sender::new(FEED_COMMITS),
            head: Mutex::new(head),
            wake: Condvar::new(),
            writer,
            leadership: watch::Sender::new(leadership),
        })
    }

    /// Runs the function until an outcome stands; a conflict moves it to a fresh state.
    fn attempts<T, E>(
        &self,
        name: &'static str,
        body: &mut impl FnMut(&mut Tx<'_>) -> Result<T, E>,
    ) -> Result<Settled<T, E>, LedgerError> {
        let mut base = self.first_base();
        for _ in 0..OPTIMISTIC_RUNS {
            let mut tx = Tx::new(&self.schema, &base.state, &self.sources);
            let outcome = body(&mut tx);
            let (reads, writes) = tx.finish();
            match self.attempt(name, base, outcome, &reads, writes)? {
                Attempt::Done { outcome, revision, durable } => {
                    return Ok((outcome, revision, durable));
                }
                // What it collided with may not be durable yet, so the head is what is fresh.
                Attempt::Conflict => {
                    meters::ledger().conflicts.inc();
                    let head = self.head.lock();
                    base = Base { state: Arc::new(head.state.clone()), term: Some(head.term) };
                }
            }
        }
        self.run_alone(name, body)
    }

    fn attempt<T, E>(
        &self,
        name: &'static str,
        base: Base,
        outcome: Result<T, E>,
        reads: &Reads,
        writes: Writes,
    ) -> Result<Attempt<T, E>, LedgerError> {
        let revision = base.state.revision;
        if outcome.is_err() || writes.is_empty() {
            let durable = match base.term {
                None => Durable::Already,
                Some(term) => match self.when_durable(term, revision) {
                    Some(durable) => durable,
                    None => return Ok(Attempt::Conflict),
                },
            };
            return Ok(Attempt::Done { outcome, revision, durable });
        }
        let writes = head::encode(&self.schema, writes)?;
        let head = self.writable_head()?;
        let is_gone = base.term.is_some_and(|term| term != head.term);
        if is_gone || !head.holds(revision, reads) {
            return Ok(Attempt::Conflict);
        }
        // While it is held, the head's maps share their nodes with it, and each write copies some.
        drop(base);
        let (revision, durable) = self.submit(head, name, writes)?;
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
        let mut head = self.writable_head()?;
        let mut tx = Tx::new(&self.schema, &head.state, &self.sources);
        let outcome = body(&mut tx);
        let (reads, writes) = tx.finish();
        if outcome.is_err() || writes.is_empty() {
            let revision = head.state.revision;
            let durable = self.durable_at(&mut head, revision);
            return Ok((outcome, revision, durable));
        }
        if !head.guards_hold(&reads) {
            return Err(LedgerError::Contradiction { name });
        }
        let writes = head::encode(&self.schema, writes)?;
        let (revision, durable) = self.submit(head, name, writes)?;
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
    ) -> Result<(Revision, Durable), LedgerError> {
        head.admits(&self.schema, &writes)?;
        let before = head.state.revision;
        let revision = head.apply(&self.schema, name, writes);
        if revision == before {
            return Ok((revision, self.durable_at(&mut head, revision)));
        }
        let receiver = head.wait_for(revision);
        let is_enough = head.pending() >= head.wake_at || head.has_full_pack();
        let past = head.past.take();
        drop(head);
        drop(past);
        match &self.writer {
            Writer::Inline(store) => {
                self.flush(store);
            }
            Writer::Thread(_) if is_enough => {
                self.wake.notify_one();
            }
            Writer::Cluster(cluster) if is_enough => cluster.wake.notify_one(),
            Writer::Task(_, wake) if is_enough => wake.notify_one(),
            Writer::Thread(_) | Writer::Task(..) | Writer::Cluster(_) => {}
        }
        Ok((revision, Durable::After(receiver)))
    }

    /// What a transaction that wrote nothing waits for, after it read a head of `term` that may
    /// not be durable yet; `None` when that term is over, so that it may never be.
    fn when_durable(&self, term: u64, revision: Revision) -> Option<Durable> {
        let mut head = self.head.lock();
        if head.refused.is_some() {
            // The receiver has the refusal in it.
            return Some(Durable::After(head.wait_for(revision)));
        }
        (head.term == term).then(|| self.durable_at(&mut head, revision))
    }

    fn durable_at(&self, head: &mut Head, revision: Revision) -> Durable {
        if self.published.load().revision >= revision {
            return Durable::Already;
        }
        Durable::After(head.wait_for(revision))
    }
}

fn stopped() -> LedgerError {
    LedgerError::StoreFailed(Arc::new(StoreError::Stopped))
}
