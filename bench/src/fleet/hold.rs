//! Many tasks in one ledger: what they take in memory and on disk, and how soon a server that
//! starts with them serves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use super::herd::{Herd, Size, populate};
use super::live::rss_mib;
use crate::etcd::Server;
use crate::longshore::{Longshore, Place, ecs};
use crate::report::{Report, Sample};

/// The goal.
const RSS_GOAL_MIB: f64 = 4096.0;
/// All agents are connected within this time; the tasks run within that time.
const CONNECT_LIMIT: Duration = Duration::from_secs(600);
const RUN_LIMIT: Duration = Duration::from_secs(3600);

/// Many tasks in one ledger: memory, disk and cold starts
#[derive(Args, Debug)]
pub struct Hold {
    /// Running tasks
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    tasks: Option<u32>,
    /// Container instances
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    instances: u32,
    /// Processes that the agents are spread over while the tasks are made
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: u32,
    /// Cold starts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    starts: u16,
    /// Start on the data of this folder instead of making some; it is not taken away
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keep the data that was made in this folder, which must not be there yet
    #[arg(long, conflicts_with = "data")]
    keep: Option<PathBuf>,
    /// On an etcd of its own in place of the embedded store
    #[arg(long, conflicts_with_all = ["data", "keep"])]
    etcd: bool,
}

/// What is asked of a benchmark of this kind.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The title of its report.
    pub title: &'static str,
    /// Running tasks.
    pub tasks: u32,
    /// The goal for a cold start, in seconds, if it has one.
    pub start_goal: Option<f64>,
}

impl Asked {
    /// The most that one server is asked to hold.
    pub const MILLION: Self =
        Self { title: "million: a million tasks held", tasks: 1_000_000, start_goal: None };
    /// What a server is to be up with soon.
    pub const COLDSTART: Self =
        Self { title: "coldstart: 200,000 tasks", tasks: 200_000, start_goal: Some(3.0) };
}

impl Hold {
    /// Measures; with as many tasks as `asked` says if no other number is given.
    pub fn run(&self, place: &Place, asked: Asked) -> Result<Report> {
        let mut report = Report::new(asked.title);
        let etcd = if self.etcd { Some(Server::start(place, None)?) } else { None };
        let store = match &etcd {
            Some(etcd) => shared_store(place, etcd)?,
            None => Vec::new(),
        };
        let flags: Vec<&str> = store.iter().map(String::as_str).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut made = None;
        let data = match &self.data {
            Some(data) => data.clone(),
            None => {
                let tasks = self.tasks.unwrap_or(asked.tasks);
                let data = tempfile::Builder::new().prefix("longshore-").tempdir_in(&place.work)?;
                let server = Longshore::start_in(place, "server", &flags, None, data.path())?;
                self.make(server, tasks, &runtime, &mut report)?;
                match &self.keep {
                    // At once: whatever fails later, the data is there.
                    Some(keep) => {
                        std::fs::rename(data.keep(), keep)
                            .with_context(|| format!("keeping the data in {}", keep.display()))?;
                        keep.clone()
                    }
                    None => made.insert(data).path().to_owned(),
                }
            }
        };
        if etcd.is_none() {
            let size = folder_bytes(&data)? as f64 / f64::from(1 << 20);
            report.add("data folder", size, "MiB", "");
        }
        let start =
            || -> Result<Longshore> { Longshore::start_in(place, "server", &flags, None, &data) };
        // The goal is the embedded store's: on etcd a term has to end first.
        let goal = asked.start_goal.filter(|_| !self.etcd);
        self.start(start, goal, &runtime, &mut report)?;
        drop(made);
        Ok(report)
    }

    /// Fills a ledger through the API: agents register, RunTask places, agents report.
    fn make(
        &self,
        server: Longshore,
        tasks: u32,
        runtime: &tokio::runtime::Runtime,
        report: &mut Report,
    ) -> Result<()> {
        let size = Size::new(self.instances, tasks, self.processes, false)?;
        let client = server.client()?;
        let start = Instant::now();
        let mut herd = Herd::start(&server, size)?;
        let agents = u64::from(size.agents);
        herd.wait(CONNECT_LIMIT, |counts| counts.control == agents)?;
        let empty = rss_mib(&server)?;
        runtime.block_on(populate(&client, tasks))?;
        herd.wait(RUN_LIMIT, |counts| counts.reports >= u64::from(tasks))?;
        let note = format!("{} instances, {tasks} tasks", size.agents);
        report.add("made", start.elapsed().as_secs_f64(), "s", note);
        let rss = rss_mib(&server)?;
        let note = format!("{empty:.0} MiB of it before the first task");
        report.add("server that made them, agents connected, resident", rss, "MiB", note);
        let each = (rss - empty) * f64::from(1 << 20) / f64::from(tasks);
        report.add("    a task", each, "bytes", "");
        drop(herd);
        Ok(())
    }

    /// Starts a server on the data again and again.
    fn start(
        &self,
        server: impl Fn() -> Result<Longshore>,
        goal: Option<f64>,
        runtime: &tokio::runtime::Runtime,
        report: &mut Report,
    ) -> Result<()> {
        let (mut ready, mut answered) = (Vec::new(), Vec::new());
        let mut rss = 0.0_f64;
        for _ in 0..self.starts {
            let start = Instant::now();
            let server = server()?;
            ready.push(server.ready_after);
            let client = server.client()?;
            runtime.block_on(describe_one(&client))?;
            answered.push(start.elapsed());
            rss = rss.max(rss_mib(&server)?);
        }
        let (ready, answered) = (Sample::new(ready), Sample::new(answered));
        report.add_sample("cold start: exec to readyz", &ready);
        report.add_sample("cold start: exec to a DescribeTasks answered", &answered);
        let seconds = answered.median().as_secs_f64();
        if let Some(goal) = goal {
            report.target("cold start", seconds, goal, true, "s");
        }
        report.target("server after a cold start, resident", rss, RSS_GOAL_MIB, true, "MiB");
        Ok(())
    }
}

/// The flags of a server on this etcd, with a key for its secrets.
fn shared_store(place: &Place, etcd: &Server) -> Result<Vec<String>> {
    let key = place.work.join("secrets.key");
    std::fs::write(&key, format!("{}=\n", "A".repeat(43)))?;
    let store = etcd.endpoint.replace("http://", "etcd://");
    let key = key.display().to_string();
    Ok(vec!["--store".to_owned(), store, "--secrets-key-file".to_owned(), key])
}

/// Lists one task and describes it: it must run.
async fn describe_one(client: &Client) -> Result<()> {
    let page = ecs(client, "ListTasks", json!({"maxResults": 1})).await?;
    let arn = page["taskArns"][0].as_str().context("a task is listed")?;
    let answer = ecs(client, "DescribeTasks", json!({"tasks": [arn]})).await?;
    let status: &Value = &answer["tasks"][0]["lastStatus"];
    ensure!(*status == "RUNNING", "the task is not running: {answer}");
    Ok(())
}

/// Bytes of all files in a folder.
fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { folder_bytes(&entry.path())? } else { data.len() };
    }
    Ok(bytes)
}
