//! `top` on a terminal: looks, keys, and the size of the window.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, bail};
use console::{Key, Term};
use nix::sys::signal::SigSet;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use wire::client::Client;

use super::frame::{FRAME_LINES, Screen, View, frame};
use super::look::{Found, ROWS_MAX, look};

/// How long a look is left on the screen; the next one begins after it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Keys that wait to be heeded.
const KEYS_MAX: usize = 32;

/// A look that is to come.
type Looking = Pin<Box<dyn Future<Output = Result<Found>>>>;

/// A screen that somebody watches.
pub struct Watch {
    client: Client,
    cluster: Option<String>,
    view: View,
    found: Found,
    top: usize,
    /// What is wrong, in place of the keys.
    note: String,
}

impl Watch {
    /// A screen that shows what was found for `view`.
    pub fn new(client: Client, cluster: Option<String>, view: View, found: Found) -> Self {
        Self { client, cluster, view, found, top: 0, note: String::new() }
    }

    /// Draws until a key or a signal ends it. A server that does not answer holds up no key.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub async fn until_ended(mut self, term: &Term) -> Result<()> {
        let mut keys = keys();
        let mut resized = signal(SignalKind::window_change())?;
        let mut asked_to_end = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut looking = self.look_at(Instant::now() + LOOK_EVERY);
        loop {
            self.draw(term)?;
            tokio::select! {
                biased;
                _ = asked_to_end.recv() => return Ok(()),
                _ = interrupted.recv() => return Ok(()),
                key = keys.recv() => {
                    let Some(key) = key else { bail!("the terminal is gone") };
                    let before = self.view;
                    if !self.heed(key, height(term)) {
                        return Ok(());
                    }
                    if self.view != before {
                        self.top = 0;
                        self.found.rows.clear();
                        looking = self.look_at(Instant::now());
                    }
                }
                _ = resized.recv() => self.keep_within(height(term)),
                found = &mut looking => {
                    match found {
                        Ok(found) => (self.found, self.note) = (found, String::new()),
                        Err(error) => self.note = format!("{error:#}; trying again"),
                    }
                    self.keep_within(height(term));
                    looking = self.look_at(Instant::now() + LOOK_EVERY);
                }
            }
        }
    }

    /// The next look.
    fn look_at(&self, at: Instant) -> Looking {
        let (client, view, cluster) = (self.client.clone(), self.view, self.cluster.clone());
        Box::pin(async move {
            sleep_until(at).await;
            look(&client, view, cluster.as_deref()).await
        })
    }

    /// Scrolls back to where the last row is the screen's last.
    fn keep_within(&mut self, height: usize) {
        self.top = self.top.min(self.last_top(height));
    }

    /// The first row of the last page.
    fn last_top(&self, height: usize) -> usize {
        self.found.shown(self.view).len().min(ROWS_MAX).saturating_sub(page(height))
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
        let (page, last) = (page(height), self.last_top(height));
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

/// Lines of the terminal.
fn height(term: &Term) -> usize {
    usize::from(term.size().0)
}

/// Rows that a screen of so many lines has room for.
fn page(height: usize) -> usize {
    height.saturating_sub(FRAME_LINES).max(1)
}

/// The keys as they are pressed, read by a thread of their own: a terminal is waited for.
fn keys() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(KEYS_MAX);
    std::thread::spawn(move || {
        // A signal that comes to this thread is told as Ctrl-C by `console`, also the one that says
        // that the window has another size.
        if SigSet::all().thread_block().is_err() {
            return;
        }
        let term = Term::stdout();
        loop {
            let Ok(key) = term.read_key_raw() else { return };
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

    use serde_json::json;

    use super::*;

    #[test]
    fn keys_choose_and_scroll() {
        let clock = Arc::new(crate::clock::SystemClock);
        let region = "us-east-1".parse().unwrap_or_else(|_| panic!("a region"));
        let client = Client::new("http://127.0.0.1:1", None, region, clock);
        let rows = vec![json!({}); 30];
        let found = Found { rows, ..Found::default() };
        let mut watch = Watch::new(client, None, View::Services, found);
        let mut press = |key| (watch.heed(key, 14), watch.view, watch.top);
        assert_eq!(press(Key::ArrowUp), (true, View::Services, 0));
        assert_eq!(press(Key::ArrowDown), (true, View::Services, 1));
        assert_eq!(press(Key::PageDown), (true, View::Services, 11));
        assert_eq!(press(Key::End), (true, View::Services, 20));
        assert_eq!(press(Key::ArrowDown), (true, View::Services, 20));
        assert_eq!(press(Key::Tab), (true, View::Tasks, 20));
        assert_eq!(press(Key::Char('4')).1, View::Instances);
        assert!(!press(Key::Char('q')).0);
        watch.keep_within(34);
        assert_eq!(watch.top, 0, "all rows are to be seen");
    }
}
