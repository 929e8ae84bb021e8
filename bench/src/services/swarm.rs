//! The peer of `services`: one dockerd that is a swarm of one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{CHECK_INTERVAL_S, LIMIT, SCRIPT, Side};
use crate::docker::Docker;
use crate::process::{free_port, output};

const SERVICE: &str = "bench";
/// How often tasks are looked at: a look is a list of all of them.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_CLOSELY: Duration = Duration::from_millis(1);

/// A swarm with its service.
pub(super) struct Swarm {
    docker: Docker,
    tasks: u32,
    release: u32,
}

/// One task, as the swarm tells it.
struct Task {
    id: String,
    release: String,
    is_running: bool,
    process: Option<i32>,
}

impl Swarm {
    /// Starts dockerd with the image and makes it a swarm, on loopback.
    pub(super) fn start(work: &Path, image: &Path, tasks: u32) -> Result<Self> {
        let docker = Docker::start(work, image)?;
        let listen = format!("127.0.0.1:{}", free_port()?);
        let init = ["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", &listen];
        output(&mut docker.client(&init)).context("docker swarm init")?;
        // What has ended is not kept: lists of tasks stay short.
        output(&mut docker.client(&["swarm", "update", "--task-history-limit", "0"]))?;
        Ok(Self { docker, tasks, release: 0 })
    }

    fn tasks(&self) -> Result<Vec<Task>> {
        let listed = self.docker.get("/tasks")?;
        let all = listed.as_array().with_context(|| format!("docker tasks: {listed}"))?;
        Ok(all.iter().map(task).collect())
    }

    /// Waits until all tasks run the newest release, and no other does.
    fn await_running(&self) -> Result<()> {
        let (end, release) = (Instant::now() + LIMIT, self.release.to_string());
        loop {
            let tasks = self.tasks()?;
            let running = tasks.iter().filter(|task| task.is_running);
            let (new, old): (Vec<_>, Vec<_>) = running.partition(|task| task.release == release);
            if new.len() == self.tasks as usize && old.is_empty() {
                return Ok(());
            }
            let (new, old) = (new.len(), old.len());
            ensure!(Instant::now() < end, "{new} new and {old} old tasks run after {LIMIT:?}");
            std::thread::sleep(LOOK);
        }
    }
}

fn task(told: &Value) -> Task {
    let spec = &told["Spec"]["ContainerSpec"];
    let mut variables = spec["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let release = variables.find_map(|variable| variable.strip_prefix("RELEASE="));
    let status = &told["Status"];
    let process = status["ContainerStatus"]["PID"].as_i64();
    Task {
        id: told["ID"].as_str().unwrap_or_default().to_owned(),
        release: release.unwrap_or_default().to_owned(),
        is_running: status["State"] == "running",
        process: process.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
    }
}

impl Side for Swarm {
    fn create(&mut self, is_checked: bool) -> Result<Duration> {
        self.release += 1;
        let (tasks, release) = (self.tasks.to_string(), format!("RELEASE={}", self.release));
        let mut args = vec!["service", "create", "--detach", "--quiet", "--name", SERVICE];
        args.extend(["--replicas", &tasks, "--env", &release, "--no-resolve-image"]);
        args.extend(["--restart-delay", "0s", "--stop-grace-period", "10s"]);
        args.extend(["--update-parallelism", "0", "--update-order", "start-first"]);
        args.extend(["--update-delay", "0s", "--update-monitor", "0s"]);
        let interval = format!("{CHECK_INTERVAL_S}s");
        if is_checked {
            args.extend(["--health-cmd", "true", "--health-interval", &interval]);
            args.extend(["--health-retries", "1"]);
        }
        args.extend([Docker::IMAGE, "sh", "-c", SCRIPT]);
        let start = Instant::now();
        output(&mut self.docker.client(&args)).context("docker service create")?;
        self.await_running()?;
        Ok(start.elapsed())
    }

    fn replace(&mut self) -> Result<Duration> {
        let before = self.tasks()?;
        let known: BTreeSet<&str> = before.iter().map(|task| task.id.as_str()).collect();
        let victim = before.iter().filter(|task| task.is_running).find_map(|task| task.process);
        let victim = victim.context("no task of the swarm runs")?;
        let start = Instant::now();
        kill(Pid::from_raw(victim), Signal::SIGKILL)?;
        let is_new = |task: &Task| task.is_running && !known.contains(task.id.as_str());
        while !self.tasks()?.iter().any(is_new) {
            ensure!(start.elapsed() < LIMIT, "no replacement within {LIMIT:?}");
            std::thread::sleep(LOOK_CLOSELY);
        }
        let took = start.elapsed();
        self.await_running()?;
        Ok(took)
    }

    fn update(&mut self) -> Result<Duration> {
        self.release += 1;
        let release = format!("RELEASE={}", self.release);
        let args = ["service", "update", "--detach", "--quiet", "--no-resolve-image"];
        let mut command = self.docker.client(&args);
        let start = Instant::now();
        output(command.args(["--env-add", &release, SERVICE])).context("docker service update")?;
        self.await_running()?;
        Ok(start.elapsed())
    }

    fn delete(&mut self) -> Result<()> {
        output(&mut self.docker.client(&["service", "rm", SERVICE]))?;
        let end = Instant::now() + LIMIT;
        loop {
            // Tasks are forgotten before their containers are gone.
            let left = self.docker.get("/containers/json?all=true")?;
            match left.as_array().map(Vec::len) {
                Some(0) => return Ok(()),
                Some(_) if Instant::now() < end => std::thread::sleep(LOOK),
                _ => bail!("containers are left after {LIMIT:?}: {left}"),
            }
        }
    }
}
