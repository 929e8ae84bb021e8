//! Many seeds, the same seed twice, and mistakes that must be found.

mod mutations;
mod scheduler;
mod seeds;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Options, Report};

/// Runs seeds on all processors, and gives their reports in the order of the seeds. Ends early
/// once `enough` says so.
fn runs(
    seeds: std::ops::Range<u64>,
    options: Options,
    enough: impl Fn(&Report) -> bool + Sync,
) -> Vec<Report> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = sim::run(seed, options);
                    if enough(&report) {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                    reports.lock().expect("no run panics").push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("no run panics");
    reports.sort_by_key(|report| report.seed);
    reports
}

/// What a person needs of a seed that failed.
fn failure(report: &Report) -> Option<String> {
    let violation = report.violation.as_ref()?;
    Some(format!(
        "{}\nseed {} breaks: {}\n  {}\n  again: ./x sim --seed {}",
        report.tail.join("\n"),
        report.seed,
        violation.invariant,
        violation.detail,
        report.seed,
    ))
}
