//! The control channel (ACS): what the server sends and what the agent answers
//! (agent-protocol §2).

use serde::{Deserialize, Serialize};
use terms::TaskArn;

use crate::frame::channel;
use crate::nullable;
use crate::task::{Credentials, NetworkInterface, PayloadTask};

channel! {
    /// What the control plane sends on ACS.
    ServerMessage {
        /// Tasks to start or stop.
        Payload(Payload) = "PayloadMessage",
        /// Keeps the connection alive and asks for an instance check.
        Heartbeat(Heartbeat) = "HeartbeatMessage",
        /// All tasks that should be on the instance.
        TaskManifest(TaskManifest) = "TaskManifestMessage",
        /// Which stop candidates are to stop.
        TaskStopVerificationAck(TaskStopVerificationAck) = "TaskStopVerificationAck",
        /// New credentials of one task and role.
        RoleCredentials(RoleCredentials) = "IAMRoleCredentialsMessage",
        /// A task's network interface will appear.
        AttachTaskNetworkInterfaces(AttachNetworkInterfaces) = "AttachTaskNetworkInterfacesMessage",
        /// An instance's network interface will appear.
        AttachInstanceNetworkInterfaces(AttachInstanceNetworkInterfaces) =
            "AttachInstanceNetworkInterfacesMessage",
        /// A volume or other attachment will appear.
        ConfirmAttachment(ConfirmAttachment) = "ConfirmAttachmentMessage",
        /// Download a new agent.
        StageUpdate(StageUpdate) = "StageUpdateMessage",
        /// Restart into the downloaded agent.
        PerformUpdate(PerformUpdate) = "PerformUpdateMessage",
        /// The server is about to close; only logged.
        Close(CloseMessage) = "CloseMessage",
        /// The server met an error; only logged.
        Error(ErrorMessage) = "ErrorMessage",
    }
}

channel! {
    /// What the agent sends on ACS.
    AgentMessage {
        /// A message was taken over.
        Ack(Ack) = "AckRequest",
        /// A message was refused.
        Nack(Nack) = "NackRequest",
        /// Answers a heartbeat.
        HeartbeatAck(HeartbeatAck) = "HeartbeatAckRequest",
        /// Credentials were stored.
        RoleCredentialsAck(RoleCredentialsAck) = "IAMRoleCredentialsAckRequest",
        /// Tasks that the manifest did not list.
        TaskStopVerification(TaskStopVerification) = "TaskStopVerificationMessage",
    }
}

/// Tasks to start or stop on one container instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// Quoted by the ack. Required.
    pub message_id: String,
    /// The cluster's ARN; the ack quotes it. Required.
    pub cluster_arn: String,
    /// The instance's ARN; the ack quotes it. Required.
    pub container_instance_arn: String,
    /// When it was made, in epoch milliseconds; no agent reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    /// Rises by message; shares its range with [`TaskManifest::timeline`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq_num: Option<i64>,
    /// The tasks; stops are applied before starts.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub tasks: Vec<PayloadTask>,
}

/// Keeps the connection alive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heartbeat {
    /// Echoed in the ack, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Whether the server is well.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub healthy: bool,
}

/// Answers a [`Heartbeat`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeartbeatAck {
    /// The heartbeat's id, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// All tasks that should be on the instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskManifest {
    /// Quoted by the ack and by the stop verification. Required.
    pub message_id: String,
    /// The cluster's ARN. Required.
    pub cluster_arn: String,
    /// The instance's ARN. Required.
    pub container_instance_arn: String,
    /// When it was made, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    /// Must exceed every number that the agent has seen, else it is ignored without an ack.
    /// Required: Amazon's agent crashes without it.
    pub timeline: i64,
    /// The tasks.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub tasks: Vec<TaskIdentifier>,
}

/// A task as manifests and stop verifications name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskIdentifier {
    /// The task. Required.
    pub task_arn: TaskArn,
    /// Its cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_cluster_arn: String,
    /// `RUNNING` or `STOPPED`. Required.
    pub desired_status: String,
}

/// Local tasks that the manifest does not want running.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopVerification {
    /// The manifest's id.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message_id: String,
    /// The tasks.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub stop_candidates: Vec<TaskIdentifier>,
}

/// Which of the candidates are to stop.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStopVerificationAck {
    /// The manifest's id; a mismatch is ignored.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message_id: String,
    /// When it was made, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    /// The tasks to stop.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub stop_tasks: Vec<TaskIdentifier>,
}

/// New credentials of one task and role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleCredentials {
    /// Quoted by the ack. Required.
    pub message_id: String,
    /// The task. Required.
    pub task_arn: TaskArn,
    /// Its cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_cluster_arn: String,
    /// Whose credentials they are. Required.
    pub role_type: RoleType,
    /// The credentials. Required.
    pub role_credentials: Credentials,
}

/// The role that credentials belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RoleType {
    /// The task role: the containers' own.
    TaskApplication,
    /// The execution role: the agent's, for images, secrets and logs.
    TaskExecution,
}

/// Credentials were stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleCredentialsAck {
    /// The id of the message that brought them.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message_id: String,
    /// Which credentials.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub credentials_id: String,
    /// When they expire (RFC 3339), as it came.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub expiration: String,
}

/// A message was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// The message's `clusterArn`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cluster: String,
    /// The message's `containerInstanceArn`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_instance: String,
    /// The message's id.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message_id: String,
}

/// A message was refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nack {
    /// The message's `clusterArn`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cluster: String,
    /// The message's `containerInstanceArn`.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_instance: String,
    /// The message's id.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message_id: String,
    /// Why.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub reason: String,
}

/// A task's network interfaces will appear on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachNetworkInterfaces {
    /// Quoted by the ack. Required.
    pub message_id: String,
    /// The cluster's ARN. Required.
    pub cluster_arn: String,
    /// The instance's ARN. Required.
    pub container_instance_arn: String,
    /// The task. Required.
    pub task_arn: TaskArn,
    /// The task's cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_cluster_arn: String,
    /// When it was made, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    /// How long the agent looks for the device, in milliseconds; above 0. Required.
    pub wait_timeout_ms: i64,
    /// The interfaces; at least one.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub elastic_network_interfaces: Vec<NetworkInterface>,
}

/// An instance's network interfaces will appear on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachInstanceNetworkInterfaces {
    /// Quoted by the ack. Required.
    pub message_id: String,
    /// The cluster's ARN. Required.
    pub cluster_arn: String,
    /// The instance's ARN. Required.
    pub container_instance_arn: String,
    /// When it was made, in epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_at: Option<i64>,
    /// How long the agent looks for the device, in milliseconds; above 0. Required.
    pub wait_timeout_ms: i64,
    /// The interfaces; at least one.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub elastic_network_interfaces: Vec<NetworkInterface>,
}

/// A volume or other attachment will appear on the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmAttachment {
    /// Quoted by the ack. Required.
    pub message_id: String,
    /// The cluster's ARN. Required.
    pub cluster_arn: String,
    /// The instance's ARN. Required.
    pub container_instance_arn: String,
    /// The task that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_arn: Option<TaskArn>,
    /// The task's cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub task_cluster_arn: String,
    /// How long the agent looks for it, in milliseconds; 5 minutes if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_timeout_ms: Option<i64>,
    /// The attachment. Required.
    pub attachment: crate::task::Attachment,
}

/// Download a new agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageUpdate {
    /// Quoted by the answer. Required.
    pub message_id: String,
    /// The cluster's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub cluster_arn: String,
    /// The instance's ARN.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub container_instance_arn: String,
    /// Where it is and what its digest must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_info: Option<UpdateInfo>,
}

/// Restart into the downloaded agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerformUpdate(pub StageUpdate);

/// Where a new agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateInfo {
    /// The file's URL.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub location: String,
    /// Its SHA-256 in hexadecimal.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub signature: String,
}

/// The server is about to close; only logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloseMessage {
    /// Why.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message: String,
}

/// The server met an error; only logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorMessage {
    /// What happened.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub message: String,
}
