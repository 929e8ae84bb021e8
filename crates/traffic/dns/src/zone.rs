//! What there is to tell.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::ArcSwap;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
}

impl From<IpAddr> for Data {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::A(address),
            IpAddr::V6(address) => Self::Aaaa(address),
        }
    }
}

/// A domain and the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    apex: String,
    /// How long who asked may keep an answer, in seconds.
    pub(crate) ttl: u32,
    /// Changes when the zone does.
    pub(crate) serial: u32,
    /// By names turned round, so that those below a name stand behind it.
    names: BTreeMap<String, Vec<Data>>,
}

/// What a zone has of a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// The name is there, maybe only because others are below it.
    Name(&'a [Data]),
    /// It is not.
    Nothing,
}

impl Zone {
    /// The domain of this name, as in `elb.internal`, with nothing in it. Who asks may keep answers
    /// for `ttl` seconds; `serial` has to grow with each change.
    pub fn new(apex: &str, ttl: u32, serial: u32) -> Self {
        Self { apex: turned(apex), ttl, serial, names: BTreeMap::new() }
    }

    /// Lets a name lead there, too. A name that is not in the domain is passed over.
    pub fn add(&mut self, name: &str, data: Data) {
        let name = turned(name);
        if !is_within(&name, &self.apex) {
            return;
        }
        let all = self.names.entry(name).or_default();
        if !all.contains(&data) {
            all.push(data);
        }
    }

    /// The domain, turned round.
    pub(crate) fn apex(&self) -> &str {
        &self.apex
    }

    pub(crate) fn find(&self, turned: &str) -> Found<'_> {
        if let Some(data) = self.names.get(turned) {
            return Found::Name(data);
        }
        // What follows a dot sorts from the dot on up to the next character.
        let below = format!("{turned}.")..format!("{turned}/");
        match turned == self.apex || self.names.range(below).next().is_some() {
            true => Found::Name(&[]),
            false => Found::Nothing,
        }
    }
}

/// A name with its last label first, in small letters.
pub(crate) fn turned(name: &str) -> String {
    let mut labels: Vec<_> = name.trim_end_matches('.').split('.').collect();
    labels.reverse();
    labels.join(".").to_ascii_lowercase()
}

fn is_within(name: &str, apex: &str) -> bool {
    let below = name.strip_prefix(apex);
    below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
}

/// All zones, as a server answers from them; swapped whole. Cheap to clone.
#[derive(Clone, Default)]
pub struct Zones(Arc<ArcSwap<Option<Vec<Zone>>>>);

impl Zones {
    /// Answers from these from now on; with none, that it cannot tell at the moment, so that clients
    /// ask another server.
    pub fn set(&self, zones: Option<Vec<Zone>>) {
        self.0.store(Arc::new(zones));
    }

    pub(crate) fn load(&self) -> Arc<Option<Vec<Zone>>> {
        self.0.load_full()
    }
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zones").field(&self.0.load()).finish()
    }
}

/// The zone with the longest name that this one, turned round, is in.
pub(crate) fn zone_of<'a>(zones: &'a [Zone], turned: &str) -> Option<&'a Zone> {
    let around = zones.iter().filter(|zone| is_within(turned, &zone.apex));
    around.max_by_key(|zone| zone.apex.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_whatever_their_case_and_those_above_them_are_there() {
        let mut zone = Zone::new("elb.internal", 60, 1);
        let data = Data::A(Ipv4Addr::new(127, 64, 0, 1));
        zone.add("Web-1.us-east-1.elb.internal.", data);
        zone.add("web-1.us-east-1.elb.internal", data);
        zone.add("web.example.com", data);
        zone.add("web.notelb.internal", data);
        let find = |name: &str| zone.find(&turned(name));
        assert_eq!(find("WEB-1.us-east-1.elb.internal"), Found::Name(&[data]));
        assert_eq!(find("us-east-1.elb.internal"), Found::Name(&[]));
        assert_eq!(find("elb.internal"), Found::Name(&[]));
        assert_eq!(find("web.us-east-1.elb.internal"), Found::Nothing);
        assert_eq!(find("east-1.elb.internal"), Found::Nothing);
        assert_eq!(find("web.example.com"), Found::Nothing);
    }

    #[test]
    fn the_nearest_zone_is_a_names() {
        let zones = [Zone::new("internal", 60, 1), Zone::new("elb.internal", 60, 1)];
        let of = |name: &str| zone_of(&zones, &turned(name)).map(|zone| zone.apex());
        assert_eq!(of("web.elb.internal"), Some("internal.elb"));
        assert_eq!(of("belb.internal"), Some("internal"));
        assert_eq!(of("example.com"), None);
    }
}
