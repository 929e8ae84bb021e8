//! Seeing inside: metrics, logs, traces, and all of it in a bundle.

pub mod bundle;
pub mod figures;
pub mod logs;
pub mod metrics;
mod otlp;
pub mod process;
pub mod settings;
mod traces;

use std::sync::Arc;

use ecs::Ecs;
use elbv2::Elb;
use ledger::Ledger;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wire::{Edge, Route};

use anyhow::Result;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::data_dir::DataDir;
use crate::ensemble::Servers;
use crate::history::{self, Recorder};
use crate::settings::ServerSettings;
use metrics::Metrics;
pub use settings::{ObserveFlags, ObserveSettings};

/// What this process says, until it ends.
pub struct Observed {
    traces: Option<Arc<BatchSpanProcessor>>,
}

/// Begins to write logs, and to send traces if a collector is named.
///
/// # Errors
/// If the collector's address is none.
pub fn begin(
    settings: &ObserveSettings,
    role: &'static str,
    runtime: &tokio::runtime::Handle,
) -> Result<Observed> {
    let endpoint = settings.otlp_endpoint.as_deref();
    let traces = endpoint.map(|url| otlp::processor(url, role, runtime)).transpose()?;
    subscriber(settings, traces.clone()).init();
    Ok(Observed { traces })
}

/// Where lines and spans go. What nobody wants to have is never made.
fn subscriber(
    settings: &ObserveSettings,
    traces: Option<Arc<BatchSpanProcessor>>,
) -> impl SubscriberInitExt {
    tracing_subscriber::registry()
        .with(logs::written(settings.log_format))
        .with(logs::kept())
        .with(traces::layer(traces, settings.trace_sample))
}

/// What a server tells of itself.
pub struct Inside {
    metrics: Metrics,
    history: Recorder,
}

impl Inside {
    /// Opens the history, and puts the figures together.
    ///
    /// # Errors
    /// If the data folder cannot be used.
    pub fn open(
        settings: &ServerSettings,
        data: &DataDir,
        ledger: &Ledger,
        (ecs, elb): (&Ecs, &Elb),
    ) -> Result<Self> {
        let retention = settings.history_retention.duration();
        let history = Recorder::open(&data.history(), retention, ledger.clone(), ecs)?;
        let sources = vec![
            figures::of_ledger(ledger),
            history.figures(),
            figures::of_fargate(ecs),
            figures::of_load_balancers(elb),
        ];
        let metrics = Metrics::new("server", sources);
        Ok(Self { metrics, history })
    }

    /// The signed paths of all that.
    pub fn routes(
        &self,
        settings: &ServerSettings,
        ledger: &Ledger,
        servers: Option<&Servers>,
    ) -> [Route; 4] {
        let bundle = bundle::Inside {
            settings: settings.clone(),
            ledger: ledger.clone(),
            metrics: self.metrics.clone(),
        };
        let [history, of_servers] = history::routes(self.history.store(), servers);
        [self.metrics.route(), history, of_servers, bundle.route()]
    }

    /// Begins to record, and to serve metrics where the settings say so: at the URL that it gives.
    ///
    /// # Errors
    /// If the address for metrics cannot be had.
    pub async fn begin(
        self,
        settings: &ServerSettings,
        edge: &Edge,
        loops: &mut JoinSet<Result<()>>,
        shutdown: &CancellationToken,
    ) -> Result<Option<String>> {
        self.metrics.watch(edge);
        let url = match settings.observe.metrics_listen {
            Some(address) => Some(self.metrics.listen(address, shutdown.clone()).await?),
            None => None,
        };
        let recording = self.history.run(shutdown.clone());
        loops.spawn(async move {
            recording.await;
            Ok(())
        });
        Ok(url)
    }
}

impl Observed {
    /// Sends what is not sent yet.
    pub fn end(self) {
        if let Some(Err(error)) = self.traces.map(|traces| traces.shutdown()) {
            tracing::debug!(%error, "some spans were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The libraries of the wire open a span for each frame: a third of a request's time, if made.
    #[test]
    fn what_nobody_wants_to_have_is_not_made() {
        let settings = ObserveSettings::default();
        let _guard = subscriber(&settings, None).set_default();
        assert!(tracing::trace_span!(target: "h2::codec", "frame").is_disabled());
        assert!(tracing::debug_span!(target: "ecs", "step").is_disabled());
        assert!(!tracing::enabled!(target: "hyper::proto", tracing::Level::DEBUG));
        assert!(!tracing::info_span!(target: "wire::edge", "call").is_disabled());
        assert!(tracing::enabled!(target: "h2", tracing::Level::WARN));
    }
}
