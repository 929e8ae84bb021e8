//! One binary message of the data channel (agent-protocol §7.3).

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// Bytes before the payload: the header, and the payload's length.
pub const HEADER_BYTES: usize = 120;

/// What a header says of its own length: the payload's length does not count.
const HEADER_LENGTH: u32 = 116;

const KIND: std::ops::Range<usize> = 4..36;
const SCHEMA_VERSION: u32 = 1;

/// What a payload is.
pub mod payload {
    /// None: acknowledgements and the service's own messages.
    pub const NONE: u32 = 0;
    /// Bytes of a stream: input one way, output the other.
    pub const OUTPUT: u32 = 1;
    /// The terminal's size.
    pub const SIZE: u32 = 3;
    /// What the agent asks of the client.
    pub const HANDSHAKE_REQUEST: u32 = 5;
    /// What the client answers.
    pub const HANDSHAKE_RESPONSE: u32 = 6;
    /// The session begins.
    pub const HANDSHAKE_COMPLETE: u32 = 7;
    /// Four bytes: [`TERMINATE`] asks for the session's end.
    pub const FLAG: u32 = 10;
    /// The command's exit code in decimal: to our own client alone, the plugin would print it.
    pub const EXIT_CODE: u32 = 12;
    /// The [`FLAG`] that ends the session.
    pub const TERMINATE: u32 = 2;
}

/// A message's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// From the client.
    Input,
    /// From the agent.
    Output,
    /// Acknowledges one of the two.
    Acknowledge,
    /// The session is over.
    ChannelClosed,
    /// The client is there: output may come.
    StartPublication,
    /// The client has gone: output must wait.
    PausePublication,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Input,
        Self::Output,
        Self::Acknowledge,
        Self::ChannelClosed,
        Self::StartPublication,
        Self::PausePublication,
    ];

    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input_stream_data",
            Self::Output => "output_stream_data",
            Self::Acknowledge => "acknowledge",
            Self::ChannelClosed => "channel_closed",
            Self::StartPublication => "start_publication",
            Self::PausePublication => "pause_publication",
        }
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than a header has, or than it says.
    #[error("the frame has {0} bytes, fewer than its header says")]
    Short(usize),
    /// A type that the channel has not.
    #[error("'{0}' is no message type of the data channel")]
    Kind(String),
    /// The payload is not what its digest says.
    #[error("the payload's digest is wrong")]
    Digest,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: Kind,
    /// When it was made: milliseconds since the epoch, never 0.
    pub created_ms: u64,
    /// Its number among the stream messages of its direction.
    pub sequence: i64,
    /// Bit 0 begins, bit 1 ends a stream; acknowledgements have both.
    pub flags: u64,
    /// Its UUID.
    pub id: [u8; 16],
    /// What the payload is: [`payload`].
    pub payload_type: u32,
    /// The payload.
    pub payload: Bytes,
}

impl Frame {
    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_u32(HEADER_LENGTH);
        out.put_slice(&padded(self.kind));
        out.put_u32(SCHEMA_VERSION);
        out.put_u64(self.created_ms);
        out.put_i64(self.sequence);
        out.put_u64(self.flags);
        // The halves of the UUID are swapped (agent-protocol §7.3).
        out.put_slice(&self.id[8..]);
        out.put_slice(&self.id[..8]);
        out.put_slice(&Sha256::digest(&self.payload));
        out.put_u32(self.payload_type);
        out.put_u32(u32::try_from(self.payload.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// The message of these bytes.
    ///
    /// # Errors
    /// [`FrameError`]; never panics, whatever arrives.
    pub fn decode(bytes: &Bytes) -> Result<Self, FrameError> {
        let kind = kind_of(bytes)?;
        let short = || FrameError::Short(bytes.len());
        let header_length = u32::from_be_bytes(field(bytes, 0).ok_or_else(short)?);
        let start = usize::try_from(header_length).ok().and_then(|n| n.checked_add(4));
        let start = start.filter(|start| *start <= bytes.len()).ok_or_else(short)?;
        if bytes.len() < HEADER_BYTES {
            return Err(short());
        }
        let (payload, digest) = (bytes.slice(start..), &bytes[80..112]);
        // The service's own messages need not carry one.
        let is_checked = !matches!(kind, Kind::StartPublication | Kind::PausePublication);
        if is_checked && !payload.is_empty() && Sha256::digest(&payload).as_slice() != digest {
            return Err(FrameError::Digest);
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&bytes[72..80]);
        id[8..].copy_from_slice(&bytes[64..72]);
        Ok(Self {
            kind,
            created_ms: u64::from_be_bytes(field(bytes, 40).ok_or_else(short)?),
            sequence: i64::from_be_bytes(field(bytes, 48).ok_or_else(short)?),
            flags: u64::from_be_bytes(field(bytes, 56).ok_or_else(short)?),
            id,
            payload_type: u32::from_be_bytes(field(bytes, 112).ok_or_else(short)?),
            payload,
        })
    }
}

/// A message's type, without looking at the rest: what a relay needs to know.
///
/// # Errors
/// [`FrameError::Short`] and [`FrameError::Kind`].
pub fn kind_of(bytes: &[u8]) -> Result<Kind, FrameError> {
    let name = bytes.get(KIND).ok_or(FrameError::Short(bytes.len()))?;
    let text = String::from_utf8_lossy(name);
    let text = text.trim_matches(['\0', ' ']);
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| FrameError::Kind(text.to_owned()))
}

fn padded(kind: Kind) -> [u8; 32] {
    let mut name = [b' '; 32];
    let text = kind.as_str().as_bytes();
    name[..text.len()].copy_from_slice(text);
    name
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            kind: Kind::Output,
            created_ms: 1,
            sequence: 7,
            flags: 0,
            id: std::array::from_fn(|index| index as u8),
            payload_type: payload::OUTPUT,
            payload: Bytes::from_static(b"hello"),
        }
    }

    #[test]
    fn a_message_is_laid_out_as_the_plugin_reads_it() {
        let bytes = frame().encode();
        assert_eq!(bytes.len(), 125);
        assert_eq!(&bytes[..4], &[0, 0, 0, 116]);
        assert_eq!(&bytes[4..36], b"output_stream_data              ");
        assert_eq!(&bytes[64..80], &[8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(&bytes[112..120], &[0, 0, 0, 1, 0, 0, 0, 5]);
        assert_eq!(Frame::decode(&bytes).unwrap(), frame());
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let bytes = frame().encode();
        for length in 0..HEADER_BYTES {
            assert!(Frame::decode(&bytes.slice(..length)).is_err(), "{length} bytes");
        }
        let mut wrong = bytes.to_vec();
        wrong[121] ^= 1;
        assert_eq!(Frame::decode(&wrong.into()), Err(FrameError::Digest));
        let mut long = bytes.to_vec();
        long[0] = 0xff;
        assert!(matches!(Frame::decode(&long.into()), Err(FrameError::Short(_))));
        let mut odd = bytes.to_vec();
        odd[4] = b'x';
        assert!(matches!(Frame::decode(&odd.into()), Err(FrameError::Kind(_))));
    }
}
