//! RunTask from many clients at once on few instances: how many a second, and that nothing is
//! over-committed or refused while there is room.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use crate::load::{Outcome, drive_times, signed};
use crate::longshore::{Longshore, Place, ecs};
use crate::process::pin_self;
use crate::report::{Report, Sample, ms};
use crate::stub_agent::StubAgent;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// MiB that a task takes.
const TASK_MIB: u32 = 100;
/// Calls under way while tasks are stopped between rounds.
const STOPPERS: usize = 16;
/// The sizes of the clusters, in instances.
const CLUSTERS: [u32; 2] = [3, 100];

/// RunTask a second from many clients on few instances
#[derive(Args, Debug)]
pub struct Contention {
    /// Clients, each with one request under way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    clients: u16,
    /// Requests of each client in a round: all of them fit
    #[arg(long, default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=100))]
    requests: u16,
    /// Rounds; all tasks are stopped between them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
}

impl Contention {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("contention: RunTask from many clients, one server core");
        pin_self(LOAD_CORE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for instances in CLUSTERS {
            let server = Longshore::start(place, "server", &[], Some(SERVER_CORE))?;
            let client = server.client()?;
            runtime.block_on(self.measure(&client, server.port, instances, &mut report))?;
        }
        Ok(report)
    }

    /// Rounds on a cluster that holds exactly the tasks of one round.
    async fn measure(
        &self,
        client: &Client,
        port: u16,
        instances: u32,
        report: &mut Report,
    ) -> Result<()> {
        ecs(client, "CreateCluster", json!({"clusterName": "default"})).await?;
        let tasks = u32::from(self.clients) * u32::from(self.requests);
        let mut agents = Vec::new();
        for number in 0..instances {
            // The remainder goes to the first ones.
            let here = tasks / instances + u32::from(number < tasks % instances);
            agents.push(StubAgent::join_with(client, port, 1 << 20, here * TASK_MIB).await?);
        }
        let definition = json!({
            "family": "bench",
            "containerDefinitions": [{"name": "main", "image": "web", "memory": TASK_MIB}],
        });
        ecs(client, "RegisterTaskDefinition", definition).await?;
        let (mut rates, mut latencies) = (Vec::new(), Vec::new());
        for round in 0..=self.rounds {
            let Outcome { rate, latency } = self.round(client, port).await?;
            let running = running(client).await?;
            ensure!(running.len() == tasks as usize, "{} of {tasks} placed", running.len());
            // The first is to get warm.
            if round > 0 {
                rates.push(rate);
                latencies.push((latency.median(), latency.quantile(0.99)));
            }
            stop(client, running).await?;
        }
        rates.sort_by(f64::total_cmp);
        let half = Sample::new(latencies.iter().map(|(half, _)| *half).collect());
        let most = Sample::new(latencies.iter().map(|(_, most)| *most).collect());
        let what = format!("RunTask from {} clients on {instances} instances", self.clients);
        let (p50, p99) = (ms(half.median()), ms(most.median()));
        let (low, high) = (rates[0], rates[rates.len() - 1]);
        let note = format!("p50 {p50:.1} ms, p99 {p99:.1} ms; {low:.0} to {high:.0}");
        report.add(&what, rates[rates.len() / 2], "/s", note);
        let counts = client.get("/_longshore/placements").await?;
        let count = |name: &str| counts[name].as_f64().unwrap_or_default();
        let note = format!("of {} placed", count("placed"));
        report.add(&format!("placed again, {instances} instances"), count("placedAgain"), "", note);
        ensure!(count("refused") == 0.0, "tasks were refused while there was room: {counts}");
        drop(agents);
        Ok(())
    }

    async fn round(&self, client: &Client, port: u16) -> Result<Outcome> {
        let input = json!({"taskDefinition": "bench"});
        let request = signed(client, "RunTask", &input)?;
        let requests = vec![request; usize::from(self.clients)];
        drive_times(port, requests, usize::from(self.requests)).await
    }
}

/// The tasks that should run.
async fn running(client: &Client) -> Result<Vec<Value>> {
    let (mut all, mut input) = (Vec::new(), json!({}));
    loop {
        let page = ecs(client, "ListTasks", input.clone()).await?;
        all.extend(page["taskArns"].as_array().context("a list of tasks")?.iter().cloned());
        match &page["nextToken"] {
            Value::String(token) => input = json!({"nextToken": token}),
            _ => return Ok(all),
        }
    }
}

/// Stops tasks, and says in their agents' place that they have stopped.
async fn stop(client: &Client, tasks: Vec<Value>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(120);
    let each = async |part: &[Value]| -> Result<()> {
        for task in part {
            ensure!(Instant::now() < end, "stopping takes too long");
            ecs(client, "StopTask", json!({"task": task})).await?;
            let report = json!({"task": task, "status": "STOPPED"});
            ecs(client, "SubmitTaskStateChange", report).await?;
        }
        Ok(())
    };
    let size = tasks.len().div_ceil(STOPPERS).max(1);
    let parts = tasks.chunks(size).map(each);
    futures_util::future::try_join_all(parts).await.map(drop)
}
