//! ECS Exec: the data channel of Session Manager, as the unmodified session-manager-plugin speaks
//! it (agent-protocol §7), and how the control plane and our agent meet for one.
//!
//! The client opens a websocket at the session's `streamUrl` and shows its token in a first text
//! frame ([`OpenDataChannel`]); then both sides send binary [`Frame`]s. Our agent is the other end:
//! it opens a websocket of its own at [`AGENT_PATH`], asked for by
//! [`node::OpenExec`](crate::node::OpenExec), and the server passes frames on unchanged. So neither
//! a broken connection nor a restarted server loses anything: what was not acknowledged is sent
//! again ([`DataChannel`]).
//!
//! Nothing here does I/O or reads a clock.

mod channel;
mod frame;
mod messages;
mod words;

pub use channel::{DataChannel, Given, Message, Received, Side, Stamp, WINDOW_MESSAGES};
pub use frame::{Frame, FrameError, HEADER_BYTES, Kind, kind_of, payload};
pub use messages::{
    Acknowledge, ActionResult, ChannelClosed, ClientAction, HandshakeComplete, HandshakeRequest,
    HandshakeResponse, OWN_CLIENT, OpenDataChannel, SUCCESS, Size,
};
pub use words::{UnbalancedQuote, split};

/// Where the agent opens its side of a session: this prefix followed by the session's id. Signed
/// with the node's key, service `ecs`.
pub const AGENT_PATH: &str = "/_longshore/exec";

/// Where a client opens its side: this prefix followed by the session's id. Unsigned, as the plugin
/// has no keys for it; the token opens it.
pub const CLIENT_PATH: &str = "/v1/data-channel";

/// The most bytes of a stream in one message, as Amazon's agent keeps it.
pub const STREAM_BYTES_MAX: usize = 1024;

/// The most sessions that one agent serves at a time; further ones are refused.
pub const MAX_SESSIONS: usize = 256;

/// A session's id begins so; 17 hexadecimal digits follow.
pub const SESSION_ID_PREFIX: &str = "ecs-execute-command-";
