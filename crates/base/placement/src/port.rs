//! Sets of ports that remember how often a port was taken, and the ports that searches mind.

use std::collections::BTreeMap;

use crate::{Demand, Instance};

/// Ports in use. A port may be held more than once (two reports may name it), and is free again
/// when each holder has let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(Vec<u16>);

impl PortSet {
    /// Whether somebody holds `port`.
    pub fn contains(&self, port: u16) -> bool {
        self.0.binary_search(&port).is_ok()
    }

    /// Takes `port` once more.
    pub fn hold(&mut self, port: u16) {
        let place = self.0.partition_point(|&held| held < port);
        self.0.insert(place, port);
    }

    /// Lets go of `port` once; nothing happens if nobody holds it.
    pub fn release(&mut self, port: u16) {
        if let Ok(place) = self.0.binary_search(&port) {
            self.0.remove(place);
        }
    }

    /// The first of `wanted` that somebody holds.
    pub fn first_taken(&self, wanted: &[u16]) -> Option<u16> {
        wanted.iter().copied().find(|&port| self.contains(port))
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut ports: Vec<u16> = ports.into_iter().collect();
        ports.sort_unstable();
        Self(ports)
    }
}

/// Ports whose takers are known to searches before they look at single instances: the first
/// [`Watched::MOST`] that requests wanted. Each has a bit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    tcp: BTreeMap<u16, u32>,
    udp: BTreeMap<u16, u32>,
}

impl Watched {
    /// How many there may be.
    const MOST: usize = 64;

    /// Adds the ports of `demand`; whether any is new.
    pub(crate) fn add(&mut self, demand: &Demand) -> bool {
        let before = self.len();
        for &port in &demand.tcp {
            let next = self.len();
            if next < Self::MOST {
                self.tcp.entry(port).or_insert(next as u32);
            }
        }
        for &port in &demand.udp {
            let next = self.len();
            if next < Self::MOST {
                self.udp.entry(port).or_insert(next as u32);
            }
        }
        self.len() > before
    }

    /// The bits of the ports that `demand` wants.
    pub(crate) fn wanted(&self, demand: &Demand) -> u64 {
        let tcp = demand.tcp.iter().filter_map(|port| self.tcp.get(port));
        let udp = demand.udp.iter().filter_map(|port| self.udp.get(port));
        tcp.chain(udp).fold(0, |bits, bit| bits | 1 << bit)
    }

    /// The bits of those that are taken on `instance`.
    pub(crate) fn taken(&self, instance: &Instance) -> u64 {
        let (tcp, udp) = instance.taken_ports();
        let tcp = self.tcp.iter().filter(|(port, _)| tcp.contains(**port));
        let udp = self.udp.iter().filter(|(port, _)| udp.contains(**port));
        tcp.chain(udp).fold(0, |bits, (_, bit)| bits | 1 << bit)
    }

    fn len(&self) -> usize {
        self.tcp.len() + self.udp.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_when_every_holder_let_go() {
        let mut ports = PortSet::from_iter([443, 80]);
        ports.hold(80);
        ports.release(80);
        assert!(ports.contains(80));
        ports.release(80);
        assert!(!ports.contains(80));
        ports.release(80);
        assert_eq!(ports.first_taken(&[80, 443]), Some(443));
    }
}
