//! One websocket text frame: `{"type": …, "message": …}`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The largest frame that either side reads. Amazon's agent sets no limit of its own; it cuts a
/// telemetry request at 1 MiB, and a payload of 10 tasks of 64 KiB each stays below this too.
pub const MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;

/// The exception by which a control plane tells an agent that its instance is gone.
pub const NAME_OF_INACTIVE: &str = "InactiveInstanceException";

/// The most characters of a text from outside that an error repeats.
const MAX_QUOTED_CHARS: usize = 64;

/// A frame that is no message of this channel.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The frame is larger than [`MAX_FRAME_BYTES`].
    #[error("the frame has {size} bytes; at most {MAX_FRAME_BYTES} are read")]
    TooLarge {
        /// Bytes in the frame.
        size: usize,
    },
    /// The frame is not `{"type": text, "message": value}`.
    #[error("the frame is no {{\"type\", \"message\"}} object")]
    Envelope(#[source] serde_json::Error),
    /// No header block, blank line and message (TCS, agent to server).
    #[error("the telemetry frame has no blank line between its headers and its message")]
    NoHeaderBlock,
    /// The type is none that this side of this channel receives.
    #[error("'{name}' is no message type of this channel")]
    UnknownType {
        /// The type's name, cut to a printable length.
        name: String,
    },
    /// The message lacks a member or one has the wrong form.
    #[error("{kind}: member '{member}': {cause}")]
    Member {
        /// The message type.
        kind: String,
        /// Path of the member, as `tasks[0].containers[1].cpu`; `.` is the message itself.
        member: String,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct EnvelopeRef<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a T,
}

/// The frame's type and its message, still encoded; an absent message counts as `{}`.
pub(crate) fn open(text: &str) -> Result<(String, &str), DecodeError> {
    if text.len() > MAX_FRAME_BYTES {
        return Err(DecodeError::TooLarge { size: text.len() });
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(DecodeError::Envelope)?;
    Ok((envelope.kind, envelope.message.map_or("{}", RawValue::get)))
}

/// The message of type `kind` from its JSON.
pub(crate) fn read<T: DeserializeOwned>(kind: &str, json: &str) -> Result<T, DecodeError> {
    // Keeping the path costs as much as reading, and is wanted of wrong messages only.
    if let Ok(message) = serde_json::from_str(json) {
        return Ok(message);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| DecodeError::Member {
        kind: kind.to_owned(),
        member: error.path().to_string(),
        cause: error.into_inner(),
    })
}

/// The error for a type that the channel does not have.
pub(crate) fn unknown(kind: &str) -> DecodeError {
    DecodeError::UnknownType { name: kind.chars().take(MAX_QUOTED_CHARS).collect() }
}

/// The frame of a message.
pub(crate) fn write<T: Serialize>(kind: &str, message: &T) -> String {
    // Every message type has string keys only and no fallible serializer, so this cannot fail.
    serde_json::to_string(&EnvelopeRef { kind, message }).expect("messages are plain JSON data")
}

/// The body with which an upgrade is refused (HTTP 400) when the instance is gone: Amazon's agent
/// then waits an hour and keeps its tasks (agent-protocol §2.3).
pub fn inactive_instance_body(reason: &str) -> String {
    serde_json::json!({ "type": NAME_OF_INACTIVE, "message": { "message": reason } }).to_string()
}

/// Makes the enum of one direction of one channel, with `decode`, `encode` and `kind`.
macro_rules! channel {
    (
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident($type:ty) = $kind:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($type),)+
        }

        impl $name {
            /// The message in one text frame.
            pub fn decode(text: &str) -> Result<Self, $crate::DecodeError> {
                let (kind, json) = $crate::frame::open(text)?;
                match kind.as_str() {
                    $($kind => Ok(Self::$variant($crate::frame::read($kind, json)?)),)+
                    other => Err($crate::frame::unknown(other)),
                }
            }

            /// The text frame of this message.
            pub fn encode(&self) -> String {
                match self {
                    $(Self::$variant(message) => $crate::frame::write($kind, message),)+
                }
            }

            /// The message type's name on the wire.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)+
                }
            }
        }

        $(impl From<$type> for $name {
            fn from(message: $type) -> Self {
                Self::$variant(message)
            }
        })+
    };
}
pub(crate) use channel;
