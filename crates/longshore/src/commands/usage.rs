//! `longshore usage`: what tasks used of Fargate, by the second.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::Value;
use terms::Clock;

use crate::api::{short, text};
use crate::clock::SystemClock;
use crate::commands::history::age;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore usage`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore usage                       (all that is known, by service)
  longshore usage --since 1d --by task
  longshore usage --by provider --output json")]
pub struct Usage {
    /// What it is told apart by
    #[arg(long, value_enum, default_value_t = By::Service)]
    by: By,
    /// Only what was used since, as in 15m, 6h or 30d; of what stopped more than a day ago whole days
    /// are known
    #[arg(long, value_name = "TIME", value_parser = age)]
    since: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

/// What use is told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Clusters and services
    Service,
    /// Families of task definitions
    Family,
    /// Clusters
    Cluster,
    /// FARGATE and FARGATE_SPOT
    Provider,
    /// Tasks
    Task,
}

impl Usage {
    /// Prints the sums.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn run(self, format: Format) -> Result<()> {
        let by = self.by.to_possible_value();
        let by = by.as_ref().map_or("service", |value| value.get_name());
        let since = self.since.map_or(0, |age| (SystemClock.now() - age).millis().max(0));
        let path = format!("/_longshore/usage?by={by}&since={since}");
        let told = self.connection.client()?.get(&path).await?;
        if format == Format::Json {
            return Ok(output::json(&told)?);
        }
        let lines = told["usage"].as_array().map(Vec::as_slice).unwrap_or_default();
        if lines.is_empty() {
            say!("No task used Fargate.");
            return Ok(());
        }
        let mut rows: Vec<Vec<String>> =
            lines.iter().map(|line| row(name(line, self.by), line)).collect();
        rows.push(row("total".to_owned(), &told["total"]));
        let headings = [by, "tasks", "seconds", "vcpu-hours", "gb-hours", "storage gib-hours"];
        Ok(output::table(&headings, rows)?)
    }
}

fn name(line: &Value, by: By) -> String {
    let of = |member: &str| text(line, member);
    match by {
        By::Service if of("service").is_empty() => format!("{} (no service)", of("cluster")),
        By::Service => format!("{}/{}", of("cluster"), of("service")),
        By::Family => of("family").to_owned(),
        By::Cluster => of("cluster").to_owned(),
        By::Provider => of("provider").to_owned(),
        By::Task if of("taskArn").is_empty() => format!("{} (earlier days)", of("family")),
        By::Task => short(of("taskArn")).to_owned(),
    }
}

fn row(name: String, sums: &Value) -> Vec<String> {
    let hours = |member: &str| format!("{:.4}", sums[member].as_f64().unwrap_or_default());
    vec![
        name,
        sums["tasks"].to_string(),
        sums["seconds"].to_string(),
        hours("vcpuHours"),
        hours("gbHours"),
        hours("storageGibHours"),
    ]
}
