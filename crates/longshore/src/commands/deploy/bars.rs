//! What is drawn of a deployment that goes on: bars for a terminal, one line elsewhere.

use super::course::{Counts, Look, Side, Verdict};

/// Cells of a bar.
const BAR_CELLS: u64 = 30;
/// Earlier deployments that have a bar of their own; more are told in a number.
const OLD_DRAWN: usize = 3;

/// The lines that are drawn over and over.
pub fn lines(look: &Look, service: &str, elapsed_seconds: u64) -> Vec<String> {
    let new = &look.brings;
    let state = match &look.verdict {
        Verdict::GoingBack(_) => "ROLLING BACK",
        Verdict::GoingOn => "IN PROGRESS",
        ended => ended.word(),
    };
    let mut lines = vec![format!("{service} → {new}  {state}  {elapsed_seconds}s")];
    let sides = || look.new.iter().chain(&look.old);
    let width = sides().map(|side| side.definition.chars().count()).max().unwrap_or(0);
    // Bars of old and new are as long as what the service is to have.
    let whole = sides().map(|side| total(side.counts)).max().unwrap_or(0).max(look.desired);
    lines.extend(look.new.iter().map(|side| line("new", side, width, whole)));
    lines.extend(look.old.iter().take(OLD_DRAWN).map(|side| line("old", side, width, whole)));
    if look.old.len() > OLD_DRAWN {
        lines.push(format!("  and {} deployments before them", look.old.len() - OLD_DRAWN));
    }
    lines
}

fn line(which: &str, side: &Side, width: usize, whole: u64) -> String {
    let (bar, numbers) = (bar(side.counts, whole), numbers(side.counts));
    format!("  {which}  {:<width$}  {bar}  {numbers}", side.definition)
}

fn total(counts: Counts) -> u64 {
    counts.running + counts.pending
}

/// Healthy tasks, running ones, those on their way, and what is lacking of the whole.
fn bar(counts: Counts, whole: u64) -> String {
    let whole = whole.max(1);
    // What is there is never drawn as nothing.
    let cells = |count: u64| (count * BAR_CELLS / whole).max(u64::from(count > 0)).min(BAR_CELLS);
    let (healthy, running) = (cells(counts.healthy), cells(counts.running));
    let pending = cells(total(counts));
    let cell = |at: u64| match at {
        at if at < healthy => '█',
        at if at < running => '▓',
        at if at < pending => '░',
        _ => '·',
    };
    (0..BAR_CELLS).map(cell).collect()
}

/// The counts in words; those that are nothing are left out.
fn numbers(counts: Counts) -> String {
    let Counts { desired, pending, running, healthy, failed } = counts;
    let mut told = vec![format!("{running} of {desired} running")];
    let rest = [(healthy, "healthy"), (pending, "pending"), (failed, "failed")];
    let rest = rest.into_iter().filter(|(count, _)| *count > 0);
    told.extend(rest.map(|(count, what)| format!("{count} {what}")));
    told.join(", ")
}

/// The same in one line, for logs.
pub fn plain(look: &Look) -> String {
    let side =
        |which: &str, side: &Side| format!("{which} {}: {}", side.definition, numbers(side.counts));
    let old = look.old.iter().take(OLD_DRAWN).map(|one| side("old", one));
    let new = look.new.iter().map(|one| side("new", one));
    new.chain(old).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(definition: &str, [desired, pending, running, healthy, failed]: [u64; 5]) -> Side {
        let counts = Counts { desired, pending, running, healthy, failed };
        Side { definition: definition.to_owned(), counts }
    }

    #[test]
    fn a_deployment_is_drawn_as_it_goes() {
        let look = Look {
            desired: 10,
            brings: "web:12".to_owned(),
            new: Some(side("web:12", [10, 2, 4, 3, 1])),
            old: vec![side("web:9", [6, 0, 6, 6, 0])],
            verdict: Verdict::GoingOn,
        };
        assert_eq!(
            lines(&look, "web", 12),
            [
                "web → web:12  IN PROGRESS  12s",
                "  new  web:12  █████████▓▓▓░░░░░░············  4 of 10 running, 3 healthy, 2 pending, 1 failed",
                "  old  web:9   ██████████████████············  6 of 6 running, 6 healthy",
            ]
        );
        assert_eq!(
            plain(&look),
            "new web:12: 4 of 10 running, 3 healthy, 2 pending, 1 failed; \
             old web:9: 6 of 6 running, 6 healthy"
        );
    }

    #[test]
    fn many_earlier_ones_are_told_in_a_number() {
        let look = Look {
            desired: 0,
            brings: "web:9".to_owned(),
            new: Some(side("web:9", [0, 0, 0, 0, 0])),
            old: (1..=5).map(|at| side(&format!("web:{at}"), [0, 0, 0, 0, 0])).collect(),
            verdict: Verdict::GoingBack(String::new()),
        };
        let lines = lines(&look, "web", 0);
        assert_eq!(lines[0], "web → web:9  ROLLING BACK  0s");
        assert_eq!(lines.last().map(String::as_str), Some("  and 2 deployments before them"));
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn what_is_done_away_with_is_not_drawn() {
        let look = Look {
            desired: 3,
            brings: "web:12".to_owned(),
            new: None,
            old: vec![side("web:9", [3, 0, 3, 3, 0])],
            verdict: Verdict::GoingBack(String::new()),
        };
        assert_eq!(
            lines(&look, "web", 7),
            [
                "web → web:12  ROLLING BACK  7s",
                "  old  web:9  ██████████████████████████████  3 of 3 running, 3 healthy",
            ]
        );
        assert_eq!(plain(&look), "old web:9: 3 of 3 running, 3 healthy");
    }

    #[test]
    fn one_of_a_thousand_is_seen() {
        let counts = Counts { desired: 1_000, running: 1, ..Counts::default() };
        assert!(bar(counts, 1_000).starts_with("▓·"));
    }
}
