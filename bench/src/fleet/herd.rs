//! The processes of agents, and the tasks that are given to them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use wire::client::Client;

use super::frames;
use crate::longshore::{Longshore, ecs};

/// How often counts are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Tasks that one RunTask asks for.
const TASKS_PER_CALL: u32 = 10;
/// RunTask calls under way while the tasks are made.
const CALLERS: usize = 16;
/// Descriptors that a server needs besides agents' channels.
const OTHER_DESCRIPTORS: u64 = 250;

/// How large a fleet is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Agents.
    pub agents: u32,
    /// Those of them that keep a telemetry channel too.
    pub telemetry: u32,
    /// Tasks.
    pub tasks: u32,
    /// Processes that the agents are spread over.
    pub processes: u32,
}

/// MiB that a task of the fleet takes.
pub const TASK_MIB: u32 = 64;

impl Size {
    /// With as many telemetry channels as the server's descriptors allow.
    pub fn new(agents: u32, tasks: u32, processes: u32, with_telemetry: bool) -> Result<Self> {
        let limit = raise_descriptors()?;
        let channels = limit.saturating_sub(OTHER_DESCRIPTORS);
        ensure!(
            u64::from(agents) <= channels,
            "{agents} agents need more descriptors than the {limit} that a process may have; \
             raise the hard limit (ulimit -Hn)"
        );
        let left = u32::try_from(channels - u64::from(agents)).unwrap_or(u32::MAX);
        let telemetry = if with_telemetry { agents.min(left) } else { 0 };
        Ok(Self { agents, telemetry, tasks, processes: processes.min(agents) })
    }

    /// MiB that each instance has: half as much again as its share of the tasks.
    pub fn memory_mib(&self) -> u32 {
        (self.tasks.div_ceil(self.agents) * 3 / 2 + 2) * TASK_MIB
    }
}

/// Raises the soft limit of open files to the hard one, and gives it.
fn raise_descriptors() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The processes; they end when dropped.
pub struct Herd(Vec<One>);

struct One {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Herd {
    /// Starts the processes; their agents begin to register at once.
    pub fn start(server: &Longshore, size: Size) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own file")?;
        let share = |total: u32, index: u32| {
            total / size.processes + u32::from(index < total % size.processes)
        };
        let (mut herd, mut first) = (Self(Vec::new()), 0);
        for index in 0..size.processes {
            let count = share(size.agents, index);
            let mut command = Command::new(&program);
            command.arg("agents").arg("--credentials").arg(server.credentials_file());
            for (flag, value) in [
                ("--port", server.port.to_string()),
                ("--source", format!("127.0.0.{}", 2 + index)),
                ("--first", first.to_string()),
                ("--count", count.to_string()),
                ("--telemetry", share(size.telemetry, index).to_string()),
                ("--memory", size.memory_mib().to_string()),
            ] {
                command.arg(flag).arg(value);
            }
            first += count;
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let orders = child.stdin.take();
            let answers = BufReader::new(child.stdout.take().context("its output is piped")?);
            herd.0.push(One { child, orders, answers });
        }
        Ok(herd)
    }

    /// The sums of what the processes counted; `errors` are of all of them.
    pub fn counts(&mut self) -> Result<Counts> {
        let mut sums = Counts::default();
        for one in &mut self.0 {
            one.order("counts")?;
            let mut line = String::new();
            one.answers.read_line(&mut line)?;
            let told: Value = serde_json::from_str(&line).context("an agents' process ended")?;
            sums.add(&told);
        }
        Ok(sums)
    }

    /// Looks at the counts until they are as wanted.
    ///
    /// # Errors
    /// If that takes longer than `limit`, or something failed for good.
    pub fn wait(&mut self, limit: Duration, wanted: impl Fn(&Counts) -> bool) -> Result<Counts> {
        let end = Instant::now() + limit;
        loop {
            let counts = self.counts()?;
            ensure!(counts.failed == 0, "agents failed: {counts:?}");
            if wanted(&counts) {
                return Ok(counts);
            }
            ensure!(Instant::now() < end, "not so within {limit:?}: {counts:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// Lets so many tasks end by themselves each second.
    pub fn end_tasks(&mut self, rate: f64) -> Result<()> {
        let each = rate / self.0.len() as f64;
        self.0.iter_mut().try_for_each(|one| one.order(&format!("end {each}")))
    }

    /// The processes' ids.
    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(|one| one.child.id()).collect()
    }
}

impl One {
    fn order(&mut self, line: &str) -> Result<()> {
        let orders = self.orders.as_mut().context("orders are given until it is dropped")?;
        writeln!(orders, "{line}").context("an agents' process ended")
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        for one in &mut self.0 {
            // The end of its input is its end; what does not mind that is killed.
            drop(one.orders.take());
            let _ = one.child.kill();
            let _ = one.child.wait();
        }
    }
}

/// What all agents did.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Open control channels.
    pub control: u64,
    /// Open telemetry channels.
    pub telemetry: u64,
    /// Heartbeats answered.
    pub heartbeats: u64,
    /// Telemetry frames sent.
    pub frames: u64,
    /// Their bytes.
    pub frame_bytes: u64,
    /// Acknowledged reports.
    pub reports: u64,
    /// Refusals that were tried again.
    pub refused: u64,
    /// Connections that ended.
    pub broken: u64,
    /// What went wrong for good.
    pub failed: u64,
    /// Kinds of errors with how often they came.
    pub errors: Vec<String>,
}

impl Counts {
    /// What came since `before`; open channels and errors are those of now.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            heartbeats: self.heartbeats - before.heartbeats,
            frames: self.frames - before.frames,
            frame_bytes: self.frame_bytes - before.frame_bytes,
            reports: self.reports - before.reports,
            refused: self.refused - before.refused,
            broken: self.broken - before.broken,
            ..self.clone()
        }
    }

    fn add(&mut self, told: &Value) {
        let count = |name: &str| told[name].as_u64().unwrap_or_default();
        self.control += count("control");
        self.telemetry += count("telemetry");
        self.heartbeats += count("heartbeats");
        self.frames += count("frames");
        self.frame_bytes += count("frameBytes");
        self.reports += count("reports");
        self.refused += count("refused");
        self.broken += count("broken");
        self.failed += count("failed");
        let errors = told["errors"].as_object().into_iter().flatten();
        self.errors.extend(errors.map(|(text, times)| format!("{times} x {text}")));
    }
}

/// Runs `tasks` tasks, spread over the instances, by RunTask of ten.
pub async fn populate(client: &Client, tasks: u32) -> Result<()> {
    ecs(client, "RegisterTaskDefinition", frames::definition(TASK_MIB)).await?;
    let calls = tasks.div_ceil(TASKS_PER_CALL);
    let call = |number: u32| async move {
        let count = TASKS_PER_CALL.min(tasks - number * TASKS_PER_CALL);
        let input = json!({
            "taskDefinition": "fleet", "count": count, "startedBy": "bench",
            "placementStrategy": [{"type": "spread", "field": "instanceId"}],
        });
        loop {
            let answer = match ecs(client, "RunTask", input.clone()).await {
                Ok(answer) => answer,
                Err(error) => {
                    let cause = error.downcast_ref::<wire::client::ClientError>();
                    ensure!(cause.is_some_and(|cause| cause.is_transient()), error);
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
            };
            let placed = answer["tasks"].as_array().map_or(0, Vec::len);
            ensure!(placed == count as usize, "not all tasks were placed: {answer}");
            return anyhow::Ok(());
        }
    };
    stream::iter(0..calls).map(call).buffer_unordered(CALLERS).try_collect::<()>().await
}
