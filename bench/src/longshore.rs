//! The Longshore under measurement: its own port, data folder and key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use terms::Region;
use wire::client::Client;
use wire::sigv4::Credentials;

use crate::clock::WallClock;
use crate::process::{Process, answers, free_port};

/// A start takes at most this long.
const START_LIMIT: Duration = Duration::from_secs(300);
/// A task reaches a status within this time.
const TASK_LIMIT: Duration = Duration::from_secs(60);
/// How often a task's status is asked for.
const LOOK: Duration = Duration::from_millis(1);

/// What to measure, and where.
#[derive(Debug)]
pub struct Place {
    /// The binary.
    pub binary: PathBuf,
    /// Where temporary data lies.
    pub work: PathBuf,
}

/// A data folder: one that goes with the process, or one that stays.
#[derive(Debug)]
enum Data {
    Own(TempDir),
    Lent(PathBuf),
}

impl Data {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Lent(folder) => folder,
        }
    }
}

/// A running `longshore`.
#[derive(Debug)]
pub struct Longshore {
    process: Option<Process>,
    binary: PathBuf,
    data: Data,
    /// The port of its API.
    pub port: u16,
    /// From exec to the first 200 of `readyz`.
    pub ready_after: Duration,
}

impl Longshore {
    /// Starts `longshore ROLE` with a fresh data folder and waits until it is ready.
    pub fn start(place: &Place, role: &str, extra: &[&str], core: Option<usize>) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("longshore-").tempdir_in(&place.work)?;
        Self::start_with(place, role, extra, core, Data::Own(data), free_port()?)
    }

    /// The same on a data folder that is there, and stays.
    pub fn start_in(
        place: &Place,
        role: &str,
        extra: &[&str],
        core: Option<usize>,
        data: &Path,
    ) -> Result<Self> {
        Self::start_with(place, role, extra, core, Data::Lent(data.to_owned()), free_port()?)
    }

    /// The same on a port that is known already, as after an end.
    pub fn start_at(
        place: &Place,
        role: &str,
        extra: &[&str],
        data: &Path,
        port: u16,
    ) -> Result<Self> {
        Self::start_with(place, role, extra, None, Data::Lent(data.to_owned()), port)
    }

    fn start_with(
        place: &Place,
        role: &str,
        extra: &[&str],
        core: Option<usize>,
        data: Data,
        port: u16,
    ) -> Result<Self> {
        let log = place.work.join(format!("longshore-{role}.log"));
        let mut command = Command::new(&place.binary);
        command.arg(role).arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.arg("--data-dir").arg(data.path()).args(extra);
        let start = Instant::now();
        let mut process = Process::start(command, &log, core)?;
        process
            .wait_until(START_LIMIT, || answers(port, "/_longshore/readyz"))
            .with_context(|| format!("see {}", log.display()))?;
        let ready_after = start.elapsed();
        let binary = place.binary.clone();
        Ok(Self { process: Some(process), binary, data, port, ready_after })
    }

    /// The server's process id.
    pub fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// Its data folder.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// A command of the binary on this data folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).arg("--data-dir").arg(self.data.path());
        command
    }

    /// The file with the administrator's key.
    pub fn credentials_file(&self) -> PathBuf {
        self.data.path().join("credentials")
    }

    /// A caller with the administrator's key.
    pub fn client(&self) -> Result<Client> {
        client(self.port, read_credentials(&self.credentials_file())?)
    }
}

impl Drop for Longshore {
    fn drop(&mut self) {
        drop(self.process.take());
        let _ = self.command(&["down"]).output();
    }
}

/// A caller of the server on a loopback port.
pub fn client(port: u16, credentials: Credentials) -> Result<Client> {
    let region: Region = "us-east-1".parse().context("the region's name")?;
    let endpoint = format!("http://127.0.0.1:{port}");
    Ok(Client::new(&endpoint, Some(credentials), region, Arc::new(WallClock)))
}

/// The key in a file of AWS's form.
pub fn read_credentials(path: &Path) -> Result<Credentials> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value = |name: &str| {
        let found = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim() == name);
        found
            .map(|(_, value)| value.trim().to_owned())
            .with_context(|| format!("no {name} in {}", path.display()))
    };
    Ok(Credentials {
        access_key_id: value("aws_access_key_id")?,
        secret: wire::Secret::new(value("aws_secret_access_key")?),
        session_token: None,
    })
}

/// Calls an ECS operation with JSON as it stands on the wire.
pub async fn ecs(client: &Client, operation: &str, input: Value) -> Result<Value> {
    client
        .invoke(&shapes_ecs::SERVICE, operation, &input)
        .await
        .with_context(|| operation.to_owned())
}

/// Runs one task and gives its ARN.
///
/// # Errors
/// If it was not placed.
pub async fn run_task(client: &Client, input: Value) -> Result<String> {
    let answer = ecs(client, "RunTask", input).await?;
    match answer["tasks"][0]["taskArn"].as_str() {
        Some(arn) => Ok(arn.to_owned()),
        None => bail!("RunTask placed nothing: {}", answer["failures"]),
    }
}

/// Asks every millisecond until the task has the status; gives it as described then.
pub async fn wait_for(client: &Client, arn: &str, status: &str) -> Result<Value> {
    let end = Instant::now() + TASK_LIMIT;
    loop {
        let answer = ecs(client, "DescribeTasks", json!({"tasks": [arn]})).await?;
        let task = &answer["tasks"][0];
        if task["lastStatus"] == status {
            return Ok(task.clone());
        }
        if task["lastStatus"] == "STOPPED" || Instant::now() > end {
            bail!("waiting for {status}: {task:#}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
