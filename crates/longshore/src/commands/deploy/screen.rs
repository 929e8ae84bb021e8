//! Where a deployment is shown: bars on a terminal, lines elsewhere, nothing for scripts.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::bars;
use super::course::Look;
use crate::output::{self, Format, say};

/// Lines of counts come no oftener than this where nobody watches.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// What a deployment is shown on.
pub enum Screen {
    /// Bars that are drawn over and over, events above them.
    Bars {
        /// All bars.
        all: MultiProgress,
        /// One for each line.
        lines: Vec<ProgressBar>,
    },
    /// A line for each change.
    Plain {
        /// The last line of counts.
        last: String,
        /// When it was written, since the begin.
        at: Option<Duration>,
    },
    /// Everything is told at the end.
    Silent,
}

impl Screen {
    /// The screen that fits who reads.
    pub fn open(format: Format) -> Self {
        match format {
            Format::Json => Self::Silent,
            Format::Text if output::is_watched() => {
                Self::Bars { all: MultiProgress::new(), lines: Vec::new() }
            }
            Format::Text => Self::Plain { last: String::new(), at: None },
        }
    }

    /// Shows one event.
    pub fn event(&mut self, line: &str) {
        match self {
            // A terminal that is gone is no reason to stop following.
            Self::Bars { all, .. } => drop(all.println(line)),
            Self::Plain { .. } => say!("{line}"),
            Self::Silent => {}
        }
    }

    /// Shows where the deployment stands.
    pub fn draw(&mut self, look: &Look, service: &str, elapsed: Duration) {
        match self {
            Self::Bars { all, lines } => {
                let wanted = bars::lines(look, service, elapsed.as_secs());
                while lines.len() < wanted.len() {
                    let bar = all.add(ProgressBar::new_spinner());
                    bar.set_style(line_style());
                    lines.push(bar);
                }
                while lines.len() > wanted.len() {
                    lines.pop().into_iter().for_each(|bar| bar.finish_and_clear());
                }
                lines.iter().zip(wanted).for_each(|(bar, line)| bar.set_message(line));
            }
            Self::Plain { last, at } => {
                let is_early = at.is_some_and(|at| elapsed.saturating_sub(at) < LINE_EVERY);
                let line = bars::plain(look);
                if line != *last && !is_early {
                    say!("{line}");
                    (*last, *at) = (line, Some(elapsed));
                }
            }
            Self::Silent => {}
        }
    }

    /// Takes the bars away.
    pub fn close(&mut self) {
        if let Self::Bars { lines, .. } = self {
            lines.drain(..).for_each(|bar| bar.finish_and_clear());
        }
    }
}

/// A bar that is nothing but its line; longer ones are cut at the terminal's edge.
fn line_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}
