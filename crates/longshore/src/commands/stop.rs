//! `longshore stop`: stops a task and waits until it has stopped.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};
use wire::client::Client;

use crate::api::{self, ecs, short, text};
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// How often the task is looked at on its way.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Flags of `longshore stop`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore stop TASK")]
pub struct Stop {
    /// The task's id or ARN
    task: String,
    /// The task's cluster
    #[arg(long, default_value = "default")]
    cluster: String,
    /// What the task's stoppedReason is to say
    #[arg(long)]
    reason: Option<String>,
    /// Do not wait until it has stopped
    #[arg(long)]
    detach: bool,
    /// Give up waiting after so many seconds
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Stop {
    /// Stops the task.
    ///
    /// # Errors
    /// If there is no such task, or it has not stopped in time.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        api::task_id(&self.task)?;
        let mut input = json!({"cluster": self.cluster, "task": self.task});
        if let Some(reason) = &self.reason {
            input["reason"] = reason.as_str().into();
        }
        let mut task = ecs(&client, "StopTask", &input).await?["task"].take();
        if !self.detach {
            let limit = Duration::from_secs(self.timeout);
            let wait = self.wait(&client, task);
            task = tokio::time::timeout(limit, wait).await.with_context(|| {
                format!("the task has not stopped after {} s; its agent may be away", self.timeout)
            })??;
        }
        if format == Format::Json {
            return Ok(output::json(&task)?);
        }
        say!("{}  {}", text(&task, "lastStatus"), short(text(&task, "taskArn")));
        if text(&task, "lastStatus") == "STOPPED" {
            say!("         {}", api::why_stopped(&task));
        }
        Ok(())
    }

    async fn wait(&self, client: &Client, mut task: Value) -> Result<Value> {
        while text(&task, "lastStatus") != "STOPPED" {
            tokio::time::sleep(LOOK_EVERY).await;
            task = api::task(client, &self.cluster, &self.task).await?;
        }
        Ok(task)
    }
}
