//! The JSON inside of the data channel's messages (agent-protocol §7.2, §7.4 to §7.6).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A client whose version begins so is ours: it is told the command's exit code.
pub const OWN_CLIENT: &str = "longshore/";

/// The status of an action that was carried out.
pub const SUCCESS: u32 = 1;

/// The first frame of a client, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OpenDataChannel {
    /// `1.0`.
    pub message_schema_version: String,
    /// A UUID.
    pub request_id: String,
    /// What ExecuteCommand or ResumeSession gave.
    pub token_value: String,
    /// A UUID.
    pub client_id: String,
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
}

/// Acknowledges a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Acknowledge {
    /// Its type.
    #[serde(rename = "AcknowledgedMessageType")]
    pub kind: String,
    /// Its UUID.
    #[serde(rename = "AcknowledgedMessageId")]
    pub id: String,
    /// Its number.
    #[serde(rename = "AcknowledgedMessageSequenceNumber")]
    pub sequence: i64,
    /// Whether it has a place in a sequence.
    pub is_sequential_message: bool,
}

/// What the agent asks of the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeRequest {
    /// The agent's version.
    pub agent_version: String,
    /// What is to be done.
    pub requested_client_actions: Vec<ClientAction>,
}

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ClientAction {
    /// `SessionType`.
    pub action_type: String,
    /// What it needs.
    pub action_parameters: Value,
}

impl HandshakeRequest {
    /// Asks for a terminal. The version is one of Amazon's agent that the plugin knows to take
    /// flags (agent-protocol §7.5).
    pub fn terminal(command: &str) -> Self {
        let parameters = json!({
            "SessionType": "InteractiveCommands",
            "Properties": { "command": command },
        });
        Self {
            agent_version: "3.2.582.0".to_owned(),
            requested_client_actions: vec![ClientAction {
                action_type: "SessionType".to_owned(),
                action_parameters: parameters,
            }],
        }
    }
}

/// What the client answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeResponse {
    /// The client's version.
    #[serde(default)]
    pub client_version: String,
    /// What came of each action.
    #[serde(default)]
    pub processed_client_actions: Vec<ActionResult>,
    /// What went wrong, in words.
    #[serde(default)]
    pub errors: Option<Vec<String>>,
}

/// What came of an action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ActionResult {
    /// Which.
    #[serde(default)]
    pub action_type: String,
    /// [`SUCCESS`], 2 failed, 3 not supported.
    #[serde(default)]
    pub action_status: u32,
    /// Why not.
    #[serde(default)]
    pub error: Option<String>,
}

impl HandshakeResponse {
    /// A client of this version that did all that was asked.
    pub fn success(client_version: &str, request: &HandshakeRequest) -> Self {
        let done = |action: &ClientAction| ActionResult {
            action_type: action.action_type.clone(),
            action_status: SUCCESS,
            error: None,
        };
        Self {
            client_version: client_version.to_owned(),
            processed_client_actions: request.requested_client_actions.iter().map(done).collect(),
            errors: None,
        }
    }

    /// Why the session cannot begin, if the client says so.
    pub fn failure(&self) -> Option<String> {
        let failed = self.processed_client_actions.iter().find(|it| it.action_status != SUCCESS)?;
        let why = failed.error.clone().unwrap_or_else(|| "it did not say why".to_owned());
        Some(format!("the client did not take the action {}: {why}", failed.action_type))
    }
}

/// The session begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HandshakeComplete {
    /// Nanoseconds.
    pub handshake_time_to_complete: u64,
    /// Printed by the client if not empty.
    pub customer_message: String,
}

/// The terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// The session is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ChannelClosed {
    /// A UUID.
    pub message_id: String,
    /// ISO 8601 in UTC with milliseconds.
    pub created_date: String,
    /// The session's id.
    pub destination_id: String,
    /// The session's id.
    pub session_id: String,
    /// `channel_closed`.
    pub message_type: String,
    /// 1; must be a number.
    pub schema_version: u32,
    /// Why, for people; empty for a normal end.
    pub output: String,
}
