//! Where an instance's own network is made: on the host, or in a namespace of its own with an address
//! in the VPC. What was chosen is kept, so that whoever comes next finds or clears it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bridge::io_error;
use super::namespaces::Ground;
use super::netlink::{Family, Socket};
use super::vpc::{Holder, Seat, Vpc};
use super::{NetworkError, NetworkOptions, links, namespaces};

/// The loopback interface's index, in every namespace.
const LOOPBACK: u32 = 1;

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// The VPC that it uses, if any.
    vpc: Option<String>,
    /// Its own address there; none is the host's network.
    pub(super) own: Option<Ipv4Addr>,
}

fn file(folder: &Path) -> PathBuf {
    folder.join("place.json")
}

/// The file that holds the instance's own namespace.
pub(super) fn namespace(run: &Path) -> PathBuf {
    run.join("instance")
}

/// What an earlier process chose.
pub(super) fn recall(folder: &Path) -> Place {
    let read = || serde_json::from_slice(&fs::read(file(folder)).ok()?).ok();
    read().unwrap_or_default()
}

impl Place {
    /// Chooses, or finds what was chosen; with `in_use` that stays, whatever is wanted now.
    pub(super) fn settle(
        folder: &Path,
        run: &Path,
        options: &NetworkOptions,
        in_use: bool,
    ) -> Result<(Self, Option<Vpc>), NetworkError> {
        let mut place = recall(folder);
        let differs =
            place.own.is_some() != options.own || (place.own.is_some() && place.vpc != options.vpc);
        if differs && in_use {
            tracing::warn!("the instance's network stays as it was: containers use it");
        } else if differs {
            place.clear(folder, run)?;
            place = Self { vpc: options.vpc.clone(), own: None };
        }
        if place.own.is_none() && (!options.own || in_use) {
            return Ok((Self { vpc: options.vpc.clone(), ..place }, None));
        }
        let Some(name) = place.vpc.clone() else {
            let what = "a namespace of the instance's own needs a VPC";
            return Err(io_error(what)(io::ErrorKind::InvalidInput.into()));
        };
        let vpc = Vpc::join(&name, folder)?;
        if place.own.is_none() || !namespaces::is_namespace(&namespace(run)) {
            place.own = Some(make(&vpc, folder, run)?);
            place.write(folder)?;
        }
        Ok((place, Some(vpc)))
    }

    /// Whether it has used a VPC.
    pub(super) fn has_vpc(&self) -> bool {
        self.vpc.is_some()
    }

    /// The namespace that the instance's bridge is in.
    pub(super) fn ground(&self, run: &Path) -> Ground {
        match self.own {
            Some(_) => Ground::File(namespace(run)),
            None => Ground::Process,
        }
    }

    /// The VPC, opened on first use.
    pub(super) fn join(&self, folder: &Path) -> Result<Vpc, NetworkError> {
        let Some(name) = &self.vpc else { return Err(NetworkError::NoVpc) };
        // First: a crash right after leaves what can be found.
        self.write(folder)?;
        Vpc::join(name, folder)
    }

    fn write(&self, folder: &Path) -> Result<(), NetworkError> {
        let text = serde_json::to_vec(self).map_err(io::Error::from);
        text.and_then(|text| fs::write(file(folder), text))
            .map_err(io_error(format!("cannot write {}", file(folder).display())))
    }

    /// Takes away everything that is of the instance in here: its namespace, and what is in the VPC.
    pub(super) fn clear(&self, folder: &Path, run: &Path) -> Result<(), NetworkError> {
        if let Some(name) = &self.vpc {
            Vpc::leave(name, folder)?;
        }
        let own = namespace(run);
        namespaces::remove(&own).map_err(io_error(format!("cannot remove {}", own.display())))?;
        let _ = fs::remove_file(file(folder));
        Ok(())
    }
}

/// Makes the instance's namespace, with `eth0` in the VPC.
fn make(vpc: &Vpc, folder: &Path, run: &Path) -> Result<Ipv4Addr, NetworkError> {
    let own = namespace(run);
    namespaces::remove(&own).map_err(io_error(format!("cannot remove {}", own.display())))?;
    // What a crash left half made, too.
    vpc.release_all_but(folder, &[])?;
    let seat = vpc.seat_for_instance(folder)?;
    let made = namespaces::make(&own, |namespace| {
        vpc.connect(&seat, namespace.as_fd())?;
        set_up(&seat)
    });
    let address = seat.address;
    if let Err(error) = made {
        vpc.disconnect(address, &Holder::instance(folder))?;
        return Err(io_error(format!("cannot make the namespace of {address}"))(error));
    }
    Ok(address)
}

/// Brings up loopback and `eth0`, with its address and its way out; in the new namespace.
pub(super) fn set_up(seat: &Seat) -> io::Result<()> {
    let eth0 = links::index("eth0")?;
    Socket::open(Family::Route)?.request(vec![
        links::bring_up(LOOPBACK),
        links::bring_up(eth0),
        links::add_address(eth0, seat.address, seat.prefix),
        links::add_default_route(seat.gateway),
    ])
}
