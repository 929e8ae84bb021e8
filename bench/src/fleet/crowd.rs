//! `longshore-bench agents`: a process of simulated agents. It does what its parent writes to its
//! standard input, tells counts on its standard output, and ends when its input does.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use parking_lot::Mutex;
use serde_json::{Value, json};
use wire::client::Client;

use super::agent::{Agent, retried};
use super::frames;
use crate::longshore::{client, read_credentials};

/// Connections that a process opens at a time.
const OPENING: usize = 16;
/// Registrations that a process has under way.
const REGISTERING: usize = 8;
/// Calls of the API that a process has under way, and so its connections for them.
const CALLS: usize = 32;
/// Kinds of errors that are told apart.
const ERRORS_MAX: usize = 32;

/// Simulated agents in one process (started by `fleet`, `million` and `coldstart`)
#[derive(Args, Debug)]
pub struct Agents {
    /// The server's port on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// A file with the key that they sign with
    #[arg(long)]
    credentials: PathBuf,
    /// The loopback address that their sockets come from
    #[arg(long)]
    source: Ipv4Addr,
    /// The number of the first
    #[arg(long)]
    first: u32,
    /// How many
    #[arg(long)]
    count: u32,
    /// How many of them also keep a telemetry channel
    #[arg(long)]
    telemetry: u32,
    /// MiB that each registers
    #[arg(long)]
    memory: u32,
}

/// What the agents of a process did.
#[derive(Default)]
pub struct Counts {
    /// Registered instances.
    pub registered: AtomicU64,
    /// Open control channels.
    pub control: AtomicU64,
    /// Open telemetry channels.
    pub telemetry: AtomicU64,
    /// Heartbeats answered.
    pub heartbeats: AtomicU64,
    /// Telemetry frames sent, and their bytes.
    pub frames: AtomicU64,
    pub frame_bytes: AtomicU64,
    /// Reports of states that were acknowledged.
    pub reports: AtomicU64,
    /// Refusals and breaks that were tried again.
    pub refused: AtomicU64,
    pub broken: AtomicU64,
    /// What went wrong for good.
    pub failed: AtomicU64,
}

/// What the agents of one process share.
pub struct Crowd {
    pub client: Client,
    pub port: u16,
    pub source: Ipv4Addr,
    pub memory_mib: u32,
    pub counts: Counts,
    pub opening: tokio::sync::Semaphore,
    pub calls: tokio::sync::Semaphore,
    errors: Mutex<BTreeMap<String, u64>>,
    dice: AtomicU64,
}

impl Crowd {
    /// Calls an operation, again if the server has too much to do.
    pub async fn retried(&self, operation: &str, input: Value) -> Result<Value> {
        retried(self, operation, input).await
    }

    /// Half to three halves of a wait.
    pub fn spread(&self, wait: Duration) -> Duration {
        wait / 2 + wait * (self.roll() % 1_000) as u32 / 1_000
    }

    /// The next of a fixed row of numbers that look random.
    fn roll(&self) -> u64 {
        let x = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// Notes a connection's end.
    pub fn note(&self, ended: Result<()>) {
        self.counts.broken.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = ended {
            self.remember(&error);
        }
    }

    /// Notes what is tried again.
    pub fn refused(&self, error: &anyhow::Error) {
        self.counts.refused.fetch_add(1, Ordering::Relaxed);
        self.remember(error);
    }

    /// Notes what is not tried again.
    pub fn failed(&self, error: &anyhow::Error) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        self.remember(error);
    }

    fn remember(&self, error: &anyhow::Error) {
        let mut errors = self.errors.lock();
        let text: String = format!("{error:#}").chars().take(200).collect();
        if errors.len() < ERRORS_MAX || errors.contains_key(&text) {
            *errors.entry(text).or_default() += 1;
        }
    }

    fn told(&self) -> Value {
        let Counts {
            registered,
            control,
            telemetry,
            heartbeats,
            frames,
            frame_bytes,
            reports,
            refused,
            broken,
            failed,
        } = &self.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "registered": of(registered), "control": of(control), "telemetry": of(telemetry),
            "heartbeats": of(heartbeats), "frames": of(frames), "frameBytes": of(frame_bytes),
            "reports": of(reports), "refused": of(refused), "broken": of(broken),
            "failed": of(failed), "errors": *self.errors.lock(),
        })
    }
}

impl Agents {
    /// Runs them until standard input ends.
    pub fn run(&self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> Result<()> {
        let client = client(self.port, read_credentials(&self.credentials)?)?;
        let crowd = Arc::new(Crowd {
            client,
            port: self.port,
            source: self.source,
            memory_mib: self.memory,
            counts: Counts::default(),
            opening: tokio::sync::Semaphore::new(OPENING),
            calls: tokio::sync::Semaphore::new(CALLS),
            errors: Mutex::default(),
            dice: AtomicU64::new(u64::from(self.first)),
        });
        let agents: Arc<Mutex<Vec<Arc<Agent>>>> = Arc::default();
        tokio::spawn(join(self.first, self.count, self.telemetry, crowd.clone(), agents.clone()));
        let mut ending: Option<tokio::task::JoinHandle<()>> = None;
        let mut orders = orders();
        while let Some(line) = orders.recv().await {
            match line.split_once(' ') {
                // So many tasks end by themselves each second, from now on.
                Some(("end", rate)) => {
                    if let Some(task) = ending.take() {
                        task.abort();
                    }
                    let rate: f64 = rate.parse().context("a rate")?;
                    let agents = agents.lock().clone();
                    ending = (rate > 0.0).then(|| tokio::spawn(end(agents, crowd.clone(), rate)));
                }
                _ => {
                    let mut out = std::io::stdout();
                    writeln!(out, "{}", crowd.told())?;
                    out.flush()?;
                }
            }
        }
        Ok(())
    }
}

/// The lines of standard input, until it ends.
fn orders() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Registers the agents, a few at a time, and lets each connect.
async fn join(
    first: u32,
    count: u32,
    telemetry: u32,
    crowd: Arc<Crowd>,
    agents: Arc<Mutex<Vec<Arc<Agent>>>>,
) {
    use futures_util::StreamExt;
    let each = |number: u32| {
        let (crowd, agents) = (crowd.clone(), agents.clone());
        async move {
            let agent = match Agent::register(&crowd, number).await {
                Ok(agent) => Arc::new(agent),
                Err(error) => return crowd.failed(&error),
            };
            crowd.counts.registered.fetch_add(1, Ordering::Relaxed);
            agents.lock().push(agent.clone());
            tokio::spawn(agent.clone().control(crowd.clone()));
            if number - first < telemetry {
                tokio::spawn(agent.telemetry(crowd));
            }
        }
    };
    let all = futures_util::stream::iter(first..first + count);
    all.map(each).buffer_unordered(REGISTERING).collect::<()>().await;
}

/// Lets tasks end at a rate, on one agent after the other.
async fn end(agents: Vec<Arc<Agent>>, crowd: Arc<Crowd>, rate: f64) {
    if agents.is_empty() {
        return;
    }
    let mut beat = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    loop {
        beat.tick().await;
        let choice = crowd.roll() as usize;
        let agent = agents[choice % agents.len()].clone();
        if let Some(task) = agent.end_one(choice >> 32) {
            let crowd = crowd.clone();
            tokio::spawn(async move { agent.report(&crowd, frames::stopped(&task)).await });
        }
    }
}
