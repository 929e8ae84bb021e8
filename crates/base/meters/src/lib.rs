//! What is counted and timed, under the names that Prometheus reads (decision 0030).
//!
//! The meters of a process are one set: [`edge()`], [`ledger()`] and so on give them, and whoever
//! does something counts it there. [`render`] writes all of them down, with what the caller adds
//! of its own. Nothing here is read back to decide anything.
//!
//! To add a meter: a field in the file of its group and a line in its `register`.
//!
//! - Names begin with `longshore_`, end in their unit, and in `_total` for counters.
//! - **Invariant:** the values of a label are few: they are written in the code, or pass
//!   [`Word::of`], which knows at most [`WORDS_MAX`]. No id, ARN or name that a client chose.

mod agent;
mod catalogue;
mod ecs;
mod edge;
mod ledger;
mod text;
mod trace;
mod word;

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use catalogue::Catalogue;

pub use agent::{Agent, ContainerState, LayerWay, Step, StepName};
pub use ecs::{Ecs, Loop, Message, Refused, Session};
pub use edge::{Call, Direction, Edge, Operation, Reason};
pub use ledger::Ledger;
pub use text::{Form, NAME_PREFIX, render};
pub use trace::TRACE;
pub use word::{WORDS_MAX, Word};

/// A number of things that happened.
pub type Counts<L> = Family<L, Counter>;
/// How long things took, in seconds, or how large they were.
pub type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

struct Meters {
    edge: Edge,
    ledger: Ledger,
    ecs: Ecs,
    agent: Agent,
    catalogue: Catalogue,
}

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let mut catalogue = Catalogue::default();
    Meters {
        edge: Edge::register(&mut catalogue),
        ledger: Ledger::register(&mut catalogue),
        ecs: Ecs::register(&mut catalogue),
        agent: Agent::register(&mut catalogue),
        catalogue,
    }
});

/// The meters of the HTTP edge.
pub fn edge() -> &'static Edge {
    &METERS.edge
}

/// The meters of the ledger.
pub fn ledger() -> &'static Ledger {
    &METERS.ledger
}

/// The meters of ECS's control plane.
pub fn ecs() -> &'static Ecs {
    &METERS.ecs
}

/// The meters of a container instance's agent.
pub fn agent() -> &'static Agent {
    &METERS.agent
}

/// The names of all meters as samples have them, each with what it tells; also of those that have
/// counted nothing yet, which are not written down.
pub fn names() -> &'static [(String, &'static str)] {
    METERS.catalogue.names()
}

fn registry() -> &'static Registry {
    METERS.catalogue.registry()
}
