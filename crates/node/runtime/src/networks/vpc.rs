//! The control plane's VPC on this machine: a network namespace with one bridge, to which the
//! interfaces of awsvpc tasks and of instances with a namespace of their own are attached.
//!
//! All processes that serve the same control plane on this machine share it; those of other control
//! planes have their own, so that each may use the same 172.31.0.0/16. The host has nothing of a VPC
//! but one interface and, for each address in use, one route. Why: docs/decisions/0011.

mod claims;
mod router;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::bridge::{self, io_error, mac};
use super::netlink::{Family, Socket};
use super::subnet::routes;
use super::{NetworkError, Subnet, links, namespaces};

pub(super) use claims::Holder;
use router::Uplink;

/// The folder of all VPCs of this machine, gone at a restart as the namespaces are.
const ROOT: &str = "/run/longshore";

/// Where the instances' own addresses are: in the VPC, but in none of its default subnets.
const INSTANCES: (Ipv4Addr, u8) = (Ipv4Addr::new(172, 31, 240, 0), 20);

/// An address in the VPC, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) gateway: Ipv4Addr,
    pub(super) mac: links::Mac,
}

/// A VPC of this machine, as one instance uses it.
pub(super) struct Vpc {
    folder: PathBuf,
    uplink: Uplink,
    bridge: u32,
    /// The routes of the VPC's namespace.
    inside: Mutex<Socket>,
    /// The routes of the host.
    outside: Mutex<Socket>,
}

impl Vpc {
    /// Opens the VPC of this name for the instance of `user` (its networks' folder), and makes it if
    /// nobody has.
    pub(super) fn join(name: &str, user: &Path) -> Result<Self, NetworkError> {
        let folder = folder(name)?;
        let _lock = bridge::lock()?;
        clear_abandoned();
        for made in [claims::users(&folder), claims::folder(&folder)] {
            fs::create_dir_all(&made)
                .map_err(io_error(format!("cannot make {}", made.display())))?;
        }
        claims::add_user(&folder, user)?;
        let outside = Socket::open(Family::Route).map_err(unreachable)?;
        let uplink = router::ensure(&outside, &folder)?;
        let inside = || {
            let index = links::index(router::BRIDGE)?;
            Ok((Socket::open(Family::Route)?, index))
        };
        let (inside, bridge) = namespaces::enter(&router::namespace(&folder), inside)
            .map_err(io_error("cannot enter the VPC's namespace"))?;
        let (inside, outside) = (Mutex::new(inside), Mutex::new(outside));
        Ok(Self { folder, uplink, bridge, inside, outside })
    }

    /// Lets the instance of `user` go, with all its addresses; the last one takes the VPC along.
    pub(super) fn leave(name: &str, user: &Path) -> Result<(), NetworkError> {
        let folder = folder(name)?;
        if !folder.exists() {
            return Ok(());
        }
        if let Some(vpc) = Self::reopen(&folder) {
            vpc.release_all_but(user, &[])?;
        }
        let _lock = bridge::lock()?;
        claims::remove_user(&folder, user);
        match claims::has_users(&folder) {
            true => Ok(()),
            false => router::take_down(&folder),
        }
    }

    /// The VPC as it stands, if it is whole.
    fn reopen(folder: &Path) -> Option<Self> {
        let uplink = router::recall(folder)?;
        let inside =
            || Ok((Socket::open(Family::Route)?, links::index(router::BRIDGE).unwrap_or(0)));
        let (inside, bridge) = namespaces::enter(&router::namespace(folder), inside).ok()?;
        let outside = Socket::open(Family::Route).ok()?;
        let (inside, outside) = (Mutex::new(inside), Mutex::new(outside));
        Some(Self { folder: folder.to_owned(), uplink, bridge, inside, outside })
    }

    /// An address for an instance of its own, taken in its name: the first that neither this VPC nor
    /// another one of this machine uses.
    pub(super) fn seat_for_instance(&self, user: &Path) -> Result<Seat, NetworkError> {
        let (network, prefix) = INSTANCES;
        let subnet: Subnet = format!("{network}/{prefix}")
            .parse()
            .map_err(io::Error::other)
            .map_err(io_error("the instances' subnet"))?;
        let _lock = bridge::lock()?;
        let mut taken = claims::addresses(&self.folder);
        taken.extend(host_routes().into_iter().map(|(address, _)| address));
        let address = subnet
            .next_free(subnet.gateway(), &taken)
            .ok_or_else(|| NetworkError::NoFreeAddress { subnet: subnet.to_string() })?;
        claims::take(&self.folder, address, &Holder::instance(user))?;
        Ok(Seat { address, prefix, gateway: subnet.gateway(), mac: mac(address) })
    }

    /// Takes an address in someone's name; waits a moment for one who is just giving it back.
    pub(super) fn claim(&self, address: Ipv4Addr, holder: &Holder) -> Result<(), NetworkError> {
        claims::await_free(&self.folder, address, holder)
    }

    /// Puts `eth0` of a namespace on the VPC's bridge, down and without its address yet, and lets the
    /// host find it. The address must be claimed.
    pub(super) fn connect(&self, seat: &Seat, namespace: BorrowedFd<'_>) -> io::Result<()> {
        let inside = self.inside.lock();
        let gateway = links::add_address(self.bridge, seat.gateway, seat.prefix);
        unless(io::ErrorKind::AlreadyExists, inside.request(vec![gateway]))?;
        let peer = links::Peer { name: "eth0", namespace, mac: seat.mac };
        links::make_pair(&inside, &outside_end(seat.address), Some(self.bridge), &peer)?;
        drop(inside);
        self.show_to_host(seat.address);
        Ok(())
    }

    /// A route of the host's for one address. If another VPC of this machine has the same address,
    /// the host goes on finding that one; everything else works.
    fn show_to_host(&self, address: Ipv4Addr) {
        let route = links::add_route(address, self.uplink.inner());
        match self.outside.lock().request(vec![route]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let other = host_routes().into_iter().find(|(known, _)| *known == address);
                if let Some((_, interface)) = other.filter(|(_, i)| *i != self.uplink.name) {
                    tracing::warn!(
                        %address, %interface,
                        "another Longshore on this machine uses this address, too: the host \
                         reaches that one; tasks of this one are not disturbed"
                    );
                }
            }
            Err(error) => tracing::warn!(%address, %error, "the host has no route to this address"),
        }
    }

    /// Takes an address off the bridge and gives it back, if it is the holder's.
    pub(super) fn disconnect(
        &self,
        address: Ipv4Addr,
        holder: &Holder,
    ) -> Result<(), NetworkError> {
        let _lock = bridge::lock()?;
        if claims::holder(&self.folder, address).as_ref() != Some(holder) {
            return Ok(());
        }
        self.clear(address)?;
        claims::give_back(&self.folder, address);
        Ok(())
    }

    fn clear(&self, address: Ipv4Addr) -> Result<(), NetworkError> {
        let inside = self.inside.lock();
        links::remove(&inside, &outside_end(address))
            .map_err(io_error(format!("cannot take {address} off the VPC's bridge")))?;
        // Who has the address next has another hardware address. Nobody may have asked for it.
        _ = inside.request(vec![links::forget_neighbour(self.bridge, address)]);
        drop(inside);
        // Only ours goes: the gateway says so. One that is not there is well.
        let route = links::remove_route(address, self.uplink.inner());
        _ = self.outside.lock().request(vec![route]);
        Ok(())
    }

    /// Gives back whatever the instance of `user` holds, except these addresses.
    pub(super) fn release_all_but(
        &self,
        user: &Path,
        kept: &[Ipv4Addr],
    ) -> Result<(), NetworkError> {
        let _lock = bridge::lock()?;
        for address in claims::of_user(&self.folder, user) {
            if !kept.contains(&address) {
                self.clear(address)?;
                claims::give_back(&self.folder, address);
            }
        }
        Ok(())
    }
}

/// The name of the bridge's end of a pair: addresses differ within a VPC, so names do.
fn outside_end(address: Ipv4Addr) -> String {
    format!("ls{:08x}", u32::from(address))
}

fn unreachable(source: io::Error) -> NetworkError {
    io_error("cannot reach the kernel's routes")(source)
}

/// That outcome, or success if it failed with nothing but this.
fn unless(expected: io::ErrorKind, outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == expected => Ok(()),
        other => other,
    }
}

fn folder(name: &str) -> Result<PathBuf, NetworkError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        let what = format!("{name:?} as a VPC's name: letters, digits and dashes");
        return Err(io_error(what)(io::ErrorKind::InvalidInput.into()));
    }
    Ok(Path::new(ROOT).join(name))
}

/// The single addresses that the host has routes to, and through which interface.
pub(super) fn host_routes() -> Vec<(Ipv4Addr, String)> {
    let text = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let single = |(network, mask, interface): (u32, u32, String)| {
        (mask == u32::MAX).then(|| (Ipv4Addr::from(network), interface))
    };
    routes(&text).into_iter().filter_map(single).collect()
}

/// Takes away the VPCs whose users' folders are all gone: nobody can come back to them. The lock
/// must be held.
fn clear_abandoned() {
    for entry in fs::read_dir(ROOT).into_iter().flatten().flatten() {
        claims::forget_gone_users(&entry.path());
        if !claims::has_users(&entry.path())
            && let Err(error) = router::take_down(&entry.path())
        {
            tracing::warn!(%error, "something of an old VPC is left");
        }
    }
}
