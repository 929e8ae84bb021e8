//! The load balancers' data plane: listens, routes, forwards, checks health.
//!
//! - [`Balancer::apply`] takes a whole [`Config`]; what it does not change goes on undisturbed, and
//!   open connections see the new rules with their next request.
//! - `rules/`: which rule takes a request, pure once compiled. `targets/`: which target gets it, and
//!   connections that are kept. `proxy/`: one request, there and back. `streams/`:
//!   connections of network load balancers. `health/`: checks. `messages.rs`: how one on a host of
//!   its own is told what to do.
//!
//! **Invariant:** a request is sent to a target that is not draining, once [`Balancer::apply`] has
//! returned.
//! **Invariant:** nothing that a client writes can end a request early for the target: it is framed anew,
//! having been parsed by hyper, or come in frames of HTTP/2 (`proxy/h2`), or it is of the few forms that
//! can be read in one way alone (`proxy/plain`).
//! **Absent on purpose:** the ledger, AWS's protocols, what a request means for ECS.

mod cidr;
mod config;
mod gathering;
mod health;
mod inbound;
mod listening;
mod messages;
mod proxy;
mod random;
mod rules;
mod streams;
mod targets;
mod tls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use terms::Clock;
use tokio::sync::Notify;

pub use cidr::Cidr;
pub use config::{
    Action, Algorithm, CertificatePair, Check, Condition, Config, Desync, Forwarded, Group, KeyPem,
    Kind, Listener, LoadBalancer, LogPlace, Redirect, Rule, Settings, Speaks, Target, Texts, Tls,
    Verdict,
};
pub use health::{Health, Reason, State};
pub use messages::{FORMAT, Found, Told};
pub use proxy::{CookieKey, Journal};

use listening::{Common, Listening};
use proxy::Cookies;
use targets::GroupState;

/// What is known of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a load balancer has had to do since the data plane began with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The load balancer's name.
    pub load_balancer: String,
    /// Connections that came, and flows of datagrams.
    pub connections: u64,
    /// Requests that came.
    pub requests: u64,
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
        Self::begin(clock, None, false)
    }

    /// One that writes down what it does, of load balancers that say where.
    pub fn with_journal(clock: Arc<dyn Clock>, journal: Arc<dyn Journal>) -> Self {
        Self::begin(clock, Some(journal), false)
    }

    /// The same, with ports that others of its kind may listen on at the same time, on this machine
    /// and by the same user: one can take over from another without a gap.
    pub fn beside_others(clock: Arc<dyn Clock>, journal: Arc<dyn Journal>) -> Self {
        Self::begin(clock, Some(journal), true)
    }

    fn begin(clock: Arc<dyn Clock>, journal: Option<Arc<dyn Journal>>, shares: bool) -> Self {
        let common = Common { clock, cookies: Arc::new(Cookies::new()), journal, shares };
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

    /// Seals the cookies by which clients stay where they are with this key from now on.
    pub fn use_cookie_key(&self, key: &CookieKey) {
        self.inner.common.cookies.use_key(key);
    }

    /// What each load balancer has had to do.
    pub fn counts(&self) -> Vec<Count> {
        let applied = self.inner.applied.lock();
        let count = |(name, connections, requests): (&String, u64, u64)| Count {
            load_balancer: name.clone(),
            connections,
            requests,
        };
        applied.listening.counts().map(count).collect()
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

    /// Stops as [`Balancer::stop`] does, and returns when all that is under way has ended, or after this
    /// long. Nobody else waits for changes then.
    pub async fn finish(&self, at_most: Duration) {
        let groups = std::mem::take(&mut self.inner.applied.lock().groups);
        let serving: Vec<_> = groups.values().flat_map(|group| group.leave()).collect();
        self.stop();
        let ended = async {
            while !serving.iter().all(|target| target.is_idle()) {
                self.changed().await;
            }
        };
        if tokio::time::timeout(at_most, ended).await.is_err() {
            tracing::warn!("requests are cut off: they took longer than this can wait");
        }
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
