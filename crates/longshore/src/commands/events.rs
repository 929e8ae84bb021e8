//! `longshore events`: what EventBridge is told, as it happens.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;
use wire::client::{Client, ClientError};

use super::status::share;
use crate::api::{short, text};
use crate::connection::Connection;
use crate::output::Format;

/// How long after its end a followed server is looked for again, or the one that leads by then.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Tries in a row that may fail: a minute of them.
const FAILED_MAX: u32 = 120;
/// Events whose ids are remembered, to be shown once: as many as a server keeps.
const SEEN_MAX: usize = 2_000;

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
    /// Go on with what happens from now on, over restarts of the server too
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
    /// If the server cannot be reached, or not again for a minute.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let mut seen = Seen::default();
        self.read(&client, self.last, &mut seen, format).await?;
        if self.follow { self.follow_on(&mut seen, format).await } else { Ok(()) }
    }

    /// Goes on when the server has ended, or another leads by now. It may come back at another port.
    async fn follow_on(&self, seen: &mut Seen, format: Format) -> Result<()> {
        let mut failed = 0;
        loop {
            tokio::time::sleep(AGAIN_AFTER).await;
            let read = match self.connection.client() {
                Ok(client) => self.read(&client, SEEN_MAX, seen, format).await,
                Err(_) if failed < FAILED_MAX => {
                    failed += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match read {
                Ok(()) => failed = 0,
                Err(error) if is_transient(&error) && failed < FAILED_MAX => {
                    failed += 1;
                    if failed == 1 {
                        eprintln!("longshore: {error:#}; trying again");
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Prints what one server tells, until it ends.
    async fn read(
        &self,
        client: &Client,
        last: usize,
        seen: &mut Seen,
        format: Format,
    ) -> Result<()> {
        let mut path = format!(
            "/_longshore/events?follow={}&last={last}&deadLetters={}",
            self.follow, self.dead_letters
        );
        if let Some(resource) = &self.resource {
            path.push_str(&format!("&resource={}", super::history::percent(resource)));
        }
        let mut lines = client.lines(&path).await?;
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                // The server is gone in the middle of it.
                Err(_) if self.follow => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if self.follow && !seen.is_new(&line) {
                continue;
            }
            match format {
                Format::Json => writeln!(io::stdout(), "{line}")?,
                Format::Text if self.dead_letters => print_letter(&line)?,
                Format::Text => print(&line)?,
            }
        }
    }
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(ClientError::is_transient)
}

/// The ids of the events that were shown last.
#[derive(Debug, Default)]
struct Seen(VecDeque<String>);

impl Seen {
    /// Whether the event of this line was not shown yet. What has no id always is new.
    fn is_new(&mut self, line: &str) -> bool {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let Some(id) = event["id"].as_str() else { return true };
        if self.0.iter().rev().any(|seen| seen == id) {
            return false;
        }
        if self.0.len() == SEEN_MAX {
            self.0.pop_front();
        }
        self.0.push_back(id.to_owned());
        true
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
            let (cpu, memory) = (share(detail, "CPU"), share(detail, "MEMORY"));
            format!("{}{agent}, CPU {cpu} and memory {memory} free", of("status"))
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
        let amount = |name: &str, value: u64| json!([{"name": name, "integerValue": value}]);
        let instance = json!({"detail-type": "ECS Container Instance State Change", "detail": {
            "status": "ACTIVE", "agentConnected": true, "remainingResources": amount("CPU", 512),
            "registeredResources": amount("CPU", 2048)}});
        assert_eq!(says(&instance), "ACTIVE, CPU 512/2048 and memory 0/0 free");
        let own = json!({"detail-type": "mine", "detail": {"a": 1}});
        assert_eq!(says(&own), "{\"a\":1}");
    }

    #[test]
    fn an_event_is_shown_once() {
        let mut seen = Seen::default();
        assert!(seen.is_new(r#"{"id": "1"}"#) && seen.is_new(r#"{"id": "2"}"#));
        assert!(!seen.is_new(r#"{"id": "1"}"#));
        assert!(seen.is_new(r#"{"missed": 3}"#) && seen.is_new(r#"{"missed": 3}"#));
        for id in 0..SEEN_MAX {
            assert!(seen.is_new(&json!({"id": format!("n{id}")}).to_string()));
        }
        assert!(seen.is_new(r#"{"id": "1"}"#));
    }
}
