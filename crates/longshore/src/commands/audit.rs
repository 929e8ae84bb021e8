//! `longshore audit`: who called what, from where, and what came of it; whether the trail holds.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use terms::Clock;

use super::history::{age, percent};
use crate::api::{short, text};
use crate::audit::{AUDIT_PATH, FORGET_PATH, VERIFY_PATH};
use crate::clock::SystemClock;
use crate::connection::Connection;
use crate::ensemble::bare;
use crate::output::{self, Format, say};

/// How often `--follow` asks.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Lines of one question of `--follow`.
const FOLLOW_LINES: usize = 1000;

/// Flags of `longshore audit`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    show: Show,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show calls, the newest last
    #[command(after_help = "\
Examples:
  longshore audit show --since 1h --denied
  longshore audit show --who ada --action ecs:RunTask
  longshore audit show --follow --output json      (one record a line)")]
    Show(Show),
    /// Follow the chain of hashes over the whole trail
    #[command(after_help = "\
Examples:
  longshore audit verify
  longshore audit verify --expect 5f3b…     (a hash that was noted before: nothing was cut off)
  longshore audit verify --folder /backup/audit")]
    Verify(Verify),
    /// Miss a server no more that will not come back; its part of the trail is gone with it
    #[command(after_help = "\
Examples:
  longshore audit forget http://10.0.0.3:4566

Several servers have a trail each. One that was taken away for good is missed, by 'audit verify' most of \
all, for as long as calls are kept. Copy its folder DATA/audit first, if you still can; 'longshore audit \
verify --folder' checks a copy. That it was forgotten, and by whom, is in the trail.")]
    Forget(Forget),
}

#[derive(Args, Debug)]
struct Show {
    /// Only what is younger, as in 30s, 15m, 6h or 2d
    #[arg(long, value_name = "TIME", value_parser = age)]
    since: Option<Duration>,
    /// Only of callers with this in their name, ARN or access key id
    #[arg(long, value_name = "TEXT")]
    who: Option<String>,
    /// Only this operation, with or without its service
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only about resources with this in their ARN, or with this name
    #[arg(long, value_name = "TEXT")]
    resource: Option<String>,
    /// Only the request with this id
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only what was refused to its caller
    #[arg(long)]
    denied: bool,
    /// Only what went wrong
    #[arg(long)]
    failed: bool,
    /// The most calls that are shown
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    /// Go on until Ctrl-C
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
struct Verify {
    /// The hash of a line, noted before, that must be in the trail
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
    /// A copy of a trail's folder, in place of the server's own
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args, Debug)]
struct Forget {
    /// Its URL, as 'longshore audit verify' names it
    #[arg(value_name = "SERVER")]
    server: String,
    #[command(flatten)]
    connection: Connection,
}

impl Audit {
    /// Shows calls, follows the chain, or forgets a server.
    ///
    /// # Errors
    /// If the server cannot be reached, or the chain is broken.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.action {
            None => self.show.run(format).await,
            Some(Action::Show(show)) => show.run(format).await,
            Some(Action::Verify(verify)) => verify.run(format).await,
            Some(Action::Forget(forget)) => forget.run(format).await,
        }
    }
}

impl Show {
    fn query(&self) -> String {
        let mut query = String::new();
        let texts = [
            ("who", &self.who),
            ("action", &self.action),
            ("resource", &self.resource),
            ("request", &self.request),
        ];
        for (name, value) in texts {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={}", percent(value)));
            }
        }
        if let Some(since) = self.since {
            query.push_str(&format!("&since={}", (SystemClock.now() - since).millis()));
        }
        for (name, is_set) in [("denied", self.denied), ("failed", self.failed)] {
            if is_set {
                query.push_str(&format!("&{name}=true"));
            }
        }
        query
    }

    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let query = self.query();
        let path = format!("{AUDIT_PATH}?limit={}{query}", self.limit);
        let told = client.get(&path).await?;
        let mut silent = BTreeSet::new();
        tell_silent(&told, &mut silent);
        let mut entries: Vec<Value> = told["entries"].as_array().cloned().unwrap_or_default();
        entries.reverse();
        if format == Format::Json && !self.follow {
            let records: Vec<&Value> = entries.iter().map(|entry| &entry["event"]).collect();
            return Ok(output::json(&json!({ "Records": records }))?);
        }
        entries.iter().for_each(|entry| print(entry, format));
        if !self.follow {
            return Ok(());
        }
        // From the lines that were shown on; of a server without one, what comes from now on.
        let mut last = text(&told, "newest").to_owned();
        loop {
            let path = format!("{AUDIT_PATH}?limit={FOLLOW_LINES}&after={last}{query}");
            let told = client.get(&path).await?;
            for entry in told["entries"].as_array().into_iter().flatten() {
                print(entry, format);
            }
            tell_silent(&told, &mut silent);
            // What did not fit was looked through, and need not be again.
            last = text(&told, "next").to_owned();
            tokio::time::sleep(FOLLOW_EVERY).await;
        }
    }
}

/// Says once of each server that it could not be asked.
fn tell_silent(told: &Value, before: &mut BTreeSet<String>) {
    for one in told["silent"].as_array().into_iter().flatten() {
        let server = text(one, "server");
        if before.insert(server.to_owned()) {
            eprintln!("The trail of {server} is not in this: {}", text(one, "why"));
        }
    }
}

/// One call in one line: when, who, what, on what, what came of it, from where.
fn print(entry: &Value, format: Format) {
    let event = &entry["event"];
    if format == Format::Json {
        say!("{event}");
        return;
    }
    let resource = event["resources"][0]["ARN"].as_str().map(short).unwrap_or("-");
    let outcome = match event["errorCode"].as_str() {
        Some(code) => code.to_owned(),
        None => "ok".to_owned(),
    };
    say!(
        "{}  {:<28}  {:<40}  {resource:<24}  {outcome:<24}  {}  {}",
        text(event, "eventTime"),
        who(event),
        what(event),
        text(event, "sourceIPAddress"),
        text(event, "requestID"),
    );
}

/// The part of an ARN that people know somebody by.
pub(super) fn who(event: &Value) -> String {
    let identity = &event["userIdentity"];
    match identity["arn"].as_str() {
        Some(arn) => arn.rsplit(':').next().unwrap_or(arn).to_owned(),
        None => match identity["accessKeyId"].as_str() {
            Some(key) => format!("{} ({key})", text(identity, "type")),
            None => text(identity, "type").to_owned(),
        },
    }
}

/// Service and operation, such as `ecs:RunTask`.
pub(super) fn what(event: &Value) -> String {
    let source = text(event, "eventSource");
    let service = source.split('.').next().unwrap_or(source);
    format!("{service}:{}", text(event, "eventName"))
}

impl Verify {
    async fn run(self, format: Format) -> Result<()> {
        let told = match &self.folder {
            Some(folder) => {
                if self.expect.is_some() {
                    bail!("--expect asks the server; leave --folder out, or --expect");
                }
                json!(cloudtrail::verify(folder)?)
            }
            None => {
                let client = self.connection.client()?;
                let hash = self.expect.as_deref().map(percent).unwrap_or_default();
                client.get(&format!("{VERIFY_PATH}?hash={hash}")).await?
            }
        };
        if told["hasNoted"] == false {
            bail!(
                "the chain holds, but no line has the hash that was noted: lines were cut off at its \
                 end, or it was begun anew"
            );
        }
        if format == Format::Json {
            output::json(&told)?;
        } else {
            match told["servers"].as_array() {
                Some(chains) => chains.iter().for_each(say_holds),
                None => say_holds(&told),
            }
        }
        // Nothing is known of their chains: that is no success.
        let silent = told["silent"].as_array().cloned().unwrap_or_default();
        let each =
            silent.iter().map(|one| format!("{}: {}", text(one, "server"), text(one, "why")));
        match silent.is_empty() {
            true => Ok(()),
            false => bail!("servers could not be asked. {}", each.collect::<Vec<_>>().join("; ")),
        }
    }
}

impl Forget {
    async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let path = format!("{FORGET_PATH}/{}", bare(&self.server));
        let told = client.post(&path, &json!({})).await?;
        if format == Format::Json {
            return Ok(output::json(&told)?);
        }
        say!("{} is missed no more.", text(&told, "server"));
        Ok(())
    }
}

/// What is found of a chain that holds.
fn say_holds(chain: &Value) {
    let of = chain["server"].as_str().map(|server| format!(" of {server}")).unwrap_or_default();
    say!(
        "The chain{of} holds: {} lines, from {} to {}.\nThe last line's hash, to be noted elsewhere:  {}",
        chain["lines"],
        chain["first"],
        chain["last"],
        text(chain, "hash"),
    );
}
