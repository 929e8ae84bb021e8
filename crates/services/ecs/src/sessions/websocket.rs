//! The server side of a websocket: the upgrade's answer, and [`Transport`] over a raw stream.
//!
//! Pings keep nothing alive here; liveness is the business of the protocols above
//! (agent-protocol §2.2: ping frames do not count as activity).

use std::time::Duration;

use agent_protocol::MAX_FRAME_BYTES;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use wire::Body;

use super::pace::{Flood, Pace};
use super::transport::{Close, Gone, Received, Transport};

/// The most bytes that wait for a peer that reads slowly; one payload is far below it.
const OUTGOING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes that a socket reads at a time. Each socket keeps this much for itself, and a server has
/// tens of thousands; a larger frame gets what it needs.
const READ_BYTES: usize = 4 * 1024;

/// How long one message may wait for a slow peer before the connection is given up.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long we wait for the peer's half of the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A close frame's reason holds at most this many bytes (RFC 6455 §5.5).
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// Why a request is no websocket upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoUpgrade {
    /// Not `Upgrade: websocket` with `Connection: Upgrade`.
    #[error("this path answers websocket upgrades only (Connection: Upgrade, Upgrade: websocket)")]
    NotWebsocket,
    /// Another version than 13.
    #[error("only websocket version 13 is spoken here (Sec-WebSocket-Version)")]
    Version,
    /// No key to answer to.
    #[error("the header Sec-WebSocket-Key is missing")]
    Key,
}

/// The 101 answer to a websocket upgrade (RFC 6455 §4.2.2), without subprotocol or extensions.
///
/// # Errors
/// [`NoUpgrade`] if the headers ask for none; answer HTTP 400 then.
pub(crate) fn accept(headers: &HeaderMap) -> Result<Response<Body>, NoUpgrade> {
    let has = |name: header::HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    if !has(header::UPGRADE, "websocket") || !has(header::CONNECTION, "upgrade") {
        return Err(NoUpgrade::NotWebsocket);
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(NoUpgrade::Version);
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or(NoUpgrade::Key)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
    let answer = answer.map_err(|_| NoUpgrade::Key)?;
    let headers = response.headers_mut();
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, answer);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}

/// How messages of one protocol are read from and written to text frames.
pub(crate) trait Framing: Send + 'static {
    /// What the peer sends.
    type In: Send;
    /// What we send.
    type Out: Send;

    /// Whether frames are read at a bounded pace. Not so for a stream whose reader sets the pace.
    const IS_PACED: bool = true;

    /// Reads a frame's text.
    ///
    /// # Errors
    /// Why it is no message that we know; the frame is skipped then.
    fn decode(text: &str) -> Result<Self::In, String>;

    /// Writes a message as a frame's text.
    fn encode(message: &Self::Out) -> String;
}

/// A websocket after its upgrade, speaking the messages of one protocol.
pub(crate) struct Socket<S, F> {
    stream: WebSocketStream<S>,
    pace: Pace,
    framing: std::marker::PhantomData<fn() -> F>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, F: Framing> Socket<S, F> {
    /// The server's side of a connection whose upgrade was answered with 101.
    pub(crate) async fn server(io: S) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES))
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(OUTGOING_BYTES_MAX);
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        Self { stream, pace: Pace::new(), framing: std::marker::PhantomData }
    }

    /// Waits until the next frame may be read; `None` for a peer that floods.
    async fn keep_pace(&mut self) -> Option<()> {
        if !F::IS_PACED {
            return Some(());
        }
        match self.pace.wait(Instant::now()) {
            Ok(Duration::ZERO) => {}
            Ok(wait) => {
                tokio::time::sleep(wait).await;
                self.pace.waited(wait);
            }
            Err(Flood) => {
                tracing::warn!("an agent floods its websocket; the connection is closed");
                self.close(Close::policy("too many frames")).await;
                return None;
            }
        }
        Some(())
    }

    /// The next frame with data; `None` once the connection is over.
    async fn next_data(&mut self) -> Option<Result<Utf8Bytes, String>> {
        loop {
            self.keep_pace().await?;
            let next = self.stream.next().await?;
            if let Ok(message) = &next {
                self.pace.read(message.len());
            }
            match next {
                Ok(Message::Text(text)) => return Some(Ok(text)),
                Ok(Message::Binary(bytes)) => return Some(text_of(bytes)),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => {
                    // The answer to the peer's close frame is queued; push it out.
                    let _ = timeout(CLOSE_TIMEOUT, self.stream.flush()).await;
                    return None;
                }
                Err(error) => {
                    tracing::debug!(%error, "websocket broke");
                    return None;
                }
            }
        }
    }
}

fn text_of(bytes: Bytes) -> Result<Utf8Bytes, String> {
    Utf8Bytes::try_from(bytes).map_err(|_| "a binary frame that is no UTF-8".to_owned())
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, F: Framing> Transport for Socket<S, F> {
    type In = F::In;
    type Out = F::Out;

    async fn receive(&mut self) -> Received<F::In> {
        match self.next_data().await {
            None => Received::Closed,
            Some(Err(why)) => Received::Undecodable(why),
            Some(Ok(text)) => match F::decode(&text) {
                Ok(message) => Received::Message(message),
                Err(why) => Received::Undecodable(why),
            },
        }
    }

    async fn send(&mut self, message: F::Out) -> Result<(), Gone> {
        let frame = Message::text(F::encode(&message));
        match timeout(SEND_TIMEOUT, self.stream.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }

    async fn close(&mut self, close: Close) {
        let reason = cut(&close.reason, CLOSE_REASON_BYTES_MAX).to_owned();
        let frame = CloseFrame { code: CloseCode::from(close.code), reason: reason.into() };
        // What the peer still sends is read away: closing over unread bytes resets the
        // connection, and the agent would take that for an error.
        let farewell = async {
            self.stream.close(Some(frame)).await.ok()?;
            while self.stream.next().await?.is_ok() {}
            Some(())
        };
        let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    }
}

/// The longest prefix of at most `max` bytes that ends between two characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max.min(text.len()))]
}
