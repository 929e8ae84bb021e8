//! One simulated agent: registered, connected on both channels, with the messages and the rhythm
//! of Amazon's agent (agent-protocol §2 to §4), and no containers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::crowd::Crowd;
use super::frames;
use crate::longshore::ecs;

/// Time between two publications (agent-protocol §4).
const PERIOD: Duration = Duration::from_secs(20);
/// The wait before a refused or broken connection is tried again; the first, then twice as much
/// each time up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// Bytes that a socket reads at a time: thousands of sockets share the process.
const READ_BYTES: usize = 4 * 1024;
/// Reports of states that one agent has under way (agent-protocol §3).
const REPORTS: usize = 10;

type Socket = WebSocketStream<tokio::net::TcpStream>;

/// What an agent knows of itself.
pub struct Agent {
    /// Its number in the whole fleet.
    number: u32,
    /// Its ARN.
    instance: String,
    /// The tasks that it runs, by ARN.
    tasks: Mutex<Vec<Arc<str>>>,
    /// Whether there is something to say of its own health.
    checked: std::sync::atomic::AtomicBool,
    reports: tokio::sync::Semaphore,
}

impl Agent {
    /// Registers the instance.
    pub async fn register(crowd: &Crowd, number: u32) -> Result<Self> {
        let input = frames::registration(number, crowd.memory_mib);
        let answer = crowd.retried("RegisterContainerInstance", input).await?;
        let arn = &answer["containerInstance"]["containerInstanceArn"];
        let instance = arn.as_str().context("the registered instance has an ARN")?.to_owned();
        let reports = tokio::sync::Semaphore::new(REPORTS);
        Ok(Self { number, instance, tasks: Mutex::default(), checked: false.into(), reports })
    }

    /// Takes one of its tasks away, as if it had ended by itself.
    pub fn end_one(&self, choice: usize) -> Option<Arc<str>> {
        let mut tasks = self.tasks.lock();
        if tasks.is_empty() {
            return None;
        }
        let index = choice % tasks.len();
        Some(tasks.swap_remove(index))
    }

    /// Keeps the control channel until the process ends.
    pub async fn control(self: Arc<Self>, crowd: Arc<Crowd>) {
        let mut backoff = BACKOFF;
        loop {
            let path = format!(
                "/acs/ws?agentHash=bench&agentVersion=1.105.1&clusterArn=default\
                 &containerInstanceArn={}&dockerVersion=bench&protocolVersion=2&seqNum=1\
                 &sendCredentials=false",
                self.instance
            );
            match open(&crowd, &path).await {
                Ok(socket) => {
                    backoff = BACKOFF;
                    crowd.counts.control.fetch_add(1, Ordering::Relaxed);
                    let ended = self.serve_control(&crowd, socket).await;
                    crowd.counts.control.fetch_sub(1, Ordering::Relaxed);
                    crowd.note(ended);
                }
                Err(error) => crowd.refused(&error),
            }
            tokio::time::sleep(crowd.spread(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn serve_control(self: &Arc<Self>, crowd: &Arc<Crowd>, mut socket: Socket) -> Result<()> {
        while let Some(frame) = socket.next().await {
            let Message::Text(text) = frame? else { continue };
            let frame: Value = serde_json::from_str(&text)?;
            let id = &frame["message"]["messageId"];
            let kind = frame["type"].as_str().unwrap_or_default();
            let answer = match kind {
                "HeartbeatMessage" => {
                    crowd.counts.heartbeats.fetch_add(1, Ordering::Relaxed);
                    self.checked.store(true, Ordering::Relaxed);
                    json!({"type": "HeartbeatAckRequest", "message": {"messageId": id}})
                }
                "PayloadMessage" | "TaskManifestMessage" => json!({
                    "type": "AckRequest",
                    "message": {
                        "cluster": "default", "containerInstance": self.instance, "messageId": id,
                    },
                }),
                _ => continue,
            };
            socket.send(Message::text(answer.to_string())).await?;
            if kind == "PayloadMessage" {
                self.take(crowd, &frame["message"]["tasks"]);
            }
        }
        bail!("the server closed the control channel")
    }

    /// Takes tasks over and says that they run, or that they have stopped.
    fn take(self: &Arc<Self>, crowd: &Arc<Crowd>, tasks: &Value) {
        for task in tasks.as_array().into_iter().flatten() {
            let Some(arn) = task["arn"].as_str() else { continue };
            let arn: Arc<str> = arn.into();
            let runs = task["desiredStatus"] == "RUNNING";
            {
                let mut tasks = self.tasks.lock();
                tasks.retain(|known| *known != arn);
                if runs {
                    tasks.push(arn.clone());
                }
            }
            let report = if runs { frames::running(&arn) } else { frames::stopped(&arn) };
            let (agent, crowd) = (self.clone(), crowd.clone());
            tokio::spawn(async move { agent.report(&crowd, report).await });
        }
    }

    /// Reports a state, at most [`REPORTS`] at a time.
    pub async fn report(&self, crowd: &Crowd, report: Value) {
        let Ok(_permit) = self.reports.acquire().await else { return };
        match crowd.retried("SubmitTaskStateChange", report).await {
            Ok(_) => {
                crowd.counts.reports.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => crowd.failed(&error),
        }
    }

    /// Keeps the telemetry channel until the process ends.
    pub async fn telemetry(self: Arc<Self>, crowd: Arc<Crowd>) {
        let path = format!(
            "/tcs/ws?agentHash=bench&agentVersion=1.105.1&cluster=default&containerInstance={}\
             &dockerVersion=bench",
            self.instance
        );
        let mut backoff = BACKOFF;
        loop {
            match open(&crowd, &path).await {
                Ok(socket) => {
                    backoff = BACKOFF;
                    crowd.counts.telemetry.fetch_add(1, Ordering::Relaxed);
                    let ended = self.serve_telemetry(&crowd, socket).await;
                    crowd.counts.telemetry.fetch_sub(1, Ordering::Relaxed);
                    crowd.note(ended);
                }
                Err(error) => crowd.refused(&error),
            }
            tokio::time::sleep(crowd.spread(backoff)).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn serve_telemetry(&self, crowd: &Crowd, mut socket: Socket) -> Result<()> {
        // Agents do not start together, so neither do their rounds.
        let phase = PERIOD * (self.number % 1_000) / 1_000;
        let mut rounds = tokio::time::interval_at(Instant::now() + phase, PERIOD);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                frame = socket.next() => match frame {
                    Some(frame) => { frame?; }
                    None => bail!("the server closed the telemetry channel"),
                },
                _ = rounds.tick() => {
                    let tasks = self.tasks.lock().clone();
                    let is_checked = self.checked.swap(false, Ordering::Relaxed);
                    for frame in frames::round(&self.instance, &tasks, is_checked) {
                        let bytes = frame.len() as u64;
                        socket.send(Message::text(frame)).await?;
                        crowd.counts.frames.fetch_add(1, Ordering::Relaxed);
                        crowd.counts.frame_bytes.fetch_add(bytes, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

/// Opens a channel from the crowd's own loopback address.
async fn open(crowd: &Crowd, path: &str) -> Result<Socket> {
    let _permit = crowd.opening.acquire().await?;
    let headers = [
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (UPGRADE, HeaderValue::from_static("websocket")),
        (HeaderName::from_static("sec-websocket-version"), HeaderValue::from_static("13")),
        (
            HeaderName::from_static("sec-websocket-key"),
            HeaderValue::from_static("bG9uZ3Nob3JlLWJlbmNoIQ=="),
        ),
    ];
    let client = &crowd.client;
    let mut request = client.request(Method::GET, path, &headers, Default::default(), "ecs")?;
    *request.uri_mut() = format!("ws://127.0.0.1:{}{path}", crowd.port).parse()?;
    let socket = TcpSocket::new_v4()?;
    // Without a port of its own: the system then may use one port for several addresses.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::IpBindAddressNoPort, &true)?;
    socket.bind((crowd.source, 0).into())?;
    let stream = socket.connect(([127, 0, 0, 1], crowd.port).into()).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES).write_buffer_size(0);
    let opened = client_async_with_config(request.map(|_| ()), stream, Some(config));
    let (socket, _) = opened.await.context("opening a channel")?;
    Ok(socket)
}

/// Calls an operation from the crowd, and again when the server says that it has too much to do.
pub async fn retried(crowd: &Crowd, operation: &str, input: Value) -> Result<Value> {
    let mut backoff = BACKOFF;
    for _ in 0..20 {
        let permit = crowd.calls.acquire().await?;
        let answer = ecs(&crowd.client, operation, input.clone()).await;
        drop(permit);
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let cause = error.downcast_ref::<wire::client::ClientError>();
                ensure!(cause.is_some_and(wire::client::ClientError::is_transient), error);
                crowd.refused(&error);
            }
        }
        tokio::time::sleep(crowd.spread(backoff)).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    bail!("{operation} was refused twenty times")
}
