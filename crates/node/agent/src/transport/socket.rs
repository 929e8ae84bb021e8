//! Websockets: signed upgrades, text frames, close codes (agent-protocol §2.1 to §2.3).

use std::time::Duration;

use ::http::header::{
    CONNECTION, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use ::http::{Method, Request, StatusCode};
use agent_protocol::{MAX_FRAME_BYTES, NAME_OF_INACTIVE, acs, node, tcs};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use wire::client::Client;

use super::{Channel, Closed, ConnectError, Receiver, Sender};

/// A connection must be upgraded after this long.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(30);
/// A server's advice to wait is followed up to this long.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Without any data for this long the connection counts as lost (agent-protocol §2.3).
const READ_TIMEOUT: Duration = Duration::from_secs(180);
/// A frame must be taken by the network within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<wire::tls::Stream>;

/// The messages of one channel.
pub(super) trait Codec: Send + 'static {
    /// What we send.
    type Sent: Send + 'static;
    /// What we receive.
    type Received: Send + 'static;
    /// A frame of a message. `client` signs what needs signing.
    fn encode(message: &Self::Sent, client: &Client, path: &str) -> String;
    /// The message of a frame.
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError>;
    /// The frame of a message: text, but for channels of bytes.
    fn frame(message: &Self::Sent, client: &Client, path: &str) -> Message {
        Message::text(Self::encode(message, client, path))
    }
    /// The message of a frame of bytes; most channels have none.
    fn of_bytes(_bytes: Bytes) -> Option<Self::Received> {
        None
    }
}

/// ACS.
pub(super) struct Acs;
/// TCS: what we send begins with a block of signed headers.
pub(super) struct Tcs;
/// The node channel.
pub(super) struct Node;
/// One stream of output.
pub(super) struct Stream;
/// One session of ECS Exec: bytes both ways.
pub(super) struct Data;

impl Codec for Acs {
    type Sent = acs::AgentMessage;
    type Received = acs::ServerMessage;
    fn encode(message: &Self::Sent, _: &Client, _: &str) -> String {
        message.encode()
    }
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError> {
        acs::ServerMessage::decode(text)
    }
}

impl Codec for Tcs {
    type Sent = tcs::AgentMessage;
    type Received = tcs::ServerMessage;
    fn encode(message: &Self::Sent, client: &Client, path: &str) -> String {
        let json = message.encode();
        let body = Bytes::from(json.clone());
        let signed = client.request(Method::GET, path, &[], body, "ecs");
        let headers: Vec<_> = signed
            .iter()
            .flat_map(|request| request.headers())
            .filter_map(|(name, value)| Some((canonical(name.as_str())?, value.to_str().ok()?)))
            .collect();
        tcs::join(headers, &json)
    }
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError> {
        tcs::ServerMessage::decode(text)
    }
}

/// The header's name as Go writes it; `None` for those that Amazon's agent leaves out.
fn canonical(name: &str) -> Option<&'static str> {
    Some(match name {
        "authorization" => "Authorization",
        "host" => "Host",
        "x-amz-date" => "X-Amz-Date",
        "x-amz-security-token" => "X-Amz-Security-Token",
        _ => return None,
    })
}

impl Codec for Node {
    type Sent = node::AgentMessage;
    type Received = node::ServerMessage;
    fn encode(message: &Self::Sent, _: &Client, _: &str) -> String {
        message.encode()
    }
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError> {
        node::ServerMessage::decode(text)
    }
}

impl Codec for Stream {
    type Sent = node::StreamMessage;
    /// The server sends nothing on a stream.
    type Received = std::convert::Infallible;
    fn encode(message: &Self::Sent, _: &Client, _: &str) -> String {
        message.encode()
    }
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError> {
        Err(agent_protocol::DecodeError::UnknownType { name: text.chars().take(32).collect() })
    }
}

impl Codec for Data {
    type Sent = Bytes;
    type Received = Bytes;
    fn encode(_: &Self::Sent, _: &Client, _: &str) -> String {
        String::new()
    }
    fn decode(text: &str) -> Result<Self::Received, agent_protocol::DecodeError> {
        Ok(Bytes::copy_from_slice(text.as_bytes()))
    }
    fn frame(message: &Self::Sent, _: &Client, _: &str) -> Message {
        Message::Binary(message.clone())
    }
    fn of_bytes(bytes: Bytes) -> Option<Self::Received> {
        Some(bytes)
    }
}

/// Opens a channel at `path` (with its query) of the client's endpoint.
pub(super) async fn connect<C: Codec>(
    client: &Client,
    path: &str,
) -> Result<Channel<C::Sent, C::Received>, ConnectError> {
    let failed = |what: &dyn std::fmt::Display| ConnectError::Failed(what.to_string());
    let signed = client
        .request(Method::GET, path, &[], Bytes::new(), "ecs")
        .map_err(|error| failed(&error))?;
    let mut request: Request<()> = signed.map(drop);
    let upgrade = HeaderValue::from_static("websocket");
    let key = HeaderValue::from_str(&generate_key()).map_err(|error| failed(&error))?;
    let headers = request.headers_mut();
    headers.insert(UPGRADE, upgrade);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, key);
    let stream = client.dial().await;
    let stream = stream.map_err(|error| failed(&format!("cannot reach the server: {error}")))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    // The request line of an upgrade has a path only; the scheme must be a websocket's.
    let uri = request.uri().to_string();
    let uri = uri.strip_prefix("http").map(|rest| format!("ws{rest}")).unwrap_or(uri);
    *request.uri_mut() = uri.parse().map_err(|error| failed(&error))?;
    let upgraded = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
    let upgraded = tokio::time::timeout(UPGRADE_TIMEOUT, upgraded).await;
    let upgraded = upgraded.map_err(|_| failed(&"no upgrade within 30 seconds"))?;
    let (socket, _) = upgraded.map_err(|error| refused(&error))?;
    let (sink, stream) = socket.split();
    let path = path.to_owned();
    Ok(Channel {
        sender: Box::new(Writer::<C> { sink, client: client.clone(), path, codec: marker() }),
        receiver: Box::new(Reader::<C> { stream, codec: marker() }),
    })
}

fn marker<C>() -> std::marker::PhantomData<fn() -> C> {
    std::marker::PhantomData
}

fn refused(error: &Error) -> ConnectError {
    if let Error::Http(response) = error {
        let body = response.body().as_deref().unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(1024)]).into_owned();
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let text = format!("the server refused the upgrade: {} {body}", response.status());
        if body.contains(NAME_OF_INACTIVE) {
            return ConnectError::Inactive(text);
        }
        if let (StatusCode::SERVICE_UNAVAILABLE, Some(wait)) = (response.status(), wait) {
            return ConnectError::Busy { reason: text, wait: wait.min(WAIT_MAX) };
        }
        return ConnectError::Failed(text);
    }
    ConnectError::Failed(error.to_string())
}

struct Writer<C> {
    sink: SplitSink<Socket, Message>,
    client: Client,
    path: String,
    codec: std::marker::PhantomData<fn() -> C>,
}

#[async_trait]
impl<C: Codec> Sender<C::Sent> for Writer<C> {
    async fn send(&mut self, message: C::Sent) -> Result<(), Closed> {
        let frame = C::frame(&message, &self.client, &self.path);
        match tokio::time::timeout(WRITE_TIMEOUT, self.sink.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(closed_by(&error)),
            Err(_) => Err(Closed::Broken("a frame was not taken within 30 seconds".to_owned())),
        }
    }

    async fn close(&mut self, reason: &str) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: reason.to_owned().into() };
        let sent = self.sink.send(Message::Close(Some(frame)));
        _ = tokio::time::timeout(WRITE_TIMEOUT, sent).await;
    }
}

struct Reader<C> {
    stream: SplitStream<Socket>,
    codec: std::marker::PhantomData<fn() -> C>,
}

#[async_trait]
impl<C: Codec> Receiver<C::Received> for Reader<C> {
    async fn receive(&mut self) -> Result<C::Received, Closed> {
        loop {
            let next = tokio::time::timeout(READ_TIMEOUT, self.stream.next()).await;
            let Ok(next) = next else {
                return Err(Closed::Broken("nothing came for 180 seconds".to_owned()));
            };
            match next {
                // The other side went without a word: counts as a clean end (§2.3).
                None => return Err(Closed::Cleanly),
                Some(Err(error)) => return Err(closed_by(&error)),
                Some(Ok(Message::Text(text))) => match C::decode(&text) {
                    Ok(message) => return Ok(message),
                    Err(error) => tracing::warn!(%error, "a message was left out"),
                },
                Some(Ok(Message::Close(frame))) => return Err(closed_with(frame)),
                Some(Ok(Message::Binary(bytes))) => match C::of_bytes(bytes) {
                    Some(message) => return Ok(message),
                    None => tracing::warn!("a binary frame was left out"),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            }
        }
    }
}

fn closed_by(error: &Error) -> Closed {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Closed::Cleanly,
        Error::Protocol(
            tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        ) => Closed::Cleanly,
        error => Closed::Broken(error.to_string()),
    }
}

/// Codes 1000, 1001, 1006 and 1011 are a normal end; others are trouble (agent-protocol §2.3).
fn closed_with(frame: Option<CloseFrame>) -> Closed {
    let Some(frame) = frame else { return Closed::Cleanly };
    match u16::from(frame.code) {
        1000 | 1001 | 1006 | 1011 => Closed::Cleanly,
        _ if frame.reason.contains(NAME_OF_INACTIVE) => Closed::Inactive(frame.reason.to_string()),
        code => Closed::Broken(format!("the server closed with {code}: {}", frame.reason)),
    }
}

/// A sender that fails once the other side has gone: its reading half is watched beside.
pub(super) fn watched(
    channel: Channel<node::StreamMessage, std::convert::Infallible>,
) -> Box<dyn Sender<node::StreamMessage>> {
    let Channel { sender, mut receiver } = channel;
    let watch = tokio::spawn(async move {
        match receiver.receive().await {
            Ok(never) => match never {},
            Err(closed) => closed,
        }
    });
    Box::new(Watched { sender, watch })
}

struct Watched {
    sender: Box<dyn Sender<node::StreamMessage>>,
    watch: tokio::task::JoinHandle<Closed>,
}

#[async_trait]
impl Sender<node::StreamMessage> for Watched {
    async fn send(&mut self, message: node::StreamMessage) -> Result<(), Closed> {
        if self.watch.is_finished() {
            return Err(Closed::Cleanly);
        }
        self.sender.send(message).await
    }

    async fn close(&mut self, reason: &str) {
        self.sender.close(reason).await;
    }

    async fn gone(&mut self) {
        _ = (&mut self.watch).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
