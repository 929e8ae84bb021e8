//! Signed requests a second with the server held to one core and the load generator to another,
//! against emulators that clients know.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use crate::disk;
use crate::load::{Outcome, drive, signed};
use crate::longshore::{Longshore, Place, ecs, run_task};
use crate::peers::{self, Peer};
use crate::process::pin_self;
use crate::report::{Report, ms};
use crate::stub_agent::StubAgent;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// The goals, in requests a second.
const REGISTER_GOAL: f64 = 10_000.0;
const DESCRIBE_ONE_GOAL: f64 = 20_000.0;
const DESCRIBE_FIVE_GOAL: f64 = 10_000.0;
/// Longest time of one measurement that a caller may ask for.
const LONGEST_SECONDS: u64 = 60;

/// Requests a second on one core, against ministack and moto
#[derive(Args, Debug)]
pub struct Api {
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS))]
    seconds: u64,
    /// Leave the emulators out
    #[arg(long)]
    no_peers: bool,
}

/// Requests a second of one server.
struct Rates {
    register: Outcome,
    describe_one: Outcome,
    describe_five: Outcome,
}

impl Api {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report =
            Report::new("api: signed requests, one server core, keep-alive connections");
        let callers = usize::from(self.connections);
        let disk = self.disk(place, callers, &mut report)?;
        if !self.no_peers {
            peers::install(&place.work)?;
        }
        pin_self(LOAD_CORE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ours = {
            let server = Longshore::start(place, "server", &[], Some(SERVER_CORE))?;
            let client = server.client()?;
            runtime.block_on(async {
                let _agent = StubAgent::join(&client, server.port).await?;
                self.measure("longshore", &client, server.port, json!({}), &mut report).await
            })?
        };
        let goal = REGISTER_GOAL.min(disk / 2.0);
        report.target(
            "RegisterTaskDefinition against its goal",
            ours.register.rate,
            goal,
            false,
            "/s",
        );
        report.target(
            "DescribeTasks of one",
            ours.describe_one.rate,
            DESCRIBE_ONE_GOAL,
            false,
            "/s",
        );
        report.target(
            "DescribeTasks of five",
            ours.describe_five.rate,
            DESCRIBE_FIVE_GOAL,
            false,
            "/s",
        );
        let peers: &[Peer] = if self.no_peers { &[] } else { &[Peer::Ministack, Peer::Moto] };
        for peer in peers {
            let server = peer.start(&place.work, SERVER_CORE)?;
            let client = server.client()?;
            let launch = json!({"launchType": "FARGATE"});
            let name = peer.name();
            let theirs = runtime
                .block_on(self.measure(name, &client, server.port, launch, &mut report))
                .with_context(|| format!("see {name}.log"))?;
            let mut ratio = |what: &str, ours: &Outcome, theirs: &Outcome| {
                report.add(&format!("{what}, times {name}"), ours.rate / theirs.rate, "x", "");
            };
            ratio("RegisterTaskDefinition", &ours.register, &theirs.register);
            ratio("DescribeTasks of one", &ours.describe_one, &theirs.describe_one);
            ratio("DescribeTasks of five", &ours.describe_five, &theirs.describe_five);
        }
        Ok(report)
    }

    fn disk(&self, place: &Place, callers: usize, report: &mut Report) -> Result<f64> {
        let time = Duration::from_secs(self.seconds);
        let one = disk::sync_rate(&place.work, 1, time)?;
        report.add("disk: append + fdatasync, one caller", one, "/s", "");
        let many = disk::sync_rate(&place.work, callers, time)?;
        report.add(&format!("disk: append + fdatasync, {callers} callers"), many, "/s", "");
        Ok(many)
    }

    async fn measure(
        &self,
        name: &str,
        client: &Client,
        port: u16,
        launch: Value,
        report: &mut Report,
    ) -> Result<Rates> {
        ecs(client, "CreateCluster", json!({"clusterName": "default"})).await?;
        let register = |number: u16| signed(client, "RegisterTaskDefinition", &definition(number));
        let register = self.load(port, register).await?;
        show(report, name, "RegisterTaskDefinition", &register);
        let mut tasks = Vec::new();
        let mut input = json!({"cluster": "default", "taskDefinition": "bench-0", "count": 1});
        for (name, value) in launch.as_object().into_iter().flatten() {
            input[name] = value.clone();
        }
        for _ in 0..5 {
            tasks.push(run_task(client, input.clone()).await?);
        }
        let input = json!({"cluster": "default", "tasks": tasks});
        let described = ecs(client, "DescribeTasks", input).await?;
        let found = described["tasks"].as_array().map_or(0, Vec::len);
        anyhow::ensure!(found == tasks.len(), "DescribeTasks of five gave {found}: {described}");
        let describe_one = self.load(port, |_| describe(client, &tasks[..1])).await?;
        show(report, name, "DescribeTasks of one", &describe_one);
        let describe_five = self.load(port, |_| describe(client, &tasks)).await?;
        show(report, name, "DescribeTasks of five", &describe_five);
        Ok(Rates { register, describe_one, describe_five })
    }

    /// One second to get warm, then the measurement.
    async fn load(&self, port: u16, request: impl Fn(u16) -> Result<Vec<u8>>) -> Result<Outcome> {
        let requests = (0..self.connections).map(request).collect::<Result<Vec<_>>>()?;
        drive(port, requests.clone(), Duration::from_secs(1)).await?;
        drive(port, requests, Duration::from_secs(self.seconds)).await
    }
}

fn describe(client: &Client, tasks: &[String]) -> Result<Vec<u8>> {
    signed(client, "DescribeTasks", &json!({"cluster": "default", "tasks": tasks}))
}

/// A definition of ordinary size, one family for each connection.
fn definition(number: u16) -> Value {
    json!({
        "family": format!("bench-{number}"),
        "networkMode": "bridge",
        "containerDefinitions": [{
            "name": "web",
            "image": "registry.example.test/team/web:1.0",
            "cpu": 128,
            "memory": 128,
            "essential": true,
            "portMappings": [{"containerPort": 8080, "hostPort": 0, "protocol": "tcp"}],
            "environment": [
                {"name": "STAGE", "value": "bench"},
                {"name": "DATABASE_URL", "value": "postgres://db.example.test:5432/web"},
            ],
            "command": ["serve", "--port", "8080"],
        }],
    })
}

fn show(report: &mut Report, name: &str, what: &str, outcome: &Outcome) {
    let (half, most) = (outcome.latency.quantile(0.5), outcome.latency.quantile(0.99));
    let note = format!("p50 {:.2} ms, p99 {:.2} ms", ms(half), ms(most));
    report.add(&format!("{name}: {what}"), outcome.rate, "/s", note);
}
