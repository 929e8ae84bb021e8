//! A ledger that several servers share on an etcd: one leads and writes, the others follow.
//!
//! The rules, and why they suffice, are in docs/decisions/0018 (keys, fencing, staging) and 0019
//! (roles, reads). In short:
//!
//! - Every transaction that a leader sends compares the revision that created its own key, and
//!   the head that it builds on. So an old leader writes nothing, and no commit is skipped.
//! - What is shown (snapshots, feed, answers) has been confirmed by etcd, in the leader by the
//!   answer to its transaction, in a follower by the watch.
//! - A server leads from the moment that it sees its own leader's key *in the watch*: then it has
//!   applied everything that was written before.
//! - When an answer stays away, the term is over: what was not confirmed is dropped, and the
//!   watch, from the last confirmed revision on, tells what became of it.

mod barrier;
mod fence;
mod figures;
mod follow;
mod lead;
mod mirror;
mod offline;
mod pages;
mod session;
mod stage;
mod thread;
mod upkeep;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use crate::error::LedgerError;
use crate::head::Limits;
use crate::ledger::Shared;
use crate::role::{Leadership, Member};
use crate::schema::Schema;
use crate::store::etcd::EtcdClient;
use crate::store::etcd::layout::{Announcement, FORMAT, Keys};
use crate::store::{Etcd, EtcdError, EtcdSettings, StoreError};
use crate::watch;
use barrier::Barrier;
pub use figures::ClusterFigures;
pub(crate) use mirror::Mirror;
pub use mirror::REPLICATED;
pub use offline::EtcdStore;
use pages::Pages;
use session::Session;
pub(crate) use thread::OwnThread;

/// The number of the layout of keys on an etcd, as `longshore version --formats` tells it.
pub const ETCD_FORMAT: u32 = FORMAT;

/// What goes into one transaction: etcd takes 128 operations, one of which writes the head, and
/// by default 1.5 MiB.
pub(crate) const LIMITS: Limits = Limits { rows: 127, bytes: 1 << 20, row_bytes: 1 << 20 };

/// After this time a question to etcd counts as not answered.
const ANSWER: Duration = Duration::from_secs(5);

/// How long a reader waits until what etcd says is the newest has arrived here.
const ARRIVAL: Duration = Duration::from_secs(5);

/// The pause before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What the tasks of a shared ledger have in common.
pub(crate) struct Cluster {
    etcd: Arc<dyn Etcd>,
    keys: Keys,
    own: Announcement,
    lease: Duration,
    quota_bytes: u64,
    /// Wakes the task that leads or follows: there is something to commit, or the ledger closes.
    pub(crate) wake: Notify,
    barrier: Barrier,
    /// etcd's revision of the last head that is shown here.
    applied: watch::Sender<i64>,
    /// The present session, and from its grant to its end its lease.
    session: watch::Sender<Option<Arc<Session>>>,
    /// The session that this server leads under, while it does.
    leading: ArcSwapOption<Session>,
    /// Asks a follower to open its watch again.
    rewatch: Notify,
    resigning: watch::Sender<bool>,
    resigned: watch::Sender<bool>,
    /// Bytes written since the start: what history they make is compacted.
    written: AtomicU64,
    notes: figures::Notes,
    /// Ends with the cluster's last task, for all of them hold the cluster.
    _thread: Option<OwnThread>,
}

/// Connects to the etcd of the settings, for [`Ledger::join_on`](crate::Ledger::join_on). The
/// connection's tasks run on the tokio runtime that this is called on.
///
/// # Errors
/// When no endpoint answers, or etcd does not know the user.
pub async fn connect(settings: &EtcdSettings) -> Result<Arc<dyn Etcd>, StoreError> {
    match EtcdClient::connect(settings).await {
        Ok(client) => Ok(Arc::new(client)),
        Err(error) => Err(store_error(settings, &error)),
    }
}

fn store_error(settings: &EtcdSettings, error: &EtcdError) -> StoreError {
    StoreError::Etcd { endpoints: settings.endpoints.join(","), problem: error.to_string() }
}

/// A call to etcd that counts as lost after [`ANSWER`].
async fn bounded<T>(call: impl Future<Output = Result<T, EtcdError>>) -> Result<T, EtcdError> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answer) => answer,
        Err(_) => Err(EtcdError::Lost(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

impl Cluster {
    /// Checks the format and loads everything.
    pub(crate) async fn join(
        etcd: Arc<dyn Etcd>,
        schema: &Arc<Schema>,
        settings: EtcdSettings,
        thread: Option<OwnThread>,
    ) -> Result<(Arc<Self>, Mirror), StoreError> {
        let keys = Keys::new(&settings.prefix);
        let loading = etcd.now();
        mirror::begin_format(&*etcd, &keys, &settings).await?;
        let mirror = Mirror::load(&*etcd, &keys, schema, &settings.endpoints.join(",")).await?;
        let records: BTreeMap<String, u16> = schema
            .tables()
            .iter()
            .map(|spec| (spec.name.to_owned(), spec.record_version))
            .collect();
        let own = Announcement { member: settings.member, format: FORMAT, records };
        let cluster = Self {
            barrier: Barrier::new(etcd.clone(), &keys),
            etcd,
            keys,
            own,
            lease: settings.lease,
            quota_bytes: settings.quota_bytes,
            wake: Notify::new(),
            applied: watch::Sender::new(mirror.head_modified),
            session: watch::Sender::new(None),
            leading: ArcSwapOption::empty(),
            rewatch: Notify::new(),
            resigning: watch::Sender::new(false),
            resigned: watch::Sender::new(false),
            written: AtomicU64::new(0),
            notes: figures::Notes::default(),
            _thread: thread,
        };
        cluster.notes.servers(mirror.members.len());
        cluster.notes.fresh(loading);
        Ok((Arc::new(cluster), mirror))
    }

    /// Starts the tasks; they end when the ledger closes.
    pub(crate) fn start(self: &Arc<Self>, shared: Arc<Shared>, mirror: Mirror) {
        tokio::spawn(self.clone().keep_sessions());
        tokio::spawn(self.barrier.asker());
        let upkeep = tokio::spawn(self.clone().keep_up(shared.clone()));
        let driver = follow::Driver::new(self.clone(), shared, mirror);
        tokio::spawn(async move {
            driver.run().await;
            upkeep.abort();
        });
    }

    fn sure_session(&self) -> Option<Arc<Session>> {
        let session = self.leading.load_full()?;
        session.is_surely_valid(self.etcd.now()).then_some(session)
    }

    /// Lets a transaction begin: this server leads, and shows everything that was ever
    /// acknowledged.
    pub(crate) async fn admit(
        &self,
        leadership: &watch::Sender<Leadership>,
    ) -> Result<(), LedgerError> {
        let Some(session) = self.leading.load_full() else {
            let leader = match &*leadership.borrow() {
                Leadership::Leading => None,
                Leadership::Following { leader } => leader.clone(),
            };
            return Err(LedgerError::NotLeading { leader });
        };
        if session.is_surely_valid(self.etcd.now()) {
            return Ok(());
        }
        let newest = self.barrier.ask().await?;
        match newest.leader {
            Some((lease, _)) if lease == session.lease => self.arrival(newest.head).await,
            other => Err(LedgerError::NotLeading { leader: other.map(|(_, member)| member) }),
        }
    }

    /// Waits until everything is shown that was acknowledged anywhere before the call.
    pub(crate) async fn catch_up(&self, shared: &Shared) -> Result<(), LedgerError> {
        // What a leader has sent a follower may show before the answer is back here.
        if self.sure_session().is_some() && shared.shows_what_was_sent().await {
            return Ok(());
        }
        let asked = self.etcd.now();
        let newest = self.barrier.ask().await?;
        self.arrival(newest.head).await?;
        self.notes.fresh(asked);
        Ok(())
    }

    /// The servers that live, as etcd has them now.
    pub(crate) async fn servers(&self) -> Result<Vec<Member>, LedgerError> {
        let (mut pages, mut found) = (Pages::of(&self.keys.member("")), Vec::new());
        let unreachable =
            |error: EtcdError| LedgerError::Unreachable { reason: error.to_string().into() };
        while let Some(page) = pages.next(&*self.etcd).await.map_err(unreachable)? {
            let told = page.iter().filter_map(|pair| Announcement::decode(&pair.value));
            found.extend(told.map(|server| server.member));
        }
        Ok(found)
    }

    async fn arrival(&self, head: i64) -> Result<(), LedgerError> {
        let mut applied = self.applied.subscribe();
        let arrived = tokio::time::timeout(ARRIVAL, applied.wait_for(|applied| *applied >= head));
        if arrived.await.is_ok() {
            return Ok(());
        }
        self.rewatch.notify_one();
        Err(LedgerError::Unreachable { reason: "its changes do not arrive here".into() })
    }

    /// Gives the leadership up for good, and campaigns no more.
    pub(crate) async fn resign(&self) {
        let mut resigned = self.resigned.subscribe();
        self.resigning.send_replace(true);
        self.wake.notify_one();
        // An error means that the sender is gone, which this very call keeps.
        let _ = resigned.wait_for(|resigned| *resigned).await;
    }

    fn is_resigning(&self) -> bool {
        *self.resigning.borrow()
    }
}

/// The leader that a follower knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leader {
    member: Member,
    /// The revision that created its key: the term.
    created: i64,
    lease: i64,
}
