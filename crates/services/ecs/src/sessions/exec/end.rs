//! One end's socket: what it sends goes to the other end, what the other end sends goes to it.

use std::time::Duration;

use agent_protocol::exec::{ChannelClosed, Frame, Kind, kind_of, payload};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use terms::{Clock, IdSource, Uuid};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// The largest frame that is read; messages of streams have 1 KiB, those of our own ends 16.
const FRAME_BYTES_MAX: usize = 256 * 1024;

/// How long an end may take to read one frame; its client may have been stopped for a while.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often an end is told that the connection lives: both sides give up one that is silent.
const PING_PERIOD: Duration = Duration::from_secs(45);

/// A websocket after its upgrade.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The server's side of a connection whose upgrade was answered with 101.
pub(super) async fn socket(io: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX))
        .read_buffer_size(32 * 1024)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * FRAME_BYTES_MAX);
    WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await
}

/// The reading half of an end.
pub(super) struct Reader(SplitStream<Socket>);

impl Reader {
    /// The next frame's bytes, of whatever kind it is: the plugin takes both for the same. None
    /// once the connection is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.0.next().await? {
                Ok(Message::Binary(bytes)) => return Some(bytes),
                Ok(Message::Text(text)) => return Some(text.into()),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
            }
        }
    }
}

/// The writing half of an end.
pub(super) struct Writer(SplitSink<Socket, Message>);

/// Both halves.
pub(super) fn split(socket: Socket) -> (Writer, Reader) {
    let (sink, stream) = socket.split();
    (Writer(sink), Reader(stream))
}

impl Writer {
    /// Writes what the outbox holds until it ends, or nobody reads.
    pub(super) async fn empty(&mut self, outbox: &mut mpsc::Receiver<Bytes>) {
        let mut pings = tokio::time::interval(PING_PERIOD);
        pings.reset();
        loop {
            let message = tokio::select! {
                biased;
                frame = outbox.recv() => match frame {
                    Some(frame) => Message::Binary(frame),
                    None => return,
                },
                _ = pings.tick() => Message::Ping(Bytes::new()),
            };
            if !matches!(timeout(SEND_TIMEOUT, self.0.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Closes, with a reason for people.
    pub(super) async fn close(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let _ = timeout(CLOSE_TIMEOUT, self.0.send(Message::Close(Some(frame)))).await;
    }
}

/// What makes the server's own messages.
#[derive(Clone, Copy)]
pub(super) struct Author<'a> {
    /// Their time.
    pub(super) clock: &'a dyn Clock,
    /// Their ids.
    pub(super) ids: &'a dyn IdSource,
}

impl Author<'_> {
    /// A message without a payload.
    pub(super) fn service(self, kind: Kind) -> Bytes {
        self.frame(kind, Bytes::new())
    }

    /// The end of a session, and why.
    pub(super) fn closed(self, session: &str, why: &str) -> Bytes {
        let closed = ChannelClosed {
            message_id: Uuid::from_random(self.ids.next()).to_string(),
            created_date: self.clock.now().to_string(),
            destination_id: session.to_owned(),
            session_id: session.to_owned(),
            message_type: Kind::ChannelClosed.as_str().to_owned(),
            schema_version: 1,
            output: why.to_owned(),
        };
        let json = serde_json::to_vec(&closed).unwrap_or_default();
        self.frame(Kind::ChannelClosed, json.into())
    }

    fn frame(self, kind: Kind, payload: Bytes) -> Bytes {
        let created_ms = u64::try_from(self.clock.now().millis()).unwrap_or(1);
        let id = self.ids.next();
        Frame { kind, created_ms, sequence: 0, flags: 3, id, payload_type: payload::NONE, payload }
            .encode()
    }
}

/// A frame's type; none if it is no message of the channel.
pub(super) fn kind(frame: &Bytes) -> Option<Kind> {
    kind_of(frame).ok()
}
