//! Many services on one server: whether a change to one of them costs more among many, what many
//! cost at rest, and how soon a server that starts has looked at all of them. The agents are
//! simulated and say what agents say, but no telemetry: what many tasks' telemetry costs is
//! `fleet`'s to tell.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use wire::client::Client;

use crate::fleet::{Herd, Size, TASK_MIB};
use crate::longshore::{Longshore, Place, ecs};
use crate::process::Usage;
use crate::report::{Report, Sample, ms};

/// The goals; a ratio leaves room for the noise of two measurements.
const TIMES_GOAL: f64 = 1.25;
const IDLE_GOAL_CORES: f64 = 0.01;
const COLD_GOAL_S: f64 = 2.0;
/// What the server is told: tasks count as healthy as soon as they run.
const FLAGS: [&str; 2] = ["--settle-seconds", "0"];
/// All agents are connected within this time; all services are steady within that time.
const CONNECT_LIMIT: Duration = Duration::from_secs(300);
const STEADY_LIMIT: Duration = Duration::from_secs(1_800);
/// A change has its effect within this time.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);
/// Services that are made at a time.
const MAKERS: usize = 16;
/// Services that one DescribeServices tells of (its limit).
const DESCRIBED: usize = 10;
/// How often something is looked at.
const LOOK: Duration = Duration::from_millis(2);
const LOOK_AT_ALL: Duration = Duration::from_secs(1);
/// Changes that are not counted.
const WARM_UP: u32 = 20;
/// The time of the first round of the loop that keeps services, as the server's meters have it.
const COLD: &str = "longshore_ecs_loop_seconds_sum{name=\"services_first\"}";

/// One service changed among few and among many; many at rest, and after a start
#[derive(Args, Debug)]
pub struct ServicesScale {
    /// Services at first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    few: u32,
    /// Services at last
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    many: u32,
    /// Tasks of each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    tasks: u32,
    /// Container instances
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    agents: u32,
    /// Changes of each kind, each of another service
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    changes: u32,
    /// Seconds of rest that are measured
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Starts with all services there
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    starts: u16,
    /// Processes that the agents are spread over
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
}

/// What changes cost.
struct Cost {
    /// From UpdateService to the tasks being so.
    latency: Sample,
    /// The server's processor time for each, in milliseconds.
    processor_ms: f64,
}

impl ServicesScale {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("services-scale: simulated agents, one server");
        let data = tempfile::Builder::new().prefix("longshore-").tempdir_in(&place.work)?;
        let server = Longshore::start_in(place, "server", &FLAGS, None, data.path())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // Room for half as many again.
        let size = Size::new(self.agents, self.many * self.tasks, self.processes, false)?;
        let mut herd = Herd::start(&server, size)?;
        let agents = u64::from(size.agents);
        herd.wait(CONNECT_LIMIT, |counts| counts.control == agents)?;
        let client = server.client()?;
        runtime.block_on(ecs(&client, "RegisterTaskDefinition", definition()))?;
        runtime.block_on(self.make(&client, 0, self.few, &mut report))?;
        let few = self.changes(&server, &client, &runtime, self.few)?;
        self.tell(&mut report, self.few, &few);
        self.rest(&server, self.few, &mut report)?;
        runtime.block_on(self.make(&client, self.few, self.many, &mut report))?;
        let many = self.changes(&server, &client, &runtime, self.many)?;
        self.tell(&mut report, self.many, &many);
        let times = many.processor_ms / few.processor_ms;
        report.target("processor time of a change, times", times, TIMES_GOAL, true, "x");
        let times = ms(many.latency.median()) / ms(few.latency.median());
        report.target("a change until it is so, times", times, TIMES_GOAL, true, "x");
        let cores = self.rest(&server, self.many, &mut report)?;
        report.target("cores at rest", cores, IDLE_GOAL_CORES, true, "cores");
        let port = server.port;
        drop((client, server));
        self.start(place, data.path(), port, &runtime, &mut report)?;
        let counts = herd.counts()?;
        ensure!(counts.failed == 0, "agents failed: {counts:?}");
        Ok(report)
    }

    /// Makes services and waits until all tasks of all services run.
    async fn make(&self, client: &Client, from: u32, to: u32, report: &mut Report) -> Result<()> {
        let start = Instant::now();
        let create = |number: u32| async move {
            let input = json!({
                "serviceName": name(number), "taskDefinition": "scale",
                "desiredCount": self.tasks, "schedulingStrategy": "REPLICA",
            });
            patiently(client, "CreateService", input).await.map(drop)
        };
        let made = stream::iter(from..to).map(create).buffer_unordered(MAKERS);
        made.try_collect::<()>().await.context("making services")?;
        let numbers: Vec<u32> = (0..to).collect();
        let mut left: Vec<Vec<u32>> = numbers.chunks(DESCRIBED).map(<[u32]>::to_vec).collect();
        while let Some(numbers) = left.last() {
            if self.are_steady(client, numbers).await? {
                left.pop();
                continue;
            }
            ensure!(start.elapsed() < STEADY_LIMIT, "not all steady within {STEADY_LIMIT:?}");
            tokio::time::sleep(LOOK_AT_ALL).await;
        }
        let note = format!("{} new ones, {} tasks each", to - from, self.tasks);
        report.add(&format!("{to} services steady"), start.elapsed().as_secs_f64(), "s", note);
        Ok(())
    }

    async fn are_steady(&self, client: &Client, numbers: &[u32]) -> Result<bool> {
        let names: Vec<String> = numbers.iter().map(|number| name(*number)).collect();
        let answer = patiently(client, "DescribeServices", json!({"services": names})).await?;
        let services = answer["services"].as_array().context("services are told")?;
        ensure!(services.len() == numbers.len(), "services are missing: {answer}");
        Ok(services.iter().all(|service| is_so(service, u64::from(self.tasks))))
    }

    /// Scales services up by one, then down again.
    fn changes(
        &self,
        server: &Longshore,
        client: &Client,
        runtime: &tokio::runtime::Runtime,
        services: u32,
    ) -> Result<Cost> {
        let change = |number: u32| {
            // Each service up and then down, so that the next round finds it as it was.
            let desired = u64::from(self.tasks + u32::from(number.is_multiple_of(2)));
            // Spread over all of them.
            let service = u64::from(number / 2) * u64::from(services) * 2;
            let all = u64::from(self.changes.max(WARM_UP));
            runtime.block_on(scale(client, (service / all) as u32 % services, desired))
        };
        for number in 0..WARM_UP {
            change(number)?;
        }
        let before = Usage::of(server.id())?;
        let changes = self.changes / 2 * 2;
        let latencies = (0..changes).map(change).collect::<Result<Vec<_>>>()?;
        let used = Usage::of(server.id())?.since(&before);
        let processor_ms = used.processor_seconds * 1e3 / f64::from(changes);
        Ok(Cost { latency: Sample::new(latencies), processor_ms })
    }

    fn tell(&self, report: &mut Report, services: u32, cost: &Cost) {
        let title = format!("one task more or less, among {services}");
        report.add_sample(&title, &cost.latency);
        report.add("    the server's processor time", cost.processor_ms, "ms", "looks included");
    }

    /// The server's cores while nobody asks for anything.
    fn rest(&self, server: &Longshore, services: u32, report: &mut Report) -> Result<f64> {
        // What the changes left to be done.
        std::thread::sleep(Duration::from_secs(self.seconds.min(10)));
        let before = Usage::of(server.id())?;
        std::thread::sleep(Duration::from_secs(self.seconds));
        let used = Usage::of(server.id())?.since(&before);
        let title = format!("{services} services at rest");
        let note = format!("{} agents; {} bytes written", self.agents, used.written_bytes);
        report.add(&title, used.cores(), "cores", note);
        Ok(used.cores())
    }

    /// Starts servers on the same data, where the agents find them.
    fn start(
        &self,
        place: &Place,
        data: &Path,
        port: u16,
        runtime: &tokio::runtime::Runtime,
        report: &mut Report,
    ) -> Result<()> {
        let (mut ready, mut cold) = (Vec::new(), Vec::new());
        for _ in 0..self.starts {
            let server = Longshore::start_at(place, "server", &FLAGS, data, port)?;
            ready.push(server.ready_after);
            let client = server.client()?;
            cold.push(runtime.block_on(first_round(&client))?);
        }
        report.add_sample("start: exec to readyz", &Sample::new(ready));
        let cold = Sample::new(cold);
        report.add_sample("start: all services looked at, while agents come back", &cold);
        let seconds = cold.median().as_secs_f64();
        report.target("cold reconcile", seconds, COLD_GOAL_S, true, "s");
        Ok(())
    }
}

/// Scales a service; gives how long it took until it was so.
async fn scale(client: &Client, number: u32, desired: u64) -> Result<Duration> {
    let name = name(number);
    let start = Instant::now();
    ecs(client, "UpdateService", json!({"service": name, "desiredCount": desired})).await?;
    loop {
        let answer = ecs(client, "DescribeServices", json!({"services": [name]})).await?;
        if is_so(&answer["services"][0], desired) {
            return Ok(start.elapsed());
        }
        ensure!(start.elapsed() < CHANGE_LIMIT, "{name} has not {desired} tasks: {answer:#}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a service has so many tasks, all RUNNING, and a deployment that is COMPLETED.
fn is_so(service: &Value, desired: u64) -> bool {
    let deployments = service["deployments"].as_array().map_or(0, Vec::len);
    deployments == 1
        && service["deployments"][0]["rolloutState"] == "COMPLETED"
        && service["desiredCount"] == desired
        && service["runningCount"] == desired
        && service["pendingCount"] == 0
}

/// How long the server took until it had looked at each service that there was when it started.
async fn first_round(client: &Client) -> Result<Duration> {
    let end = Instant::now() + STEADY_LIMIT;
    while Instant::now() < end {
        let mut lines = client.lines("/_longshore/metrics").await?;
        while let Some(line) = lines.next().await? {
            let Some(seconds) = line.strip_prefix(COLD) else { continue };
            let seconds: f64 = seconds.trim().parse().context("a number of seconds")?;
            return Ok(Duration::from_secs_f64(seconds));
        }
        tokio::time::sleep(LOOK_AT_ALL / 4).await;
    }
    anyhow::bail!("not all services were looked at within {STEADY_LIMIT:?}")
}

/// Calls an operation, and again when the server has too much to do.
async fn patiently(client: &Client, operation: &str, input: Value) -> Result<Value> {
    loop {
        match ecs(client, operation, input.clone()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let cause = error.downcast_ref::<wire::client::ClientError>();
                ensure!(cause.is_some_and(wire::client::ClientError::is_transient), error);
                tokio::time::sleep(LOOK_AT_ALL).await;
            }
        }
    }
}

fn name(number: u32) -> String {
    format!("service-{number:05}")
}

fn definition() -> Value {
    json!({
        "family": "scale",
        "containerDefinitions": [{
            "name": "main", "image": "registry.example.com/web:1.27", "memory": TASK_MIB, "cpu": 128,
        }],
    })
}
