//! The load balancers' data plane: listens, routes, forwards, checks health.
//!
//! - [`Balancer::apply`] takes a whole [`Config`]; what it does not change goes on undisturbed, and
//!   open connections see the new rules with their next request.
//! - `rules/`: which rule takes a request, pure once compiled. `targets/`: which target gets it, and
//!   connections that are kept. `proxy/`: one request, there and back. `streams/`:
//!   connections of network load balancers. `health/`: checks.
//!
//! **Invariant:** a request is sent to a target that is not draining, once [`Balancer::apply`] has
//! returned.
//! **Invariant:** messages are framed anew: nothing that a client writes can end a request early
//! for the target, for hyper has parsed it.
//! **Absent on purpose:** the ledger, AWS's protocols, what a request means for ECS.

mod cidr;
mod config;
mod health;
mod listening;
mod proxy;
mod random;
mod rules;
mod streams;
mod targets;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use terms::Clock;
use tokio::sync::Notify;

pub use cidr::Cidr;
pub use config::{
    Action, Algorithm, CertificatePair, Check, Condition, Config, Desync, Forwarded, Group, KeyPem,
    Kind, Listener, LoadBalancer, LogPlace, Redirect, Rule, Settings, Speaks, Target, Texts, Tls,
};
pub use health::{Health, Reason, State};
pub use proxy::Journal;

use listening::{Common, Listening};
use proxy::Cookies;
use targets::GroupState;

/// What is known of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The group's name.
    pub group: String,
    /// The target, as it was configured.
    pub target: Target,
    /// How it is; of one that drains nothing is known.
    pub health: Health,
    /// Whether no request is under way to it. Once a draining one is idle, it stays so.
    pub is_idle: bool,
}

/// The data plane. Cheap to clone; it needs a runtime of tokio's with time.
#[derive(Clone)]
pub struct Balancer {
    inner: Arc<Inner>,
}

struct Inner {
    common: Common,
    applied: Mutex<Applied>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Applied {
    listening: Listening,
    groups: BTreeMap<String, Arc<GroupState>>,
}

impl Balancer {
    /// One that does nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::begin(clock, None)
    }

    /// One that writes down what it does, of load balancers that say where.
    pub fn with_journal(clock: Arc<dyn Clock>, journal: Arc<dyn Journal>) -> Self {
        Self::begin(clock, Some(journal))
    }

    fn begin(clock: Arc<dyn Clock>, journal: Option<Arc<dyn Journal>>) -> Self {
        let common = Common { clock, cookies: Arc::new(Cookies::new()), journal };
        let inner = Inner { common, applied: Mutex::default(), changed: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Does as `config` says from now on. Gives what cannot be done, by the load balancer's name: a
    /// port that is taken, say. The next call tries again.
    pub fn apply(&self, config: &Config) -> BTreeMap<String, String> {
        let mut applied = self.inner.applied.lock();
        let groups: BTreeMap<_, _> = config
            .groups
            .iter()
            .map(|group| {
                let before = applied.groups.get(&group.name);
                (group.name.clone(), GroupState::next(before, group, &self.inner.changed))
            })
            .collect();
        let troubles = applied.listening.apply(&config.load_balancers, &groups, &self.inner.common);
        applied.groups = groups;
        troubles
    }

    /// How all targets are.
    pub fn health(&self) -> Vec<Report> {
        let applied = self.inner.applied.lock();
        applied.groups.values().flat_map(|group| group.reports()).collect()
    }

    /// Returns when some target's health may have changed since the last call, or a draining one
    /// may have become idle. One caller waits.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Stops listening and checking; open connections end with their requests.
    pub fn stop(&self) {
        *self.inner.applied.lock() = Applied::default();
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Balancer(…)")
    }
}
