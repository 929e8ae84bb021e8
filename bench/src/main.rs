//! Benchmarks of Longshore against its peers, each in the same run on the same machine.
//!
//! `bench/run.sh` builds what is needed and calls this; `docs/performance.md` has the figures.
//! Every measurement is bounded in count or time, speaks to loopback only, and ends only the
//! processes that it started itself.
//!
//! - `run-task`: RunTask to RUNNING, against `docker run -d`.
//! - `api`: signed requests a second on one core, against ministack and moto.
//! - `contention`: RunTask from 64 clients at once on 3 and on 100 instances.
//! - `lists`: a page of 100 of 1,000 and of 100,000.
//! - `start`: exec to ready, memory at rest.
//! - `placements`: the placement index alone, without peers.
//!
//! **Invariant:** figures of peers and ours come from the same run; a failed request fails the run.

mod api;
mod clock;
mod contention;
mod disk;
mod docker;
mod lists;
mod load;
mod longshore;
mod memory;
mod peers;
mod placements;
mod process;
mod report;
mod run_task;
mod start;
mod stub_agent;
mod trace;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measure Longshore against its peers
#[derive(Parser, Debug)]
struct Cli {
    /// The Longshore binary to measure
    #[arg(long, global = true, default_value = "target/release/longshore")]
    longshore: PathBuf,
    /// Where peers are installed and temporary data folders are made; its disk is the one measured
    #[arg(long, global = true, default_value = "target/bench")]
    work: PathBuf,
    /// Write the figures as JSON to this file too
    #[arg(long, global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand, Debug)]
enum Bench {
    /// RunTask to RUNNING against `docker run -d`
    RunTask(run_task::RunTask),
    /// Requests a second on one core, against ministack and moto
    Api(api::Api),
    /// RunTask a second from many clients on few instances
    Contention(contention::Contention),
    /// A page of a listing, with little and with much to list
    Lists(lists::Lists),
    /// Exec to ready, and memory at rest
    Start(start::Start),
    /// Placements a second of the placement index
    Placements(placements::Placements),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    std::fs::create_dir_all(&cli.work)?;
    let place = longshore::Place { binary: cli.longshore, work: cli.work };
    let report = match &cli.bench {
        Bench::RunTask(bench) => bench.run(&place)?,
        Bench::Api(bench) => bench.run(&place)?,
        Bench::Contention(bench) => bench.run(&place)?,
        Bench::Lists(bench) => bench.run(&place)?,
        Bench::Start(bench) => bench.run(&place)?,
        Bench::Placements(bench) => bench.run()?,
    };
    report.print();
    if let Some(path) = cli.json {
        std::fs::write(path, format!("{:#}\n", report.to_json()))?;
    }
    Ok(())
}
