//! Services: made, repaired and rolled, with real containers, against `docker service`.
//!
//! Both have one machine. Longshore has three container instances on it; Swarm has one dockerd and
//! the settings with which it is fastest: no pause before a restart, all tasks updated at once, the
//! new ones started first, nothing watched afterwards. Neither publishes ports. They take turns,
//! and one has no containers while the other is measured.

mod ours;
mod swarm;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use crate::longshore::Place;
use crate::report::{Report, Sample, ms};

use ours::Ours;
use swarm::Swarm;

/// The goals.
const CREATE_GOAL_S: f64 = 5.0;
const REPLACE_GOAL_MS: f64 = 200.0;
const UPDATE_GOAL_S: f64 = 5.0;
const CHECKED_GOAL_S: f64 = 10.0;
/// How long one step of either may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Ends at once on SIGTERM; what comes after the name is the release.
const SCRIPT: &str = "trap 'exit 0' TERM; sleep 3600 & wait";
/// Seconds between two health checks.
const CHECK_INTERVAL_S: u32 = 5;

/// Services made, repaired and rolled, against Docker Swarm
#[derive(Args, Debug)]
pub struct Services {
    /// Tasks of the service
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    tasks: u32,
    /// Times that it is made, rolled and deleted, by each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    rounds: u16,
    /// Tasks that are killed in each round
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    kills: u16,
    /// The image: an OCI archive of one layer, as examples/images/build.sh writes it
    #[arg(long, default_value = "examples/images/out/busybox.tar")]
    image: PathBuf,
    /// Leave Docker Swarm out
    #[arg(long)]
    no_swarm: bool,
    /// Wait so many seconds in the end, with a service of so many tasks there, for a profiler
    #[arg(long, default_value_t = 0)]
    linger: u64,
}

/// What one side needed for each thing.
#[derive(Debug, Default)]
struct Times {
    created: Vec<Duration>,
    replaced: Vec<Duration>,
    updated: Vec<Duration>,
    checked: Vec<Duration>,
}

/// One side: a service of as many tasks as are wanted.
trait Side {
    /// Makes the service, checked every [`CHECK_INTERVAL_S`] or not at all; until all tasks run.
    fn create(&mut self, is_checked: bool) -> Result<Duration>;
    /// Kills one task's process; until another one runs in its place.
    fn replace(&mut self) -> Result<Duration>;
    /// Rolls a new release out; until all new tasks run (and are healthy) and no old one does.
    fn update(&mut self) -> Result<Duration>;
    /// Takes the service away, and waits until nothing of it is left.
    fn delete(&mut self) -> Result<()>;
}

impl Services {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("services: tasks of one image, bridge network, no ports");
        let mut ours = Ours::start(place, &self.image, self.tasks)?;
        let mut swarm = match self.no_swarm {
            true => None,
            false => Some(Swarm::start(&place.work, &self.image, self.tasks)?),
        };
        let (mut own, mut theirs) = (Times::default(), Times::default());
        for _ in 0..self.rounds {
            self.round(&mut ours, &mut own)?;
            if let Some(swarm) = &mut swarm {
                self.round(swarm, &mut theirs)?;
            }
        }
        self.tell(&mut report, own, theirs)?;
        if self.linger > 0 {
            ours.create(false)?;
            std::thread::sleep(Duration::from_secs(self.linger));
        }
        Ok(report)
    }

    fn round(&self, side: &mut dyn Side, times: &mut Times) -> Result<()> {
        times.created.push(side.create(false)?);
        for _ in 0..self.kills {
            times.replaced.push(side.replace()?);
        }
        times.updated.push(side.update()?);
        side.delete()?;
        side.create(true)?;
        times.checked.push(side.update()?);
        side.delete()
    }

    fn tell(&self, report: &mut Report, own: Times, theirs: Times) -> Result<()> {
        ensure!(!own.created.is_empty(), "no round was made");
        let tasks = self.tasks;
        let of = |what: &str| format!("{what} of {tasks}");
        let rows = [
            (of("create a service"), own.created, theirs.created, CREATE_GOAL_S, "s"),
            (
                "replace a killed task".to_owned(),
                own.replaced,
                theirs.replaced,
                REPLACE_GOAL_MS,
                "ms",
            ),
            (of("rolling update"), own.updated, theirs.updated, UPDATE_GOAL_S, "s"),
            (
                format!("the same, checked every {CHECK_INTERVAL_S} s"),
                own.checked,
                theirs.checked,
                CHECKED_GOAL_S,
                "s",
            ),
        ];
        for (what, own, theirs, goal, unit) in rows {
            let scale = if unit == "s" { 1e-3 } else { 1.0 };
            let own = Sample::new(own);
            let median = ms(own.median());
            report.add(&format!("longshore: {what}"), median * scale, unit, own.spread());
            report.target(&format!("{what}, median"), median * scale, goal, true, unit);
            if !theirs.is_empty() {
                let theirs = Sample::new(theirs);
                let other = ms(theirs.median());
                report.add(&format!("swarm: {what}"), other * scale, unit, theirs.spread());
                report.add("    times as fast as swarm", other / median, "x", "");
            }
        }
        Ok(())
    }
}
