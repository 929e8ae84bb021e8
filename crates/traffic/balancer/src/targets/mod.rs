//! Groups and their targets while they are in use: whose turn it is, how they are, connections that
//! are kept.

mod held;
mod pool;
mod warming;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::Report;
use crate::config::{Algorithm, Check, Group, Speaks, Target, Verdict};
use crate::health::{Health, Judge, Reason, State, watch};
use crate::random;
pub(crate) use held::Held;
pub(crate) use pool::{Connecting, Flow, Lease, Unsent, Upload};
use warming::{Warming, Warmth};
pub(crate) use wire::{Begun, Wire};

/// A group in use.
pub(crate) struct GroupState {
    /// What it was made from.
    told: Group,
    /// Those that get requests.
    targets: Vec<Arc<Watched>>,
    /// Those that only end what they have begun; without a state, there was nothing to end.
    leaving: Vec<(Target, Option<Arc<TargetState>>)>,
    turn: Arc<AtomicUsize>,
    warming: Arc<Warming>,
}

/// A target with the task that checks it, which ends with it.
pub(crate) struct Watched {
    state: Arc<TargetState>,
    watcher: AbortHandle,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watcher.abort();
        self.state.warmth.fall(&self.state.warming);
    }
}

/// A target in use.
pub(crate) struct TargetState {
    target: Target,
    speaks: Speaks,
    tls: bool,
    cuts_unhealthy: bool,
    warmth: Warmth,
    /// What it has in common with the others of its group.
    warming: Arc<Warming>,
    /// Changes when connections to it are to be cut.
    cut: tokio::sync::watch::Sender<()>,
    judge: Mutex<Judge>,
    /// Whether somebody else decides how it is.
    told: AtomicBool,
    healthy: AtomicBool,
    /// Requests that are under way.
    outstanding: AtomicUsize,
    /// Whether it gets no new ones.
    leaving: AtomicBool,
    pool: pool::Pool,
    /// How it is checked.
    pub(crate) check: ArcSwap<Check>,
    /// Woken when `check` is another.
    pub(crate) recheck: Notify,
    changed: Arc<Notify>,
}

impl GroupState {
    /// The state that follows from a configuration; targets that were there keep theirs.
    pub(crate) fn next(
        before: Option<&Arc<Self>>,
        group: &Group,
        changed: &Arc<Notify>,
    ) -> Arc<Self> {
        if let Some(same) = before.filter(|before| before.told == *group) {
            return same.clone();
        }
        if let Some(before) = before.filter(|_| group.cuts_gone) {
            before.cut_gone(group);
        }
        let warming = before.map(|before| before.warming.clone()).unwrap_or_default();
        warming.set(group.slow_start);
        let check = Arc::new(group.check.clone());
        let known = |target: &Target| {
            let all = before.map(|before| before.targets.as_slice()).unwrap_or_default();
            let is_same = |one: &&Arc<Watched>| {
                let state = &one.state;
                state.target == *target
                    && (state.speaks, state.tls) == (group.speaks, group.tls)
                    && state.cuts_unhealthy == group.cuts_unhealthy
            };
            all.iter().find(is_same).cloned()
        };
        let take = |target: &Target| match known(target) {
            Some(watched) => {
                let before = watched.state.check.swap(check.clone());
                if before != check {
                    watched.state.recheck.notify_one();
                }
                watched
            }
            None => Arc::new(Watched::begin(target, (group, &check), &warming, changed)),
        };
        let leaving = group.targets.iter().filter(|target| target.draining);
        let leaving = leaving.map(|target| (target.clone(), leave(before, target))).collect();
        let staying = group.targets.iter().filter(|target| !target.draining);
        let targets: Vec<_> = staying.map(take).collect();
        for watched in &targets {
            watched.state.hear(group.verdicts.as_deref());
        }
        Arc::new(Self {
            leaving,
            told: group.clone(),
            targets,
            turn: before.map(|before| before.turn.clone()).unwrap_or_default(),
            warming,
        })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.told.name
    }

    /// What its targets speak.
    pub(crate) fn speaks(&self) -> Speaks {
        self.told.speaks
    }

    /// How long clients stay with their targets.
    pub(crate) fn sticky(&self) -> Option<Duration> {
        self.told.sticky
    }

    /// The application's cookie by which clients stay with their targets, and for how long.
    pub(crate) fn app_cookie(&self) -> Option<&(String, Duration)> {
        self.told.app_cookie.as_ref()
    }

    /// For how long, alone.
    pub(crate) fn app_sticky(&self) -> Option<Duration> {
        self.told.app_cookie.as_ref().map(|(_, lasts)| *lasts)
    }

    /// The target that a client stays with, if it is still there and healthy.
    pub(crate) fn pinned(&self, mark: &str) -> Option<Arc<TargetState>> {
        let mut states = self.targets.iter().map(|watched| &watched.state);
        states.find(|state| state.is_healthy() && state.mark() == mark).cloned()
    }

    /// How its targets are.
    pub(crate) fn reports(&self) -> impl Iterator<Item = Report> {
        let staying = self.targets.iter().map(|watched| Report {
            group: self.told.name.clone(),
            target: watched.state.target.clone(),
            health: watched.state.judge.lock().health().clone(),
            is_idle: watched.state.is_idle(),
        });
        let leaving = self.leaving.iter().map(|(target, state)| Report {
            group: self.told.name.clone(),
            target: target.clone(),
            health: Health::default(),
            is_idle: state.as_ref().is_none_or(|state| state.is_idle()),
        });
        staying.chain(leaving)
    }

    /// All that it has had to do with, from now on without new requests.
    pub(crate) fn leave(&self) -> Vec<Arc<TargetState>> {
        let staying = self.targets.iter().map(|watched| watched.state.clone());
        let leaving = self.leaving.iter().filter_map(|(_, state)| state.clone());
        let all: Vec<_> = staying.chain(leaving).collect();
        for state in &all {
            state.leaving.store(true, Ordering::SeqCst);
        }
        all
    }

    /// Those that get requests, other than `not`. With too few healthy ones all get them
    /// (Application Load Balancer guide, "Target group health").
    fn fitting<'a, 'b>(
        &'a self,
        not: Option<&'b Arc<TargetState>>,
    ) -> impl Iterator<Item = &'a Arc<TargetState>> + use<'a, 'b> {
        let all = self.targets.len();
        let healthy = self.targets.iter().filter(|one| one.state.is_healthy()).count();
        let enough = healthy >= self.told.healthy_min.max(1)
            && healthy * 100 >= self.told.healthy_min_percent * all;
        let states = self.targets.iter().map(|watched| &watched.state);
        states.filter(move |state| {
            not.is_none_or(|not| !Arc::ptr_eq(not, state)) && (!enough || state.is_healthy())
        })
    }

    /// The target of the next request, other than `not`; none if there is none.
    pub(crate) fn pick(&self, not: Option<&Arc<TargetState>>) -> Option<&Arc<TargetState>> {
        let fitting = self.fitting(not).count();
        if fitting == 0 {
            return None;
        }
        let turn = match self.told.algorithm {
            Algorithm::Random => usize::try_from(random::number()).unwrap_or_default(),
            Algorithm::RoundRobin | Algorithm::LeastOutstanding => {
                self.turn.fetch_add(1, Ordering::Relaxed)
            }
        } % fitting;
        // Health may have changed meanwhile: then there may be fewer.
        let mut from_turn = self.fitting(not).skip(turn).chain(self.fitting(not)).take(fitting);
        match self.told.algorithm {
            Algorithm::RoundRobin if self.told.slow_start.is_some() => {
                let now = Instant::now();
                let takes = |state: &&Arc<TargetState>| {
                    fitting == 1 || state.warmth.takes_turn(&self.warming, now)
                };
                from_turn.find(takes).or_else(|| self.fitting(not).next())
            }
            Algorithm::RoundRobin | Algorithm::Random => from_turn.next(),
            Algorithm::LeastOutstanding => {
                from_turn.min_by_key(|state| state.outstanding.load(Ordering::Relaxed))
            }
        }
    }
}

/// Lets a target end what it has begun; gives its state, if it had one.
fn leave(before: Option<&Arc<GroupState>>, target: &Target) -> Option<Arc<TargetState>> {
    let before = before?;
    let is_it = |one: &Target| Target { draining: true, ..one.clone() } == *target;
    let left = before.leaving.iter().find(|(one, _)| is_it(one));
    if let Some((_, state)) = left {
        return state.clone();
    }
    let staying = before.targets.iter().map(|watched| &watched.state);
    let state = staying.into_iter().find(|state| is_it(&state.target))?.clone();
    state.leaving.store(true, Ordering::SeqCst);
    state.warmth.fall(&state.warming);
    Some(state)
}

impl Watched {
    fn begin(
        target: &Target,
        (group, check): (&Group, &Arc<Check>),
        warming: &Arc<Warming>,
        changed: &Arc<Notify>,
    ) -> Self {
        let state = Arc::new(TargetState {
            target: target.clone(),
            speaks: group.speaks,
            tls: group.tls,
            cuts_unhealthy: group.cuts_unhealthy,
            warmth: Warmth::new(Instant::now()),
            warming: warming.clone(),
            cut: tokio::sync::watch::Sender::new(()),
            judge: Mutex::default(),
            told: AtomicBool::new(group.verdicts.is_some()),
            healthy: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            pool: pool::Pool::default(),
            check: ArcSwap::new(check.clone()),
            recheck: Notify::new(),
            changed: changed.clone(),
        });
        let watcher = tokio::spawn(watch(state.clone())).abort_handle();
        Self { state, watcher }
    }
}

impl TargetState {
    /// What tells it from other targets of its group, in a cookie.
    pub(crate) fn mark(&self) -> String {
        format!("{}:{}", self.target.id, self.target.port)
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.target.address
    }

    /// Whether it gets no new requests.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// A request or a connection is over.
    fn ended(&self) {
        let before = self.outstanding.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.is_leaving() {
            self.changed.notify_one();
        }
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.load(Ordering::SeqCst) == 0
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Whether somebody else decides how it is.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    /// Takes over what somebody else decided; with nothing, its own checks decide from now on.
    fn hear(&self, verdicts: Option<&[Verdict]>) {
        self.told.store(verdicts.is_some(), Ordering::SeqCst);
        let Some(verdicts) = verdicts else { return };
        let is_it = |one: &&Verdict| one.port == self.target.port && one.id == self.target.id;
        let state = verdicts.iter().find(is_it).map_or(State::Initial, |one| one.state);
        let mut judge = self.judge.lock();
        let is_new = judge.take_over(state);
        self.follow(judge, is_new);
    }

    /// Notes a check of its own.
    pub(crate) fn note(&self, failed: Option<Reason>, check: &Check) {
        let mut judge = self.judge.lock();
        // Somebody else may have begun to decide while the check went on.
        if self.is_told() {
            return;
        }
        let is_new = judge.note(failed, check.healthy, check.unhealthy);
        self.follow(judge, is_new);
    }

    /// Does what a verdict asks for.
    fn follow(&self, judge: MutexGuard<'_, Judge>, is_new: bool) {
        let state = judge.health().state;
        if self.cuts_unhealthy && is_new && state == State::Unhealthy {
            self.cut.send_replace(());
        }
        let is_healthy = state == State::Healthy;
        let was_healthy = self.healthy.swap(is_healthy, Ordering::Relaxed);
        drop(judge);
        if was_healthy != is_healthy {
            match is_healthy {
                true => self.warmth.rise(&self.warming, Instant::now()),
                false => self.warmth.fall(&self.warming),
            }
        }
        if is_new {
            self.changed.notify_one();
        }
    }

    /// Closes connections that nobody has used for a while.
    pub(crate) fn forget_idle(&self) {
        self.pool.forget_idle();
    }
}
