//! `longshore-sim`: runs seeds of the simulation (docs/simulation.md).

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use sim::{Mutation, Options, Report};

/// Runs whole clusters under virtual time, with faults that follow from a seed.
#[derive(Debug, Parser)]
#[command(name = "longshore-sim")]
struct Arguments {
    /// Run this seed alone and print every event.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run so many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads; each runs seeds of its own. Default: one a processor.
    #[arg(long)]
    threads: Option<usize>,
    /// So many servers; by default the seed decides.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=5))]
    servers: Option<u64>,
    /// With a deliberate mistake of this name, which the checks are to find.
    #[arg(long, value_parser = mutation)]
    mutation: Option<Mutation>,
    /// With --seed: what the program itself says, too.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = arguments.seed {
        return one(seed, &arguments);
    }
    many(&arguments)
}

fn mutation(name: &str) -> Result<Mutation, String> {
    let named = Mutation::all().into_iter().find(|mutation| format!("{mutation:?}") == name);
    named.ok_or_else(|| format!("there are {:?}", Mutation::all()))
}

impl Arguments {
    fn options(&self) -> Options {
        let servers = self.servers.and_then(|count| usize::try_from(count).ok());
        Options {
            servers,
            verbose: self.seed.is_some(),
            mutation: self.mutation.unwrap_or_default(),
        }
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    if arguments.trace {
        tracing_subscriber::fmt().without_time().with_max_level(tracing::Level::DEBUG).init();
    }
    let report = sim::run(seed, arguments.options());
    println!("{:?}", report.counts);
    tell(&report)
}

fn many(arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = arguments.threads.unwrap_or(cores);
    let (next, end) = (AtomicU64::new(arguments.first), arguments.first + arguments.seeds);
    let (failed, events) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let report = sim::run(seed, arguments.options());
                    events.fetch_add(report.events, Ordering::Relaxed);
                    if report.violation.is_some() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        tell(&report);
                    }
                }
            });
        }
    });
    let (failed, events) = (failed.into_inner(), events.into_inner());
    println!("{} seeds, {events} events, {failed} failed", arguments.seeds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(report: &Report) -> ExitCode {
    let Report { seed, hash, events, lasted, violation, tail, .. } = report;
    match violation {
        None => {
            println!("seed {seed}: {events} events in {} s, hash {hash:016x}", lasted.as_secs());
            ExitCode::SUCCESS
        }
        Some(violation) => {
            let tail = tail.join("\n");
            println!(
                "{tail}\nseed {seed} breaks: {}\n  {}\n  hash {hash:016x}; again: ./x sim --seed {seed}",
                violation.invariant, violation.detail
            );
            ExitCode::FAILURE
        }
    }
}
