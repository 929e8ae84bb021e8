//! EventBridge and CloudWatch Logs with what they reach in other services: rules run tasks and
//! write logs, and what ECS commits becomes events.

use std::sync::Arc;

use anyhow::{Context, Result};
use cloudwatch::{LogStore, LogTarget, Logs};
use ecs::Ecs;
use events::{Events, EventsSetup, HttpTarget, Target};
use ledger::Ledger;
use terms::IdSource;

use crate::data_dir::DataDir;

/// The two, joined.
pub struct EventParts {
    /// Buses, rules, deliveries.
    pub events: Events,
    /// Log groups.
    pub logs: Logs,
}

impl EventParts {
    /// Opens the log store in the data folder and joins the rest.
    ///
    /// # Errors
    /// If the log store cannot be used.
    pub fn open(
        tables: (events::Tables, cloudwatch::Tables),
        ledger: &Ledger,
        data: &DataDir,
        ecs: &Ecs,
        ids: Arc<dyn IdSource>,
    ) -> Result<Self> {
        let (of_events, of_cloudwatch) = tables;
        let folder = data.logs();
        let store = LogStore::open(&folder)
            .with_context(|| format!("opening the log store in {}", folder.display()))?;
        let logs = Logs::new(of_cloudwatch, ledger.clone(), store);
        let targets: Vec<Arc<dyn Target>> = vec![
            ecs.event_target(),
            Arc::new(LogTarget::new(logs.clone())),
            Arc::new(HttpTarget::default()),
        ];
        let setup = EventsSetup { ids, targets, sources: vec![ecs.event_source()] };
        Ok(Self { events: Events::new(of_events, ledger.clone(), setup), logs })
    }
}
