//! `longshore why`: why a task runs where it does, waits, or stopped, in plain words.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::api::{task_id, text};
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore why`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore why 5f3b2a1c4d5e6f708192a3b4c5d6e7f8
  longshore why arn:aws:ecs:us-east-1:000000000000:task/default/5f3b2a1c4d5e6f708192a3b4c5d6e7f8

A task that found no place has no id to ask about: 'longshore plan run-task' tells why it finds none.")]
pub struct Why {
    /// The task's id or ARN
    task: String,
    #[command(flatten)]
    connection: Connection,
}

impl Why {
    /// Prints the explanation.
    ///
    /// # Errors
    /// If the server cannot be reached or knows no such task.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let why = client.get(&format!("/_longshore/why/{}", task_id(&self.task)?)).await?;
        if format == Format::Json {
            return Ok(output::json(&why)?);
        }
        say!("{}", text(&why, "summary"));
        section(&why, "placement");
        section(&why, "containers");
        Ok(())
    }
}

fn section(why: &Value, name: &str) {
    let lines: Vec<_> =
        why[name].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !lines.is_empty() {
        say!("\n{name}");
        lines.iter().for_each(|line| say!("  {line}"));
    }
}
