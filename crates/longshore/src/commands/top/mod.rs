//! `longshore top`: clusters, services, tasks and instances, live.

mod frame;
mod look;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use console::{Key, Term};
use serde_json::json;
use tokio::sync::mpsc;
use wire::client::Client;

use self::frame::{FRAME_LINES, Screen, View, frame, summary, table};
use self::look::{Found, ROWS_MAX, look};
use crate::connection::Connection;
use crate::output::{self, Format};

/// How long a look is left on the screen; the next one begins after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Keys that wait to be heeded.
const KEYS_MAX: usize = 32;

/// Flags of `longshore top`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore top
  longshore top --cluster shop --view tasks
  longshore top --view instances | cat        (one look, as a plain table)
  longshore top --output json                 (one look)

Keys: q or Esc ends; Tab, ← and → or 1 to 4 choose what is shown; ↑, ↓, Page Up, Page Down, Home and
End scroll. A look asks for 100 rows at most, in at most 31 calls, and the next begins a second later.")]
pub struct Top {
    /// Show this cluster alone [default: all]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// What to show first
    #[arg(long, value_enum, default_value_t, value_name = "VIEW")]
    view: View,
    #[command(flatten)]
    connection: Connection,
}

impl ValueEnum for View {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl Top {
    /// Draws until somebody ends it; where nobody watches, prints one look.
    ///
    /// # Errors
    /// If the server cannot be reached at the first look.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let found = look(&client, self.view, self.cluster.as_deref()).await?;
        if format == Format::Json {
            return Ok(output::json(&json!({
                "clusters": found.clusters,
                self.view.name(): if self.view == View::Clusters { &found.clusters } else { &found.rows },
                "total": found.total,
            }))?);
        }
        if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return print(self.view, &found);
        }
        let term = Term::stdout();
        term.write_str(ENTER)?;
        let watched = Watch {
            client,
            cluster: self.cluster,
            view: self.view,
            found,
            top: 0,
            note: String::new(),
        };
        let outcome = watched.until_ended(&term).await;
        term.write_str(LEAVE)?;
        outcome?;
        // The thread that waits for keys never ends by itself.
        std::process::exit(0)
    }
}

/// To the other screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Back to where one was.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

fn print(view: View, found: &Found) -> Result<()> {
    let (headings, rows) = table(view, found);
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n\n{headings}", summary(found))?;
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
    let more = found.total.saturating_sub(rows.len() as u64);
    if more > 0 && view != View::Clusters {
        writeln!(out, "and {more} more")?;
    }
    Ok(())
}

/// A screen that somebody watches.
struct Watch {
    client: Client,
    cluster: Option<String>,
    view: View,
    found: Found,
    top: usize,
    /// What is wrong, in place of the keys.
    note: String,
}

impl Watch {
    async fn until_ended(mut self, term: &Term) -> Result<()> {
        let mut keys = keys();
        let mut next = tokio::time::Instant::now() + LOOK_EVERY;
        loop {
            self.draw(term)?;
            tokio::select! {
                biased;
                key = keys.recv() => {
                    let Some(key) = key else { bail!("the terminal is gone") };
                    let before = self.view;
                    if !self.heed(key, usize::from(term.size().0)) {
                        return Ok(());
                    }
                    if self.view != before {
                        (self.top, next) = (0, tokio::time::Instant::now());
                        self.found.rows.clear();
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    match look(&self.client, self.view, self.cluster.as_deref()).await {
                        Ok(found) => (self.found, self.note) = (found, String::new()),
                        Err(error) => self.note = format!("{error:#}; trying again"),
                    }
                    next = tokio::time::Instant::now() + LOOK_EVERY;
                }
            }
        }
    }

    fn draw(&self, term: &Term) -> Result<()> {
        let (height, width) = term.size();
        let screen = Screen { width: width.into(), height: height.into(), top: self.top };
        let mut text = String::from("\x1b[H");
        let lines = frame(self.view, &self.found, screen, &self.note);
        for (at, line) in lines.iter().enumerate() {
            let (begin, end) = if at == 2 { ("\x1b[7m", "\x1b[0m") } else { ("", "") };
            text.push_str(&format!("{begin}{line}{end}\x1b[K"));
            text.push_str(if at + 1 < lines.len() { "\r\n" } else { "" });
        }
        text.push_str("\x1b[J");
        term.write_str(&text)?;
        Ok(term.flush()?)
    }

    /// Does what a key asks for; false if that is the end.
    fn heed(&mut self, key: Key, height: usize) -> bool {
        let page = height.saturating_sub(FRAME_LINES).max(1);
        let last = self.found.rows.len().min(ROWS_MAX).saturating_sub(page);
        match key {
            Key::Char('q' | 'Q') | Key::Escape | Key::CtrlC => return false,
            Key::Char(digit @ '1'..='4') => {
                self.view = View::ALL[digit as usize - '1' as usize];
            }
            Key::Tab | Key::ArrowRight => self.view = self.view.beside(true),
            Key::BackTab | Key::ArrowLeft => self.view = self.view.beside(false),
            Key::ArrowUp | Key::Char('k') => self.top = self.top.saturating_sub(1),
            Key::ArrowDown | Key::Char('j') => self.top = (self.top + 1).min(last),
            Key::PageUp => self.top = self.top.saturating_sub(page),
            Key::PageDown => self.top = (self.top + page).min(last),
            Key::Home => self.top = 0,
            Key::End => self.top = last,
            _ => {}
        }
        true
    }
}

/// The keys as they are pressed, read by a thread of their own: a terminal is waited for.
fn keys() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        let term = Term::stdout();
        loop {
            let key = match term.read_key_raw() {
                Ok(key) => key,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Key::CtrlC,
                Err(_) => return,
            };
            if sender.blocking_send(key).is_err() {
                return;
            }
        }
    });
    keys
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn keys_choose_and_scroll() {
        let clock = Arc::new(crate::clock::SystemClock);
        let region = "us-east-1".parse().unwrap_or_else(|_| panic!("a region"));
        let client = Client::new("http://127.0.0.1:1", None, region, clock);
        let rows = vec![json!({}); 30];
        let found = Found { rows, ..Found::default() };
        let (view, note) = (View::Services, String::new());
        let mut watch = Watch { client, cluster: None, view, found, top: 0, note };
        let mut press = |key| (watch.heed(key, 14), watch.view, watch.top);
        assert_eq!(press(Key::ArrowUp), (true, View::Services, 0));
        assert_eq!(press(Key::ArrowDown), (true, View::Services, 1));
        assert_eq!(press(Key::PageDown), (true, View::Services, 11));
        assert_eq!(press(Key::End), (true, View::Services, 20));
        assert_eq!(press(Key::ArrowDown), (true, View::Services, 20));
        assert_eq!(press(Key::Tab), (true, View::Tasks, 20));
        assert_eq!(press(Key::Char('4')).1, View::Instances);
        assert!(!press(Key::Char('q')).0);
    }
}
