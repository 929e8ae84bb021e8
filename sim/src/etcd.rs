//! The etcd that servers share, and how each of them sees it: through a network where calls are
//! lost, late and doubled, and watches break.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ledger::{
    Etcd, EtcdAnswer, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair, EtcdRange,
    EtcdStatus, EtcdTxn, EtcdWatch, MemoryEtcd,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::life::Life;
use crate::mutation::Mutation;
use crate::network::Link;
use crate::world::World;

/// The longest way to etcd or back on a good day, beyond the least.
const WAY_MILLIS: u64 = 3;
/// The longest on a bad one: longer than a lease.
const LATE_MILLIS: u64 = 4_000;
/// A call that was given up may arrive until then.
const STRAY_MILLIS: u64 = 8_000;
/// The keys under which a ledger tells of its last commit and of its leader.
const HEAD: &[u8] = b"/longshore/head";
const LEADER: &[u8] = b"/longshore/leader";
/// The key of the layout's number, written once, together with the first head.
const FORMAT: &[u8] = b"/longshore/format";

/// The etcd. Clones are the same one.
#[derive(Clone)]
pub(crate) struct SharedEtcd {
    kept: MemoryEtcd,
    /// Which server was granted each lease.
    leases: Arc<Mutex<BTreeMap<i64, String>>>,
}

impl SharedEtcd {
    pub(crate) fn new() -> Self {
        Self { kept: MemoryEtcd::new(), leases: Arc::default() }
    }

    /// The etcd as one server's life sees it.
    pub(crate) fn seen_by(
        &self,
        world: &World,
        server: &str,
        life: &Life,
        number: usize,
    ) -> SeenEtcd {
        SeenEtcd {
            etcd: self.clone(),
            way: Way {
                world: world.clone(),
                server: server.into(),
                life: life.clone(),
                link: world.net.etcd.to(number).clone(),
            },
            head: Mutex::default(),
        }
    }

    /// Forgets history but for the last few revisions.
    pub(crate) async fn forget(&self, but: i64) {
        let newest = self.kept.txn(EtcdTxn::default()).await.map_or(0, |answer| answer.revision);
        let _ = self.kept.compact(newest - but).await;
    }

    /// Carries a transaction out; whoever leads must be the one that writes.
    async fn txn(
        &self,
        world: &World,
        server: &str,
        txn: EtcdTxn,
    ) -> Result<EtcdAnswer, EtcdError> {
        let is_commit = is_commit(&txn);
        let answer = self.kept.txn(txn).await?;
        if is_commit && answer.succeeded {
            let look = EtcdTxn { then: vec![EtcdOp::Get(LEADER.to_vec())], ..EtcdTxn::default() };
            let leader = self.kept.txn(look).await?.found.pop().flatten();
            let leases = self.leases.lock();
            let holder = leader.and_then(|leader| leases.get(&leader.lease).cloned());
            if holder.as_deref() != Some(server) {
                let detail = format!("{server} commits while {holder:?} leads");
                world.violate("only who leads writes", detail);
            }
        }
        Ok(answer)
    }
}

/// What a server's calls go through.
#[derive(Clone)]
struct Way {
    world: World,
    server: Arc<str>,
    life: Life,
    link: Link,
}

/// What is thrown in a process that has died.
struct Dead;

impl Way {
    /// One direction.
    async fn travel(&self) {
        self.alive().await;
        self.link.open().await;
        let is_late = self.world.strikes(|faults| faults.etcd_late);
        let most = if is_late { LATE_MILLIS } else { WAY_MILLIS };
        // Never at once: who sees etcd from within sees everything first.
        tokio::time::sleep(self.world.draw(|chance| chance.millis(1, most))).await;
        self.link.open().await;
        self.alive().await;
    }

    /// Goes on while the process lives. What a dead one still does ends here: the ledger's own
    /// tasks would otherwise try again until the run ends.
    async fn alive(&self) {
        if self.life.is_over() {
            std::panic::resume_unwind(Box::new(Dead));
        }
        self.life.pass().await;
    }

    /// No answer: at once, or when nobody waits for it any more.
    async fn lose<T>(&self, how: &'static str, what: &str) -> Result<T, EtcdError> {
        self.world.tally(how, format!("{} {what}", self.server));
        if self.world.strikes(|faults| faults.silent_loss) {
            std::future::pending::<()>().await;
        }
        Err(EtcdError::Lost("the connection broke".to_owned()))
    }

    /// The process dies here, of a fault that is met rarely.
    async fn die(&self, how: &'static str) {
        self.world.tally(how, &*self.server);
        self.life.kill();
        std::future::pending::<()>().await;
    }

    /// One call: there, done, and back, unless something happens on the way.
    async fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Fn() -> Work<T> + Send,
    ) -> Result<T, EtcdError> {
        let (world, is_write) = (&self.world, what == "commit");
        self.travel().await;
        if is_write && world.strikes(|faults| faults.crash_before_commit) {
            self.die("crash before commit").await;
        }
        if world.strikes(|faults| faults.etcd_loses) {
            if world.draw(|chance| chance.below(3)) == 0 {
                self.stray(work());
            }
            return self.lose("etcd is not asked", what).await;
        }
        if world.strikes(|faults| faults.etcd_doubles) {
            world.tally("etcd is asked twice", format!("{} {what}", self.server));
            self.stray(work());
        }
        let answer = work().await;
        if is_write && world.strikes(|faults| faults.crash_after_commit) {
            self.die("crash after commit").await;
        }
        if world.strikes(|faults| faults.etcd_loses) {
            return self.lose("etcd's answer is lost", what).await;
        }
        self.travel().await;
        answer
    }

    /// The same call arrives when nobody counts on it.
    fn stray<T: Send + 'static>(&self, work: Work<T>) {
        let wait = self.world.draw(|chance| chance.millis(0, STRAY_MILLIS));
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = work.await;
        });
    }
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, EtcdError>> + Send>>;

/// The etcd as one life of a server sees it.
pub(crate) struct SeenEtcd {
    etcd: SharedEtcd,
    way: Way,
    /// The first head that it was told of, for a deliberate mistake.
    head: Mutex<Option<EtcdPair>>,
}

impl SeenEtcd {
    /// The transaction with a deliberate mistake in it (see [`Mutation`]).
    fn mutated(&self, mut txn: EtcdTxn) -> EtcdTxn {
        if self.way.world.is_mutated(Mutation::ForgetsFence) && is_commit(&txn) {
            txn.compares.clear();
        }
        txn
    }

    /// The answer with a deliberate mistake in it.
    fn misread(&self, is_question: bool, answer: &mut EtcdAnswer) {
        if !is_question || !self.way.world.is_mutated(Mutation::AnswersOldHead) {
            return;
        }
        let mut first = self.head.lock();
        for pair in answer.found.iter_mut().flatten().filter(|pair| pair.key == HEAD) {
            *pair = first.get_or_insert_with(|| pair.clone()).clone();
        }
    }
}

/// Whether it is a commit of a ledger, and not the first of all keys.
fn is_commit(txn: &EtcdTxn) -> bool {
    let puts = |wanted: &[u8]| {
        txn.then.iter().any(|op| matches!(op, EtcdOp::Put { key, .. } if key == wanted))
    };
    puts(HEAD) && !puts(FORMAT)
}

#[async_trait]
impl Etcd for SeenEtcd {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        let what =
            if txn.then.iter().all(|op| matches!(op, EtcdOp::Get(_))) { "read" } else { "commit" };
        let is_question = what == "read" && txn.compares.is_empty();
        let txn = self.mutated(txn);
        let loses = self.way.world.is_mutated(Mutation::LosesCommits)
            && is_commit(&txn)
            && self.way.world.draw(|chance| chance.below(100)) == 0;
        if loses {
            self.way.travel().await;
            let answer = self.etcd.kept.txn(EtcdTxn::default()).await?;
            return Ok(EtcdAnswer { succeeded: true, ..answer });
        }
        let (etcd, Way { world, server, .. }) = (&self.etcd, &self.way);
        let mut answer = self
            .way
            .call(what, || {
                let (etcd, world, server) = (etcd.clone(), world.clone(), server.clone());
                let txn = txn.clone();
                Box::pin(async move { etcd.txn(&world, &server, txn).await })
            })
            .await?;
        self.misread(is_question, &mut answer);
        Ok(answer)
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        let work = || {
            let (etcd, range) = (self.etcd.kept.clone(), range.clone());
            Box::pin(async move { etcd.range(range).await }) as Work<EtcdPage>
        };
        self.way.call("range", work).await
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        self.way.travel().await;
        let watch = self.etcd.kept.watch(prefix, from).await?;
        Ok(Box::new(SeenWatch { way: self.way.clone(), watch, arriving: None }))
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        let work = || {
            let (etcd, server) = (self.etcd.clone(), self.way.server.clone());
            Box::pin(async move {
                let lease = etcd.kept.grant(ttl).await?;
                etcd.leases.lock().insert(lease.id, server.to_string());
                Ok(lease)
            }) as Work<EtcdLease>
        };
        self.way.call("grant", work).await
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        let work = || {
            let etcd = self.etcd.kept.clone();
            Box::pin(async move { etcd.keep_alive(lease).await }) as Work<Option<Duration>>
        };
        self.way.call("renewal", work).await
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        let work = || {
            let etcd = self.etcd.kept.clone();
            Box::pin(async move { etcd.revoke(lease).await }) as Work<()>
        };
        self.way.call("revocation", work).await
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        let work = || {
            let etcd = self.etcd.kept.clone();
            Box::pin(async move { etcd.compact(revision).await }) as Work<()>
        };
        self.way.call("compaction", work).await
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        let work = || {
            let etcd = self.etcd.kept.clone();
            Box::pin(async move { etcd.status().await }) as Work<EtcdStatus>
        };
        self.way.call("status", work).await
    }

    fn now(&self) -> Duration {
        let now = self.etcd.kept.now();
        if self.way.world.is_mutated(Mutation::ClockStands) {
            // A clock that does not run while the machine sleeps.
            return now.saturating_sub(self.way.life.slept());
        }
        now
    }
}

/// A watch over the network.
struct SeenWatch {
    way: Way,
    watch: Box<dyn EtcdWatch>,
    /// Events on their way, and when they arrive.
    arriving: Option<(Instant, Vec<EtcdEvent>)>,
}

#[async_trait]
impl EtcdWatch for SeenWatch {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        if self.arriving.is_none() {
            let events = self.watch.next().await?;
            self.arriving = Some(self.sent(events)?);
        }
        if let Some((at, _)) = &self.arriving {
            tokio::time::sleep_until(*at).await;
            self.way.link.open().await;
            self.way.alive().await;
        }
        Ok(self.arriving.take().map(|(_, events)| events).unwrap_or_default())
    }
}

impl SeenWatch {
    /// What becomes of events on their way.
    fn sent(&mut self, mut events: Vec<EtcdEvent>) -> Result<(Instant, Vec<EtcdEvent>), EtcdError> {
        let Way { world, server, .. } = &self.way;
        let broken = || EtcdError::Lost("the watch broke".to_owned());
        if world.strikes(|faults| faults.watch_breaks) {
            world.tally("watch breaks", &**server);
            match world.draw(|chance| chance.below(3)) {
                0 => return Err(broken()),
                // It tells nothing any more, and does not say so.
                1 => {
                    events.clear();
                    self.watch = Box::new(Silent);
                }
                // In the middle of what it had to tell.
                _ => {
                    let left = world.draw(|chance| chance.below(events.len() as u64 + 1));
                    events.truncate(usize::try_from(left).unwrap_or(0));
                    self.watch = Box::new(Broken);
                }
            }
        }
        if world.is_mutated(Mutation::SkipsEvents) && world.draw(|chance| chance.below(200)) == 0 {
            events.retain(|event| event.pair.key == HEAD || event.pair.key == LEADER);
        }
        let is_late = world.strikes(|faults| faults.etcd_late);
        let most = if is_late { LATE_MILLIS } else { WAY_MILLIS };
        Ok((Instant::now() + world.draw(|chance| chance.millis(1, most)), events))
    }
}

struct Silent;

#[async_trait]
impl EtcdWatch for Silent {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        std::future::pending().await
    }
}

struct Broken;

#[async_trait]
impl EtcdWatch for Broken {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        Err(EtcdError::Lost("the watch broke in the middle of a revision".to_owned()))
    }
}

/// The etcd as one sees it who only looks on: at once, and without a lease, so that it never leads.
pub(crate) struct Onlooker(MemoryEtcd);

impl Onlooker {
    pub(crate) fn of(etcd: &SharedEtcd) -> Self {
        Self(etcd.kept.clone())
    }
}

#[async_trait]
impl Etcd for Onlooker {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        self.0.txn(txn).await
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        self.0.range(range).await
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        self.0.watch(prefix, from).await
    }

    async fn grant(&self, _: Duration) -> Result<EtcdLease, EtcdError> {
        std::future::pending().await
    }

    async fn keep_alive(&self, _: i64) -> Result<Option<Duration>, EtcdError> {
        Ok(None)
    }

    async fn revoke(&self, _: i64) -> Result<(), EtcdError> {
        Ok(())
    }

    async fn compact(&self, _: i64) -> Result<(), EtcdError> {
        Ok(())
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        self.0.status().await
    }

    fn now(&self) -> Duration {
        self.0.now()
    }
}
