//! How long `longshore up` takes to be ready, and what it and its shims hold in memory at rest.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::longshore::{Longshore, Place, ecs, run_task, wait_for};
use crate::memory::{processes, pss_kib, rss_kib};
use crate::process::output;
use crate::report::{Report, Sample, ms};

/// The goals.
const READY_GOAL_MS: f64 = 200.0;
const RSS_GOAL_MIB: f64 = 40.0;
const SHIM_GOAL_MIB: f64 = 2.0;
/// Containers whose shims are weighed.
const CONTAINERS: usize = 5;
/// Rest before weighing.
const REST: Duration = Duration::from_secs(10);

/// Exec to ready, and memory at rest
#[derive(Args, Debug)]
pub struct Start {
    /// Starts of `up`, with one instance and with three
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
    /// The image of the weighed containers
    #[arg(long, default_value = "examples/images/out/busybox.tar")]
    image: PathBuf,
}

impl Start {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("start: exec to readyz with one instance, memory at rest");
        let mut ready = Vec::new();
        for _ in 0..self.count {
            ready.push(Longshore::start(place, "up", &[], None)?.ready_after);
        }
        let ready = Sample::new(ready);
        report.add_sample("longshore up: exec to readyz", &ready);
        report.target("exec to readyz, median", ms(ready.median()), READY_GOAL_MS, true, "ms");
        let mut three = Vec::new();
        for _ in 0..self.count {
            three.push(Longshore::start(place, "up", &["--instances", "3"], None)?.ready_after);
        }
        report.add_sample("longshore up --instances 3: exec to readyz", &Sample::new(three));
        self.memory(place, &mut report)?;
        Ok(report)
    }

    fn memory(&self, place: &Place, report: &mut Report) -> Result<()> {
        let up = Longshore::start(place, "up", &[], None)?;
        std::thread::sleep(REST);
        let (resident, _) = weigh(&up)?;
        report.target("server and agent at rest, resident", resident, RSS_GOAL_MIB, true, "MiB");
        output(up.command(&["image", "load"]).arg(&self.image)).context("loading the image")?;
        let client = up.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let definition = json!({"family": "rest", "networkMode": "bridge", "containerDefinitions": [{
                "name": "main", "image": "busybox", "cpu": 10, "memory": 16, "essential": true,
                "command": ["sleep", "600"],
            }]});
            ecs(&client, "RegisterTaskDefinition", definition).await?;
            for _ in 0..CONTAINERS {
                let task = run_task(&client, json!({"taskDefinition": "rest"})).await?;
                wait_for(&client, &task, "RUNNING").await?;
            }
            anyhow::Ok(())
        })?;
        std::thread::sleep(REST);
        let (resident, shims) = weigh(&up)?;
        report.add(
            "server and agent with tasks, resident",
            resident,
            "MiB",
            format!("{CONTAINERS} tasks"),
        );
        anyhow::ensure!(
            shims.len() == CONTAINERS,
            "{} shims for {CONTAINERS} containers",
            shims.len()
        );
        let worst = shims.iter().copied().fold(0.0, f64::max);
        report.target("a shim, proportional (the largest)", worst, SHIM_GOAL_MIB, true, "MiB");
        Ok(())
    }
}

/// Resident MiB of the server and its helpers together, and the proportional MiB of each shim.
fn weigh(up: &Longshore) -> Result<(f64, Vec<f64>)> {
    const MIB: f64 = 1024.0;
    let data = up.data_dir().canonicalize()?;
    let (mut resident, mut shims) = (0, Vec::new());
    for process in processes() {
        if process.program.starts_with(&data) {
            let size = pss_kib(process.id).context("a shim ended while it was weighed")?;
            shims.push(size as f64 / MIB);
        } else if process.id == up.id() || process.parent == up.id() {
            resident += rss_kib(process.id).unwrap_or(0);
        }
    }
    Ok((resident as f64 / MIB, shims))
}
