//! `longshore history`: what happened to a task, an instance, a cluster or a service, when, and
//! because of what.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::Value;
use terms::{Clock, Timestamp};

use crate::api::{short, text};
use crate::clock::SystemClock;
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// How often `--follow` asks.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Flags of `longshore history`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore history 5f3b2a1c                 (the begin of a task's or an instance's id)
  longshore history default --since 6h       (a cluster)
  longshore history default/web --follow     (a service)
  longshore history 5f3b2a1c --follow")]
pub struct History {
    /// A task, a container instance (ARN, or the begin of the id), a cluster (ARN or name) or a
    /// service (ARN, or CLUSTER/NAME)
    resource: String,
    /// Only what is younger, as in 30s, 15m, 6h or 2d
    #[arg(long, value_name = "TIME", value_parser = age)]
    since: Option<Duration>,
    /// Go on until Ctrl-C
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    connection: Connection,
}

/// A time such as 90s, 15m, 6h or 2d.
pub fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no time; write it as 30s, 15m, 6h or 2d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

impl History {
    /// Prints the timeline.
    ///
    /// # Errors
    /// If the server cannot be reached, or nothing is kept of the resource.
    pub async fn run(self, format: Format) -> Result<()> {
        if self.follow && format == Format::Json {
            bail!("--follow prints lines as they come; leave --output json out, or --follow");
        }
        let client = self.connection.client()?;
        let now = SystemClock.now();
        let since = self.since.map_or(0, |age| (now - age).millis().max(0));
        let resource: String = percent(&self.resource);
        let path = |since: i64| format!("/_longshore/history?resource={resource}&since={since}");
        let mut told = client.get(&path(since)).await?;
        if format == Format::Json {
            return Ok(output::json(&told)?);
        }
        say!("{}", text(&told, "resource"));
        for one in told["silent"].as_array().into_iter().flatten() {
            let (server, why) = (text(one, "server"), text(one, "why"));
            eprintln!("What {server} saw while it led is not in this: {why}");
        }
        let mut last = print(&told, since, (0, 0))?;
        if !self.follow {
            return Ok(());
        }
        loop {
            tokio::time::sleep(FOLLOW_EVERY).await;
            told = client.get(&path(last.0.max(since))).await?;
            last = print(&told, since, last)?;
        }
    }
}

/// Prints the entries that came after `last` (time and revision); gives the last one's.
fn print(told: &Value, since: i64, last: (i64, u64)) -> io::Result<(i64, u64)> {
    let mut out = io::stdout().lock();
    let colours = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let now = SystemClock.now();
    let mut newest = last;
    for entry in told["entries"].as_array().into_iter().flatten() {
        let place =
            (entry["at"].as_i64().unwrap_or(since), entry["revision"].as_u64().unwrap_or_default());
        if place <= last {
            continue;
        }
        newest = newest.max(place);
        let at = Timestamp::from_millis(place.0);
        let age = format!("({} ago)", elapsed(now.since(at)));
        let (dim, strong, plain) =
            if colours { ("\x1b[2m", strength(entry), "\x1b[0m") } else { ("", "", "") };
        writeln!(
            out,
            "{dim}{at} {age:>10}{plain}  {strong}{}{plain}  {dim}{}{plain}",
            text(entry, "text"),
            cause(entry)
        )?;
    }
    out.flush()?;
    Ok(newest)
}

/// Green for what runs, red for what stopped, bold for what was asked.
fn strength(entry: &Value) -> &'static str {
    let said = text(entry, "text");
    match text(entry, "what") {
        "status" | "container" if said.contains("→ RUNNING") => "\x1b[32m",
        "status" | "container" if said.contains("→ STOPPED") => "\x1b[31m",
        "created" | "desired" => "\x1b[1m",
        _ => "",
    }
}

/// Because of what, in a few words.
fn cause(entry: &Value) -> String {
    let request = &entry["request"];
    if request.is_object() {
        let operation = text(request, "operation");
        let operation = operation.rsplit(':').next().unwrap_or(operation);
        let by = match operation.starts_with("Submit") {
            true => "reported by",
            false => "by",
        };
        return format!(
            "{operation} {by} {}, request {}",
            short_caller(request),
            text(request, "id")
        );
    }
    match text(entry, "transaction") {
        "" => String::new(),
        name => format!("by the server: {name}"),
    }
}

fn short_caller(request: &Value) -> &str {
    let caller = text(request, "caller");
    if caller.ends_with(":root") { "root" } else { short(caller) }
}

/// A time in its largest fitting unit.
fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{}ms", time.as_millis()),
        seconds @ 1..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// A value of a query string.
pub(super) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte.into());
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ages_have_units() {
        assert_eq!(age("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(age("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "s", "1", "1w", "-1h", "ü"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn causes_are_told_in_a_few_words() {
        let request =
            json!({"operation": "ecs:RunTask", "id": "1-2", "caller": "arn:aws:iam::0:root"});
        let entry = json!({"transaction": "run task", "request": request});
        assert_eq!(cause(&entry), "RunTask by root, request 1-2");
        let entry = json!({"transaction": "sweep"});
        assert_eq!(cause(&entry), "by the server: sweep");
        assert_eq!(elapsed(Duration::from_millis(15)), "15ms");
        assert_eq!(elapsed(Duration::from_secs(7_300)), "2h");
        assert_eq!(percent("arn:a/b"), "arn%3Aa%2Fb");
    }
}
