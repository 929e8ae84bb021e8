//! What a data plane on a host of its own is told, and what it tells back. Both are JSON on the wire.
//!
//! Who tells sends everything at first, and then what changes. Who is told keeps the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Group, LoadBalancer};
use crate::{CookieKey, Count, Report};

/// The form of these messages: another number is another form.
pub const FORMAT: u32 = 1;

/// What is to be done from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether what is not named is to go; else it stays as it is.
    pub is_whole: bool,
    /// Load balancers, new ones and those that are different now.
    pub load_balancers: Vec<LoadBalancer>,
    /// Target groups, likewise.
    pub groups: Vec<Group>,
    /// The names of load balancers and groups that are to go.
    pub gone: Vec<String>,
    /// What cookies are sealed with; none if that stays.
    pub cookie_key: Option<CookieKey>,
}

/// What has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// [`FORMAT`].
    pub format: u32,
    /// Tells this start of the program from all others.
    pub start: String,
    /// The address that all load balancers are served on, if it is not each one's own.
    pub address: Option<IpAddr>,
    /// The load balancers that are served, with what is wrong if something is.
    pub load_balancers: BTreeMap<String, Option<String>>,
    /// How targets are.
    pub targets: Vec<Report>,
    /// The names of the groups whose targets it checked itself.
    pub checked: BTreeSet<String>,
    /// What there was to do.
    pub counts: Vec<Count>,
    /// Whether it ends now.
    pub is_last: bool,
}

impl Told {
    /// All there is to do.
    pub fn whole(config: &Config, cookie_key: Option<CookieKey>) -> Self {
        Self {
            format: FORMAT,
            is_whole: true,
            load_balancers: config.load_balancers.clone(),
            groups: config.groups.clone(),
            gone: Vec::new(),
            cookie_key,
        }
    }

    /// What makes `after` out of `before`; none if they are the same.
    pub fn between(before: &Config, after: &Config) -> Option<Self> {
        let (balancers, old) = (by_name(&after.load_balancers), by_name(&before.load_balancers));
        let (groups, old_groups) = (by_name(&after.groups), by_name(&before.groups));
        let mut gone = missing(&old, &balancers);
        gone.extend(missing(&old_groups, &groups));
        let told = Self {
            format: FORMAT,
            is_whole: false,
            load_balancers: changed(&old, &balancers),
            groups: changed(&old_groups, &groups),
            gone,
            cookie_key: None,
        };
        let is_same =
            told.load_balancers.is_empty() && told.groups.is_empty() && told.gone.is_empty();
        (!is_same).then_some(told)
    }

    /// Does the same to a configuration.
    pub fn apply_to(self, config: &mut Config) {
        if self.is_whole {
            *config = Config { load_balancers: self.load_balancers, groups: self.groups };
            return;
        }
        take_in(&mut config.load_balancers, self.load_balancers, &self.gone);
        take_in(&mut config.groups, self.groups, &self.gone);
    }
}

/// What has a name of its own.
trait Named: Clone + PartialEq {
    fn name(&self) -> &str;
}

impl Named for LoadBalancer {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Group {
    fn name(&self) -> &str {
        &self.name
    }
}

fn by_name<T: Named>(all: &[T]) -> BTreeMap<&str, &T> {
    all.iter().map(|one| (one.name(), one)).collect()
}

fn missing<T>(before: &BTreeMap<&str, &T>, after: &BTreeMap<&str, &T>) -> Vec<String> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    gone.map(|name| (*name).to_owned()).collect()
}

fn changed<T: Named>(before: &BTreeMap<&str, &T>, after: &BTreeMap<&str, &T>) -> Vec<T> {
    let is_new = |(name, one): &(&&str, &&T)| before.get(**name) != Some(*one);
    after.iter().filter(is_new).map(|(_, one)| (*one).clone()).collect()
}

fn take_in<T: Named>(all: &mut Vec<T>, new: Vec<T>, gone: &[String]) {
    let is_over = |one: &T| {
        gone.iter().any(|name| name == one.name()) || new.iter().any(|new| new.name() == one.name())
    };
    all.retain(|one| !is_over(one));
    all.extend(new);
    all.sort_by(|one, other| one.name().cmp(other.name()));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::{CertificatePair, KeyPem, Listener, Settings, Tls};
    use crate::{Action, Kind};

    fn balancer(name: &str, ports: &[u16]) -> LoadBalancer {
        let pair = CertificatePair {
            name: "one".to_owned(),
            chain: "chain".to_owned(),
            key: KeyPem::new("the key".to_owned()),
        };
        let tls = Tls { certificates: vec![pair], protocols: Vec::new(), ciphers: Vec::new() };
        let listener = |port: &u16| Listener {
            port: *port,
            kind: Kind::Requests,
            rules: Vec::new(),
            default: Action::Forward { groups: vec![("blue".to_owned(), 1)], sticky: None },
            shows_server: true,
            tls: Some(tls.clone()),
        };
        LoadBalancer {
            name: name.to_owned(),
            address: Ipv4Addr::new(127, 64, 0, 1).into(),
            dns_name: format!("{name}.elb.internal"),
            settings: Settings::default(),
            log: None,
            listeners: ports.iter().map(listener).collect(),
        }
    }

    fn config(balancers: &[(&str, &[u16])]) -> Config {
        let all = balancers.iter().map(|(name, ports)| balancer(name, ports)).collect();
        Config { load_balancers: all, groups: Vec::new() }
    }

    #[test]
    fn changes_make_the_one_out_of_the_other() {
        let before = config(&[("api", &[80]), ("old", &[80]), ("web", &[80])]);
        let after = config(&[("api", &[80]), ("new", &[1, 2]), ("web", &[80, 443])]);
        let told = Told::between(&before, &after).unwrap();
        let named: Vec<_> = told.load_balancers.iter().map(|one| one.name.as_str()).collect();
        assert_eq!((named, &told.gone[..]), (vec!["new", "web"], &["old".to_owned()][..]));
        // As it goes over the wire.
        let told: Told = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
        let mut made = before.clone();
        told.apply_to(&mut made);
        assert_eq!(made, after);
        assert_eq!(Told::between(&made, &after), None);
        let mut made = Config::default();
        Told::whole(&after, None).apply_to(&mut made);
        assert_eq!(made, after);
    }
}
