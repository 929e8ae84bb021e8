//! EventBridge and CloudWatch Logs with what they reach in other services: rules run tasks and
//! write logs, and what ECS and ECR commit becomes events.

use std::sync::Arc;

use cloudwatch::{LogTarget, Logs};
use ecr::Ecr;
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
    /// Joins them; logs lie in the data folder.
    pub fn join(
        tables: (events::Tables, cloudwatch::Tables),
        ledger: &Ledger,
        data: &DataDir,
        (ecs, ecr): (&Ecs, &Ecr),
        ids: Arc<dyn IdSource>,
    ) -> Self {
        let (of_events, of_cloudwatch) = tables;
        let logs = Logs::new(of_cloudwatch, ledger.clone(), data.logs());
        let targets: Vec<Arc<dyn Target>> = vec![
            ecs.event_target(),
            Arc::new(LogTarget::new(logs.clone())),
            Arc::new(HttpTarget::default()),
        ];
        let sources = vec![ecs.event_source(), ecr.event_source()];
        let setup = EventsSetup { ids, targets, sources };
        Self { events: Events::new(of_events, ledger.clone(), setup), logs }
    }
}
