//! `longshore events`: what EventBridge is told, as it happens.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::api::{short, text};
use crate::connection::Connection;
use crate::output::Format;

/// Flags of `longshore events`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore events --follow                  (everything, live)
  longshore events --follow web              (a service, a cluster, or the begin of an id)
  longshore events --dead-letters            (deliveries of rules that were given up)")]
pub struct Events {
    /// Only events of this resource: an ARN, a name in one, or the begin of an id
    resource: Option<String>,
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    /// Begin with so many events of the past
    #[arg(long, value_name = "EVENTS", default_value_t = 100)]
    last: usize,
    /// Show deliveries that were given up instead
    #[arg(long, conflicts_with_all = ["follow", "resource"])]
    dead_letters: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Events {
    /// Prints the events as they come.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let mut path = format!(
            "/_longshore/events?follow={}&last={}&deadLetters={}",
            self.follow, self.last, self.dead_letters
        );
        if let Some(resource) = &self.resource {
            path.push_str(&format!("&resource={}", super::history::percent(resource)));
        }
        let mut lines = client.lines(&path).await?;
        while let Some(line) = lines.next().await? {
            match format {
                Format::Json => writeln!(io::stdout(), "{line}")?,
                _ if self.dead_letters => print_letter(&line)?,
                _ => print(&line)?,
            }
        }
        Ok(())
    }
}

/// One event on a line: when, what, of what, and what it says.
fn print(line: &str) -> Result<()> {
    let event: Value = serde_json::from_str(line)?;
    let mut out = io::stdout().lock();
    if let Some(missed) = event["missed"].as_u64() {
        return Ok(writeln!(out, "… {missed} events were too fast to be shown")?);
    }
    let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (dim, plain) = if colours { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let resource = event["resources"][0].as_str().unwrap_or_default();
    writeln!(
        out,
        "{dim}{}{plain}  {:<36}  {:<36}  {}",
        text(&event, "time"),
        text(&event, "detail-type"),
        short(resource),
        says(&event)
    )?;
    Ok(out.flush()?)
}

/// The most telling part of an event's detail.
fn says(event: &Value) -> String {
    let detail = &event["detail"];
    let of = |name: &str| detail[name].as_str().unwrap_or_default();
    let known = match text(event, "detail-type") {
        "ECS Task State Change" => {
            let wanted = if of("lastStatus") == of("desiredStatus") {
                String::new()
            } else {
                format!(" (wanted {})", of("desiredStatus"))
            };
            let why = match of("stoppedReason") {
                "" => String::new(),
                why => format!(": {why}"),
            };
            format!("{} {}{wanted}{why}", of("group"), of("lastStatus"))
        }
        "ECS Container Instance State Change" => {
            let agent =
                if detail["agentConnected"] == Value::Bool(true) { "" } else { ", agent away" };
            format!("{}{agent}", of("status"))
        }
        "ECS Service Action" => format!("{} {} {}", of("eventType"), of("eventName"), of("reason")),
        "ECS Deployment State Change" => format!("{} {}", of("eventName"), of("reason")),
        _ => detail.to_string(),
    };
    known.trim_end().to_owned()
}

/// One delivery that was given up.
fn print_letter(line: &str) -> Result<()> {
    let letter: Value = serde_json::from_str(line)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{}  {} → {}  after {} attempts  {}: {}",
        text(&letter, "at"),
        short(text(&letter, "ruleArn")),
        text(&letter, "targetArn"),
        letter["attempts"],
        text(&letter, "errorCode"),
        text(&letter, "errorMessage"),
    )?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_say_the_telling_part() {
        let task = json!({"detail-type": "ECS Task State Change", "detail": {
            "group": "service:web", "lastStatus": "RUNNING", "desiredStatus": "STOPPED",
            "stoppedReason": "Task stopped by user"}});
        assert_eq!(says(&task), "service:web RUNNING (wanted STOPPED): Task stopped by user");
        let action = json!({"detail-type": "ECS Service Action", "detail": {
            "eventType": "INFO", "eventName": "SERVICE_STEADY_STATE"}});
        assert_eq!(says(&action), "INFO SERVICE_STEADY_STATE");
        let own = json!({"detail-type": "mine", "detail": {"a": 1}});
        assert_eq!(says(&own), "{\"a\":1}");
    }
}
