//! Subnets: what an instance's bridge uses, and which addresses of it are free.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 subnet with room for a gateway and at least one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    network: u32,
    prefix: u8,
}

/// A text that is no subnet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subnet such as 172.29.0.0/20, with a prefix of 8 to 29")]
pub struct ParseSubnetError(String);

/// Instances on one machine take the first free one of these: sixteen subnets of 4,093 addresses
/// from 172.29.0.0/16, then sixteen from 10.213.0.0/16.
pub(super) fn candidates() -> impl Iterator<Item = Subnet> {
    const PREFIX: u8 = 20;
    const SIZE: u32 = 1 << (32 - PREFIX);
    [Ipv4Addr::new(172, 29, 0, 0), Ipv4Addr::new(10, 213, 0, 0)].into_iter().flat_map(|base| {
        (0..16).map(move |n| Subnet { network: u32::from(base) + n * SIZE, prefix: PREFIX })
    })
}

impl Subnet {
    /// The length of its prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its first address: the bridge's own.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// Its second address, next to the gateway.
    pub(super) fn second(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 2)
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.prefix))
    }

    fn broadcast(self) -> u32 {
        self.network | !self.mask()
    }

    /// Whether it shares an address with another network.
    pub(super) fn overlaps(self, network: u32, mask: u32) -> bool {
        let both = self.mask() & mask;
        self.network & both == network & both
    }

    /// The first address after `last` that is not taken, once around.
    pub(super) fn next_free(self, last: Ipv4Addr, taken: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let (first, end) = (self.network + 2, self.broadcast());
        let after = u32::from(last).saturating_add(1).clamp(first, end);
        (after..end).chain(first..after).map(Ipv4Addr::from).find(|a| !taken.contains(a))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = ParseSubnetError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            let (address, prefix) = (address.parse::<Ipv4Addr>().ok()?, prefix.parse().ok()?);
            let subnet = Self { network: u32::from(address), prefix };
            ((8..=29).contains(&prefix) && subnet.network & !subnet.mask() == 0).then_some(subnet)
        };
        parse().ok_or_else(|| ParseSubnetError(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = ParseSubnetError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

/// The networks of the host's routes, without the default one, each with its mask and interface
/// (`/proc/net/route`, whose numbers are in network order).
pub(super) fn routes(text: &str) -> Vec<(u32, u32, String)> {
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |index: usize| {
                words.get(index).and_then(|w| u32::from_str_radix(w, 16).ok()).map(u32::from_be)
            };
            let (network, mask) = (number(1)?, number(7)?);
            (mask != 0).then(|| (network, mask, words[0].to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn subnets_are_parsed_and_compared() {
        let subnet: Subnet = "172.29.16.0/20".parse().unwrap();
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 29, 16, 1));
        for wrong in ["172.29.0.0", "172.29.0.1/20", "1.2.3.0/30", "0.0.0.0/0", "x/20", ""] {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
        let network = |text: &str| u32::from(text.parse::<Ipv4Addr>().unwrap());
        assert!(subnet.overlaps(network("172.29.0.0"), network("255.255.0.0")));
        assert!(subnet.overlaps(network("172.29.17.0"), network("255.255.255.0")));
        assert!(!subnet.overlaps(network("172.29.0.0"), network("255.255.240.0")));
    }

    #[test]
    fn addresses_go_round() {
        let subnet: Subnet = "10.0.0.0/29".parse().unwrap();
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        let check = |last, taken: &[u8], expected: Option<u8>| {
            let taken = taken.iter().map(|a| address(*a)).collect();
            assert_eq!(subnet.next_free(address(last), &taken), expected.map(address));
        };
        check(0, &[], Some(2));
        check(2, &[2], Some(3));
        check(6, &[3], Some(2));
        check(6, &[2, 3, 4, 5, 6], None);
    }

    #[test]
    fn routes_are_read_without_the_default() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                    eth0\t00000000\t010200C0\t3\t0\t0\t0\t00000000\n\
                    eth0\t000200C0\t00000000\t1\t0\t0\t0\t00FFFFFF\n";
        assert_eq!(routes(text), [(0xc000_0200, 0xffff_ff00, "eth0".to_owned())]);
    }
}
