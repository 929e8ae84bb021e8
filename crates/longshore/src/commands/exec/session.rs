//! The client's side of a session's data channel.

use std::time::Duration;

use agent_protocol::exec::{
    CLIENT_PATH, ChannelClosed, DataChannel, HandshakeRequest, HandshakeResponse, Message,
    OWN_CLIENT, OpenDataChannel, Received, Side, Size, Stamp, payload,
};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Value, json};
use terms::{Clock, IdSource, Uuid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use wire::client::Client;

use super::terminal;
use crate::clock::{RandomIds, SystemClock};

/// How long a lost session is tried to be resumed.
const RESUME_MAX: Duration = Duration::from_secs(60);
/// Between two tries.
const RESUME_EVERY: Duration = Duration::from_millis(250);
/// How long the server may take to answer an upgrade.
const UPGRADE_MAX: Duration = Duration::from_secs(10);
/// The most bytes of input in one message.
const INPUT_BYTES_MAX: usize = 16 * 1024;

type Socket = WebSocketStream<wire::tls::Stream>;

/// How a session ended.
pub(super) struct Ended {
    /// The command's exit code.
    pub(super) code: u8,
    /// What the server or the agent says of it, if it was no ordinary end.
    pub(super) why: String,
}

/// How a connection ended.
enum Left {
    Lost,
    Over(Ended),
}

/// A session.
pub(super) struct Session {
    client: Client,
    id: String,
    token: String,
    data: DataChannel,
    began: Instant,
    size: Option<Size>,
    code: Option<u8>,
    /// Whether the command can be written to.
    is_open: bool,
}

impl Session {
    pub(super) fn new(client: Client, id: &str, token: &str) -> Self {
        Self {
            client,
            id: id.to_owned(),
            token: token.to_owned(),
            data: DataChannel::new(Side::Client),
            began: Instant::now(),
            size: None,
            code: None,
            is_open: false,
        }
    }

    /// Runs the session to its end, over as many connections as it takes.
    pub(super) async fn run(mut self) -> Result<Ended> {
        let raw = terminal::Raw::take().context("taking the terminal")?;
        let mut input = Input { reads: terminal::input(), is_over: false };
        let ended = loop {
            let socket = self.connect().await?;
            match self.attached(socket, &mut input).await? {
                Left::Over(ended) => break ended,
                Left::Lost => self.resume().await?,
            }
        };
        drop(raw);
        Ok(ended)
    }

    async fn connect(&self) -> Result<Socket> {
        let base = self.client.endpoint();
        let base = base.strip_prefix("http").unwrap_or(base).trim_end_matches('/');
        let url = format!("ws{base}{CLIENT_PATH}/{}?role=publish_subscribe", self.id);
        let stream = self.client.dial().await.context("reaching the server")?;
        let upgraded = tokio_tungstenite::client_async(url, stream);
        let upgraded = tokio::time::timeout(UPGRADE_MAX, upgraded).await;
        let (mut socket, _) = upgraded.context("the server did not open the session")??;
        let uuid = || Uuid::from_random(RandomIds.next()).to_string();
        let open = OpenDataChannel {
            message_schema_version: "1.0".to_owned(),
            request_id: uuid(),
            token_value: self.token.clone(),
            client_id: uuid(),
            client_version: own_version(),
        };
        let open = serde_json::to_string(&open)?;
        socket.send(tungstenite::Message::text(open)).await.context("opening the session")?;
        Ok(socket)
    }

    /// Gets a new token after the connection was lost.
    async fn resume(&mut self) -> Result<()> {
        let since = Instant::now();
        loop {
            match self.ask_token().await {
                Ok(Some(token)) => {
                    self.token = token;
                    return Ok(());
                }
                Ok(None) => bail!("the session is over"),
                Err(error) if since.elapsed() >= RESUME_MAX => return Err(error),
                Err(_) => tokio::time::sleep(RESUME_EVERY).await,
            }
        }
    }

    async fn ask_token(&self) -> Result<Option<String>> {
        let content = HeaderValue::from_static("application/x-amz-json-1.1");
        let target = HeaderValue::from_static("AmazonSSM.ResumeSession");
        let headers = [
            (http::header::CONTENT_TYPE, content),
            (HeaderName::from_static("x-amz-target"), target),
        ];
        let body = Bytes::from(json!({ "SessionId": self.id }).to_string());
        let answer = self.client.send(Method::POST, "/", &headers, body, "ssm").await?;
        if !answer.status().is_success() {
            return Err(anyhow!("the server does not resume the session: {}", answer.status()));
        }
        let answer: Value = serde_json::from_slice(answer.body())?;
        Ok(answer["TokenValue"].as_str().map(str::to_owned))
    }

    async fn attached(&mut self, mut socket: Socket, input: &mut Input) -> Result<Left> {
        let mut resized = signal(SignalKind::window_change())?;
        for frame in self.data.resend_all(self.began.elapsed()) {
            if send(&mut socket, frame).await.is_none() {
                return Ok(Left::Lost);
            }
        }
        loop {
            let due = self.data.due().map_or_else(far, |after| self.began + after);
            let takes = self.is_open && self.data.has_room();
            let frames = tokio::select! {
                biased;
                came = socket.next() => match came {
                    Some(Ok(tungstenite::Message::Binary(frame))) => match self.receive(&frame)? {
                        Ok(frames) => frames,
                        Err(ended) => return Ok(Left::Over(ended)),
                    },
                    Some(Ok(tungstenite::Message::Close(close))) => {
                        let reason = close.as_ref().map(|close| close.reason.as_str());
                        match reason.filter(|reason| reason.contains("token")) {
                            Some(reason) => bail!("{reason}"),
                            None => return Ok(Left::Lost),
                        }
                    }
                    Some(Ok(_)) => Vec::new(),
                    Some(Err(_)) | None => return Ok(Left::Lost),
                },
                read = input.next(), if takes => self.write(&read),
                _ = resized.recv(), if self.is_open => self.resize(),
                () = tokio::time::sleep_until(due) => {
                    self.data.resend(self.began.elapsed()).into_iter().collect()
                }
            };
            for frame in frames {
                if send(&mut socket, frame).await.is_none() {
                    return Ok(Left::Lost);
                }
            }
        }
    }

    /// Takes in a frame: what is to be sent for it, or how the session ended.
    fn receive(&mut self, frame: &Bytes) -> Result<Result<Vec<Bytes>, Ended>> {
        let Ok(given) = self.data.receive(self.began.elapsed(), stamp(), frame, true) else {
            return Ok(Ok(Vec::new()));
        };
        let mut frames: Vec<Bytes> = given.answer.into_iter().collect();
        match given.received {
            Received::Messages(messages) => {
                for message in messages {
                    frames.extend(self.take(&message)?);
                }
            }
            Received::Closed(said) => {
                let why = serde_json::from_slice::<ChannelClosed>(&said);
                let why = why.map(|closed| closed.output).unwrap_or_default();
                return Ok(Err(Ended { code: self.code.unwrap_or_default(), why }));
            }
            Received::Started | Received::Paused => {}
        }
        Ok(Ok(frames))
    }

    fn take(&mut self, message: &Message) -> Result<Vec<Bytes>> {
        match message.kind {
            payload::OUTPUT => {
                terminal::print(&message.payload)?;
                Ok(Vec::new())
            }
            payload::HANDSHAKE_REQUEST => {
                let request: HandshakeRequest = serde_json::from_slice(&message.payload)?;
                let response = HandshakeResponse::success(&own_version(), &request);
                Ok(self.tell(payload::HANDSHAKE_RESPONSE, &response))
            }
            payload::HANDSHAKE_COMPLETE => {
                self.is_open = true;
                Ok(self.resize())
            }
            payload::EXIT_CODE => {
                let code = String::from_utf8_lossy(&message.payload).parse().ok();
                self.code = code;
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Tells the terminal's size, if it changed.
    fn resize(&mut self) -> Vec<Bytes> {
        let size = terminal::size();
        if self.size == Some(size) {
            return Vec::new();
        }
        self.size = Some(size);
        self.tell(payload::SIZE, &size)
    }

    fn write(&mut self, read: &Bytes) -> Vec<Bytes> {
        let parts = read.chunks(INPUT_BYTES_MAX).map(|part| read.slice_ref(part));
        let parts: Vec<Bytes> = parts.collect();
        parts.into_iter().flat_map(|part| self.frame(payload::OUTPUT, part)).collect()
    }

    fn tell<T: Serialize>(&mut self, kind: u32, what: &T) -> Vec<Bytes> {
        // Plain data, so this does not fail.
        let json = serde_json::to_vec(what).unwrap_or_default();
        self.frame(kind, json.into()).into_iter().collect()
    }

    fn frame(&mut self, kind: u32, bytes: Bytes) -> Option<Bytes> {
        self.data.send(self.began.elapsed(), stamp(), kind, bytes)
    }
}

/// What is typed.
struct Input {
    reads: tokio::sync::mpsc::Receiver<Bytes>,
    is_over: bool,
}

impl Input {
    async fn next(&mut self) -> Bytes {
        if !self.is_over {
            match self.reads.recv().await {
                Some(read) => return read,
                None => self.is_over = true,
            }
        }
        std::future::pending().await
    }
}

async fn send(socket: &mut Socket, frame: Bytes) -> Option<()> {
    socket.send(tungstenite::Message::Binary(frame)).await.ok()
}

fn stamp() -> Stamp {
    let created_ms = u64::try_from(SystemClock.now().millis()).unwrap_or(1);
    Stamp { created_ms, id: RandomIds.next() }
}

fn own_version() -> String {
    format!("{OWN_CLIENT}{}", env!("CARGO_PKG_VERSION"))
}

fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
