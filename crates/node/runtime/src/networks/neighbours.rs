//! The namespaces on the instance's bridge: one for its own endpoints, others made ahead of need.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use super::bridge::{io_error, mac};
use super::leftovers::{interface, remove_namespace};
use super::linux::Inner;
use super::netlink::{Family, Message, Socket};
use super::vpc::host_routes;
use super::{NetworkError, links, namespaces};

/// The loopback interface's index, in every namespace.
const LOOPBACK: u32 = 1;

impl Inner {
    /// Makes the namespace of the instance's own endpoints, a neighbour of the containers'; whether
    /// the host finds it.
    pub(super) fn make_endpoints(&self) -> Result<bool, NetworkError> {
        let (endpoint, gateway) = (self.options.endpoint, self.bridge.subnet.gateway());
        self.make_neighbour(self.endpoints, |eth0| links::add_address(eth0, endpoint, 32))?;
        // Containers in host mode find it by this route. Of several instances in one namespace,
        // which is then the host's, the first answers them.
        let route = links::add_neighbour_route(endpoint, self.bridge_index, gateway);
        match self.route.lock().request(vec![route]) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let known = host_routes().into_iter().find(|(known, _)| *known == endpoint);
                let holder = known.map(|(_, interface)| interface).unwrap_or_default();
                let is_own = holder == self.bridge.name;
                if !is_own {
                    tracing::warn!(
                        %endpoint,
                        holder,
                        "another instance on this machine answers there in the machine's network: \
                         tasks in host mode that have a role do not start here; start it with \
                         --instances 2, and each instance has a network of its own"
                    );
                }
                Ok(is_own)
            }
            Err(error) => Err(io_error(format!("cannot add a route to {endpoint}"))(error)),
        }
    }

    pub(super) fn refill(&self) {
        let _making = self.making.lock();
        loop {
            let enough = self.state.lock().ready.len() >= self.options.ready;
            if enough || self.closed.load(Ordering::Acquire) {
                break;
            }
            match self.make_namespace() {
                Ok(address) => self.state.lock().ready.push_back(address),
                Err(error) => {
                    tracing::warn!(%error, "cannot make a namespace ahead of need");
                    break;
                }
            }
        }
        self.refilling.store(false, Ordering::Release);
    }

    /// Makes a namespace on the bridge, for whoever comes next.
    pub(super) fn make_namespace(&self) -> Result<Ipv4Addr, NetworkError> {
        let subnet = self.bridge.subnet;
        let address = {
            let mut state = self.state.lock();
            let free = subnet.next_free(state.last, &state.taken);
            let address =
                free.ok_or_else(|| NetworkError::NoFreeAddress { subnet: subnet.to_string() })?;
            state.taken.insert(address);
            state.last = address;
            address
        };
        let endpoint = self.options.endpoint;
        let to_endpoint = |eth0| links::add_neighbour_route(endpoint, eth0, address);
        self.make_neighbour(address, to_endpoint).inspect_err(|_| {
            self.state.lock().taken.remove(&address);
        })?;
        Ok(address)
    }

    /// Makes a namespace with this address on the bridge; `last` is the last step of its set-up,
    /// given the index of its interface.
    pub(super) fn make_neighbour(
        &self,
        address: Ipv4Addr,
        last: impl FnOnce(u32) -> Message + Send,
    ) -> Result<(), NetworkError> {
        let subnet = self.bridge.subnet;
        let made = namespaces::make(&self.namespace(address), |namespace| {
            let inside = Socket::open(Family::Route)?;
            let outside = interface(address);
            let peer =
                links::Peer { name: "eth0", namespace: namespace.as_fd(), mac: mac(address) };
            links::make_pair(&self.route.lock(), &outside, Some(self.bridge_index), &peer)?;
            let eth0 = links::index("eth0")?;
            inside.request(vec![
                links::bring_up(LOOPBACK),
                links::bring_up(eth0),
                links::add_address(eth0, address, subnet.prefix()),
                links::add_default_route(subnet.gateway()),
                last(eth0),
            ])
        });
        made.map_err(io_error(format!("cannot make a network namespace for {address}")))
    }

    /// Removes a namespace that was not put to use.
    pub(super) fn forget_namespace(&self, address: Ipv4Addr) {
        if remove_namespace(&self.route.lock(), &self.namespace(address), address) {
            self.state.lock().taken.remove(&address);
        }
    }
}
