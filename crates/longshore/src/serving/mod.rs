//! Load balancers on a host of their own: follows a server (`follower.rs`), serves what it is told, tells
//! back what it found (`reporter.rs`), and keeps the last of it on the disk (`kept.rs`).
//!
//! **Invariant:** what was told last goes on to be served while no server is reached, also after a
//! restart.

mod follower;
mod kept;
mod reporter;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use balancer::{Balancer, Config, CookieKey, Told};
use dns::Zones;
use parking_lot::Mutex;
use terms::Clock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wire::client::Client;

/// What a balancer is told by who starts it.
pub struct Setup {
    /// Calls the servers.
    pub client: Client,
    /// The data plane.
    pub balancer: Balancer,
    /// Where names are answered from.
    pub zones: Zones,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Its name.
    pub name: String,
    /// Tells this start from all others.
    pub start: String,
    /// The address that all load balancers listen on, if it is not each one's own.
    pub address: Option<IpAddr>,
    /// The names or ARNs of the load balancers that it serves; none for all.
    pub serves: Vec<String>,
    /// Where it keeps what it was told last.
    pub file: PathBuf,
}

/// A balancer on a host of its own.
pub struct Serving {
    setup: Setup,
    told: Mutex<State>,
    /// Whether a server tells what to do.
    is_joined: AtomicBool,
    /// Woken when there is something to report.
    due: Notify,
    changes: AtomicU64,
}

/// What was told, and what came of it.
#[derive(Default)]
struct State {
    config: Config,
    key: Option<CookieKey>,
    troubles: BTreeMap<String, String>,
}

impl Serving {
    /// One that serves what it was told last, if that can be read.
    pub fn begin(setup: Setup) -> Arc<Self> {
        let told = kept::read(&setup.file);
        let serving = Arc::new(Self {
            setup,
            told: Mutex::default(),
            is_joined: AtomicBool::new(false),
            due: Notify::new(),
            changes: AtomicU64::new(0),
        });
        if let Some(told) = told {
            // First as it was told, so that checks go on from the verdicts that came with it.
            serving.is_joined.store(true, Ordering::SeqCst);
            serving.take(told);
            serving.leave();
        }
        serving
    }

    /// Serves until `stop`; then what is under way comes to its end, for a while.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::join!(self.follow(stop.clone()), self.report(stop));
        self.farewell().await;
    }

    /// Does what a server tells from now on.
    fn take(&self, told: Told) {
        let mut state = self.told.lock();
        if let Some(key) = &told.cookie_key {
            self.setup.balancer.use_cookie_key(key);
            state.key = Some(key.clone());
        }
        told.apply_to(&mut state.config);
        self.apply(&mut state);
    }

    /// Goes on alone: no server is reached any more.
    fn leave(&self) {
        self.is_joined.store(false, Ordering::SeqCst);
        self.apply(&mut self.told.lock());
    }

    /// Tries again what did not come about.
    fn retry(&self) {
        let mut state = self.told.lock();
        if !state.troubles.is_empty() {
            self.apply(&mut state);
        }
    }

    fn apply(&self, state: &mut State) {
        let mut config = state.config.clone();
        let is_joined = self.is_joined.load(Ordering::SeqCst);
        for load_balancer in &mut config.load_balancers {
            let Some(address) = self.setup.address else { break };
            load_balancer.address = address;
            if let Some(log) = &mut load_balancer.log {
                log.node = address.to_string();
            }
        }
        for group in &mut config.groups {
            group.verdicts = group.verdicts.take().filter(|_| is_joined);
        }
        state.troubles = self.setup.balancer.apply(&config);
        let serial = self.changes.fetch_add(1, Ordering::SeqCst);
        // Grows from one start to the next, too; serial numbers go round (RFC 1982).
        let serial = self.setup.clock.now().seconds().cast_unsigned().wrapping_add(serial);
        #[allow(clippy::cast_possible_truncation)]
        let zones = elbv2::zones(&config, serial as u32);
        self.setup.zones.set(Some(zones));
        self.due.notify_one();
    }
}
