//! What the process says as it runs: lines for people or JSON on standard error, and the last of
//! it in memory for `longshore debug bundle`.

use std::collections::VecDeque;
use std::fmt::{self, Display, Write as _};
use std::io;
use std::str::FromStr;

use clap::ValueEnum;
use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::clock::SystemClock;

/// The most lines that are kept in memory.
const RECENT_LINES: usize = 2_000;
/// The most bytes that they take; the oldest go first.
const RECENT_BYTES: usize = 1 << 20;
/// The longest line that is kept; the rest is cut off.
const LINE_BYTES: usize = 4 << 10;

/// The crates whose lines are kept from INFO on; others have to warn.
const OURS: [&str; 8] = ["agent", "ecs", "iam", "ledger", "longshore", "runtime", "vpc", "wire"];

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false)
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What carries messages prints them whole below INFO: tasks' credentials go by there.
const CARRIERS: [&str; 6] = ["tungstenite", "tokio_tungstenite", "h2", "hyper", "tonic", "tower"];

/// Whether it cannot be a message as it went over the wire, whatever `LONGSHORE_LOG` asks for.
fn tells_no_bodies(meta: &tracing::Metadata<'_>) -> bool {
    *meta.level() <= tracing::Level::INFO
        || !CARRIERS.iter().any(|name| meta.target().starts_with(name))
}

/// Writes what `LONGSHORE_LOG` asks for (default `warn`) to standard error. The spans of requests
/// are always there for it, so that a warning in one tells its request, operation and caller.
pub fn written<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let asked = EnvFilter::try_from_env("LONGSHORE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let requests = filter_fn(|meta| {
        meta.is_span()
            && matches!(meta.name(), "call" | "route")
            && meta.target().starts_with("wire")
    });
    let asked = asked.or(requests).and(filter_fn(tells_no_bodies));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match format {
        LogFormat::Text => layer.with_filter(asked).boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_filter(asked)
            .boxed(),
    }
}

/// The last lines, as they came.
static RECENT: Mutex<Recent> = Mutex::new(Recent { lines: VecDeque::new(), bytes: 0 });

struct Recent {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > RECENT_LINES || self.bytes > RECENT_BYTES {
            let Some(gone) = self.lines.pop_front() else { return };
            self.bytes -= gone.len();
        }
    }
}

/// The last lines, the oldest first.
pub fn recent() -> Vec<String> {
    RECENT.lock().lines.iter().cloned().collect()
}

/// Keeps the last lines in memory.
pub fn kept<S>() -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    Keep.with_filter(filter_fn(|meta| {
        let ours = || OURS.iter().any(|name| meta.target().starts_with(name));
        meta.is_event() && (*meta.level() <= Level::WARN || *meta.level() == Level::INFO && ours())
    }))
}

struct Keep;

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        let meta = event.metadata();
        let now = terms::Clock::now(&SystemClock);
        let _ = write!(line.0, "{now} {:5} {}:", meta.level(), meta.target());
        event.record(&mut line);
        let mut line = line.0;
        if line.len() > LINE_BYTES {
            let end = (0..=LINE_BYTES).rev().find(|&end| line.is_char_boundary(end));
            line.truncate(end.unwrap_or_default());
        }
        RECENT.lock().push(line);
    }
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut recent = Recent { lines: VecDeque::new(), bytes: 0 };
        (0..3 * RECENT_LINES).for_each(|number| recent.push(number.to_string()));
        assert_eq!(recent.lines.len(), RECENT_LINES);
        assert_eq!(recent.lines.back().map(String::as_str), Some("5999"));
        (0..1_000).for_each(|_| recent.push("x".repeat(LINE_BYTES)));
        assert!(recent.bytes <= RECENT_BYTES && recent.lines.len() <= RECENT_BYTES / LINE_BYTES);
    }
}
