//! Benchmarks of Longshore against its peers, each in the same run on the same machine.
//!
//! `bench/run.sh` builds what is needed and calls this; `docs/performance.md` has the figures.
//! Every measurement is bounded in count or time, speaks to loopback only, and ends only the
//! processes that it started itself.
//!
//! - `run-task`: RunTask to RUNNING, against `docker run -d`.
//! - `api`: signed requests a second on one core, against ministack and moto.
//! - `crowd`: 100 tasks at once on one node, against docker and podman.
//! - `held`: an agent with 300 containers at rest.
//! - `pull`: 300 MB in 8 layers from a local registry, against Docker and containerd.
//! - `registry`: pushes, pulls and lists of tags of the registry, against docker-registry.
//! - `contention`: RunTask from 64 clients at once on 3 and on 100 instances.
//! - `overload`: what clients that behave get beside a greedy one.
//! - `services`: a service made, repaired and rolled, against `docker service`.
//! - `services-scale`: one service changed among 50 and among 5,000; idle; cold.
//! - `lists`: a page of 100 of 1,000 and of 100,000.
//! - `start`: exec to ready, memory at rest.
//! - `placements`: the placement index alone, without peers.
//! - `policy`: decisions of the policy engine alone, without peers.
//! - `edge`: what deciding adds to a call.
//! - `fleet`: 10,000 simulated agents, 200,000 tasks: what they cost the server.
//! - `million`, `coldstart`: a million and 200,000 tasks: memory, disk, start.
//! - `writes`: small durable transactions a second.
//! - `etcd`: durable writes on etcd, against a bare loop of etcd-client.
//!
//! **Invariant:** figures of peers and ours come from the same run; a failed request fails the run.

mod api;
mod clock;
mod contention;
mod crowd;
mod disk;
mod docker;
mod edge;
mod etcd;
mod fleet;
mod lists;
mod load;
mod longshore;
mod memory;
mod overload;
mod peers;
mod placements;
mod policy;
mod process;
mod pull;
mod registry;
mod report;
mod run_task;
mod services;
mod services_scale;
mod start;
mod stub_agent;
mod trace;
mod writes;

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
    /// A service made, repaired and rolled, against Docker Swarm
    Services(services::Services),
    /// One service changed among few and among many; many at rest, and after a start
    ServicesScale(services_scale::ServicesScale),
    /// Requests a second on one core, against ministack and moto
    Api(api::Api),
    /// 100 tasks at once on one node, against docker and podman
    Crowd(crowd::Crowd),
    /// An agent with 300 running containers: memory and processor when nothing happens
    Held(crowd::Held),
    /// Pull and unpack of a 300 MB image of 8 layers, against Docker and containerd
    Pull(pull::Pull),
    /// Pushes, pulls and lists of tags, against docker-registry
    Registry(registry::Registry),
    /// RunTask a second from many clients on few instances
    Contention(contention::Contention),
    /// What well-behaved clients get beside a greedy one
    Overload(overload::Overload),
    /// A page of a listing, with little and with much to list
    Lists(lists::Lists),
    /// Exec to ready, and memory at rest
    Start(start::Start),
    /// Placements a second of the placement index
    Placements(placements::Placements),
    /// Decisions of the policy engine
    Policy(policy::Decisions),
    /// What deciding adds to a call's processor time
    Edge(edge::Edge),
    /// Heartbeats, telemetry and state changes of 10,000 agents, and RunTask meanwhile
    Fleet(fleet::Live),
    /// A million tasks on 10,000 instances: memory, disk and cold starts
    Million(fleet::Hold),
    /// 200,000 tasks on 10,000 instances: cold starts
    Coldstart(fleet::Hold),
    /// Small durable transactions a second of many waiting callers
    Writes(writes::Writes),
    /// Durable writes on etcd against a bare loop; loading what etcd holds
    Etcd(etcd::Etcd),
    /// Simulated agents in one process, for those above that speak of agents
    #[command(hide = true)]
    Agents(fleet::Agents),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    std::fs::create_dir_all(&cli.work)?;
    let place = longshore::Place { binary: cli.longshore, work: cli.work };
    let report = match &cli.bench {
        Bench::RunTask(bench) => bench.run(&place)?,
        Bench::Services(bench) => bench.run(&place)?,
        Bench::ServicesScale(bench) => bench.run(&place)?,
        Bench::Api(bench) => bench.run(&place)?,
        Bench::Crowd(bench) => bench.run(&place)?,
        Bench::Held(bench) => bench.run(&place)?,
        Bench::Pull(bench) => bench.run(&place)?,
        Bench::Registry(bench) => bench.run(&place)?,
        Bench::Contention(bench) => bench.run(&place)?,
        Bench::Overload(bench) => bench.run(&place)?,
        Bench::Lists(bench) => bench.run(&place)?,
        Bench::Start(bench) => bench.run(&place)?,
        Bench::Placements(bench) => bench.run()?,
        Bench::Policy(bench) => bench.run()?,
        Bench::Edge(bench) => bench.run(&place)?,
        Bench::Fleet(bench) => bench.run(&place)?,
        Bench::Million(bench) => bench.run(&place, fleet::Asked::MILLION)?,
        Bench::Coldstart(bench) => bench.run(&place, fleet::Asked::COLDSTART)?,
        Bench::Writes(bench) => bench.run(&place)?,
        Bench::Etcd(bench) => bench.run(&place)?,
        Bench::Agents(agents) => return agents.run(),
    };
    report.print();
    if let Some(path) = cli.json {
        std::fs::write(path, format!("{:#}\n", report.to_json()))?;
    }
    Ok(())
}
