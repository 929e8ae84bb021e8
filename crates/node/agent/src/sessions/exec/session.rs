//! One session: its life over several connections.

use std::sync::Arc;
use std::time::Duration;

use agent_protocol::exec::{
    ChannelClosed, DataChannel, Frame, HandshakeComplete, HandshakeRequest, HandshakeResponse,
    Kind, Message, OWN_CLIENT, Received, STREAM_BYTES_MAX, Side, Size, Stamp, payload,
};
use agent_protocol::node::OpenExec;
use bytes::{Buf, Bytes, BytesMut};
use runtime::{ContainerId, Terminal, TerminalSize};
use serde::Serialize;
use terms::Uuid;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::Context;
use super::super::backoff::Backoff;
use super::log;
use crate::transport::{Channel, Closed, ConnectError};

/// After so long without a keystroke or output a session ends (ECS semantics §19).
const IDLE_MAX: Duration = Duration::from_secs(20 * 60);
/// How long a session goes on without its client: the plugin gives up after half a minute.
const DETACHED_MAX: Duration = Duration::from_secs(5 * 60);
/// How long the command's start waits for the terminal's size: the plugin sends it at once.
const SIZE_WAIT: Duration = Duration::from_secs(1);
/// How long the command's start may take.
const START_MAX: Duration = Duration::from_secs(30);
/// How long the last output waits for its acknowledgements.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// How long the last of a session's log may take.
const LOG_MAX: Duration = Duration::from_secs(90);
/// Input that waits for the command to read it; more is left to come again.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// The most bytes in one message to a client of ours.
const OWN_STREAM_BYTES_MAX: usize = 16 * 1024;
/// A terminal whose client does not tell its size.
const SIZE_DEFAULT: TerminalSize = TerminalSize { columns: 80, rows: 24 };
/// What Amazon's agent says of an idle session.
const TIMED_OUT: &str = "Your session timed out due to inactivity.";
/// What the client is told when the agent ends: its commands end with it (decision 0083).
const AGENT_ENDS: &str = "The agent that held the session was stopped or replaced.";
/// By this the server says, when it refuses, that a session is over.
const OVER: &str = "ResourceNotFoundException";

type Data = Channel<Bytes, Bytes>;

/// Where a session is.
enum Stage {
    /// The client has not answered yet.
    Handshake,
    /// The command starts with the terminal's size, or at this time.
    Sizing(Instant),
    /// The command runs.
    Running(Arc<dyn Terminal>),
    /// It has ended: since when, and what the client is told besides.
    Ending(Instant, String),
}

/// How a connection ended.
enum Left {
    /// The session goes on.
    Lost,
    /// The session is over.
    Over,
}

/// One session.
pub(super) struct Session {
    context: Arc<Context>,
    open: OpenExec,
    container: ContainerId,
    words: Vec<String>,
    data: DataChannel,
    stage: Stage,
    began: Instant,
    active: Instant,
    /// Since when nobody is there; none while the client is.
    detached: Option<Instant>,
    size: TerminalSize,
    /// Input that the command has not taken.
    input: BytesMut,
    is_own_client: bool,
    has_asked: bool,
    /// Whether the end was told on the present connection.
    has_told: bool,
    log: Option<(mpsc::Sender<Bytes>, JoinHandle<()>)>,
}

impl Session {
    /// A session whose command has not begun.
    pub(super) fn new(
        context: Arc<Context>,
        open: OpenExec,
        container: ContainerId,
        words: Vec<String>,
    ) -> Self {
        let now = Instant::now();
        Self {
            context,
            open,
            container,
            words,
            data: DataChannel::new(Side::Agent),
            stage: Stage::Handshake,
            began: now,
            active: now,
            detached: Some(now),
            size: SIZE_DEFAULT,
            input: BytesMut::new(),
            is_own_client: false,
            has_asked: false,
            has_told: false,
            log: None,
        }
    }

    /// Lives the session; `wake` lets it connect again without waiting.
    pub(super) async fn run(mut self, wake: &Notify) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5), 2.0);
        while self.detached.is_none_or(|since| since.elapsed() < DETACHED_MAX) {
            match self.context.transport.exec(&self.open.session_id).await {
                Ok(channel) => {
                    backoff.reset();
                    self.has_told = false;
                    if let Left::Over = self.attached(channel).await {
                        break;
                    }
                    self.detached.get_or_insert_with(Instant::now);
                }
                Err(ConnectError::Inactive(_)) => break,
                Err(ConnectError::Failed(error)) if error.contains(OVER) => break,
                Err(error) => {
                    tracing::debug!(%error, session = self.open.session_id, "a session waits");
                }
            }
            let wait = backoff.next(&*self.context.ids);
            tokio::select! {
                biased;
                () = self.context.shutdown.cancelled() => break,
                () = wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        // The terminal hangs up.
        self.stage = Stage::Ending(Instant::now(), String::new());
        if let Some((sender, writing)) = self.log.take() {
            drop(sender);
            _ = tokio::time::timeout(LOG_MAX, writing).await;
        }
    }

    async fn attached(&mut self, mut channel: Data) -> Left {
        let context = Arc::clone(&self.context);
        loop {
            let terminal = match &self.stage {
                Stage::Running(terminal) => Some(Arc::clone(terminal)),
                _ => None,
            };
            let log = self.log.as_ref().map(|(sender, _)| sender.clone());
            let reads = self.detached.is_none() && self.data.has_room();
            let due = self.due();
            let sent = tokio::select! {
                biased;
                () = context.shutdown.cancelled() => {
                    self.end(AGENT_ENDS);
                    // Who is not there hears it from the next agent.
                    _ = self.tell_end(&mut channel).await;
                    channel.sender.close("").await;
                    return Left::Over;
                }
                received = channel.receiver.receive() => match received {
                    Ok(frame) => self.receive(&mut channel, &frame).await,
                    Err(Closed::Inactive(_)) => return Left::Over,
                    Err(_) if self.has_told => return Left::Over,
                    Err(_) => return Left::Lost,
                },
                written = write(terminal.as_deref(), &self.input) => {
                    self.input.advance(written.min(self.input.len()));
                    Ok(())
                }
                read = read(terminal.as_deref(), log.as_ref()), if reads => {
                    self.print(&mut channel, read).await
                }
                () = tokio::time::sleep_until(due) => self.on_time(&mut channel).await,
            };
            let sent = match sent {
                Ok(()) => self.end_if_settled(&mut channel).await,
                gone => gone,
            };
            match sent {
                Ok(()) => {}
                Err(_) if self.has_told => return Left::Over,
                Err(_) => return Left::Lost,
            }
        }
    }

    /// When there is something to do although nothing comes.
    fn due(&self) -> Instant {
        let settled = match self.stage {
            // The server has closed by then, unless it is in trouble itself.
            Stage::Ending(..) if self.has_told => return Instant::now() + SETTLE_MAX,
            Stage::Ending(since, _) => since + SETTLE_MAX,
            Stage::Sizing(at) => at.min(self.over_at()),
            Stage::Handshake | Stage::Running(_) => self.over_at(),
        };
        self.data.due().map_or(settled, |after| settled.min(self.began + after))
    }

    /// When the session ends because nobody is there.
    fn over_at(&self) -> Instant {
        let idle = self.active + IDLE_MAX;
        self.detached.map_or(idle, |since| idle.min(since + DETACHED_MAX))
    }

    async fn on_time(&mut self, channel: &mut Data) -> Result<(), Closed> {
        if self.has_told {
            // The server has closed by now, unless it is in trouble itself.
            return Err(Closed::Cleanly);
        }
        if let Some(frame) = self.data.resend(self.began.elapsed()) {
            channel.sender.send(frame).await?;
        }
        if self.active.elapsed() >= IDLE_MAX {
            self.end(TIMED_OUT);
        }
        if self.detached.is_some_and(|since| since.elapsed() >= DETACHED_MAX) {
            self.end("Nobody was connected to the session for too long.");
        }
        if matches!(self.stage, Stage::Sizing(at) if at <= Instant::now()) {
            self.start().await;
        }
        Ok(())
    }

    async fn receive(&mut self, channel: &mut Data, frame: &Bytes) -> Result<(), Closed> {
        let takes = self.input.len() < INPUT_BYTES_MAX;
        let (now, stamp) = (self.began.elapsed(), self.stamp());
        let given = match self.data.receive(now, stamp, frame, takes) {
            Ok(given) => given,
            Err(error) => {
                tracing::debug!(%error, "a frame of a session was left out");
                return Ok(());
            }
        };
        if let Some(answer) = given.answer {
            channel.sender.send(answer).await?;
        }
        match given.received {
            Received::Messages(messages) => {
                for message in messages {
                    self.take(channel, message).await?;
                }
                Ok(())
            }
            Received::Paused => {
                self.detached.get_or_insert_with(Instant::now);
                Ok(())
            }
            Received::Started => self.began_again(channel).await,
            Received::Closed(_) => {
                // The server says that it is over: there is nobody to be told.
                self.has_told = true;
                self.end("");
                channel.sender.close("").await;
                Err(Closed::Cleanly)
            }
        }
    }

    /// The client is there, for the first time or again.
    async fn began_again(&mut self, channel: &mut Data) -> Result<(), Closed> {
        self.detached = None;
        self.has_told = false;
        // The server lets nothing through to the client before this, so that what comes after it
        // is all there is, in its order.
        channel.sender.send(self.service(Kind::StartPublication, Bytes::new())).await?;
        for frame in self.data.resend_all(self.began.elapsed()) {
            channel.sender.send(frame).await?;
        }
        if !self.has_asked {
            self.has_asked = true;
            let request = HandshakeRequest::terminal(&self.open.command);
            self.tell(channel, payload::HANDSHAKE_REQUEST, &request).await?;
        }
        Ok(())
    }

    async fn take(&mut self, channel: &mut Data, message: Message) -> Result<(), Closed> {
        match message.kind {
            payload::HANDSHAKE_RESPONSE => self.answered(channel, &message.payload).await,
            payload::SIZE => {
                if let Ok(size) = serde_json::from_slice::<Size>(&message.payload) {
                    self.resize(TerminalSize { columns: size.cols, rows: size.rows }).await;
                }
                Ok(())
            }
            payload::OUTPUT => {
                self.active = Instant::now();
                if matches!(self.stage, Stage::Sizing(_)) {
                    self.start().await;
                }
                if matches!(self.stage, Stage::Running(_)) {
                    self.input.extend_from_slice(&message.payload);
                }
                Ok(())
            }
            payload::FLAG if message.payload[..] == payload::TERMINATE.to_be_bytes() => {
                self.end("");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn answered(&mut self, channel: &mut Data, answer: &[u8]) -> Result<(), Closed> {
        if !matches!(self.stage, Stage::Handshake) {
            return Ok(());
        }
        let response = serde_json::from_slice::<HandshakeResponse>(answer).unwrap_or_default();
        if let Some(failure) = response.failure() {
            self.end(&failure);
            return Ok(());
        }
        self.is_own_client = response.client_version.starts_with(OWN_CLIENT);
        let took = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let complete = HandshakeComplete { handshake_time_to_complete: took, ..Default::default() };
        self.stage = Stage::Sizing(Instant::now() + SIZE_WAIT);
        self.tell(channel, payload::HANDSHAKE_COMPLETE, &complete).await
    }

    async fn resize(&mut self, size: TerminalSize) {
        self.size = size;
        match &self.stage {
            Stage::Sizing(_) => self.start().await,
            Stage::Running(terminal) => {
                if let Err(error) = terminal.resize(size) {
                    tracing::debug!(%error, "a terminal was not resized");
                }
            }
            Stage::Handshake | Stage::Ending(..) => {}
        }
    }

    /// Starts the command.
    async fn start(&mut self) {
        let (containers, words) = (&self.context.containers, self.words.clone());
        let opening = containers.open_terminal(&self.container, words, self.size);
        match tokio::time::timeout(START_MAX, opening).await {
            Ok(Ok(terminal)) => {
                self.log = log::begin(&self.context, &self.open);
                self.stage = Stage::Running(Arc::from(terminal));
            }
            Ok(Err(error)) => self.end(&terms::with_causes(&error)),
            Err(_) => self.end("The command did not start in time."),
        }
    }

    /// Sends on what the command wrote; nothing is its end.
    async fn print(&mut self, channel: &mut Data, read: Bytes) -> Result<(), Closed> {
        if read.is_empty() {
            let Stage::Running(terminal) = &self.stage else { return Ok(()) };
            let code = terminal.exit().await;
            self.end("");
            if self.is_own_client {
                let code = Bytes::from(code.to_string());
                return self.send(channel, payload::EXIT_CODE, code).await;
            }
            return Ok(());
        }
        self.active = Instant::now();
        let most = if self.is_own_client { OWN_STREAM_BYTES_MAX } else { STREAM_BYTES_MAX };
        let mut rest = read;
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(most));
            self.send(channel, payload::OUTPUT, part).await?;
        }
        Ok(())
    }

    /// Ends the session, once the client has all that was sent; `words` say why.
    fn end(&mut self, words: &str) {
        if !matches!(self.stage, Stage::Ending(..)) {
            self.stage = Stage::Ending(Instant::now(), words.to_owned());
        }
    }

    async fn end_if_settled(&mut self, channel: &mut Data) -> Result<(), Closed> {
        let Stage::Ending(since, _) = &self.stage else { return Ok(()) };
        let is_due = self.data.is_settled() || since.elapsed() >= SETTLE_MAX;
        if self.has_told || !is_due {
            return Ok(());
        }
        self.tell_end(channel).await
    }

    /// Tells the session's end, whatever the client has not acknowledged.
    async fn tell_end(&mut self, channel: &mut Data) -> Result<(), Closed> {
        let Stage::Ending(_, words) = &self.stage else { return Ok(()) };
        let id = self.open.session_id.clone();
        let closed = ChannelClosed {
            message_id: Uuid::from_random(self.context.ids.next()).to_string(),
            created_date: self.context.clock.now().to_string(),
            destination_id: id.clone(),
            session_id: id,
            message_type: Kind::ChannelClosed.as_str().to_owned(),
            schema_version: 1,
            output: words.clone(),
        };
        let words = serde_json::to_vec(&closed).unwrap_or_default();
        channel.sender.send(self.service(Kind::ChannelClosed, words.into())).await?;
        self.has_told = true;
        Ok(())
    }

    async fn tell<T: Serialize + Sync>(
        &mut self,
        channel: &mut Data,
        kind: u32,
        what: &T,
    ) -> Result<(), Closed> {
        let json = serde_json::to_vec(what).unwrap_or_default();
        self.send(channel, kind, json.into()).await
    }

    async fn send(&mut self, channel: &mut Data, kind: u32, bytes: Bytes) -> Result<(), Closed> {
        let (now, stamp) = (self.began.elapsed(), self.stamp());
        match self.data.send(now, stamp, kind, bytes) {
            Some(frame) => channel.sender.send(frame).await,
            None => Ok(()),
        }
    }

    /// A message that has no place in the sequence.
    fn service(&self, kind: Kind, payload: Bytes) -> Bytes {
        let Stamp { created_ms, id } = self.stamp();
        Frame { kind, created_ms, sequence: 0, flags: 3, id, payload_type: payload::NONE, payload }
            .encode()
    }

    fn stamp(&self) -> Stamp {
        let created_ms = u64::try_from(self.context.clock.now().millis()).unwrap_or(1);
        Stamp { created_ms, id: self.context.ids.next() }
    }
}

/// What the command wrote, as soon as a log has room for it too.
async fn read(terminal: Option<&dyn Terminal>, log: Option<&mpsc::Sender<Bytes>>) -> Bytes {
    let Some(terminal) = terminal else { return std::future::pending().await };
    let permit = match log {
        // A log that cannot be written is done without.
        Some(log) => log.reserve().await.ok(),
        None => None,
    };
    let read = terminal.read().await.unwrap_or_else(|error| {
        tracing::debug!(%error, "a terminal broke");
        Bytes::new()
    });
    if let Some(permit) = permit
        && !read.is_empty()
    {
        permit.send(read.clone());
    }
    read
}

/// Writes what the command has not taken yet, and says how much that was.
async fn write(terminal: Option<&dyn Terminal>, input: &[u8]) -> usize {
    let Some(terminal) = terminal.filter(|_| !input.is_empty()) else {
        return std::future::pending().await;
    };
    // One that has ended takes all.
    terminal.write(input).await.unwrap_or(input.len())
}
