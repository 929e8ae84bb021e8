//! What higher services may call: states of alarms.

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
