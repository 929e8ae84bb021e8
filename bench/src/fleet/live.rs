//! A fleet at work: what heartbeats, telemetry and state changes cost the server, and how RunTask
//! fares meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use super::herd::{Counts, Herd, Size, populate};
use super::steps::Steps;
use crate::longshore::{Longshore, Place, ecs};
use crate::memory::rss_kib;
use crate::process::Usage;
use crate::report::{Report, Sample, ms};

/// The goals.
const CORES_GOAL: f64 = 1.0;
const RSS_GOAL_MIB: f64 = 2048.0;
const RUN_TASK_GOAL_MS: f64 = 20.0;
/// Each task that ends is replaced by one that comes to run: two state changes.
const CHANGES_A_TASK: f64 = 2.0;
/// All agents are connected within this time; the tasks run within that time.
const CONNECT_LIMIT: Duration = Duration::from_secs(600);
const RUN_LIMIT: Duration = Duration::from_secs(1200);

/// Heartbeats, telemetry and state changes of 10,000 agents, and RunTask meanwhile
#[derive(Args, Debug)]
pub struct Live {
    /// Agents; as many as the descriptors of one server allow also keep a telemetry channel
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    agents: u32,
    /// Running tasks
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// State changes a second: half of them tasks that end, half tasks that come to run
    #[arg(long, default_value_t = 200.0)]
    changes: f64,
    /// Seconds of the measurement at rest, and of that with state changes
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Processes that the agents are spread over
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
}

impl Live {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("fleet: simulated agents over websockets, one server");
        let size = Size::new(self.agents, self.tasks, self.processes, true)?;
        let server = Longshore::start(place, "server", &[], None)?;
        let client = server.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let start = Instant::now();
        let mut herd = Herd::start(&server, size)?;
        let (control, telemetry) = (u64::from(size.agents), u64::from(size.telemetry));
        let counts = herd.wait(CONNECT_LIMIT, |counts| {
            counts.control == control && counts.telemetry == telemetry
        })?;
        let note = format!("{} with telemetry, {} refusals", size.telemetry, counts.refused);
        report.add("agents registered and connected", start.elapsed().as_secs_f64(), "s", note);
        report.add("server, resident, without tasks", rss_mib(&server)?, "MiB", "");
        let start = Instant::now();
        runtime.block_on(populate(&client, size.tasks))?;
        let tasks = u64::from(size.tasks);
        herd.wait(RUN_LIMIT, |counts| counts.reports >= tasks)?;
        let note = format!("{} of them", size.tasks);
        report.add(
            "tasks placed and reported as running",
            start.elapsed().as_secs_f64(),
            "s",
            note,
        );
        // Their health is new in the first round, and its changes are written.
        let settle = Duration::from_secs(self.seconds.min(45));
        std::thread::sleep(settle);
        self.rest(&server, &mut herd, &mut report)?;
        // The connections of the client before were closed while nobody looked at them.
        self.work(&server, &server.client()?, &mut herd, &runtime, &mut report)?;
        let rss = rss_mib(&server)?;
        report.target("server, resident", rss, RSS_GOAL_MIB, true, "MiB");
        Ok(report)
    }

    /// Heartbeats and telemetry alone.
    fn rest(&self, server: &Longshore, herd: &mut Herd, report: &mut Report) -> Result<()> {
        let (counts, usage) = (herd.counts()?, Usage::of(server.id())?);
        std::thread::sleep(Duration::from_secs(self.seconds));
        let (counts, used) = (herd.counts()?.since(&counts), Usage::of(server.id())?.since(&usage));
        report.add(
            "server's cores, heartbeats and telemetry alone",
            used.cores(),
            "cores",
            said(&counts, &used),
        );
        report.add("    written to its disk meanwhile", used.written_bytes as f64, "bytes", "");
        Ok(())
    }

    /// State changes and RunTask besides.
    fn work(
        &self,
        server: &Longshore,
        client: &Client,
        herd: &mut Herd,
        runtime: &tokio::runtime::Runtime,
        report: &mut Report,
    ) -> Result<()> {
        let rate = self.changes / CHANGES_A_TASK;
        herd.end_tasks(rate)?;
        let time = Duration::from_secs(self.seconds);
        let (before, usage) = (herd.counts()?, Usage::of(server.id())?);
        let loads: Vec<_> = herd.ids().into_iter().map(Usage::of).collect::<Result<_>>()?;
        let steps = runtime.block_on(Steps::of(client))?;
        let latency = runtime.block_on(run_tasks(client, rate, time))?;
        let (counts, used) = (herd.counts()?.since(&before), Usage::of(server.id())?.since(&usage));
        let mut load = 0.0;
        for (id, before) in herd.ids().into_iter().zip(&loads) {
            load += Usage::of(id)?.since(before).cores();
        }
        herd.end_tasks(0.0)?;
        let changes = counts.reports as f64 / used.seconds;
        report.add(
            "state changes meanwhile",
            changes,
            "/s",
            format!("of {} asked for", self.changes),
        );
        report.target("server's cores with state changes", used.cores(), CORES_GOAL, true, "cores");
        let note = format!("{}; the agents themselves took {load:.2} cores", said(&counts, &used));
        report.add("    what it was told", counts.frames as f64 / used.seconds, "/s", note);
        let note = format!(
            "p99 {:.1} ms, most {:.1} ms, of {}",
            ms(latency.quantile(0.99)),
            ms(latency.quantile(1.0)),
            latency.len(),
        );
        report.add("RunTask meanwhile, median", ms(latency.median()), "ms", note);
        let most = ms(latency.quantile(0.99));
        report.target("RunTask meanwhile, p99", most, RUN_TASK_GOAL_MS, true, "ms");
        runtime.block_on(Steps::of(client))?.tell(&steps, report);
        let after = herd.counts()?;
        ensure!(after.failed == 0, "agents failed: {after:?}");
        let broken = after.broken as f64;
        report.add("channels that broke", broken, "", after.errors.join("; "));
        Ok(())
    }
}

/// What the agents sent, in words.
fn said(counts: &Counts, used: &Usage) -> String {
    let per_second = |count: u64| count as f64 / used.seconds;
    format!(
        "{:.0} frames/s of telemetry, {:.1} MB/s, {:.0} heartbeats/s",
        per_second(counts.frames),
        per_second(counts.frame_bytes) / 1e6,
        per_second(counts.heartbeats),
    )
}

/// One RunTask of one task at a time of its own, whether those before were answered or not.
async fn run_tasks(client: &Client, rate: f64, time: Duration) -> Result<Sample> {
    let input = json!({
        "taskDefinition": "fleet", "count": 1, "startedBy": "bench",
        "placementStrategy": [{"type": "spread", "field": "instanceId"}],
    });
    let mut beat = tokio::time::interval(Duration::from_secs_f64(1.0 / rate.max(0.1)));
    let end = tokio::time::Instant::now() + time;
    let mut calls = tokio::task::JoinSet::new();
    loop {
        let due = beat.tick().await;
        if due >= end {
            break;
        }
        let (client, input) = (client.clone(), input.clone());
        calls.spawn(async move {
            let start = Instant::now();
            let answer: Value = ecs(&client, "RunTask", input).await?;
            ensure!(!answer["tasks"][0].is_null(), "RunTask placed nothing: {answer}");
            anyhow::Ok(start.elapsed())
        });
    }
    let mut latencies = Vec::new();
    while let Some(call) = calls.join_next().await {
        latencies.push(call??);
    }
    Ok(Sample::new(latencies))
}

/// Resident memory of the server in MiB.
pub fn rss_mib(server: &Longshore) -> Result<f64> {
    let kib = rss_kib(server.id()).context("the server's memory")?;
    Ok(kib as f64 / 1024.0)
}
