//! `longshore run`: registers a task definition file, runs it, follows it to RUNNING.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use wire::client::Client;

use crate::api::{self, addresses, ecs, short, text};
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// How often the task is looked at on its way.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Flags of `longshore run`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore run examples/hello/task-definition.json")]
pub struct Run {
    /// A task definition in the form of `aws ecs register-task-definition --cli-input-json`
    file: PathBuf,
    /// The cluster to run in
    #[arg(long, default_value = "default")]
    cluster: String,
    /// How many tasks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=10))]
    count: u8,
    /// Do not wait for RUNNING
    #[arg(long)]
    detach: bool,
    /// Give up waiting after so many seconds (a slow pull may need more)
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    connection: Connection,
}

impl Run {
    /// Registers, runs, follows.
    ///
    /// # Errors
    /// If the file is no task definition, no instance takes the task, or it stops before RUNNING.
    pub async fn run(self, format: Format) -> Result<()> {
        let file = self.file.display();
        let document = std::fs::read(&self.file).with_context(|| format!("reading {file}"))?;
        let document: Value =
            serde_json::from_slice(&document).with_context(|| format!("{file} is no JSON"))?;
        let client = self.connection.client()?;
        let registered = ecs(&client, "RegisterTaskDefinition", &document).await?;
        let definition = text(&registered["taskDefinition"], "taskDefinitionArn").to_owned();
        let tasks = self.start(&client, &definition).await?;
        for task in &tasks {
            let arn = text(task, "taskArn").to_owned();
            let task = if self.detach { task.clone() } else { self.follow(&client, &arn).await? };
            let instance = self.instance(&client, &task).await?;
            tell(&task, &instance, &definition, format)?;
        }
        Ok(())
    }

    /// The instance that the task is on; null if it is on none.
    async fn instance(&self, client: &Client, task: &Value) -> Result<Value> {
        let arn = text(task, "containerInstanceArn");
        if arn.is_empty() {
            return Ok(Value::Null);
        }
        let input = json!({"cluster": self.cluster, "containerInstances": [arn]});
        let mut answer = ecs(client, "DescribeContainerInstances", &input).await?;
        Ok(answer["containerInstances"][0].take())
    }

    async fn start(&self, client: &Client, definition: &str) -> Result<Vec<Value>> {
        let input =
            json!({"cluster": self.cluster, "taskDefinition": definition, "count": self.count});
        let mut answer = ecs(client, "RunTask", &input).await?;
        let failures = answer["failures"].take();
        if let Some(failures) = failures.as_array().filter(|failures| !failures.is_empty()) {
            let reason = |f: &Value| format!("{} ({})", text(f, "reason"), short(text(f, "arn")));
            let reasons: Vec<_> = failures.iter().map(reason).collect();
            bail!("the cluster {} cannot take the task: {}", self.cluster, reasons.join(", "));
        }
        Ok(answer["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// Waits for RUNNING, drawing the task's way there where somebody watches.
    async fn follow(&self, client: &Client, arn: &str) -> Result<Value> {
        let bar =
            if output::is_watched() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(ProgressStyle::with_template("{spinner} {prefix} {msg} {elapsed:.dim}")?);
        bar.set_prefix(short(arn).to_owned());
        let wait = async {
            loop {
                let task = api::task(client, &self.cluster, arn).await?;
                match text(&task, "lastStatus") {
                    "RUNNING" => return Ok(task),
                    "STOPPED" if has_succeeded(&task) => return Ok(task),
                    "STOPPED" => bail!("the task stopped: {}", api::why_stopped(&task)),
                    status => bar.set_message(status.to_owned()),
                }
                bar.tick();
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let limit = Duration::from_secs(self.timeout);
        let outcome = tokio::time::timeout(limit, wait).await;
        bar.finish_and_clear();
        outcome.with_context(|| {
            let (seconds, id) = (self.timeout, short(arn));
            format!("the task is not RUNNING after {seconds} s; 'longshore why {id}' tells more")
        })?
    }
}

/// A short task may be over before it was ever seen RUNNING; that is no failure.
fn has_succeeded(task: &Value) -> bool {
    let mut containers = task["containers"].as_array().into_iter().flatten();
    containers.all(|container| container["exitCode"].as_i64() == Some(0))
}

fn tell(task: &Value, instance: &Value, definition: &str, format: Format) -> Result<()> {
    let arn = text(task, "taskArn");
    let (status, addresses) = (text(task, "lastStatus"), addresses(task, Some(instance)));
    if format == Format::Json {
        return Ok(output::json(&json!({
            "taskArn": arn,
            "taskDefinitionArn": definition,
            "lastStatus": status,
            "addresses": addresses,
        }))?);
    }
    say!("{status}  {}  {}", short(arn), short(definition));
    addresses.iter().for_each(|address| say!("         http://{address}"));
    Ok(())
}
