//! What happens to a telemetry request: metrics are kept, health is written.

use std::sync::Arc;

use agent_protocol::tcs::AgentMessage;
use terms::ContainerInstanceArn;

use super::super::hub::Hub;
use super::health::write_health;
use super::serve::Report;

/// Where a telemetry session reports to.
pub(crate) struct TelemetryReport {
    pub(in super::super) hub: Arc<Hub>,
    pub(in super::super) instance: ContainerInstanceArn,
}

impl Report for TelemetryReport {
    async fn report(&mut self, message: AgentMessage) {
        let now = self.hub.clock.now();
        match message {
            AgentMessage::Metrics(metrics) => {
                self.hub.telemetry.metrics(&self.instance, metrics, now);
            }
            AgentMessage::InstanceStatus(report) => {
                for check in self.hub.telemetry.status(&self.instance, report, now) {
                    let (kind, status) = (check.kind, check.status);
                    tracing::info!(instance = %self.instance, kind, status, "an instance's check");
                }
            }
            AgentMessage::Health(report) => {
                let (ledger, tables) = (&self.hub.ledger, &self.hub.tables);
                let written = write_health(ledger, tables, &self.instance, &report).await;
                if let Err(error) = written {
                    tracing::error!(instance = %self.instance, %error, "cannot record health");
                }
            }
        }
    }
}
