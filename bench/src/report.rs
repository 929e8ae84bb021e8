//! Figures with their targets and peers, as a table and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

/// A sorted sample of durations.
#[derive(Clone, Debug)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// A sample of at least one duration.
    pub fn new(mut durations: Vec<Duration>) -> Self {
        assert!(!durations.is_empty(), "a sample has at least one duration");
        durations.sort_unstable();
        Self(durations)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The duration that this share (0 to 1) of the sample does not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.0.len() - 1;
        self.0[((last as f64) * share).round() as usize]
    }

    /// The middle of the sample.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Median, lowest and highest in milliseconds, for people.
    pub fn spread(&self) -> String {
        let (low, high) = (self.quantile(0.0), self.quantile(1.0));
        format!("{:.1} to {:.1} ms over {}", ms(low), ms(high), self.0.len())
    }
}

/// Milliseconds with their fraction.
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// One figure.
#[derive(Debug)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    note: String,
}

/// What one benchmark found.
#[derive(Debug)]
pub struct Report {
    title: &'static str,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report.
    pub fn new(title: &'static str) -> Self {
        Self { title, figures: Vec::new() }
    }

    /// Adds a figure and shows it at once, so that a long run can be watched.
    pub fn add(&mut self, what: &str, value: f64, unit: &'static str, note: impl Into<String>) {
        let figure = Figure { what: what.to_owned(), value, unit, note: note.into() };
        eprintln!("    {}", line(&figure));
        self.figures.push(figure);
    }

    /// Adds a sample's median.
    pub fn add_sample(&mut self, what: &str, sample: &Sample) {
        self.add(what, ms(sample.median()), "ms", sample.spread());
    }

    /// Adds how `value` stands to a target: at most `target` if `below`, else at least.
    pub fn target(&mut self, what: &str, value: f64, target: f64, below: bool, unit: &'static str) {
        let met = if below { value <= target } else { value >= target };
        let word = if below { "at most" } else { "at least" };
        let verdict = if met { "met" } else { "MISSED" };
        self.add(what, value, unit, format!("target {word} {}: {verdict}", figure(target)));
    }

    /// Prints the table on standard output.
    pub fn print(&self) {
        println!("{}", self.title);
        for figure in &self.figures {
            println!("  {}", line(figure));
        }
    }

    /// The same for programs.
    pub fn to_json(&self) -> Value {
        let figures = self
            .figures
            .iter()
            .map(|f| json!({"what": f.what, "value": f.value, "unit": f.unit, "note": f.note}));
        json!({"bench": self.title, "figures": figures.collect::<Vec<_>>()})
    }
}

fn line(f: &Figure) -> String {
    format!("{:<58} {:>10} {:<6} {}", f.what, figure(f.value), f.unit, f.note).trim_end().to_owned()
}

/// Three or so meaningful digits.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_members_of_the_sample() {
        let sample = Sample::new((1..=101).rev().map(Duration::from_millis).collect());
        let check = |share, expected| assert_eq!(ms(sample.quantile(share)), expected);
        check(0.0, 1.0);
        check(0.5, 51.0);
        check(0.99, 100.0);
        check(1.0, 101.0);
    }
}
