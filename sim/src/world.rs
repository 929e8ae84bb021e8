//! What all parts of a run share: chance, log, faults, the first violation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::check::Checker;
use crate::clock::{SimClock, SimIds};
use crate::log::Log;
use crate::mutation::Mutation;
use crate::network::Net;
use crate::plan::{Faults, Parts, Plan};
use crate::run::Options;
use crate::server::Server;

/// What was found broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

/// A run's shared state. Clones are the same.
#[derive(Clone)]
pub(crate) struct World(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    pub(crate) start: Instant,
    chance: Mutex<Chance>,
    log: Mutex<Log>,
    faults_on: AtomicBool,
    violation: Mutex<Option<Violation>>,
    pub(crate) violated: Notify,
    /// The servers that are up, by their numbers.
    servers: Mutex<Vec<Option<Arc<Server>>>>,
    pub(crate) net: Net,
    pub(crate) checker: Mutex<Checker>,
    /// How often each thing happened: whether a run has met what it is to meet.
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl std::ops::Deref for World {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let Options { verbose, mutation, servers } = options;
        let mut chance = Chance::of(seed);
        if mutation == Mutation::ForgetsSeed {
            // An address is as good as any chance that no seed knows.
            chance = Chance::of(seed ^ std::ptr::from_ref(&*Box::new(0_u8)) as u64 ^ now_nanos());
        }
        let plan = Plan::of(&mut chance, mutation, servers);
        let rules = plan.services.as_ref().map(|services| services.rules).unwrap_or_default();
        let checker = Checker::of(plan.servers, rules);
        let net = Net::of_servers(plan.servers);
        let inner = Inner {
            seed,
            start: Instant::now(),
            chance: Mutex::new(chance),
            log: Mutex::new(Log::new(verbose)),
            faults_on: AtomicBool::new(true),
            violation: Mutex::default(),
            violated: Notify::new(),
            servers: Mutex::new(vec![None; plan.servers]),
            net,
            checker: Mutex::new(checker),
            counts: Mutex::default(),
            plan,
        };
        Self(Arc::new(inner))
    }

    /// Adds a line to the event log.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        self.log.lock().note(self.start.elapsed(), text.as_ref());
    }

    /// Notes and counts something that happens many times.
    pub(crate) fn tally(&self, what: &'static str, text: impl AsRef<str>) {
        *self.counts.lock().entry(what).or_default() += 1;
        self.note(format!("{what}: {}", text.as_ref()));
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().clone()
    }

    pub(crate) fn log<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.lock())
    }

    /// Draws from the run's chance.
    pub(crate) fn draw<T>(&self, from: impl FnOnce(&mut Chance) -> T) -> T {
        from(&mut self.chance.lock())
    }

    /// Whether a fault happens now. None does once the world heals.
    pub(crate) fn strikes(&self, which: impl FnOnce(&Faults) -> Parts) -> bool {
        let parts = which(&self.plan.faults);
        parts > 0 && self.faults_on() && self.draw(|chance| chance.parts(parts))
    }

    pub(crate) fn faults_on(&self) -> bool {
        self.faults_on.load(Ordering::Relaxed)
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.faults_on.store(false, Ordering::Relaxed);
        self.note("faults end");
    }

    pub(crate) fn is_mutated(&self, mutation: Mutation) -> bool {
        self.plan.mutation == mutation
    }

    /// How long something takes on a good day, and sometimes on a bad one.
    pub(crate) fn delay(&self, usual: Duration) -> Duration {
        if self.strikes(|faults| faults.late) {
            return self.draw(|chance| chance.millis(500, 12_000));
        }
        let most = u64::try_from(usual.as_millis()).unwrap_or(1);
        self.draw(|chance| chance.millis(0, most))
    }

    /// How long a write of a disk takes: on a bad day many seconds.
    pub(crate) fn disk_time(&self, usual: Duration, whose: &str) -> Duration {
        if self.strikes(|faults| faults.slow_disk) {
            let time = self.draw(|chance| chance.millis(1_000, 10_000));
            self.tally("slow disk", format!("{whose}, {} ms", time.as_millis()));
            return time;
        }
        self.delay(usual)
    }

    pub(crate) fn clock(&self) -> SimClock {
        SimClock::starting(self.start)
    }

    pub(crate) fn ids(&self) -> Arc<SimIds> {
        SimIds::of(self.draw(Chance::next))
    }

    /// Records a broken invariant; the first one ends the run.
    pub(crate) fn violate(&self, invariant: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.note(format!("VIOLATION {invariant}: {detail}"));
        self.violation.lock().get_or_insert(Violation { invariant, detail });
        self.violated.notify_one();
    }

    /// Records what a check found.
    pub(crate) fn judge(&self, findings: Vec<Violation>) {
        for Violation { invariant, detail } in findings {
            self.violate(invariant, detail);
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.lock().clone()
    }

    /// The server with this number, if it is up.
    pub(crate) fn server(&self, number: usize) -> Option<Arc<Server>> {
        self.servers.lock()[number].clone()
    }

    /// All servers that are up.
    pub(crate) fn servers_up(&self) -> Vec<Arc<Server>> {
        self.servers.lock().iter().flatten().cloned().collect()
    }

    pub(crate) fn server_begins(&self, number: usize, server: Arc<Server>) {
        self.servers.lock()[number] = Some(server);
    }

    pub(crate) fn server_ends(&self, number: usize) {
        self.servers.lock()[number] = None;
    }
}

/// What no seed decides; for the mutation that shows that hashes tell.
#[allow(clippy::disallowed_methods)]
fn now_nanos() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| u64::from(since.subsec_nanos()))
}
