//! Longshore's side of `services`: three container instances of one `longshore up`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wire::client::Client;

use super::{CHECK_INTERVAL_S, LIMIT, SCRIPT, Side};
use crate::longshore::{Longshore, Place, ecs, wait_for};
use crate::process::output;

/// What `longshore up` is told: tasks count as healthy as soon as they run.
const FLAGS: [&str; 4] = ["--instances", "3", "--settle-seconds", "0"];
const SERVICE: &str = "bench";
/// MiB of each task.
const TASK_MIB: u32 = 16;
/// How often the service is looked at: rarely enough to cost next to nothing.
const LOOK: Duration = Duration::from_millis(20);
/// How often a single task is looked for.
const LOOK_CLOSELY: Duration = Duration::from_millis(1);

/// Longshore with its service.
pub(super) struct Ours {
    longshore: Longshore,
    client: Client,
    runtime: Runtime,
    tasks: u32,
    /// Releases that were registered; each differs from those before.
    release: u32,
    is_checked: bool,
}

impl Ours {
    /// Brings Longshore up with the image.
    pub(super) fn start(place: &Place, image: &Path, tasks: u32) -> Result<Self> {
        let longshore = Longshore::start(place, "up", &FLAGS, None)?;
        output(longshore.command(&["image", "load"]).arg(image)).context("loading the image")?;
        let client = longshore.client()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ours = Self { longshore, client, runtime, tasks, release: 0, is_checked: false };
        ours.await_instances()?;
        Ok(ours)
    }

    fn call(&self, operation: &str, input: Value) -> Result<Value> {
        self.runtime.block_on(ecs(&self.client, operation, input))
    }

    fn await_instances(&self) -> Result<()> {
        self.until("three instances", || {
            let listed = self.call("ListContainerInstances", json!({}))?;
            let arns = listed["containerInstanceArns"].clone();
            if arns.as_array().is_none_or(|arns| arns.len() < 3) {
                return Ok(false);
            }
            let input = json!({"containerInstances": arns});
            let told = self.call("DescribeContainerInstances", input)?;
            let all = told["containerInstances"].as_array();
            Ok(all.is_some_and(|all| all.iter().all(|one| one["agentConnected"] == true)))
        })
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !holds()? {
            ensure!(Instant::now() < end, "not within {LIMIT:?}: {what}");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Registers the next release and gives its family and revision.
    fn register(&mut self) -> Result<String> {
        self.release += 1;
        let release = self.release.to_string();
        let mut container = json!({
            "name": "main", "image": "busybox", "memory": TASK_MIB, "stopTimeout": 10,
            "command": ["sh", "-c", SCRIPT],
            "environment": [{"name": "RELEASE", "value": release}],
        });
        if self.is_checked {
            container["healthCheck"] =
                json!({"command": ["CMD", "true"], "interval": CHECK_INTERVAL_S, "retries": 1});
        }
        let input = json!({"family": SERVICE, "containerDefinitions": [container]});
        let answer = self.call("RegisterTaskDefinition", input)?;
        let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str();
        Ok(arn.context("a registered definition has an ARN")?.to_owned())
    }

    fn service(&self) -> Result<Value> {
        let mut answer = self.call("DescribeServices", json!({"services": [SERVICE]}))?;
        Ok(answer["services"].get_mut(0).map_or(Value::Null, Value::take))
    }

    /// Waits until the primary deployment is the only one, COMPLETED, and all its tasks run.
    fn await_steady(&self) -> Result<()> {
        self.until("a steady service", || {
            let service = self.service()?;
            let deployments = service["deployments"].as_array().map_or(0, Vec::len);
            let state = &service["deployments"][0]["rolloutState"];
            ensure!(*state != "FAILED", "the deployment failed: {service:#}");
            Ok(deployments == 1
                && *state == "COMPLETED"
                && service["runningCount"] == self.tasks
                && service["pendingCount"] == 0)
        })
    }

    /// Waits until the instances have so many tasks, those that stop included.
    fn await_tasks(&self, count: usize) -> Result<()> {
        self.until("all else to be stopped", || {
            let instances = self.call("ListContainerInstances", json!({}))?;
            let input = json!({"containerInstances": instances["containerInstanceArns"]});
            let told = self.call("DescribeContainerInstances", input)?;
            let running = |one: &Value| {
                let count = |name: &str| one[name].as_u64().unwrap_or_default();
                count("runningTasksCount") + count("pendingTasksCount")
            };
            let all = told["containerInstances"].as_array();
            Ok(all.is_some_and(|all| all.iter().map(running).sum::<u64>() == count as u64))
        })
    }

    /// The service's tasks that are to run, by ARN.
    fn running(&self) -> Result<BTreeSet<String>> {
        let answer = self.call("ListTasks", json!({"serviceName": SERVICE}))?;
        let arns = answer["taskArns"].as_array().into_iter().flatten();
        Ok(arns.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The first process of a task's container, as its shim put it down.
    fn process_of(&self, arn: &str) -> Result<Pid> {
        let answer = self.call("DescribeTasks", json!({"tasks": [arn]}))?;
        let id = answer["tasks"][0]["containers"][0]["runtimeId"].as_str();
        let id = id.with_context(|| format!("a running container has an id: {answer:#}"))?;
        for instance in std::fs::read_dir(self.longshore.data_dir().join("node"))? {
            let folder: PathBuf = instance?.path().join("containers").join(id);
            let Ok(text) = std::fs::read(folder.join("running.json")) else { continue };
            let running: Value = serde_json::from_slice(&text)?;
            let pid = running["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            return pid.map(Pid::from_raw).context("running.json has a process");
        }
        bail!("no instance holds container {id}")
    }
}

impl Side for Ours {
    fn create(&mut self, is_checked: bool) -> Result<Duration> {
        self.is_checked = is_checked;
        let definition = self.register()?;
        let input = json!({
            "serviceName": SERVICE, "taskDefinition": definition, "desiredCount": self.tasks,
            "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200},
        });
        let start = Instant::now();
        self.call("CreateService", input)?;
        self.await_steady()?;
        Ok(start.elapsed())
    }

    fn replace(&mut self) -> Result<Duration> {
        let before = self.running()?;
        let victim = before.first().context("the service has tasks")?;
        let process = self.process_of(victim)?;
        let start = Instant::now();
        kill(process, Signal::SIGKILL)?;
        let new = loop {
            if let Some(new) = self.running()?.difference(&before).next() {
                break new.clone();
            }
            ensure!(start.elapsed() < LIMIT, "no replacement within {LIMIT:?}");
            std::thread::sleep(LOOK_CLOSELY);
        };
        self.runtime.block_on(wait_for(&self.client, &new, "RUNNING"))?;
        let took = start.elapsed();
        self.await_steady()?;
        Ok(took)
    }

    fn update(&mut self) -> Result<Duration> {
        let definition = self.register()?;
        let input = json!({"service": SERVICE, "taskDefinition": definition});
        let start = Instant::now();
        self.call("UpdateService", input)?;
        self.await_steady()?;
        self.await_tasks(self.tasks as usize)?;
        Ok(start.elapsed())
    }

    fn delete(&mut self) -> Result<()> {
        self.call("DeleteService", json!({"service": SERVICE, "force": true}))?;
        self.until("a deleted service", || Ok(self.service()?["status"] == "INACTIVE"))?;
        self.await_tasks(0)
    }
}
