//! An etcd in memory whose answers get lost, late and doubled, as one server sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ledger::{
    Etcd, EtcdAnswer, EtcdError, EtcdEvent, EtcdLease, EtcdPage, EtcdRange, EtcdStatus, EtcdTxn,
    EtcdWatch, MemoryEtcd,
};
use tokio::time::{Instant, sleep, sleep_until};

/// A small generator of numbers that are the same for the same seed.
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `sides` (splitmix64).
    pub fn roll(&self, sides: u64) -> u64 {
        let seed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    pub fn millis(&self, below: u64) -> Duration {
        Duration::from_millis(self.roll(below))
    }
}

/// What one server sees of the etcd. Clones are the same one.
#[derive(Clone)]
pub struct FaultyEtcd {
    etcd: MemoryEtcd,
    fate: Arc<Fate>,
}

struct Fate {
    dice: Dice,
    /// While off, everything works.
    on: AtomicBool,
    /// Nothing ever comes or goes again.
    dead: AtomicBool,
    /// Until then (in milliseconds of the etcd's clock) nothing comes or goes.
    paused_until: AtomicU64,
    /// How many faults there were.
    faults: AtomicU64,
}

impl FaultyEtcd {
    pub fn new(etcd: MemoryEtcd, seed: u64) -> Self {
        let fate = Fate {
            dice: Dice::new(seed),
            on: AtomicBool::new(true),
            dead: AtomicBool::new(false),
            paused_until: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        };
        Self { etcd, fate: Arc::new(fate) }
    }

    /// From now on everything works.
    pub fn heal(&self) {
        self.fate.on.store(false, Ordering::Relaxed);
        self.fate.paused_until.store(0, Ordering::Relaxed);
    }

    /// The server is dead: whatever it still does reaches nobody.
    pub fn kill(&self) {
        self.fate.dead.store(true, Ordering::Relaxed);
    }

    /// Cuts the server off for a time.
    pub fn pause(&self, time: Duration) {
        let until = (self.etcd.now() + time).as_millis() as u64;
        self.fate.paused_until.store(until, Ordering::Relaxed);
    }

    pub fn faults(&self) -> u64 {
        self.fate.faults.load(Ordering::Relaxed)
    }

    fn hits(&self, one_in: u64) -> bool {
        let hits = self.fate.on.load(Ordering::Relaxed) && self.fate.dice.roll(one_in) == 0;
        self.fate.faults.fetch_add(u64::from(hits), Ordering::Relaxed);
        hits
    }

    /// The way there or back.
    async fn travel(&self) {
        loop {
            if self.fate.dead.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let until = Duration::from_millis(self.fate.paused_until.load(Ordering::Relaxed));
            let now = self.etcd.now();
            if now >= until {
                break;
            }
            sleep((until - now).min(Duration::from_millis(100))).await;
        }
        sleep(self.fate.dice.millis(3)).await;
        if self.hits(60) {
            sleep(self.fate.dice.millis(2_500)).await;
        }
    }

    /// One call: there, done, and back, unless something happens on the way.
    async fn call<T: Send + 'static>(&self, work: impl AsyncFnOnceSend<T>) -> Result<T, EtcdError> {
        self.travel().await;
        let lost = || Err(EtcdError::Lost("lost on its way".to_owned()));
        if self.hits(40) {
            return lost();
        }
        if self.hits(60) {
            // It arrives when nobody counts on it any more.
            let (etcd, late) = (self.etcd.clone(), self.fate.dice.millis(8_000));
            tokio::spawn(async move {
                sleep(late).await;
                let _ = work.run(etcd).await;
            });
            sleep(self.fate.dice.millis(2_000)).await;
            return lost();
        }
        let answer = work.run(self.etcd.clone()).await;
        self.travel().await;
        if self.hits(40) { lost() } else { answer }
    }
}

/// A call that may be carried out later than it was made.
trait AsyncFnOnceSend<T>: Send + 'static {
    fn run(self, etcd: MemoryEtcd) -> impl Future<Output = Result<T, EtcdError>> + Send;
}

struct Call<F>(F);

impl<T, F, R> AsyncFnOnceSend<T> for Call<F>
where
    F: FnOnce(MemoryEtcd) -> R + Send + 'static,
    R: Future<Output = Result<T, EtcdError>> + Send,
{
    fn run(self, etcd: MemoryEtcd) -> impl Future<Output = Result<T, EtcdError>> + Send {
        (self.0)(etcd)
    }
}

#[async_trait]
impl Etcd for FaultyEtcd {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        self.call(Call(move |etcd: MemoryEtcd| async move { etcd.txn(txn).await })).await
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        self.call(Call(move |etcd: MemoryEtcd| async move { etcd.range(range).await })).await
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        self.travel().await;
        let watch = self.etcd.watch(prefix, from).await?;
        Ok(Box::new(FaultyWatch { from: self.clone(), watch, held: None }))
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        self.call(Call(move |etcd: MemoryEtcd| async move { etcd.grant(ttl).await })).await
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        self.call(Call(move |etcd: MemoryEtcd| async move { etcd.keep_alive(lease).await })).await
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        self.call(Call(move |etcd: MemoryEtcd| async move { etcd.revoke(lease).await })).await
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.etcd.compact(revision).await
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        self.etcd.status().await
    }

    fn now(&self) -> Duration {
        self.etcd.now()
    }
}

struct FaultyWatch {
    from: FaultyEtcd,
    watch: Box<dyn EtcdWatch>,
    /// Events on their way, and when they arrive.
    held: Option<(Instant, Vec<EtcdEvent>)>,
}

#[async_trait]
impl EtcdWatch for FaultyWatch {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        if self.held.is_none() {
            let mut events = self.watch.next().await?;
            if self.from.hits(150) {
                return Err(EtcdError::Lost("the watch broke".to_owned()));
            }
            if self.from.hits(400) {
                // It breaks and does not tell.
                self.watch = Box::new(Silent);
                events = self.watch.next().await?;
            }
            // What is cut off is read again by whoever opens the watch anew.
            if events.len() > 1 && self.from.hits(30) {
                events.truncate(1 + self.from.fate.dice.roll(events.len() as u64 - 1) as usize);
                self.watch = Box::new(Broken);
            }
            let late =
                if self.from.hits(50) { self.from.fate.dice.millis(3_000) } else { Duration::ZERO };
            self.held = Some((Instant::now() + late, events));
        }
        if let Some((at, _)) = &self.held {
            sleep_until(*at).await;
            self.from.travel().await;
        }
        Ok(self.held.take().map(|(_, events)| events).unwrap_or_default())
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
