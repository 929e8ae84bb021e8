//! Sets of ports that remember how often a port was taken.

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
