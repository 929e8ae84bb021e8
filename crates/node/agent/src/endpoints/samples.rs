//! The newest samples of what containers use: rates need two.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::{ContainerId, Stats};
use terms::Timestamp;

/// Samples closer together than this say nothing of a rate: the older one stays.
const APART: Duration = Duration::from_secs(1);
/// Samples older than this are of containers that are gone.
const KEPT: Duration = Duration::from_secs(60);

/// A sample, and when it was taken.
pub(crate) type Sample = (Timestamp, Stats);

/// The last two samples of each container.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<BTreeMap<ContainerId, Pair>>);

#[derive(Debug)]
struct Pair {
    last: Sample,
    before: Option<Sample>,
}

impl Samples {
    /// Takes a sample; answers the one to compare it with, if there is any.
    pub(crate) fn take(&self, id: &ContainerId, stats: &Stats, now: Timestamp) -> Option<Sample> {
        let mut all = self.0.lock();
        all.retain(|_, pair| now.since(pair.last.0) < KEPT);
        match all.get_mut(id) {
            None => {
                let pair = Pair { last: (now, stats.clone()), before: None };
                all.insert(id.clone(), pair);
                None
            }
            Some(pair) if now.since(pair.last.0) >= APART => {
                pair.before = Some(std::mem::replace(&mut pair.last, (now, stats.clone())));
                pair.before.clone()
            }
            Some(pair) => pair.before.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_compared_with_one_that_is_a_second_older() {
        let samples = Samples::default();
        let id = ContainerId::from_bytes([1; 32]);
        let take = |millis: i64, usage| {
            let stats = Stats { cpu_usage_ns: usage, ..Stats::default() };
            let before = samples.take(&id, &stats, Timestamp::from_millis(millis));
            before.map(|(_, stats)| stats.cpu_usage_ns)
        };
        assert_eq!(take(0, 1), None);
        assert_eq!(take(500, 2), None, "too near");
        assert_eq!(take(1000, 3), Some(1));
        assert_eq!(take(1100, 4), Some(1), "the same again");
        assert_eq!(take(9000, 5), Some(3));
        assert_eq!(take(100_000, 6), None, "forgotten");
    }
}
