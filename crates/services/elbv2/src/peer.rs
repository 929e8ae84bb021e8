//! What higher services may ask of target groups and do to targets, within their own transactions.

use std::net::IpAddr;

use ledger::{Commit, Tx, View};
use terms::Timestamp;
use vpc::Scope;

use crate::api::delay;
use crate::arn;
use crate::model::{Actions, Health, HealthState, Listener, Reason, Rule, Target, TargetType};
use crate::tables::{GroupKey, RuleKey, Tables, TargetKey};

/// What a service that registers targets has to know of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// What the ids of its targets name.
    pub target_type: TargetType,
    /// Whether some load balancer's listener or rule forwards to it.
    pub is_used: bool,
}

/// A target that may be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The group's ARN.
    pub group: &'a str,
    /// An instance's id, or an address.
    pub id: &'a str,
    /// The port.
    pub port: u16,
}

/// How a registration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no such group.
    NoGroup,
    /// The target is not registered, or not by that registration.
    Absent,
    /// It was deregistered.
    Draining {
        /// Until when what it has begun may go on.
        until: Timestamp,
        /// Whether nothing is under way to it any more.
        is_idle: bool,
    },
    /// No load balancer forwards to its group, so nobody checks it.
    Unused,
    /// It has yet to pass a check.
    Initial,
    /// It passes.
    Healthy,
    /// It fails, for a reason in ELB's words.
    Unhealthy(String),
}

/// A target whose registration or health changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// The account and region.
    pub scope: Scope,
    /// The group's ARN.
    pub group: String,
    /// The id.
    pub id: String,
    /// The port.
    pub port: u16,
}

impl Tables {
    /// The group with this ARN; none if there is none in the account and region.
    pub fn target_group(&self, view: &impl View, scope: &Scope, group: &str) -> Option<Group> {
        let key = arn::group(scope, group).ok()?;
        let row = view.get(&self.groups, &key)?;
        let is_used = !self.load_balancers_of(view, &key).is_empty();
        Some(Group { target_type: row.target_type, is_used })
    }

    /// The ARNs of the groups that a rule forwards to, or those of a default rule; none if there is no
    /// such rule, or it does something else.
    pub fn forwards(&self, view: &impl View, scope: &Scope, rule: &str) -> Option<Vec<String>> {
        let actions = self.actions_of(view, &arn::rule(scope, rule).ok()?)?;
        let groups: Vec<String> = actions.weighted().into_iter().map(|(group, _)| group).collect();
        (!groups.is_empty()).then_some(groups)
    }

    /// Lets a rule, which may be a default one, forward to these groups with these weights, and
    /// leaves the rest of it as it is. Gives whether it does so now.
    pub fn share_out(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        rule: &str,
        weights: &[(&str, u32)],
    ) -> bool {
        let Ok(key) = arn::rule(scope, rule) else { return false };
        let Some(actions) = self.actions_of(tx, &key) else { return false };
        let wanted: Vec<(String, u32)> =
            weights.iter().map(|(group, weight)| ((*group).to_owned(), *weight)).collect();
        if actions.weighted() == wanted {
            return true;
        }
        let Some(actions) = actions.shared_out(&wanted) else { return false };
        let of = (key.0.clone(), key.1.clone());
        let is_free = |group: &GroupKey| {
            let users = self.load_balancers_of(tx, group);
            tx.get(&self.groups, group).is_some() && users.iter().all(|user| *user == of)
        };
        if !actions.groups(scope).iter().all(is_free) {
            return false;
        }
        let listener = (key.0.clone(), key.1.clone(), key.2.clone());
        if let Some(row) = tx.get(&self.rules, &key) {
            tx.put(&self.rules, key, Rule { actions, ..Rule::clone(&row) });
        } else if let Some(row) = tx.get(&self.listeners, &listener) {
            let row = Listener { default_actions: actions, ..Listener::clone(&row) };
            tx.put(&self.listeners, listener, row);
        }
        true
    }

    fn actions_of(&self, view: &impl View, key: &RuleKey) -> Option<Actions> {
        if let Some(row) = view.get(&self.rules, key) {
            return Some(row.actions.clone());
        }
        let listener = (key.0.clone(), key.1.clone(), key.2.clone());
        let row = view.get(&self.listeners, &listener)?;
        (row.default_rule == key.3).then(|| row.default_actions.clone())
    }

    /// Registers a target that is reached at `address`: anew, whoever registered it before. Gives
    /// what tells this registration from others, or none if there is no such group.
    pub fn register(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        place: &Place<'_>,
        address: IpAddr,
    ) -> Option<Timestamp> {
        let group = arn::group(scope, place.group).ok()?;
        tx.get(&self.groups, &group)?;
        let key = target_key(group, place);
        let registered_at = tx.now();
        let row =
            Target { address: Some(address), zone: None, registered_at, draining_until: None };
        if tx.get(&self.health, &key).is_some() {
            tx.delete(&self.health, &key);
        }
        tx.put(&self.targets, key, row);
        Some(registered_at)
    }

    /// Deregisters what [`Tables::register`] registered. Gives whether it was registered.
    pub fn deregister(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        place: &Place<'_>,
        registered_at: Timestamp,
    ) -> bool {
        let Ok(group_key) = arn::group(scope, place.group) else { return false };
        let Some(group) = tx.get(&self.groups, &group_key) else { return false };
        let key = target_key(group_key, place);
        let row = tx.get(&self.targets, &key);
        let is_it =
            |row: &Target| row.registered_at == registered_at && row.draining_until.is_none();
        let Some(row) = row.filter(|row| is_it(row)) else { return false };
        let until = Some(tx.now() + delay(&group));
        tx.put(&self.targets, key, Target { draining_until: until, ..Target::clone(&row) });
        true
    }

    /// How a registration is.
    pub fn standing(
        &self,
        view: &impl View,
        scope: &Scope,
        place: &Place<'_>,
        registered_at: Timestamp,
    ) -> Standing {
        let Ok(group) = arn::group(scope, place.group) else { return Standing::NoGroup };
        if view.get(&self.groups, &group).is_none() {
            return Standing::NoGroup;
        }
        let is_used = !self.load_balancers_of(view, &group).is_empty();
        let key = target_key(group, place);
        let row = view.get(&self.targets, &key);
        let Some(row) = row.filter(|row| row.registered_at == registered_at) else {
            return Standing::Absent;
        };
        let health = view.get(&self.health, &key);
        if let Some(until) = row.draining_until {
            let is_idle = !is_used || health.is_some_and(|health| health.is_idle);
            return Standing::Draining { until, is_idle };
        }
        match health.as_deref() {
            _ if !is_used => Standing::Unused,
            None => Standing::Initial,
            Some(health) => standing_of(health),
        }
    }

    /// The targets whose registration or health a commit changed.
    pub fn target_changes(&self, commit: &Commit) -> Vec<TargetName> {
        let targets = commit.changes_of(&self.targets).map(|change| change.key);
        let health = commit.changes_of(&self.health).map(|change| change.key);
        targets.chain(health).filter_map(name).collect()
    }
}

fn standing_of(health: &Health) -> Standing {
    match (health.state, health.reason) {
        (HealthState::Initial, _) => Standing::Initial,
        (HealthState::Healthy, _) => Standing::Healthy,
        (HealthState::Unhealthy, reason) => {
            let usual = match reason {
                Some(Reason::Timeout) => "Request timed out",
                Some(Reason::ResponseCodeMismatch | Reason::FailedHealthChecks) | None => {
                    "Health checks failed"
                }
            };
            Standing::Unhealthy(health.description.clone().unwrap_or_else(|| usual.to_owned()))
        }
    }
}

fn target_key(group: GroupKey, place: &Place<'_>) -> TargetKey {
    (group.0, group.1, place.id.to_owned(), u32::from(place.port))
}

fn name((scope, group, id, port): TargetKey) -> Option<TargetName> {
    let port = u16::try_from(port).ok()?;
    let group = arn::of_group(&(scope.clone(), group));
    Some(TargetName { scope, group, id, port })
}
