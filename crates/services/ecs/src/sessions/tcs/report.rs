//! What happens to a telemetry request: metrics are kept, health is written.

use std::sync::Arc;

use agent_protocol::tcs::{AgentMessage, DISK_CHECK, InstanceStatus};
use terms::ContainerInstanceArn;

use super::super::hub::Hub;
use super::super::presence;
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
                let disk = report.statuses.iter().find(|check| check.kind == DISK_CHECK).cloned();
                for check in self.hub.telemetry.status(&self.instance, report, now) {
                    let (kind, status) = (check.kind, check.status);
                    tracing::info!(instance = %self.instance, kind, status, "an instance's check");
                }
                if let Some(check) = disk {
                    self.disk(check).await;
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

/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 255;

impl TelemetryReport {
    /// A full disk is of the ledger, for placement has to know.
    async fn disk(&self, check: InstanceStatus) {
        let reason = || {
            let text = check.status_reason.as_deref().unwrap_or("DISK");
            text.chars().take(REASON_MAX).collect::<String>()
        };
        let full = (check.status == "IMPAIRED").then(reason);
        let (ledger, tables) = (&self.hub.ledger, &self.hub.tables);
        if let Err(error) = presence::disk(ledger, tables, &self.instance, full).await {
            tracing::error!(instance = %self.instance, %error, "cannot record an instance's disk");
        }
    }
}
