//! Rules and their targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shapes_events as shapes;
use shapes_events::RuleState;
use terms::Timestamp;
use wire::document::Document;
use wire::value::Enumeration;

use crate::schedule::Schedule;

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// Which events it takes.
    pub(crate) pattern: Option<String>,
    /// When it runs.
    pub(crate) schedule: Option<String>,
    /// `ENABLED`, `DISABLED`, …
    pub(crate) state: String,
    /// For people.
    pub(crate) description: Option<String>,
    /// Stored and shown; nothing here asks for it.
    pub(crate) role: Option<String>,
    /// Where matching events go, by id.
    pub(crate) targets: BTreeMap<String, Document<shapes::Target>>,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
    /// The newest revision of the ledger when it was made: what happened later is for it, though it was
    /// rewritten since. Rows of before it was kept have none.
    #[serde(default)]
    pub(crate) made_after: Option<u64>,
    /// From when its `rate` is counted.
    pub(crate) made_at: Timestamp,
    /// When it runs next, if it runs on a schedule.
    pub(crate) next_at: Option<Timestamp>,
}

impl Rule {
    /// The state as a shape.
    pub(crate) fn shown_state(&self) -> RuleState {
        RuleState::parse(&self.state).unwrap_or_default()
    }

    /// Whether it takes events and runs.
    pub(crate) fn is_enabled(&self) -> bool {
        self.shown_state() != RuleState::Disabled
    }

    /// Sets when it runs next after `now`.
    pub(crate) fn plan(&mut self, now: Timestamp) {
        let schedule = self.schedule.as_deref().filter(|_| self.is_enabled());
        let schedule = schedule.and_then(|text| Schedule::parse(text).ok());
        self.next_at = schedule.and_then(|schedule| schedule.next(now, self.made_at));
    }

    /// The revision that what it takes is newer than, if it stands in a row of this `version`.
    pub(crate) fn sees_after(&self, version: u64) -> u64 {
        self.made_after.unwrap_or(version)
    }

    /// When it is to be looked at, if it runs on a schedule and has somewhere to send to.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.next_at.filter(|_| !self.targets.is_empty() && self.is_enabled())
    }
}
