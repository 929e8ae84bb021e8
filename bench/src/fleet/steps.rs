//! What the server's own meters say of the steps of a request: without the client, which shares the
//! machine with thousands of agents.

use std::collections::BTreeMap;

use anyhow::Result;
use wire::client::Client;

use crate::report::Report;

/// Titles, the histograms of seconds that they are of, and a label.
const STEPS: [(&str, &str, &str); 4] = [
    ("RunTask at the server", "edge_request_seconds_bucket{", "operation=\"RunTask\""),
    (
        "SubmitTaskStateChange at the server",
        "edge_request_seconds_bucket{",
        "operation=\"SubmitTaskStateChange\"",
    ),
    ("finding places", "ecs_plan_seconds_bucket{", ""),
    ("a commit of the store", "ledger_commit_seconds_bucket{", ""),
];
/// What stands before every name.
const PREFIX: &str = "longshore_";
/// The share of calls that a figure is of.
const SHARE: f64 = 0.99;

/// Counts of calls by title and upper bound; bounds in microseconds, which have an order.
#[derive(Debug, Default)]
pub struct Steps(BTreeMap<(&'static str, u64), u64>);

impl Steps {
    /// What the server counted until now.
    pub async fn of(client: &Client) -> Result<Self> {
        let mut steps = Self::default();
        let mut lines = client.lines("/_longshore/metrics").await?;
        while let Some(line) = lines.next().await? {
            steps.read(&line);
        }
        Ok(steps)
    }

    fn read(&mut self, line: &str) {
        let Some(line) = line.strip_prefix(PREFIX) else { return };
        let is_of =
            |(_, name, label): &&(_, &str, &str)| line.starts_with(name) && line.contains(label);
        let Some((title, ..)) = STEPS.iter().find(is_of) else { return };
        let Some((_, rest)) = line.split_once("le=\"") else { return };
        let Some((bound, rest)) = rest.split_once('"') else { return };
        let count = rest.rsplit(' ').next().and_then(|count| count.parse().ok());
        let bound = match bound {
            "+Inf" => Some(u64::MAX),
            bound => bound.parse().ok().map(|seconds: f64| (seconds * 1e6).round() as u64),
        };
        if let (Some(bound), Some(count)) = (bound, count) {
            self.0.insert((title, bound), count);
        }
    }

    /// Tells within what time most calls since `before` ended.
    pub fn tell(&self, before: &Self, report: &mut Report) {
        for (title, ..) in STEPS {
            let of_step = self.0.range((title, 0)..=(title, u64::MAX));
            let counts: Vec<(u64, u64)> = of_step
                .map(|(key, count)| (key.1, count - before.0.get(key).copied().unwrap_or(0)))
                .collect();
            let all = counts.last().map_or(0, |(_, count)| *count);
            let most = counts.iter().find(|(_, count)| *count as f64 >= SHARE * all as f64);
            let Some(&(bound, _)) = most.filter(|_| all > 0) else { continue };
            let over: Vec<String> = counts
                .windows(2)
                .filter(|pair| pair[1].1 > pair[0].1 && pair[0].0 >= 5_000)
                .map(|pair| format!("{} over {} ms", pair[1].1 - pair[0].1, pair[0].0 / 1_000))
                .collect();
            let title = format!("    {title}: 99 of 100 within");
            let note = format!("of {all}; {}", over.join(", "));
            report.add(&title, bound as f64 / 1e3, "ms", note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_read() {
        let mut steps = Steps::default();
        steps.read("longshore_ecs_plan_seconds_bucket{le=\"0.0025\"} 12");
        steps.read("longshore_ecs_plan_seconds_bucket{le=\"+Inf\"} 13");
        steps.read("longshore_ecs_plan_seconds_sum 1.5");
        let read: Vec<_> = steps.0.into_iter().collect();
        let title = "finding places";
        assert_eq!(read, [((title, 2_500), 12), ((title, u64::MAX), 13)]);
    }
}
