//! Amazon EventBridge: event buses, rules, patterns, schedules, delivery.
//!
//! - Pure: [`pattern`] (which events a rule takes), [`schedule`] (when it runs), [`input`] (what a
//!   target gets).
//! - Tables: buses, rules with their targets, deliveries on their way, dead letters.
//! - Operations: `api/`. Events come in by PutEvents (`api/put_events.rs`), from what other
//!   services commit (`follower.rs`, through [`Source`]), and on schedules (`scheduler.rs`).
//! - `routing.rs` writes a delivery for each target of each rule that matches; `deliver/` takes
//!   them there, through [`Target`].
//! - For people: `journal.rs` and `route.rs`, what `longshore events` shows.
//!
//! **Invariant:** an event that was acknowledged and matches is in the ledger until its target has
//! taken it, or it is a dead letter.
//! **Invariant:** an event that no rule matches writes nothing.

mod api;
mod deliver;
mod error;
mod follower;
pub mod input;
mod journal;
mod model;
pub mod paging;
pub mod pattern;
mod route;
mod routing;
pub mod schedule;
mod scheduler;
mod tables;
mod timer;

use std::fmt;
use std::sync::Arc;

use ledger::Ledger;
use terms::IdSource;
use tokio_util::sync::CancellationToken;
use wire::{Route, Service};

pub use deliver::{HttpTarget, Target};
pub use follower::Source;
pub use model::{DeadLetter, Delivery, Event, Failure, Moment, NewEvent};
pub use route::EVENTS_PATH;
pub use routing::DELIVERIES_MAX;
pub use scheduler::LATE_MAX;
pub use shapes_events as shapes;
pub use tables::{Scope, Tables};

use deliver::{Courier, Targets};
use follower::Follower;
use journal::Journal;
use routing::Router;
use scheduler::Scheduler;

/// Who takes events, and who makes them.
pub struct EventsSetup {
    /// Where ids of events come from.
    pub ids: Arc<dyn IdSource>,
    /// What events can be sent to.
    pub targets: Vec<Arc<dyn Target>>,
    /// Whose changes are events.
    pub sources: Vec<Arc<dyn Source>>,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) tables: Tables,
    pub(crate) router: Router,
    pub(crate) journal: Journal,
    pub(crate) targets: Targets,
    sources: Arc<Vec<Arc<dyn Source>>>,
    ids: Arc<dyn IdSource>,
}

impl Events {
    /// The service over a ledger that was opened with these tables.
    pub fn new(tables: Tables, ledger: Ledger, setup: EventsSetup) -> Self {
        let EventsSetup { ids, targets, sources } = setup;
        let inner = Inner {
            ledger,
            tables,
            router: Router::new(tables),
            journal: Journal::default(),
            targets: Targets::new(targets),
            sources: Arc::new(sources),
            ids,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Its operations.
    pub fn service(&self) -> Service {
        api::service(&self.inner)
    }

    /// Its other path: `/_longshore/events`.
    pub fn routes(&self) -> Vec<Route> {
        vec![route::route(self)]
    }

    /// The deliveries that were given up, the oldest first.
    pub fn dead_letters(&self, scope: &Scope) -> Vec<DeadLetter> {
        let snapshot = self.inner.ledger.snapshot();
        let rows = snapshot.prefix(&self.inner.tables.letters, scope);
        rows.map(|(_, letter)| DeadLetter::clone(&letter)).collect()
    }

    /// How many deliveries are on their way.
    pub fn waiting(&self) -> usize {
        self.inner.ledger.snapshot().len(&self.inner.tables.deliveries)
    }

    /// Delivers events, runs schedules and follows what other services do, until `shutdown`. Only
    /// the server that leads runs this.
    pub async fn run(&self, shutdown: CancellationToken) {
        let Inner { ledger, tables, router, journal, targets, sources, ids } = &*self.inner;
        let courier = Courier { ledger: ledger.clone(), tables: *tables, targets: targets.clone() };
        let scheduler = Scheduler {
            ledger: ledger.clone(),
            tables: *tables,
            router: router.clone(),
            journal: journal.clone(),
        };
        let follower = Follower {
            ledger: ledger.clone(),
            tables: *tables,
            router: router.clone(),
            journal: journal.clone(),
            sources: sources.clone(),
            ids: ids.clone(),
        };
        tokio::join!(
            courier.run(shutdown.clone()),
            scheduler.run(shutdown.clone()),
            follower.run(shutdown.clone()),
        );
        journal.end_following();
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events(…)")
    }
}
