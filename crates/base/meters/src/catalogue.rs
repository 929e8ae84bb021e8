//! All meters with their names, as they are made.

use std::fmt::Debug;
use std::hash::Hash;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::{Counts, Histograms, NAME_PREFIX};

/// Upper bounds in seconds for what takes from a tenth of a millisecond to half a minute.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// What tells the meters of one name apart.
pub(crate) trait Labels:
    Clone + Hash + Eq + EncodeLabelSet + Debug + Send + Sync + 'static
{
}

impl<L: Clone + Hash + Eq + EncodeLabelSet + Debug + Send + Sync + 'static> Labels for L {}

/// All meters.
pub(crate) struct Catalogue {
    registry: Registry,
    names: Vec<(String, &'static str)>,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self { registry: Registry::with_prefix(NAME_PREFIX), names: Vec::new() }
    }
}

impl Catalogue {
    /// The meters of one part.
    pub(crate) fn group(&mut self, name: &'static str) -> Group<'_> {
        let registry = self.registry.sub_registry_with_prefix(name);
        Group { name, registry, names: &mut self.names }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn names(&self) -> &[(String, &'static str)] {
        &self.names
    }
}

/// The meters of one part, in the making.
pub(crate) struct Group<'c> {
    name: &'static str,
    registry: &'c mut Registry,
    names: &'c mut Vec<(String, &'static str)>,
}

impl Group<'_> {
    pub(crate) fn counter(&mut self, name: &str, help: &'static str) -> Counter {
        self.add(name, "_total", help, Counter::default())
    }

    pub(crate) fn counters<L: Labels>(&mut self, name: &str, help: &'static str) -> Counts<L> {
        self.add(name, "_total", help, Counts::default())
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &'static str) -> Gauge {
        self.add(name, "", help, Gauge::default())
    }

    pub(crate) fn gauges<L: Labels>(&mut self, name: &str, help: &'static str) -> Family<L, Gauge> {
        self.add(name, "", help, Family::default())
    }

    /// A histogram of seconds, or of numbers of other things: powers of two up to 4,096.
    pub(crate) fn histogram(&mut self, name: &str, unit: Unit, help: &'static str) -> Histogram {
        let histogram = match unit {
            Unit::Seconds => seconds(),
            _ => Histogram::new((0..=12).map(|power| f64::from(1_u32 << power))),
        };
        self.add_with_unit(name, unit, help, histogram)
    }

    /// Histograms of seconds.
    pub(crate) fn timers<L: Labels>(&mut self, name: &str, help: &'static str) -> Histograms<L> {
        let timers = Histograms::new_with_constructor(seconds as fn() -> Histogram);
        self.add_with_unit(name, Unit::Seconds, help, timers)
    }

    fn add<M: Metric + Clone>(
        &mut self,
        name: &str,
        suffix: &str,
        help: &'static str,
        metric: M,
    ) -> M {
        self.registry.register(name, help, metric.clone());
        self.names.push((format!("{NAME_PREFIX}_{}_{name}{suffix}", self.name), help));
        metric
    }

    fn add_with_unit<M: Metric + Clone>(
        &mut self,
        name: &str,
        unit: Unit,
        help: &'static str,
        metric: M,
    ) -> M {
        let full = format!("{NAME_PREFIX}_{}_{name}_{}", self.name, unit.as_str());
        self.registry.register_with_unit(name, help, unit, metric.clone());
        self.names.push((full, help));
        metric
    }
}

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}
