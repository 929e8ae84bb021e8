//! `longshore logs`: what a task's containers wrote.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::api::{task_id, text};
use crate::connection::Connection;
use crate::output::Format;

/// Flags of `longshore logs`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore logs -f --tail 20 TASK")]
pub struct Logs {
    /// The task's id or ARN
    task: String,
    /// Only this container [default: all]
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many lines of the past [default: all that is kept]
    #[arg(long, value_name = "LINES")]
    tail: Option<u32>,
    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    /// Prints the lines as they come.
    ///
    /// # Errors
    /// If there is no such task or container, or its agent is away.
    pub async fn run(self, format: Format) -> Result<()> {
        let (client, task) = (self.connection.client()?, task_id(&self.task)?);
        let mut path = format!("/_longshore/tasks/{task}/logs?follow={}", self.follow);
        if let Some(container) = &self.container {
            path.push_str(&format!("&container={container}"));
        }
        if let Some(lines) = self.tail {
            path.push_str(&format!("&tail={lines}"));
        }
        let mut lines = client.lines(&path).await?;
        while let Some(line) = lines.next().await? {
            print(&line, format)?;
        }
        Ok(())
    }
}

/// One line of the answer: `{"container", "time", "stream", "text"}`.
fn print(line: &str, format: Format) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if format == Format::Json {
        return Ok(writeln!(out, "{line}")?);
    }
    let value: Value = serde_json::from_str(line)?;
    if let Some(error) = value["error"].as_str() {
        anyhow::bail!("{error}");
    }
    let log = text(&value, "text");
    match text(&value, "stream") {
        "stderr" => std::io::stderr().lock().write_all(log.as_bytes())?,
        _ => out.write_all(log.as_bytes())?,
    }
    Ok(out.flush()?)
}
