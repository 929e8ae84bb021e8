//! The agent of a container instance.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::{Catalogue, Counts, Histograms};

/// A step of a task or container, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Step {
    /// `prepare`, `pull`, `create`, `start`, ….
    pub step: &'static str,
    /// `ok` or `failed`.
    pub outcome: &'static str,
}

/// Which step.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepName {
    /// `prepare`, `pull`, `create`, `start`, ….
    pub step: &'static str,
}

/// Where a container is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ContainerState {
    /// `coming`, `running` or `stopped`.
    pub state: &'static str,
}

/// Which way a layer's bytes went, on a node that takes part in handing layers on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LayerWay {
    /// `registry`, `peer` or `handed`.
    pub way: &'static str,
}

impl LayerWay {
    /// From the registry.
    pub const REGISTRY: Self = Self { way: "registry" };
    /// From another node.
    pub const PEER: Self = Self { way: "peer" };
    /// To another node.
    pub const HANDED: Self = Self { way: "handed" };
}

/// Meters of the agent.
#[derive(Debug)]
pub struct Agent {
    /// Tasks that the engine knows.
    pub tasks: Gauge,
    /// Its containers.
    pub containers: Family<ContainerState, Gauge>,
    /// Events that the engine took.
    pub events: Counter,
    /// Steps that were carried out.
    pub steps: Counts<Step>,
    /// How long they took.
    pub step_seconds: Histograms<StepName>,
    /// Appending to the journal, with the wait for the disk where there is one.
    pub journal_seconds: Histogram,
    /// Records that were appended.
    pub journal_records: Counter,
    /// How the disk stands: 0 well, 1 low, 2 full.
    pub disk_standing: Gauge,
    /// Images that went because nobody needed them.
    pub images_removed: Counter,
    /// Bytes of layers, as they are stored.
    pub layer_bytes: Counts<LayerWay>,
}

impl Agent {
    pub(crate) fn register(catalogue: &mut Catalogue) -> Self {
        let r = &mut catalogue.group("agent");
        Self {
            tasks: r.gauge("tasks", "Tasks that the engine knows"),
            containers: r.gauges("containers", "Containers of those tasks by state"),
            events: r.counter("engine_events", "Events that the engine took"),
            steps: r.counters("steps", "Steps of tasks and containers that were carried out"),
            step_seconds: r.timers("step", "Steps of tasks and containers"),
            journal_seconds: r.histogram(
                "journal",
                Unit::Seconds,
                "Appending to the journal, with the wait for the disk where there is one",
            ),
            journal_records: r.counter("journal_records", "Records appended to the journal"),
            disk_standing: r.gauge("disk_standing", "How the disk stands: 0 well, 1 low, 2 full"),
            images_removed: r.counter("images_removed", "Images removed because nobody needs them"),
            layer_bytes: r.counters(
                "layer_bytes",
                "Bytes of layers by their way: from the registry, from another node, handed to one",
            ),
        }
    }

    /// Sets how many tasks there are, and containers in each state.
    pub fn counted(&self, tasks: i64, containers: [(&'static str, i64); 3]) {
        self.tasks.set(tasks);
        for (state, number) in containers {
            self.containers.get_or_create(&ContainerState { state }).set(number);
        }
    }

    /// Counts bytes of layers.
    pub fn layer_bytes(&self, way: LayerWay, bytes: u64) {
        self.layer_bytes.get_or_create(&way).inc_by(bytes);
    }

    /// Counts a step.
    pub fn step(&self, step: &'static str, went_well: bool, took: std::time::Duration) {
        let outcome = if went_well { "ok" } else { "failed" };
        self.steps.get_or_create(&Step { step, outcome }).inc();
        self.step_seconds.get_or_create(&StepName { step }).observe(took.as_secs_f64());
    }
}
