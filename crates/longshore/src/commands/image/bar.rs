//! How far something is: a bar on a terminal, a line for each tenth elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use runtime::images::{Progress, PullEvent};

use crate::output::Format;

/// The bar's cells.
const CELLS: u64 = 30;
/// One in so many is told where nobody sees a bar.
const STEPS: u64 = 10;

/// What a pull or a push has to tell and nobody has read.
const PROGRESS_EVENTS: usize = 256;

/// Waits for a pull or a push, and shows how far it is.
pub(super) async fn watched<F: Future>(
    format: Format,
    begin: impl FnOnce(Progress) -> F,
) -> F::Output {
    let (progress, mut events) = Progress::channel(PROGRESS_EVENTS);
    let work = begin(progress);
    tokio::pin!(work);
    let mut bar = Bar::new(format);
    let done = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => bar.note(event),
            done = &mut work => break done,
        }
    };
    bar.end();
    done
}

/// How far something is, told on standard error.
pub(super) struct Bar {
    form: Form,
    /// What was shown last.
    shown: Option<u64>,
    total_bytes: u64,
    blobs: BTreeMap<blobs::Digest, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A bar that is drawn over itself.
    Bar,
    Lines,
    /// With JSON, nothing.
    Silent,
}

impl Bar {
    /// One that is told as the output's form has it.
    pub(super) fn new(format: Format) -> Self {
        let form = match format {
            Format::Json => Form::Silent,
            _ if std::io::stderr().is_terminal() => Form::Bar,
            _ => Form::Lines,
        };
        Self { form, shown: None, total_bytes: 0, blobs: BTreeMap::new() }
    }

    /// Shows what a pull or a push tells.
    pub(super) fn note(&mut self, event: PullEvent) {
        match event {
            PullEvent::Resolved { total_bytes, .. } => self.total_bytes = total_bytes,
            PullEvent::Fetching { layer, bytes, .. } | PullEvent::Ready { layer, bytes } => {
                self.blobs.insert(layer, bytes);
            }
            PullEvent::Retrying { cause, attempt } => {
                self.end();
                eprintln!("attempt {attempt}: {cause}");
            }
            PullEvent::Unpacking { .. } => {}
        }
        let (bytes, total) = (self.blobs.values().sum(), self.total_bytes);
        self.show(bytes, total);
    }

    /// Shows that so many bytes of so many are done.
    pub(super) fn show(&mut self, bytes: u64, total_bytes: u64) {
        let steps = if self.form == Form::Bar { 100 } else { STEPS };
        let step = bytes.min(total_bytes).saturating_mul(steps) / total_bytes.max(1);
        let is_news = self.shown.map_or(step > 0 || self.form == Form::Bar, |shown| step > shown);
        if !is_news || total_bytes == 0 {
            return;
        }
        self.shown = Some(step);
        match self.form {
            Form::Bar => {
                let mut error = std::io::stderr().lock();
                // Who cannot see it needs no bar.
                let _ = write!(error, "\r{}\x1b[K", drawn(bytes, total_bytes));
                let _ = error.flush();
            }
            Form::Lines => eprintln!("{}", amount(bytes, total_bytes)),
            Form::Silent => {}
        }
    }

    /// Leaves the bar as it is, and the line to others.
    pub(super) fn end(&mut self) {
        if self.form == Form::Bar && self.shown.take().is_some() {
            eprintln!();
        }
    }
}

fn amount(bytes: u64, total_bytes: u64) -> String {
    let mib = |bytes: u64| bytes / (1024 * 1024);
    format!("{} of {} MiB", mib(bytes), mib(total_bytes))
}

fn drawn(bytes: u64, total_bytes: u64) -> String {
    let full = bytes.min(total_bytes).saturating_mul(CELLS) / total_bytes.max(1);
    let mut bar = String::from("[");
    for cell in 0..CELLS {
        bar.push(if cell < full { '=' } else { ' ' });
    }
    let _ = write!(bar, "] {}", amount(bytes, total_bytes));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_what_it_shows() {
        let mib = 1024 * 1024;
        let check = |bytes: u64, full: usize, text: &str| {
            let expected = format!("[{}{}] {text}", "=".repeat(full), " ".repeat(30 - full));
            assert_eq!(drawn(bytes, 60 * mib), expected);
        };
        check(0, 0, "0 of 60 MiB");
        check(30 * mib, 15, "30 of 60 MiB");
        check(60 * mib, 30, "60 of 60 MiB");
        check(61 * mib, 30, "61 of 60 MiB");
    }
}
