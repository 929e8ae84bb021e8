//! Availability Zone rebalancing (ECS semantics §7.12): a task is started in the emptiest zone,
//! and once it is healthy the scale-in order takes one from the fullest.

use std::collections::BTreeMap;
use std::time::Duration;

use terms::Text;

use super::look::Look;
use super::percent::Bounds;
use super::tally::Tally;
use super::texts;
use super::view::Start;
use crate::model::{RolloutState, SchedulingStrategy, ZoneRebalancing};

/// How long nothing is moved after a task found no place in the emptiest zone.
pub(super) const PAUSE: Duration = Duration::from_secs(5 * 60);

impl Look<'_> {
    /// Begins to move tasks, or ends it. Looks only when nothing else is to be done.
    pub(super) fn rebalance(&mut self, is_steady: bool) {
        let Some(at) = self.primary() else { return };
        let (since, name) = (self.rows.service.course.rebalancing_since, self.name());
        let id = self.rows.deployments[at].id;
        if self.rows.deployments[at].rollout != RolloutState::Completed {
            if since.is_some() {
                self.rows.service.course.rebalancing_since = None;
                self.say(texts::rebalancing_stopped(&name, "a deployment is in progress"));
            }
            return;
        }
        let is_idle = self.out.starts.is_empty() && self.out.stops.is_empty();
        if !is_steady || !is_idle || !self.may_rebalance() {
            return;
        }
        let zones = self.count_zones(&self.tally(id));
        let Some((zone, moves)) = emptiest(&zones) else {
            if since.is_some() {
                self.rows.service.course.rebalancing_since = None;
                self.say(texts::rebalanced(&name));
            }
            return;
        };
        let desired = self.rows.service.desired;
        let bounds = Bounds::of(desired, &self.rows.service.configuration);
        if bounds.upper <= desired {
            return;
        }
        if since.is_none() {
            self.say(texts::rebalancing(&name, moves));
            self.rows.service.course.rebalancing_since = Some(self.now);
        }
        self.out.starts.push(Start { of: id, count: 1, on: Vec::new(), zone: Some(zone) });
        self.look_again(Some(self.now + PAUSE));
    }

    fn may_rebalance(&mut self) -> bool {
        let service = &self.rows.service;
        if service.rebalancing != ZoneRebalancing::Enabled
            || service.scheduling != SchedulingStrategy::Replica
            || self.view.zones.len() < 2
        {
            return false;
        }
        let tried = service.course.no_place_at.map(|at| at + PAUSE);
        if let Some(until) = tried.filter(|until| *until > self.now) {
            self.look_again(Some(until));
            return false;
        }
        // One after the other: what was moved last has yet to go.
        self.view.tasks.len() <= service.desired as usize
    }

    fn count_zones(&self, tally: &Tally<'_>) -> BTreeMap<Text, usize> {
        let mut zones: BTreeMap<Text, usize> =
            self.view.zones.iter().map(|zone| (zone.clone(), 0)).collect();
        for zone in tally.healthy.iter().filter_map(|task| task.zone.clone()) {
            *zones.entry(zone).or_default() += 1;
        }
        zones
    }
}

/// The zone with fewest tasks, and how many have to be moved; none if no two zones differ by more
/// than one.
fn emptiest(zones: &BTreeMap<Text, usize>) -> Option<(Text, usize)> {
    let (zone, fewest) = zones.iter().min_by_key(|(_, tasks)| **tasks)?;
    let most = zones.values().max()?;
    if most - fewest < 2 {
        return None;
    }
    let ideal = zones.values().sum::<usize>() / zones.len();
    let moves = zones.values().map(|tasks| ideal.saturating_sub(*tasks)).sum::<usize>();
    Some((zone.clone(), moves.max(1)))
}
