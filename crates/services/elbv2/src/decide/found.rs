//! What the data plane found, as a row.

use balancer::{Reason as Why, State};
use terms::Timestamp;

use crate::model::{Health, HealthState, Reason};

/// The row that follows from a report; none if the one that there is stays. A data plane that has
/// just begun knows nothing, which changes nothing.
pub(crate) fn found(
    report: &balancer::Health,
    before: Option<&Health>,
    now: Timestamp,
) -> Option<Health> {
    let (state, reason) = match (report.state, &report.reason) {
        (State::Initial, _) if before.is_some() => return None,
        // It was told so, and has found nothing else since.
        (State::Unhealthy, None)
            if before.is_some_and(|before| before.state == HealthState::Unhealthy) =>
        {
            return None;
        }
        (State::Initial, _) => (HealthState::Initial, None),
        (State::Healthy, _) => (HealthState::Healthy, None),
        (State::Unhealthy, Some(Why::Code(_))) => {
            (HealthState::Unhealthy, Some(Reason::ResponseCodeMismatch))
        }
        (State::Unhealthy, Some(Why::Timeout)) => (HealthState::Unhealthy, Some(Reason::Timeout)),
        (State::Unhealthy, _) => (HealthState::Unhealthy, Some(Reason::FailedHealthChecks)),
    };
    let description = match &report.reason {
        Some(Why::Code(code)) => Some(format!("Health checks failed with these codes: [{code}]")),
        _ => None,
    };
    let is_same = |before: &Health| {
        before.state == state && before.reason == reason && before.description == description
    };
    if before.is_some_and(is_same) {
        return None;
    }
    let since = before.filter(|before| before.state == state).map_or(now, |before| before.since);
    Some(Health { state, reason, description, since, is_idle: false })
}

/// The row of a deregistered target to which nothing is under way any more; none if it says so
/// already.
pub(crate) fn idle(before: Option<&Health>, now: Timestamp) -> Option<Health> {
    match before {
        Some(before) if before.is_idle => None,
        Some(before) => Some(Health { is_idle: true, ..before.clone() }),
        None => Some(Health {
            state: HealthState::Initial,
            reason: None,
            description: None,
            since: now,
            is_idle: true,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_plane_that_has_just_begun_changes_nothing() {
        let (then, now) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
        let report = |state, reason| balancer::Health { state, reason };
        let healthy = found(&report(State::Healthy, None), None, then).expect("a row");
        assert_eq!(found(&report(State::Initial, None), Some(&healthy), now), None);
        assert_eq!(found(&report(State::Healthy, None), Some(&healthy), now), None);
        let failing = report(State::Unhealthy, Some(Why::Code(503)));
        let unhealthy = found(&failing, Some(&healthy), now).expect("a row");
        assert_eq!(unhealthy.since, now);
        let text = "Health checks failed with these codes: [503]";
        assert_eq!(unhealthy.description.as_deref(), Some(text));
        let slow = report(State::Unhealthy, Some(Why::Timeout));
        let slower = found(&slow, Some(&unhealthy), Timestamp::from_millis(9)).expect("a row");
        assert_eq!((slower.since, slower.description), (now, None));
    }

    #[test]
    fn that_a_target_is_idle_is_written_once() {
        let now = Timestamp::from_millis(2);
        let row = idle(None, now).expect("a row");
        assert!(row.is_idle);
        assert_eq!(idle(Some(&row), now), None);
        let busy = Health { is_idle: false, state: HealthState::Healthy, ..row };
        let row = idle(Some(&busy), now).expect("a row");
        assert_eq!((row.is_idle, row.state), (true, HealthState::Healthy));
    }
}
