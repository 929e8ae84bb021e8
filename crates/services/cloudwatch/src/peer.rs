//! What higher services may call: states of alarms.

use std::time::Duration;

use events::Scope;
use ledger::{Commit, View};

use crate::alarms::AlarmState;
use crate::tables::Tables;

/// An alarm that a commit touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// Where it is.
    pub scope: Scope,
    /// Its name.
    pub name: String,
    /// The state after the commit; none if the alarm was deleted.
    pub state: Option<AlarmState>,
}

impl Tables {
    /// The state of the alarm called `name`; none if there is no such alarm.
    pub fn alarm_state(&self, view: &impl View, scope: &Scope, name: &str) -> Option<AlarmState> {
        let row = view.get(&self.alarms, &(scope.clone(), name.to_owned()))?;
        Some(row.state.clone())
    }

    /// The states of the alarms called so, in the order of the names; none for those that are not
    /// there.
    pub fn alarm_states(
        &self,
        view: &impl View,
        scope: &Scope,
        names: &[String],
    ) -> Vec<(String, Option<AlarmState>)> {
        let state = |name: &String| (name.clone(), self.alarm_state(view, scope, name));
        names.iter().map(state).collect()
    }

    /// How long an alarm looks back: its period, or the longest of its metrics, as often as it
    /// evaluates. None if there is no such alarm, or it does not say.
    pub fn alarm_window(&self, view: &impl View, scope: &Scope, name: &str) -> Option<Duration> {
        let row = view.get(&self.alarms, &(scope.clone(), name.to_owned()))?;
        let input = &row.configuration;
        let metrics = input.metrics.iter().flatten();
        let longest = metrics.filter_map(|one| {
            one.period.or_else(|| one.metric_stat.as_ref().map(|metric| metric.period))
        });
        let period = input.period.or_else(|| longest.max())?;
        let times = u32::try_from(input.evaluation_periods?).ok()?;
        let period = Duration::from_secs(u64::try_from(period).ok()?);
        Some(period.saturating_mul(times))
    }

    /// The alarms whose state a commit set, or which it made or deleted: what a follower of the
    /// feed looks again for.
    pub fn alarm_changes(&self, commit: &Commit) -> Vec<AlarmChange> {
        let changed = commit.changes_of(&self.alarms).filter(|change| {
            let state = |row: &Option<ledger::Row<_>>| -> Option<AlarmState> {
                let row: &ledger::Row<crate::alarms::Alarm> = row.as_ref()?;
                Some(row.state.clone())
            };
            state(&change.before) != state(&change.after)
        });
        changed
            .map(|change| AlarmChange {
                scope: change.key.0,
                name: change.key.1,
                state: change.after.map(|row| row.state.clone()),
            })
            .collect()
    }
}
