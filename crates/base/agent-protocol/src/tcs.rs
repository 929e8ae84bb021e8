//! The telemetry channel (TCS): metrics, container health and instance status
//! (agent-protocol §4).

use serde::{Deserialize, Serialize};
use terms::TaskArn;

use crate::DecodeError;
use crate::frame::channel;
use crate::nullable;

/// The most tasks that one publish request holds.
pub const MAX_TASKS_PER_REQUEST: usize = 10;

channel! {
    /// What the control plane sends on TCS.
    ServerMessage {
        /// Keeps the connection alive.
        Heartbeat(crate::acs::Heartbeat) = "HeartbeatMessage",
        /// Metrics came.
        AckMetric(AckPublishMetric) = "AckPublishMetric",
        /// Health came.
        AckHealth(AckPublishHealth) = "AckPublishHealth",
        /// Instance status came.
        AckInstanceStatus(AckPublishInstanceStatus) = "AckPublishInstanceStatus",
        /// The session is over; only logged.
        Stop(StopTelemetrySession) = "StopTelemetrySessionMessage",
    }
}

channel! {
    /// What the agent sends on TCS. On the wire a block of header lines comes before each frame:
    /// see [`split`] and [`join`].
    AgentMessage {
        /// Use of CPU, memory, network and storage.
        Metrics(PublishMetrics) = "PublishMetricsRequest",
        /// Health of containers with a check.
        Health(PublishHealth) = "PublishHealthRequest",
        /// Health of the instance itself.
        InstanceStatus(PublishInstanceStatus) = "PublishInstanceStatusRequest",
    }
}

/// Header lines and JSON of a telemetry frame: split at the first blank line. A frame that
/// begins with `{` has no headers.
pub fn split(frame: &str) -> Result<(&str, &str), DecodeError> {
    if frame.trim_start().starts_with('{') {
        return Ok(("", frame));
    }
    frame.split_once("\r\n\r\n").ok_or(DecodeError::NoHeaderBlock)
}

/// A telemetry frame of these headers (sorted by name, as Amazon's agent writes them) and JSON.
pub fn join<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>, json: &str) -> String {
    let mut lines: Vec<_> = headers.into_iter().collect();
    lines.sort_unstable();
    let mut frame = String::with_capacity(json.len() + 512);
    for (name, value) in lines {
        frame.push_str(name);
        frame.push_str(": ");
        frame.push_str(value);
        frame.push_str("\r\n");
    }
    frame.push_str("\r\n");
    frame.push_str(json);
    frame
}

impl AgentMessage {
    /// The message in one telemetry frame, with or without its header block.
    pub fn decode_frame(frame: &str) -> Result<Self, DecodeError> {
        if frame.len() > crate::MAX_FRAME_BYTES {
            return Err(DecodeError::TooLarge { size: frame.len() });
        }
        Self::decode(split(frame)?.1)
    }

    /// The ack that the server answers with.
    pub fn ack(&self) -> ServerMessage {
        let message = "OK".to_owned();
        match self {
            Self::Metrics(_) => AckPublishMetric { message }.into(),
            Self::Health(_) => AckPublishHealth { message }.into(),
            Self::InstanceStatus(_) => AckPublishInstanceStatus { message }.into(),
        }
    }
}

macro_rules! text_message {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            /// Free text.
            #[serde(default, deserialize_with = "nullable::or_default")]
            pub message: String,
        }
    )+};
}
text_message! {
    /// Metrics came.
    AckPublishMetric,
    /// Health came.
    AckPublishHealth,
    /// Instance status came.
    AckPublishInstanceStatus,
    /// The session is over.
    StopTelemetrySession,
}

/// Who reports, and where in a round of requests this one stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The cluster as configured.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cluster: String,
    /// The instance's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_instance: String,
    /// The same for all requests of one round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// In place of `messageId` in instance status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Whether no task runs (metrics only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<bool>,
    /// Whether this is the round's last request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fin: Option<bool>,
}

/// Use of CPU, memory, network and storage since the last round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishMetrics {
    /// Who reports.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub metadata: Metadata,
    /// By task.
    #[serde(
        default,
        deserialize_with = "nullable::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub task_metrics: Vec<TaskMetric>,
    /// Epoch seconds with a fraction.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub timestamp: f64,
}

/// One task's use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskMetric {
    /// The task.
    pub task_arn: TaskArn,
    /// Family of its definition.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_definition_family: String,
    /// Revision of its definition.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_definition_version: String,
    /// By container.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_metrics: Vec<ContainerMetric>,
}

/// One container's use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerMetric {
    /// The container's name.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_name: String,
    /// Percent of the whole instance's CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_stats_set: Option<StatsSet>,
    /// MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_stats_set: Option<StatsSet>,
    /// Bytes, packets and errors; none in host mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_stats_set: Option<NetworkStatsSet>,
    /// Bytes read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_stats_set: Option<StorageStatsSet>,
    /// Restarts in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_stats_set: Option<RestartStatsSet>,
}

/// Samples of one round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatsSet {
    /// The least.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub min: f64,
    /// The most.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub max: f64,
    /// How many.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub sample_count: u64,
    /// Their sum.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub sum: f64,
}

impl StatsSet {
    /// Takes one more sample.
    pub fn add(&mut self, sample: f64) {
        if self.sample_count == 0 {
            (self.min, self.max) = (sample, sample);
        } else {
            self.min = self.min.min(sample);
            self.max = self.max.max(sample);
        }
        self.sample_count += 1;
        self.sum += sample;
    }
}

/// Samples of whole numbers, with room for values above 2⁶³ in the overflow members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountStatsSet {
    /// The least.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub min: i64,
    /// The most.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub max: i64,
    /// How many.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub sample_count: i64,
    /// Their sum.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub sum: i64,
    /// What exceeds `min`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub overflow_min: i64,
    /// What exceeds `max`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub overflow_max: i64,
    /// What exceeds `sum`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub overflow_sum: i64,
}

impl CountStatsSet {
    /// Takes one more sample; values above `i64::MAX` count as that.
    pub fn add(&mut self, sample: u64) {
        let sample = i64::try_from(sample).unwrap_or(i64::MAX);
        if self.sample_count == 0 {
            (self.min, self.max) = (sample, sample);
        } else {
            self.min = self.min.min(sample);
            self.max = self.max.max(sample);
        }
        self.sample_count += 1;
        self.sum = self.sum.saturating_add(sample);
    }
}

/// Network use of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkStatsSet {
    /// Bytes received.
    pub rx_bytes: CountStatsSet,
    /// Packets received.
    pub rx_packets: CountStatsSet,
    /// Errors on receipt.
    pub rx_errors: CountStatsSet,
    /// Dropped on receipt.
    pub rx_dropped: CountStatsSet,
    /// Bytes sent.
    pub tx_bytes: CountStatsSet,
    /// Packets sent.
    pub tx_packets: CountStatsSet,
    /// Errors on sending.
    pub tx_errors: CountStatsSet,
    /// Dropped on sending.
    pub tx_dropped: CountStatsSet,
    /// Bytes received a second.
    pub rx_bytes_per_second: StatsSet,
    /// Bytes sent a second.
    pub tx_bytes_per_second: StatsSet,
}

/// Storage use of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageStatsSet {
    /// Bytes read.
    pub read_size_bytes: CountStatsSet,
    /// Bytes written.
    pub write_size_bytes: CountStatsSet,
}

/// Restarts of a container in place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartStatsSet {
    /// How many.
    pub restart_count: i64,
}

/// Health of the containers that have a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishHealth {
    /// Who reports.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub metadata: Metadata,
    /// By task.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub tasks: Vec<TaskHealth>,
    /// Epoch seconds with a fraction.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub timestamp: f64,
}

/// One task's containers with a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskHealth {
    /// The task.
    pub task_arn: TaskArn,
    /// Family of its definition.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_definition_family: String,
    /// Revision of its definition.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_definition_version: String,
    /// By container.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub containers: Vec<ContainerHealth>,
}

/// One container's health.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerHealth {
    /// The container's name.
    pub container_name: String,
    /// What its check says.
    pub health_status: HealthStatus,
    /// Since when, in epoch seconds with a fraction.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub status_since: f64,
}

/// What a health check says.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum HealthStatus {
    /// The last check passed.
    Healthy,
    /// Too many checks in a row failed.
    Unhealthy,
    /// No verdict yet.
    #[default]
    Unknown,
}

/// Health of the instance itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishInstanceStatus {
    /// Who reports.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub metadata: Metadata,
    /// By check.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub statuses: Vec<InstanceStatus>,
    /// Epoch seconds with a fraction.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub timestamp: f64,
}

/// The check by which our agent says that its disk is full (`IMPAIRED`): it takes no new tasks. The
/// public API has none for that.
pub const DISK_CHECK: &str = "Disk";

/// One check of the instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// `ContainerRuntime`; the public API calls it `CONTAINER_RUNTIME`.
    #[serde(default, rename = "type", deserialize_with = "nullable::or_default")]
    pub kind: String,
    /// `INITIALIZING`, `OK`, `IMPAIRED` or `INSUFFICIENT_DATA`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub status: String,
    /// Why it is no other; a member of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When it was checked, in epoch seconds.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub last_updated: f64,
    /// When it changed, in epoch seconds.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub last_status_change: f64,
}
