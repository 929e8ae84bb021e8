//! Slow start: targets that become healthy beside others get their share of requests little by little
//! (Application Load Balancer guide, "Slow start mode").

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::random;

/// A whole share, in thousandths.
const WHOLE: u32 = 1000;

/// What the targets of a group have in common.
#[derive(Debug, Default)]
pub(super) struct Warming(Mutex<Common>);

#[derive(Debug, Default)]
struct Common {
    /// How long targets are warmed up; not at all if none.
    lasts: Option<Duration>,
    /// How many healthy targets are warm.
    warm: usize,
    /// Since when there has been one that is warm.
    since: Option<Instant>,
}

/// How warm a target is.
#[derive(Debug)]
pub(super) struct Warmth {
    /// When the target came into its group.
    begun: Instant,
    state: Mutex<State>,
    /// What it gets at least, in thousandths, so that warm ones need not look further.
    share: AtomicU32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was never healthy.
    #[default]
    New,
    /// It is healthy, and warm.
    Warm,
    /// It is healthy, and gets warm from then on.
    From(Instant),
    /// It was healthy once.
    Cold,
}

impl Warming {
    /// From now on targets that become healthy are warmed up for so long.
    pub(super) fn set(&self, lasts: Option<Duration>) {
        self.0.lock().lasts = lasts;
    }
}

impl Warmth {
    /// Of a target that comes into its group at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, state: Mutex::default(), share: AtomicU32::new(WHOLE) }
    }

    /// The target became healthy. It is warm at once if no other is, and if it was there before the
    /// first of them was.
    pub(super) fn rise(&self, group: &Warming, now: Instant) {
        let (mut state, mut common) = (self.state.lock(), group.0.lock());
        if matches!(*state, State::Warm | State::From(_)) {
            return;
        }
        let is_of_first = *state == State::New && common.since.is_some_and(|at| self.begun <= at);
        if common.lasts.is_some() && common.warm > 0 && !is_of_first {
            *state = State::From(now);
            self.share.store(0, Ordering::Relaxed);
        } else {
            *state = State::Warm;
            common.add(now);
        }
    }

    /// The target became unhealthy, or left.
    pub(super) fn fall(&self, group: &Warming) {
        let (mut state, mut common) = (self.state.lock(), group.0.lock());
        if std::mem::replace(&mut *state, State::Cold) == State::Warm {
            common.warm = common.warm.saturating_sub(1);
            if common.warm == 0 {
                common.since = None;
            }
        }
        self.share.store(WHOLE, Ordering::Relaxed);
    }

    /// The target's share, in thousandths.
    pub(super) fn share(&self, group: &Warming, now: Instant) -> u32 {
        if self.share.load(Ordering::Relaxed) == WHOLE {
            return WHOLE;
        }
        let (mut state, mut common) = (self.state.lock(), group.0.lock());
        let State::From(since) = *state else { return WHOLE };
        let lasts = common.lasts.unwrap_or_default();
        let gone = now.saturating_duration_since(since);
        // Nobody else can take what it would leave.
        if gone >= lasts || common.warm == 0 {
            *state = State::Warm;
            common.add(now);
            self.share.store(WHOLE, Ordering::Relaxed);
            return WHOLE;
        }
        let part = gone.as_millis() * u128::from(WHOLE) / lasts.as_millis().max(1);
        u32::try_from(part).unwrap_or(WHOLE)
    }

    /// Whether the target takes its turn, by chance.
    pub(super) fn takes_turn(&self, group: &Warming, now: Instant) -> bool {
        let share = self.share(group, now);
        share == WHOLE || random::number() % u64::from(WHOLE) < u64::from(share)
    }
}

impl Common {
    fn add(&mut self, now: Instant) {
        self.warm += 1;
        self.since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Targets of a group that are warmed up for ten minutes, and when they came.
    fn group(begun: &[Instant]) -> (Warming, Vec<Warmth>) {
        let warming = Warming::default();
        warming.set(Some(10 * MINUTE));
        (warming, begun.iter().map(|&at| Warmth::new(at)).collect())
    }

    #[test]
    fn what_comes_later_gets_its_share_little_by_little() {
        let now = Instant::now();
        let (group, targets) = group(&[now, now + MINUTE]);
        targets[0].rise(&group, now);
        targets[1].rise(&group, now + 2 * MINUTE);
        let share = |minutes: u32| targets[1].share(&group, now + minutes * MINUTE);
        assert_eq!([share(2), share(3), share(7), share(11)], [0, 100, 500, 900]);
        assert_eq!(targets[0].share(&group, now + 3 * MINUTE), WHOLE);
        assert_eq!([share(12), share(2)], [WHOLE, WHOLE], "once it is warm it stays so");
    }

    #[test]
    fn the_first_ones_are_warm_at_once() {
        let now = Instant::now();
        let (group, targets) = group(&[now, now]);
        targets[0].rise(&group, now + MINUTE);
        targets[1].rise(&group, now + 2 * MINUTE);
        assert_eq!(targets[1].share(&group, now + 2 * MINUTE), WHOLE);
    }

    #[test]
    fn what_recovers_is_warmed_up_again_unless_it_is_alone() {
        let now = Instant::now();
        let (group, targets) = group(&[now, now]);
        targets.iter().for_each(|target| target.rise(&group, now));
        targets[0].fall(&group);
        targets[0].rise(&group, now + MINUTE);
        assert_eq!(targets[0].share(&group, now + MINUTE), 0);
        targets[1].fall(&group);
        assert_eq!(targets[0].share(&group, now + MINUTE), WHOLE);
        targets[0].fall(&group);
        targets[1].rise(&group, now + 2 * MINUTE);
        assert_eq!(targets[1].share(&group, now + 2 * MINUTE), WHOLE);
    }

    #[test]
    fn what_is_healthy_when_it_is_turned_on_is_warm() {
        let now = Instant::now();
        let (group, targets) = group(&[now, now + MINUTE]);
        group.set(None);
        targets[0].rise(&group, now);
        targets[1].rise(&group, now + 2 * MINUTE);
        group.set(Some(10 * MINUTE));
        assert_eq!(targets[1].share(&group, now + 2 * MINUTE), WHOLE);
    }
}
