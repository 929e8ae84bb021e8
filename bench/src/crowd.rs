//! Many tasks at once on one node with the image at hand, against `docker run -d` and `podman run
//! -d`; and what an agent costs that holds many containers and has nothing to do.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use crate::docker::Docker;
use crate::longshore::{Longshore, Place, ecs};
use crate::memory;
use crate::process::{Usage, output};
use crate::report::{Report, Sample, ms};

/// The goal for 100 tasks.
const GOAL_SECONDS: f64 = 3.0;
/// The goals for an agent with 300 containers: MiB besides its shims, and percent of a core.
const GOAL_RSS_MIB: f64 = 60.0;
const GOAL_CORE_PERCENT: f64 = 2.0;
/// Tasks of one RunTask.
const TASKS_A_CALL: usize = 10;
/// All must have come up, or gone, by then.
const LIMIT: Duration = Duration::from_secs(300);
/// How often the tasks' states are asked for.
const LOOK: Duration = Duration::from_millis(20);
/// Between rounds: the kernel takes seconds to take a hundred network namespaces apart, whoever
/// they belonged to, and makes new ones slowly meanwhile.
const REST: Duration = Duration::from_secs(15);
/// Ends at SIGTERM, so that stopping it costs no grace time.
const COMMAND: [&str; 3] = ["sh", "-c", "trap 'exit 0' TERM; sleep 36000 & wait"];
const FAMILY: &str = "crowd";
/// Clients that start containers of peers at once, as one RunTask starts tasks at once.
const PEER_CLIENTS: usize = 8;

/// 100 tasks at once on one node, against docker and podman
#[derive(Args, Debug)]
pub struct Crowd {
    /// Tasks
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tasks: u16,
    /// Rounds; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    rounds: u16,
    /// The image: an OCI archive of one layer, as examples/images/build.sh writes it
    #[arg(long, default_value = "examples/images/out/busybox.tar")]
    image: PathBuf,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

/// An agent with 300 running containers: memory and processor when nothing happens
#[derive(Args, Debug)]
pub struct Held {
    /// Containers
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=2000))]
    containers: u16,
    /// Seconds over which the processor's use is averaged
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// The image: an OCI archive of one layer, as examples/images/build.sh writes it
    #[arg(long, default_value = "examples/images/out/busybox.tar")]
    image: PathBuf,
}

/// Room for as many tasks as are asked for, whatever the machine has.
const ROOMY: [&str; 4] = ["--instance-cpu", "1000000", "--instance-memory", "1000000"];

impl Crowd {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("crowd: tasks at once on one node, image at hand");
        let count = usize::from(self.tasks);
        let longshore = Longshore::start(place, "up", &ROOMY, None)?;
        output(longshore.command(&["image", "load"]).arg(&self.image)).context("loading")?;
        let client = longshore.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(register(&client))?;
        let mut ours = Vec::new();
        for _ in 0..self.rounds {
            ours.push(runtime.block_on(round(&client, count))?);
            std::thread::sleep(REST);
        }
        let ours = Sample::new(ours);
        report.add_sample(&format!("longshore: {count} tasks RUNNING"), &ours);
        if count == 100 {
            let seconds = ours.median().as_secs_f64();
            report.target("100 tasks RUNNING, median", seconds, GOAL_SECONDS, true, "s");
        }
        drop(longshore);
        if self.no_peers {
            return Ok(report);
        }
        let docker = Docker::start(&place.work, &self.image)?;
        let theirs = self.peer(count, &|args| docker.client(args), Docker::IMAGE, &[])?;
        self.compare(&mut report, "docker run -d", &ours, &theirs);
        drop(docker);
        match podman(place, &self.image) {
            Ok(image) => {
                let theirs = self.peer(
                    count,
                    &|args| podman_command(place, args),
                    &image,
                    &["--runtime", "runc"],
                )?;
                self.compare(&mut report, "podman --runtime runc run -d", &ours, &theirs);
            }
            Err(error) => report.add("podman", 0.0, "", format!("left out: {error:#}")),
        }
        Ok(report)
    }

    fn compare(&self, report: &mut Report, name: &str, ours: &Sample, theirs: &Sample) {
        report.add_sample(&format!("{name}, {} at once", self.tasks), theirs);
        let share = ms(ours.median()) / ms(theirs.median());
        report.add(&format!("share of {name}"), share, "x", "");
    }

    /// The same number of containers by a peer's own command, several clients at once.
    fn peer(
        &self,
        count: usize,
        command: &(dyn Fn(&[&str]) -> Command + Sync),
        image: &str,
        options: &[&str],
    ) -> Result<Sample> {
        let mut took = Vec::new();
        for _ in 0..self.rounds {
            let begin = Instant::now();
            let ids = at_once(count, &|| {
                let mut run = command(options);
                // Podman asks for higher limits than the machine may allow.
                let limit = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
                run.args(["run", "--detach"]).args(limit).arg(image).args(COMMAND);
                output(&mut run)
            })?;
            took.push(begin.elapsed());
            output(command(options).args(["rm", "--force", "--time", "0"]).args(&ids))
                .or_else(|_| output(command(options).args(["rm", "--force"]).args(&ids)))?;
            std::thread::sleep(REST);
        }
        Ok(Sample::new(took))
    }
}

/// Runs `work` so many times on a few threads.
fn at_once(count: usize, work: &(dyn Fn() -> Result<String> + Sync)) -> Result<Vec<String>> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let next = AtomicUsize::new(0);
    let parts: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PEER_CLIENTS.min(count))
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        done.push(work()?);
                    }
                    Ok(done)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect()
    });
    Ok(parts.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// Gives podman the image; its name there.
fn podman(place: &Place, image: &std::path::Path) -> Result<String> {
    let mut load = podman_command(place, &["load", "--input"]);
    let said = output(load.arg(image))?;
    let name = said.rsplit(' ').next().unwrap_or_default().trim();
    ensure!(!name.is_empty(), "podman loaded nothing: {said}");
    Ok(name.to_owned())
}

fn podman_command(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new("podman");
    let path = |name: &str| place.work.join("podman").join(name);
    command.arg("--root").arg(path("root")).arg("--runroot").arg(path("run")).args(args);
    command
}

async fn register(client: &Client) -> Result<()> {
    let definition = json!({
        "family": FAMILY,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "cpu": 2, "memory": 16, "essential": true,
            "command": COMMAND,
        }],
    });
    ecs(client, "RegisterTaskDefinition", definition).await.map(drop)
}

/// Starts so many tasks at once; their ARNs.
async fn start(client: &Client, count: usize) -> Result<Vec<String>> {
    let calls = (0..count.div_ceil(TASKS_A_CALL)).map(|call| {
        let tasks = TASKS_A_CALL.min(count - call * TASKS_A_CALL);
        ecs(client, "RunTask", json!({"taskDefinition": FAMILY, "count": tasks}))
    });
    let mut arns = Vec::new();
    for answer in futures_util::future::try_join_all(calls).await? {
        ensure!(answer["failures"] == json!([]), "RunTask: {}", answer["failures"]);
        let tasks = answer["tasks"].as_array().into_iter().flatten();
        arns.extend(tasks.filter_map(|task| task["taskArn"].as_str().map(str::to_owned)));
    }
    Ok(arns)
}

/// Returns once all are in this state.
async fn all_are(client: &Client, arns: &[String], status: &str) -> Result<()> {
    let end = Instant::now() + LIMIT;
    let mut left: Vec<String> = arns.to_vec();
    while !left.is_empty() {
        ensure!(Instant::now() < end, "{} tasks are not {status}", left.len());
        let asked = &left[..left.len().min(100)];
        let answer = ecs(client, "DescribeTasks", json!({"tasks": asked})).await?;
        let there: Vec<&Value> = answer["tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|task| task["lastStatus"] == status)
            .collect();
        let none = there.is_empty();
        left.retain(|arn| !there.iter().any(|task| task["taskArn"] == arn.as_str()));
        if none {
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn stop(client: &Client, arns: &[String]) -> Result<()> {
    for part in arns.chunks(TASKS_A_CALL) {
        let stops = part.iter().map(|arn| ecs(client, "StopTask", json!({"task": arn})));
        futures_util::future::try_join_all(stops).await?;
    }
    all_are(client, arns, "STOPPED").await
}

async fn round(client: &Client, count: usize) -> Result<Duration> {
    let begin = Instant::now();
    let arns = start(client, count).await?;
    all_are(client, &arns, "RUNNING").await?;
    let took = begin.elapsed();
    stop(client, &arns).await?;
    Ok(took)
}

impl Held {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("held: an agent with many containers and nothing to do");
        let server = Longshore::start(place, "server", &[], None)?;
        let agent = Agent::join(place, &server, &self.image)?;
        let client = server.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let count = usize::from(self.containers);
        let arns = runtime.block_on(async {
            register(&client).await?;
            agent.wait(&client).await?;
            let arns = start(&client, count).await?;
            all_are(&client, &arns, "RUNNING").await?;
            // What starting them left to do is not what is measured.
            tokio::time::sleep(Duration::from_secs(10)).await;
            anyhow::Ok(arns)
        })?;
        let before = Usage::of(agent.process.id())?;
        std::thread::sleep(Duration::from_secs(self.seconds.into()));
        let used = Usage::of(agent.process.id())?.since(&before);
        let rss = memory::rss_kib(agent.process.id()).context("the agent's memory")?;
        let rss = rss as f64 / 1024.0;
        let shims: Vec<u64> = memory::processes()
            .iter()
            .filter(|process| process.program.to_string_lossy().contains("/shim"))
            .filter_map(|process| memory::pss_kib(process.id))
            .collect();
        report.target("the agent's memory", rss, GOAL_RSS_MIB, true, "MiB");
        let percent = used.cores() * 100.0;
        report.target("of a core, at rest", percent, GOAL_CORE_PERCENT, true, "%");
        let all: u64 = shims.iter().sum();
        let note = format!("{} shims, shared pages divided among them", shims.len());
        report.add("all shims together", all as f64 / 1024.0, "MiB", note);
        runtime.block_on(stop(&client, &arns))?;
        Ok(report)
    }
}

/// An agent in a process of its own.
struct Agent {
    process: crate::process::Process,
    data: tempfile::TempDir,
    binary: PathBuf,
}

impl Agent {
    fn join(place: &Place, server: &Longshore, image: &std::path::Path) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("agent-").tempdir_in(&place.work)?;
        let made = output(&mut server.command(&["token", "create", "--output", "json"]))?;
        let made: Value = serde_json::from_str(&made).context("the token")?;
        let token = made["token"].as_str().context("the token")?;
        let mut load = Command::new(&place.binary);
        output(load.args(["image", "load"]).arg(image).arg("--data-dir").arg(data.path()))?;
        let mut command = Command::new(&place.binary);
        command.args(["agent", "--name", "held", "--token", token]).args(ROOMY);
        command.args(["--server", &format!("http://127.0.0.1:{}", server.port)]);
        command.arg("--data-dir").arg(data.path());
        let log = place.work.join("longshore-agent.log");
        let process = crate::process::Process::start(command, &log, None)?;
        Ok(Self { process, data, binary: place.binary.clone() })
    }

    async fn wait(&self, client: &Client) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            let listed = ecs(client, "ListContainerInstances", json!({})).await?;
            let arns = listed["containerInstanceArns"].clone();
            if arns != json!([]) {
                let input = json!({"containerInstances": arns});
                let told = ecs(client, "DescribeContainerInstances", input).await?;
                if told["containerInstances"][0]["agentConnected"] == true {
                    return Ok(());
                }
            }
            ensure!(Instant::now() < end, "the agent does not connect");
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Agent {
    /// Its containers outlive it, unless they are cleared away.
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.process.wait_end(Duration::from_secs(20));
        let mut down = Command::new(&self.binary);
        let _ = down.arg("down").arg("--data-dir").arg(self.data.path()).output();
    }
}
