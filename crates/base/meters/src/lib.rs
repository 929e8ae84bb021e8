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
mod ecs;
mod edge;
mod ledger;
mod text;
mod trace;
mod word;

use std::sync::LazyLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use agent::{Agent, Step, StepName};
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
    registry: Registry,
}

static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let mut registry = Registry::with_prefix(NAME_PREFIX);
    Meters {
        edge: Edge::register(&mut registry),
        ledger: Ledger::register(&mut registry),
        ecs: Ecs::register(&mut registry),
        agent: Agent::register(&mut registry),
        registry,
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

fn registry() -> &'static Registry {
    &METERS.registry
}

/// Upper bounds in seconds for what takes from a tenth of a millisecond to half a minute.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// A histogram of seconds.
fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A histogram of numbers of things: powers of two up to 4,096.
fn sizes() -> Histogram {
    Histogram::new((0..=12).map(|power| f64::from(1_u32 << power)))
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn counters<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Counts<L> {
    let counters = Counts::default();
    registry.register(name, help, counters.clone());
    counters
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn histogram(registry: &mut Registry, name: &str, unit: Unit, help: &str) -> Histogram {
    let histogram = match unit {
        Unit::Seconds => seconds(),
        _ => sizes(),
    };
    registry.register_with_unit(name, help, unit, histogram.clone());
    histogram
}

fn timers<L: Labels>(registry: &mut Registry, name: &str, help: &str) -> Histograms<L> {
    let timers = Histograms::new_with_constructor(seconds as fn() -> Histogram);
    registry.register_with_unit(name, help, Unit::Seconds, timers.clone());
    timers
}

/// What tells the meters of one name apart.
trait Labels:
    Clone
    + std::hash::Hash
    + Eq
    + prometheus_client::encoding::EncodeLabelSet
    + std::fmt::Debug
    + Send
    + Sync
    + 'static
{
}

impl<L> Labels for L where
    L: Clone
        + std::hash::Hash
        + Eq
        + prometheus_client::encoding::EncodeLabelSet
        + std::fmt::Debug
        + Send
        + Sync
        + 'static
{
}
