//! Who serves which load balancer: this server, or balancers on hosts of their own. Pure.
//!
//! - A load balancer that a balancer serves is not served here, also while that one is away for a
//!   moment.
//! - How the targets of its groups are is decided by one balancer alone: by the one that joined first
//!   of those that serve it and are there. The others are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use balancer::{Config, CookieKey, Found, Report, Verdict};

/// A balancer on a host of its own that has told what it found.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    /// Tells this start of it from others.
    pub(crate) start: String,
    /// Whether it is there, and not away for a moment.
    pub(crate) is_there: bool,
    /// The names or ARNs of the load balancers that it serves; none for all.
    pub(crate) serves: Vec<String>,
    /// What it told last.
    pub(crate) found: Arc<Found>,
}

impl Front {
    pub(crate) fn serves(&self, load_balancer: &str) -> bool {
        serves(&self.serves, load_balancer)
    }
}

/// Whether a list of names or ARNs has this load balancer, which an ARN names; an empty one has all.
fn serves(names: &[String], arn: &str) -> bool {
    // …:loadbalancer/app/NAME/ID
    let name = arn.split('/').nth(2);
    names.is_empty() || names.iter().any(|one| one == arn || Some(one.as_str()) == name)
}

/// Whether some balancer serves it.
pub(crate) fn is_elsewhere(fronts: &[Front], load_balancer: &str) -> bool {
    fronts.iter().any(|front| front.serves(load_balancer))
}

/// The balancer that decides how the targets of a load balancer's groups are.
pub(crate) fn judge<'a>(fronts: &'a [Front], load_balancer: &str) -> Option<&'a Front> {
    fronts.iter().find(|front| front.is_there && front.serves(load_balancer))
}

/// What is left to this server.
pub(crate) fn own(config: &Config, users: &BTreeMap<String, String>, fronts: &[Front]) -> Config {
    if fronts.is_empty() {
        return config.clone();
    }
    let is_here = |name: &str| !is_elsewhere(fronts, name);
    let balancers = config.load_balancers.iter().filter(|one| is_here(&one.name));
    let is_used = |name: &str| users.get(name).is_some_and(|user| is_here(user));
    let groups = config.groups.iter().filter(|one| is_used(&one.name));
    Config { load_balancers: balancers.cloned().collect(), groups: groups.cloned().collect() }
}

/// What balancers are told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telling {
    /// Everything, as if there were one balancer alone.
    pub(crate) config: Config,
    /// Which load balancer uses a group, by their names.
    pub(crate) users: BTreeMap<String, String>,
    /// How targets are, by their groups' names.
    pub(crate) verdicts: BTreeMap<String, Vec<Verdict>>,
    /// Who decides that, by groups' names; not in here: nobody yet.
    pub(crate) judges: BTreeMap<String, String>,
    /// What cookies are sealed with.
    key: CookieKey,
}

impl Telling {
    /// What cookies are sealed with.
    pub(crate) fn cookie_key(&self) -> &CookieKey {
        &self.key
    }

    /// What follows for balancers.
    pub(crate) fn next(
        (config, users): (Config, BTreeMap<String, String>),
        verdicts: BTreeMap<String, Vec<Verdict>>,
        fronts: &[Front],
        key: CookieKey,
    ) -> Self {
        let judge = |(group, user): (&String, &String)| {
            Some((group.clone(), judge(fronts, user)?.start.clone()))
        };
        let judges = users.iter().filter_map(judge).collect();
        Self { config, users, verdicts, judges, key }
    }

    /// What one balancer does that serves these.
    pub(crate) fn of(&self, start: &str, names: &[String]) -> Config {
        let balancers = self.config.load_balancers.iter().filter(|one| serves(names, &one.name));
        let is_used = |name: &str| self.users.get(name).is_some_and(|user| serves(names, user));
        let groups = self.config.groups.iter().filter(|one| is_used(&one.name));
        let groups = groups.map(|group| {
            let is_judge = self.judges.get(&group.name).is_some_and(|judge| judge == start);
            let told = || self.verdicts.get(&group.name).cloned().unwrap_or_default();
            let verdicts = (!is_judge).then(told);
            balancer::Group { verdicts, ..group.clone() }
        });
        Config { load_balancers: balancers.cloned().collect(), groups: groups.collect() }
    }
}

/// How each load balancer is served: with what is wrong, if something is. One that a balancer has yet
/// to tell of is left out.
pub(crate) fn states(
    config: &Config,
    fronts: &[Front],
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, Option<String>> {
    let state = |name: &String| {
        if !is_elsewhere(fronts, name) {
            return Some((name.clone(), own.get(name).cloned()));
        }
        let there = fronts.iter().filter(|front| front.is_there && front.serves(name));
        let told: Vec<_> = there.filter_map(|front| front.found.load_balancers.get(name)).collect();
        told.first()?;
        Some((name.clone(), told.iter().find_map(|trouble| (*trouble).clone())))
    };
    config.load_balancers.iter().filter_map(|one| state(&one.name)).collect()
}

/// How targets are, by who decides it for each group. One that drains is idle when it is so at all
/// balancers that may have sent it requests.
pub(crate) fn reports(
    own: Vec<Report>,
    users: &BTreeMap<String, String>,
    fronts: &[Front],
) -> Vec<Report> {
    let user = |group: &str| users.get(group).map(String::as_str).unwrap_or_default();
    let is_own = |report: &Report| !is_elsewhere(fronts, user(&report.group));
    let mut all: Vec<Report> = own.into_iter().filter(is_own).collect();
    for front in fronts {
        for report in &front.found.targets {
            let user = user(&report.group);
            if judge(fronts, user).is_none_or(|judge| judge.start != front.start) {
                continue;
            }
            if report.target.draining {
                let mut serving = fronts.iter().filter(|one| one.serves(user));
                let is_idle = serving.all(|one| tells_idle(&one.found, report));
                all.push(Report { is_idle, ..report.clone() });
            } else if front.found.checked.contains(&report.group) {
                all.push(report.clone());
            }
        }
    }
    all
}

/// Whether a balancer has told that nothing is under way to this target any more.
fn tells_idle(found: &Found, report: &Report) -> bool {
    found
        .targets
        .iter()
        .any(|other| other.is_idle && other.group == report.group && other.target == report.target)
}

#[cfg(test)]
mod tests;
