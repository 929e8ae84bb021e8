//! Alarms, and the deployments that they end.

use std::collections::{BTreeMap, BTreeSet};

use ecs::audit::AuditedDeployment;

use super::Judged;
use crate::check::{Checker, broken};
use crate::world::Violation;

const ALARMS: &str = "alarms end deployments, and only alarms that are on";

/// Alarms in ALARM.
#[derive(Default)]
pub(super) struct Alarms {
    on: BTreeSet<String>,
    /// What changed in the commit that is judged.
    changed: BTreeSet<String>,
}

impl Checker {
    /// A server has loaded its store.
    pub(crate) fn alarms_loaded(&mut self, on: BTreeSet<String>) {
        self.services.alarms = Alarms { on, changed: BTreeSet::new() };
    }

    /// The commit that is judged next changes these: whether they are on now.
    pub(crate) fn alarms_change(&mut self, changed: Vec<(String, bool)>) {
        let alarms = &mut self.services.alarms;
        alarms.changed = changed.iter().map(|(name, _)| name.clone()).collect();
        for (name, is_on) in changed {
            match is_on {
                true => alarms.on.insert(name),
                false => alarms.on.remove(&name),
            };
        }
    }

    /// Whether deployments end as their alarms say. `known` is what they were.
    pub(super) fn heeds_alarms(
        &self,
        judged: &Judged<'_>,
        known: &BTreeMap<String, AuditedDeployment>,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        let Alarms { on, changed } = &self.services.alarms;
        // A commit of several transactions may hold both, in whatever order.
        if self.several && !changed.is_empty() {
            return found;
        }
        let mut named = judged.rows().flat_map(|row| &row.alarms).flat_map(|alarms| &alarms.names);
        let alarming = named.find(|name| on.contains(*name));
        let keeps_its_rules = judged
            .rows()
            .all(|row| judged.after.as_ref().is_some_and(|one| one.alarms == row.alarms));
        for change in &judged.touched.deployments {
            let Some(after) = change.after.as_deref() else { continue };
            let Some(before) = known.get(&after.id).filter(|one| one.rollout != after.rollout)
            else {
                continue;
            };
            let id = &after.id;
            let by_alarm = after.rollout == "FAILED" && after.reason.contains("alarm");
            if by_alarm && alarming.is_none() {
                found.push(broken(ALARMS, format!("{id} fails for an alarm, and none is on")));
            }
            if by_alarm && !before.watches_alarms && !self.several {
                found.push(broken(ALARMS, format!("{id} fails for alarms that it does not watch")));
            }
            let is_heedless = after.rollout == "COMPLETED" && before.watches_alarms;
            if let Some(name) = alarming.filter(|_| is_heedless && keeps_its_rules) {
                found.push(broken(ALARMS, format!("{id} is complete while {name} is on")));
            }
            let goes_back =
                judged.rows().all(|row| row.alarms.as_ref().is_some_and(|alarms| alarms.rollback));
            let can = known.values().any(|one| one.rollout == "COMPLETED" && one.id != *id);
            if by_alarm && goes_back && can && after.rollback_to.is_none() {
                found.push(broken(ALARMS, format!("{id} is not taken back")));
            }
        }
        found
    }
}
