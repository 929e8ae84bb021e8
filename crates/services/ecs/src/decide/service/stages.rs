//! From one stage to the next (ECS semantics §10.2): a function of what there is and the time.

use std::time::Duration;

use terms::Timestamp;

use crate::model::{Stage, Staged, Strategy};

/// What the next stage may have to wait for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// How traffic goes over.
    pub(super) strategy: Strategy,
    /// Whether nothing is left of deployments that were given up.
    pub(super) is_reconciled: bool,
    /// Whether the new revision has all its tasks, healthy.
    pub(super) is_scaled: bool,
    /// How long both revisions stand after all traffic went over.
    pub(super) bake: Duration,
    /// The time.
    pub(super) now: Timestamp,
}

/// Where a deployment begins. The first of a service has no other to take traffic from: it gets it
/// as it becomes healthy.
pub(super) fn first(is_alone: bool, now: Timestamp) -> Staged {
    let part = if is_alone { 1000 } else { 0 };
    Staged { stage: Stage::ReconcileService, since: now, production: part, test: part }
}

/// How far a deployment comes at once, and when to look again if it only waits for the time.
/// `is_let` says whether all who are asked at a stage and step let it go on.
pub(super) fn go_on(
    mut at: Staged,
    facts: &Facts,
    is_let: &dyn Fn(&Staged) -> bool,
) -> (Staged, Option<Timestamp>) {
    loop {
        if !is_let(&at) {
            return (at, None);
        }
        match next(at, facts) {
            Next::To(next) => at = next,
            Next::At(time) => return (at, Some(time)),
            Next::Stay => return (at, None),
        }
    }
}

enum Next {
    To(Staged),
    At(Timestamp),
    Stay,
}

fn next(at: Staged, facts: &Facts) -> Next {
    let now = facts.now;
    let to = |stage| Next::To(Staged { stage, since: now, ..at });
    let after = |wait: Duration, next: Next| match at.since + wait {
        until if until > now => Next::At(until),
        _ => next,
    };
    match at.stage {
        Stage::ReconcileService if !facts.is_reconciled => Next::Stay,
        Stage::ReconcileService => to(Stage::PreScaleUp),
        Stage::PreScaleUp => to(Stage::ScaleUp),
        Stage::ScaleUp if !facts.is_scaled => Next::Stay,
        Stage::ScaleUp => to(Stage::PostScaleUp),
        Stage::PostScaleUp => {
            Next::To(Staged { stage: Stage::TestTrafficShift, since: now, test: 1000, ..at })
        }
        Stage::TestTrafficShift => to(Stage::PostTestTrafficShift),
        Stage::PostTestTrafficShift => to(Stage::PreProductionTrafficShift),
        Stage::PreProductionTrafficShift => Next::To(shift(at, facts)),
        Stage::ProductionTrafficShift if at.production < 1000 => {
            let minutes = u64::from(facts.strategy.step_minutes());
            after(Duration::from_secs(60 * minutes), to(Stage::PreProductionTrafficShift))
        }
        Stage::ProductionTrafficShift => to(Stage::PostProductionTrafficShift),
        Stage::PostProductionTrafficShift => to(Stage::BakeTime),
        Stage::BakeTime => after(facts.bake, to(Stage::CleanUp)),
        Stage::CleanUp => Next::Stay,
    }
}

fn shift(at: Staged, facts: &Facts) -> Staged {
    let production = facts.strategy.after(at.production);
    Staged { stage: Stage::ProductionTrafficShift, since: facts.now, production, ..at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn facts(strategy: Strategy) -> Facts {
        Facts { strategy, is_reconciled: true, is_scaled: true, bake: 5 * MINUTE, now: START }
    }

    /// The parts of production traffic, with the minutes at which they began, and the minute at which
    /// the old tasks may go.
    fn course(strategy: Strategy) -> (Vec<(u64, u32)>, u64) {
        let (mut facts, mut shifts) = (facts(strategy), Vec::new());
        let mut at = first(false, START);
        loop {
            let (came, again) = go_on(at, &facts, &|_| true);
            let minute = facts.now.since(START).as_secs() / 60;
            if came.production != at.production {
                shifts.push((minute, came.production));
            }
            at = came;
            match again {
                Some(time) => facts.now = time,
                None => {
                    assert_eq!((at.stage, at.test), (Stage::CleanUp, 1000));
                    return (shifts, minute);
                }
            }
        }
    }

    #[test]
    fn traffic_goes_over_in_the_steps_of_the_strategy() {
        assert_eq!(course(Strategy::BlueGreen), (vec![(0, 1000)], 5));
        let canary = Strategy::Canary { part: 50, bake_minutes: 10 };
        assert_eq!(course(canary), (vec![(0, 50), (10, 1000)], 15));
        let linear = Strategy::Linear { step: 400, bake_minutes: 6 };
        assert_eq!(course(linear), (vec![(0, 400), (6, 800), (12, 1000)], 17));
    }

    #[test]
    fn stages_wait_for_tasks() {
        let check = |facts: Facts, expected: Stage| {
            let (at, again) = go_on(first(false, START), &facts, &|_| true);
            assert_eq!((at.stage, again, at.production, at.test), (expected, None, 0, 0));
        };
        let ready = facts(Strategy::BlueGreen);
        check(Facts { is_reconciled: false, ..ready }, Stage::ReconcileService);
        check(Facts { is_scaled: false, ..ready }, Stage::ScaleUp);
    }

    #[test]
    fn who_is_asked_holds_each_step_up() {
        let facts = facts(Strategy::Canary { part: 50, bake_minutes: 0 });
        let asks = |stage: Stage, production: u32| {
            let is_let = move |at: &Staged| (at.stage, at.production) != (stage, production);
            go_on(first(false, START), &facts, &is_let).0
        };
        let at = asks(Stage::PreProductionTrafficShift, 0);
        assert_eq!((at.stage, at.production, at.test), (Stage::PreProductionTrafficShift, 0, 1000));
        let at = asks(Stage::ProductionTrafficShift, 50);
        assert_eq!((at.stage, at.production), (Stage::ProductionTrafficShift, 50));
        let at = asks(Stage::PreProductionTrafficShift, 50);
        assert_eq!((at.stage, at.production), (Stage::PreProductionTrafficShift, 50));
    }

    #[test]
    fn the_first_of_a_service_has_all_traffic_from_the_start() {
        let first = first(true, START);
        assert_eq!((first.production, first.test), (1000, 1000));
    }
}
