//! `longshore logs`: what the containers of a task, or of a service's tasks, wrote.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use wire::client::{Client, ClientError, Lines};

use super::kept_logs;
use crate::api::{list, short, task_id, text};
use crate::connection::Connection;
use crate::output::Format;

/// How often a followed service is asked for new tasks.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
/// Lines that wait to be printed; readers wait when it is full.
const LINES_MAX: usize = 1024;
/// Digits of a task's id before a line of several tasks.
const PREFIX_DIGITS: usize = 8;

/// Flags of `longshore logs`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  longshore logs -f --tail 20 TASK\n  longshore logs -f web")]
pub struct Logs {
    /// The task's id or ARN, or a service's name or ARN
    #[arg(value_name = "TASK|SERVICE")]
    task: String,
    /// The service's cluster
    #[arg(long, value_name = "NAME", default_value = "default")]
    cluster: String,
    /// Only this container [default: all]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many lines of the past, of each task [default: all that is kept]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    /// Prints the lines as they come.
    ///
    /// # Errors
    /// If there is no such task, service or container, or a task's agent is away.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        if let Ok(task) = task_id(&self.task) {
            return match self.open(&client, task).await {
                Ok(mut lines) => {
                    while let Some(line) = lines.next().await? {
                        print(&line, None, format)?;
                    }
                    Ok(())
                }
                Err(error) if is_away(&error) && !self.follow => {
                    self.show_kept(&client, task, error, format).await
                }
                Err(error) => Err(error),
            };
        }
        match self.follow {
            true => self.follow_service(client, format).await,
            false => self.show_service(&client, format).await,
        }
    }

    /// What a log group has of a task whose instance cannot be asked; else why that cannot be.
    async fn show_kept(
        &self,
        client: &Client,
        task: &str,
        away: anyhow::Error,
        format: Format,
    ) -> Result<()> {
        let kept = kept_logs::lines(client, task, self.container.as_deref()).await;
        let lines = kept.unwrap_or_default();
        if lines.is_empty() {
            return Err(away);
        }
        eprintln!("longshore: from the task's log group: {away:#}");
        let most = self.tail.and_then(|lines| usize::try_from(lines).ok()).unwrap_or(usize::MAX);
        let from = lines.len().saturating_sub(most);
        lines[from..].iter().try_for_each(|line| print(line, None, format))
    }

    async fn open(&self, client: &Client, task: &str) -> Result<Lines> {
        let mut path = format!("/_longshore/tasks/{task}/logs?follow={}", self.follow);
        if let Some(container) = &self.container {
            path.push_str(&format!("&container={container}"));
        }
        if let Some(lines) = self.tail {
            path.push_str(&format!("&tail={lines}"));
        }
        Ok(client.lines(&path).await?)
    }

    /// The ids of a service's tasks: those that run, and with `all` those that ended lately.
    async fn tasks(&self, client: &Client, all: bool) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let wanted = if all { &["RUNNING", "STOPPED"][..] } else { &["RUNNING"] };
        for status in wanted {
            let input = json!({
                "cluster": self.cluster, "serviceName": short(&self.task), "desiredStatus": status,
            });
            let listed = list(client, "ListTasks", input, "taskArns").await;
            let arns = listed.map_err(|error| match code(&error) {
                Some("ServiceNotFoundException") => anyhow!(
                    "{} is neither a task's id nor a service of the cluster {}; 'longshore status' \
                     lists what is there",
                    self.task,
                    self.cluster
                ),
                _ => error,
            })?;
            found.extend(arns.iter().filter_map(|arn| Some(short(arn.as_str()?).to_owned())));
        }
        Ok(found)
    }

    /// All lines of all tasks, in the order of their times.
    async fn show_service(&self, client: &Client, format: Format) -> Result<()> {
        let mut all = Vec::new();
        for task in self.tasks(client, true).await? {
            let read = async {
                let mut lines = self.open(client, &task).await?;
                while let Some(line) = lines.next().await? {
                    let time = text(&serde_json::from_str(&line)?, "time").to_owned();
                    all.push((time, task.clone(), line));
                }
                anyhow::Ok(())
            };
            // The others' are worth showing.
            if let Err(error) = read.await {
                eprintln!("longshore: task {task}: {error:#}");
            }
        }
        all.sort_by(|one, other| one.0.cmp(&other.0));
        for (_, task, line) in all {
            print(&line, Some(&task), format)?;
        }
        Ok(())
    }

    /// Lines as they come, of tasks that begin later too.
    async fn follow_service(self, client: Client, format: Format) -> Result<()> {
        let (sender, mut lines) = mpsc::channel::<(String, String)>(LINES_MAX);
        let mut known = BTreeSet::new();
        loop {
            for task in self.tasks(&client, false).await? {
                if !known.insert(task.clone()) {
                    continue;
                }
                match self.open(&client, &task).await {
                    Ok(opened) => _ = tokio::spawn(pass_on(task, opened, sender.clone())),
                    // It may have no agent yet: the next look tries again.
                    Err(_) => _ = known.remove(&task),
                }
            }
            let look_again = tokio::time::sleep(LOOK_PERIOD);
            tokio::pin!(look_again);
            loop {
                tokio::select! {
                    biased;
                    Some((task, line)) = lines.recv() => print(&line, Some(&task), format)?,
                    () = &mut look_again => break,
                }
            }
        }
    }
}

/// Whether a task's instance cannot be asked for its output, or has removed it.
fn is_away(error: &anyhow::Error) -> bool {
    matches!(code(error), Some("TargetNotConnectedException" | "ClientException"))
}

/// What the server calls the error, if it is the server's.
fn code(error: &anyhow::Error) -> Option<&str> {
    match error.downcast_ref::<ClientError>()? {
        ClientError::Service { code, .. } => Some(code),
        _ => None,
    }
}

async fn pass_on(task: String, mut lines: Lines, sender: mpsc::Sender<(String, String)>) {
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return,
            Err(error) => return eprintln!("longshore: task {task}: {error:#}"),
        };
        if sender.send((task.clone(), line)).await.is_err() {
            return;
        }
    }
}

/// One line of the answer: `{"container", "time", "stream", "text"}`; of several tasks, with whose
/// it is.
fn print(line: &str, task: Option<&str>, format: Format) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if format == Format::Json && task.is_none() {
        return Ok(writeln!(out, "{line}")?);
    }
    let mut value: Value = serde_json::from_str(line)?;
    if format == Format::Json {
        value["task"] = task.into();
        return Ok(writeln!(out, "{value}")?);
    }
    if let Some(error) = value["error"].as_str() {
        match task {
            Some(task) => {
                eprintln!("longshore: task {task}: {error}");
                return Ok(());
            }
            None => anyhow::bail!("{error}"),
        }
    }
    let prefix = task.map(|task| {
        let digits = task.get(..PREFIX_DIGITS).unwrap_or(task);
        format!("{digits} {} | ", text(&value, "container"))
    });
    let log = format!("{}{}", prefix.unwrap_or_default(), text(&value, "text"));
    match text(&value, "stream") {
        "stderr" => std::io::stderr().lock().write_all(log.as_bytes())?,
        _ => out.write_all(log.as_bytes())?,
    }
    Ok(out.flush()?)
}
