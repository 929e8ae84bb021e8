//! Pure: what tasks used of Fargate, by the second.
//!
//! A task is metered from when its agent began to pull its images (or, where they are there, from
//! its start) to its end (Fargate pricing), each begun second as a whole one. A second belongs to
//! the window that it begins in, so windows that follow each other add up to the whole. Nothing is
//! added to short tasks: AWS bills a minute at the least, and whoever bills can do so too.

use std::collections::BTreeMap;

use terms::Timestamp;

use crate::model::{Amount, STORAGE_GIB, Size, Task, TaskStatus, Usage, UseOf};

const SECOND_MS: i64 = 1_000;
/// What a day is summed up as, in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400 * SECOND_MS;

/// A span of time: from its begin up to its end, which is no part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Its begin.
    pub(crate) from: Timestamp,
    /// Its end.
    pub(crate) until: Timestamp,
}

/// What a task uses of Fargate: up to its end, or up to `now` if it goes on. None of one that is
/// not there, or has not begun to pull.
pub(crate) fn of_task(task: &Task, now: Timestamp) -> Option<Usage> {
    let fargate = task.fargate.as_deref()?;
    let until = match task.status {
        TaskStatus::Stopped => task.times.stopped_at?,
        _ => now,
    };
    // The agent's clock may be another one than ours.
    // Nothing is pulled where the node has the images: then its containers' start counts.
    let began = task.times.pull_started_at.or(task.times.started_at)?;
    let from = began.max(task.created_at).min(until);
    let size = Size {
        cpu: task.demand.cpu.get(),
        memory: task.demand.memory.get(),
        storage_gib: fargate.storage_gib.saturating_sub(STORAGE_GIB),
    };
    let spot = task.capacity_provider.clone().filter(|name| name.as_str() == SPOT);
    let of = UseOf {
        cluster: task.arn.cluster.clone(),
        family: task.definition.family.clone(),
        service: task.service_name().and_then(|name| name.parse().ok()),
        spot,
    };
    Some(Usage { of, started_by: task.started_by.clone(), size, from, until })
}

/// The provider whose use is told apart.
const SPOT: &str = "FARGATE_SPOT";

/// What a use is within a window.
pub(crate) fn within(usage: &Usage, window: Window) -> Amount {
    let seconds = seconds_within(usage, window);
    let begun = window.from <= usage.from && usage.from < window.until;
    let times = |amount: u32| seconds.saturating_mul(amount.into());
    let Size { cpu, memory, storage_gib } = usage.size;
    Amount {
        tasks: begun.into(),
        seconds,
        cpu: times(cpu),
        memory: times(memory),
        storage: times(storage_gib),
    }
}

/// How many of its begun seconds begin within a window.
fn seconds_within(usage: &Usage, window: Window) -> u64 {
    let whole = ceil_seconds(usage.until.millis() - usage.from.millis());
    let before = |at: Timestamp| {
        // Seconds that begin before `at`: the first begins with the use.
        ceil_seconds(at.millis().saturating_sub(usage.from.millis())).clamp(0, whole)
    };
    let within = before(window.until) - before(window.from);
    u64::try_from(within).unwrap_or(0)
}

fn ceil_seconds(ms: i64) -> i64 {
    if ms <= 0 { 0 } else { (ms - 1) / SECOND_MS + 1 }
}

/// A use as what it is of each day.
pub(crate) fn by_day(usage: &Usage) -> BTreeMap<Timestamp, Amount> {
    let first = usage.from.millis().div_euclid(DAY_MS);
    let last = usage.until.millis().div_euclid(DAY_MS).max(first);
    let day = |day: i64| {
        let at = |number: i64| Timestamp::from_millis(number.saturating_mul(DAY_MS));
        (at(day), within(usage, Window { from: at(day), until: at(day + 1) }))
    };
    (first..=last).map(day).filter(|(_, amount)| *amount != Amount::default()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::model::OnFargate;
    use crate::model::sample::{MADE, task};

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn usage(from: i64, until: i64) -> Usage {
        let of = UseOf {
            cluster: "c".parse().unwrap(),
            family: "web".parse().unwrap(),
            service: None,
            spot: None,
        };
        let size = Size { cpu: 256, memory: 512, storage_gib: 1 };
        Usage { of, started_by: None, size, from: at(from), until: at(until) }
    }

    #[test]
    fn a_begun_second_is_a_whole_one() {
        let check = |(from, until): (i64, i64), (begin, end): (i64, i64), seconds: u64| {
            let window = Window { from: at(begin), until: at(end) };
            let amount = within(&usage(from, until), window);
            let text = format!("{from}..{until} in {begin}..{end}");
            assert_eq!(amount.seconds, seconds, "{text}");
            assert_eq!((amount.cpu, amount.memory), (seconds * 256, seconds * 512), "{text}");
            assert_eq!(amount.storage, seconds, "{text}");
        };
        check((0, 1000), (0, 10_000), 1);
        check((0, 1001), (0, 10_000), 2);
        check((0, 1), (0, 10_000), 1);
        check((5, 5), (0, 10_000), 0);
        check((500, 3500), (0, 1000), 1);
        check((500, 3500), (1000, 3000), 2);
        check((500, 3500), (3000, 9000), 0);
        check((500, 3501), (3000, 9000), 1);
        check((500, 3500), (9000, 9999), 0);
    }

    #[test]
    fn a_task_is_metered_from_its_first_pull_to_its_end() {
        let mut row = task(1);
        assert_eq!(of_task(&row, MADE), None);
        row.fargate = Some(Box::new(OnFargate { platform: "1.4.0".into(), storage_gib: 50 }));
        assert_eq!(of_task(&row, MADE), None);
        let second = Duration::from_secs(1);
        row.times.pull_started_at = Some(MADE + second);
        let now = of_task(&row, MADE + 3 * second).unwrap();
        assert_eq!((now.from, now.until), (MADE + second, MADE + 3 * second));
        assert_eq!(now.size.storage_gib, 30);
        row.status = TaskStatus::Stopped;
        row.times.stopped_at = Some(MADE + 9 * second);
        let over = of_task(&row, MADE + 99 * second).unwrap();
        assert_eq!(over.until, MADE + 9 * second);
        // An agent whose clock is ahead makes no negative use.
        row.times.pull_started_at = Some(MADE + 60 * second);
        let odd = of_task(&row, MADE + 99 * second).unwrap();
        assert_eq!((odd.from, odd.until), (MADE + 9 * second, MADE + 9 * second));
    }

    proptest! {
        #[test]
        fn windows_and_days_add_up(
            from in 0_i64..DAY_MS * 2,
            long in 0_i64..DAY_MS * 3,
            cuts in prop::collection::vec(0_i64..DAY_MS * 6, 0..6),
        ) {
            let usage = usage(from, from + long);
            let whole = within(&usage, Window { from: at(0), until: at(DAY_MS * 10) });
            prop_assert_eq!(i64::try_from(whole.seconds).unwrap(), ceil_seconds(long));
            let mut cuts = cuts;
            cuts.extend([0, DAY_MS * 10]);
            cuts.sort_unstable();
            let mut sum = Amount::default();
            for pair in cuts.windows(2) {
                sum.add(within(&usage, Window { from: at(pair[0]), until: at(pair[1]) }));
            }
            prop_assert_eq!(sum, whole);
            let mut days = Amount::default();
            by_day(&usage).into_values().for_each(|amount| days.add(amount));
            prop_assert_eq!(days, whole);
        }
    }
}
