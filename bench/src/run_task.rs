//! RunTask to RUNNING with the image at hand, against `docker run -d`, in turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use crate::docker::Docker;
use crate::longshore::{Longshore, Place, ecs, run_task, wait_for};
use crate::process::output;
use crate::report::{Report, Sample, ms};
use crate::trace::Trace;

/// The goals.
const GOAL_MS: f64 = 60.0;
const GOAL_SHARE: f64 = 0.25;
/// Ends at SIGTERM, so that stopping it costs the benchmark no grace time.
const COMMAND: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"];
/// The families of the tasks, by their network modes.
const BRIDGE: &str = "bench";
const AWSVPC: &str = "bench-awsvpc";
const FARGATE: &str = "bench-fargate";
/// How long the node that Fargate tasks run on may take to be there.
const NODE_WITHIN: Duration = Duration::from_secs(30);
/// Runs that are not counted, of each.
const WARM_UP: u16 = 3;

/// RunTask to RUNNING against `docker run -d`
#[derive(Args, Debug)]
pub struct RunTask {
    /// Runs of each
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=500))]
    count: u16,
    /// The image: an OCI archive of one layer, as examples/images/build.sh writes it
    #[arg(long, default_value = "examples/images/out/busybox.tar")]
    image: PathBuf,
    /// Leave Docker out
    #[arg(long)]
    no_docker: bool,
    /// A trace instance of the kernel to put marks into; see bench/trace.py
    #[arg(long)]
    trace: Option<PathBuf>,
}

/// One task's way, as a client sees it.
struct Run {
    placed: Duration,
    running: Duration,
}

impl RunTask {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("run-task: RunTask to RUNNING, image at hand, bridge network");
        let docker = match self.no_docker {
            true => None,
            false => Some(Docker::start(&place.work, &self.image)?),
        };
        let longshore = Longshore::start(place, "up", &[], None)?;
        output(longshore.command(&["image", "load"]).arg(&self.image))
            .context("loading the image")?;
        let client = longshore.client()?;
        let trace = self.trace.as_deref();
        let trace = trace.map(|instance| Trace::follow(instance, longshore.id())).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(register(&client))?;
        runtime.block_on(node(&client))?;
        let (mut placed, mut running, mut own, mut docker_run, mut docker_socket) =
            (vec![], vec![], vec![], vec![], vec![]);
        let mut fargate = vec![];
        for number in 0..WARM_UP + self.count {
            let bridge = json!({"taskDefinition": BRIDGE});
            let run = runtime.block_on(once(&client, bridge, trace.as_ref()))?;
            let awsvpc = runtime.block_on(once(&client, awsvpc_task(AWSVPC), None))?;
            let mut on_node = awsvpc_task(FARGATE);
            on_node["launchType"] = json!("FARGATE");
            let on_node = runtime.block_on(once(&client, on_node, None))?;
            let theirs = match &docker {
                Some(docker) => Some((docker.run(&COMMAND)?, docker.run_over_socket(&COMMAND)?)),
                None => None,
            };
            if number >= WARM_UP {
                placed.push(run.placed);
                running.push(run.running);
                own.push(awsvpc.running);
                fargate.push(on_node.running);
                docker_run.extend(theirs.map(|theirs| theirs.0));
                docker_socket.extend(theirs.map(|theirs| theirs.1));
            }
        }
        let running = Sample::new(running);
        report.add_sample("longshore: RunTask answered", &Sample::new(placed));
        report.add_sample("longshore: RunTask to RUNNING", &running);
        report.target("RunTask to RUNNING, median", ms(running.median()), GOAL_MS, true, "ms");
        report.add_sample("longshore: the same with awsvpc", &Sample::new(own));
        let fargate = Sample::new(fargate);
        report.add_sample("longshore: the same on Fargate", &fargate);
        report.target("on Fargate, median", ms(fargate.median()), GOAL_MS, true, "ms");
        if !docker_run.is_empty() {
            let theirs = Sample::new(docker_run);
            report.add_sample("docker run -d", &theirs);
            report.add_sample(
                "docker, create and start over its socket",
                &Sample::new(docker_socket),
            );
            let share = ms(running.median()) / ms(theirs.median());
            report.target("share of docker run -d", share, GOAL_SHARE, true, "x");
        }
        Ok(report)
    }
}

async fn register(client: &Client) -> Result<()> {
    for (family, mode) in [(BRIDGE, "bridge"), (AWSVPC, "awsvpc")] {
        let definition: Value = json!({
            "family": family,
            "networkMode": mode,
            "containerDefinitions": [{
                "name": "main", "image": "busybox", "cpu": 128, "memory": 64, "essential": true,
                "command": COMMAND,
            }],
        });
        ecs(client, "RegisterTaskDefinition", definition).await?;
    }
    let definition: Value = json!({
        "family": FARGATE, "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512",
        "containerDefinitions": [{"name": "main", "image": "busybox", "command": COMMAND}],
    });
    ecs(client, "RegisterTaskDefinition", definition).await.map(drop)
}

/// Waits for the node that Fargate tasks run on.
async fn node(client: &Client) -> Result<()> {
    let connected = async {
        loop {
            let told = client.get("/_longshore/fleet").await?;
            if told["nodes"][0]["connected"] == true {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(NODE_WITHIN, connected).await.context("no node takes Fargate tasks")?
}

/// A task with an interface of its own, in any zone.
fn awsvpc_task(family: &str) -> Value {
    let (account, region) = ("000000000000".parse(), "us-east-1".parse());
    let scope = vpc::Scope {
        account: account.expect("twelve digits are an account"),
        region: region.expect("a constant that is a region"),
    };
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c"];
    let subnets = zones.iter().filter_map(|zone| vpc::default_subnet(&scope, zone));
    let subnets: Vec<String> = subnets.map(|subnet| subnet.id).collect();
    let network = json!({"awsvpcConfiguration": {"subnets": subnets}});
    json!({"taskDefinition": family, "networkConfiguration": network})
}

async fn once(client: &Client, input: Value, trace: Option<&Trace>) -> Result<Run> {
    let mark = |what| trace.map_or(Ok(()), |trace: &Trace| trace.mark(what));
    mark("RunTask is sent")?;
    let start = Instant::now();
    let task = run_task(client, input).await?;
    let placed = start.elapsed();
    mark("RunTask is answered")?;
    wait_for(client, &task, "RUNNING").await?;
    let running = start.elapsed();
    mark("RUNNING is seen")?;
    ecs(client, "StopTask", json!({"task": task})).await?;
    wait_for(client, &task, "STOPPED").await?;
    Ok(Run { placed, running })
}
