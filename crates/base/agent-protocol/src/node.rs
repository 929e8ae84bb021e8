//! The node channel: ours alone, beside Amazon's protocol, under `/_longshore/`.
//!
//! The agent keeps one websocket at [`CHANNEL_PATH`]; on it the server asks for streams. For each
//! the agent opens a second websocket at `/_longshore/streams/<stream id>` and sends frames of
//! [`StreamMessage`] until the stream ends or either side closes it. Requests and upgrades are
//! signed with the node's key, service `ecs`.

use serde::{Deserialize, Serialize};
use terms::{TaskArn, Uuid};

use crate::frame::channel;
use crate::layers::{LayerEnded, LayerFrom, LayerWanted, LayersHeld, PeerServing, PeersKnown};
use crate::nullable;

/// Where the agent's channel connects; query: `cluster`, `containerInstance` (the ARN).
pub const CHANNEL_PATH: &str = "/_longshore/node/ws";

/// A stream's websocket is at this prefix followed by its id.
pub const STREAM_PATH_PREFIX: &str = "/_longshore/streams/";

/// The most streams that an agent serves at a time; further ones are refused.
pub const MAX_STREAMS: usize = 64;

/// The most lines in one [`LogLines`].
pub const MAX_LINES_PER_FRAME: usize = 256;

/// The most pulls that one [`PullsUnderWay`] tells of.
pub const MAX_PULLS: usize = 256;

/// The most lines that `tail` may ask for.
pub const MAX_TAIL_LINES: u32 = 100_000;

channel! {
    /// What the server sends on the node channel.
    ServerMessage {
        /// Keeps the channel alive; sent every 30 s.
        Heartbeat(ChannelHeartbeat) = "Heartbeat",
        /// Open a stream of a container's output.
        OpenLogs(OpenLogs) = "OpenLogs",
        /// Open the agent's side of a session of ECS Exec, or open it again.
        OpenExec(OpenExec) = "OpenExec",
        /// Answers a [`PeerServing`].
        PeersKnown(PeersKnown) = "PeersKnown",
        /// Answers a [`LayerWanted`], some time later.
        LayerFrom(LayerFrom) = "LayerFrom",
    }
}

channel! {
    /// What the agent sends on the node channel.
    AgentMessage {
        /// Answers a heartbeat.
        HeartbeatAck(ChannelHeartbeatAck) = "HeartbeatAck",
        /// A stream cannot be opened.
        StreamRefused(StreamRefused) = "StreamRefused",
        /// The images that are being pulled; sent when that changed, once a second at most.
        Pulls(PullsUnderWay) = "Pulls",
        /// A session of ECS Exec cannot be opened.
        ExecRefused(ExecRefused) = "ExecRefused",
        /// This node hands layers to others.
        PeerServing(PeerServing) = "PeerServing",
        /// It has these.
        LayersHeld(LayersHeld) = "LayersHeld",
        /// It wants to know where to fetch one from.
        LayerWanted(LayerWanted) = "LayerWanted",
        /// It has fetched one, or will not.
        LayerEnded(LayerEnded) = "LayerEnded",
    }
}

channel! {
    /// What the agent sends on a stream of output.
    StreamMessage {
        /// Lines, oldest first.
        Lines(LogLines) = "LogLines",
        /// Nothing more will come.
        End(StreamEnd) = "StreamEnd",
    }
}

/// Keeps the channel alive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHeartbeat {}

/// Answers a [`ChannelHeartbeat`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHeartbeatAck {}

/// Open a stream of a container's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenLogs {
    /// The stream's id; names its websocket. Required.
    pub stream_id: Uuid,
    /// The task. Required.
    pub task_arn: TaskArn,
    /// The container's name; absent: all containers of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Whether to go on with what comes later, until the container has stopped.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub follow: bool,
    /// Begin with the last so many lines; absent: from the first that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
}

/// A stream cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRefused {
    /// The stream.
    pub stream_id: Uuid,
    /// Why, for people.
    pub reason: String,
}

/// The images that are being pulled, all of them: what is not in here is not under way any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullsUnderWay {
    /// At most [`MAX_PULLS`].
    pub pulls: Vec<PullUnderWay>,
}

/// An image that is being pulled for a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullUnderWay {
    /// The task.
    pub task_arn: TaskArn,
    /// The container's name.
    pub container: String,
    /// The image, as the definition names it.
    pub image: String,
    /// Bytes of layers that are here, compressed.
    pub bytes: u64,
    /// Of so many; 0 as long as that is not known.
    pub total_bytes: u64,
    /// Layers that are unpacked.
    pub layers_ready: u32,
    /// Of so many.
    pub layers: u32,
    /// What went wrong last, while it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Open the agent's side of a session of ECS Exec ([`exec`](crate::exec)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenExec {
    /// The session; names its websocket. Required.
    pub session_id: String,
    /// The task. Required.
    pub task_arn: TaskArn,
    /// The container's name. Required.
    pub container: String,
    /// The command, as the client wrote it. Required.
    pub command: String,
    /// Whether the session has begun before: an agent that does not know it refuses then.
    #[serde(default, deserialize_with = "nullable::or_default")]
    pub is_begun: bool,
    /// Where what the session prints is written to as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<ExecLog>,
    /// The object of S3 that it is written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ExecObject>,
}

/// An object that a session's output is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecObject {
    /// The bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
}

/// Where a session's output is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecLog {
    /// The log group.
    pub group: String,
    /// The log stream.
    pub stream: String,
    /// The group's region; absent: the instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// A session of ECS Exec cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecRefused {
    /// The session.
    pub session_id: String,
    /// Why, for people.
    pub reason: String,
}

/// Lines of output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLines {
    /// At most [`MAX_LINES_PER_FRAME`], oldest first.
    pub lines: Vec<LogLine>,
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// The container that wrote it.
    pub container: String,
    /// When, as the log keeps it: ISO 8601 in UTC.
    pub time: String,
    /// Where to.
    pub stream: OutputStream,
    /// What; with its line end if it had one.
    pub text: String,
}

/// Where a container wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Nothing more will come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamEnd {
    /// Why it ended early; absent when all was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
