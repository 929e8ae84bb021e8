//! The instance's bridge: which one it is, and that it is there.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::links;
use super::netlink::Socket;
use super::subnet::{candidates, routes};
use super::{NetworkError, Subnet};

/// One process at a time looks for a free name and subnet.
const LOCK: &str = "/run/longshore-networks.lock";

/// How names begin if none is given: `longshore0`, `longshore1`, ….
const NAME: &str = "longshore";
const NAMES_MAX: u32 = 64;
/// The kernel's limit to an interface's name.
const NAME_BYTES_MAX: usize = 15;
/// The kernel's limit to its description, with some room left.
const ALIAS_BYTES_MAX: usize = 240;

/// What was chosen for an instance; kept in its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bridge {
    pub(super) name: String,
    pub(super) subnet: Subnet,
}

fn file(folder: &Path) -> PathBuf {
    folder.join("bridge.json")
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> NetworkError {
    let what = what.into();
    move |source| NetworkError::Io { what, source }
}

/// What an earlier process chose, if any did.
pub(super) fn recall(folder: &Path) -> Option<Bridge> {
    serde_json::from_slice(&fs::read(file(folder)).ok()?).ok()
}

/// Forgets the choice.
pub(super) fn forget(folder: &Path) {
    let _ = fs::remove_file(file(folder));
}

/// Waits until no other process, and no other part of this one, chooses names, subnets or
/// addresses. Not to be taken twice.
pub(super) fn lock() -> Result<Flock<fs::File>, NetworkError> {
    let lock = fs::File::create(LOCK).map_err(io_error(format!("cannot open {LOCK}")))?;
    Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| io_error(format!("cannot lock {LOCK}"))(error.into()))
}

/// Makes sure that the instance's bridge is there: the one chosen earlier, or a new choice. `alone`
/// says that the calling thread's namespace is the instance's own: whatever is in it is its.
pub(super) fn ensure(
    socket: &Socket,
    folder: &Path,
    name: Option<&str>,
    subnet: Option<Subnet>,
    alone: bool,
) -> Result<Bridge, NetworkError> {
    let _lock = lock()?;
    let alias = alias(folder);
    let owner = |name: &str| match alone {
        // What is in /sys is another namespace's.
        true => links::index(name).ok().map(|_| alias.clone()),
        false => owner(name),
    };
    if let Some(bridge) = recall(folder) {
        match owner(&bridge.name) {
            Some(owner) if owner == alias => return Ok(bridge),
            None => {
                make(socket, &bridge, &alias)?;
                return Ok(bridge);
            }
            // Someone else has taken the name since.
            Some(_) => {}
        }
    }
    let taken = |name: &str| owner(name).is_some_and(|owner| owner != alias);
    let bridge = Bridge { name: choose_name(name, taken)?, subnet: choose_subnet(subnet)? };
    fs::create_dir_all(folder).map_err(io_error(format!("cannot make {}", folder.display())))?;
    let text = serde_json::to_vec(&bridge).map_err(|e| io_error("bridge.json")(e.into()))?;
    fs::write(file(folder), text).map_err(io_error("cannot write bridge.json"))?;
    make(socket, &bridge, &alias)?;
    Ok(bridge)
}

/// Whose bridge this is, as the kernel keeps it.
pub(super) fn alias(folder: &Path) -> String {
    let path = folder.to_string_lossy();
    let from = path.len().saturating_sub(ALIAS_BYTES_MAX);
    let from = (from..path.len()).find(|at| path.is_char_boundary(*at)).unwrap_or(0);
    format!("longshore {}", &path[from..])
}

fn owner(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/sys/class/net/{name}/ifalias")).ok()?;
    Some(text.trim_end().to_owned())
}

fn choose_name(wanted: Option<&str>, taken: impl Fn(&str) -> bool) -> Result<String, NetworkError> {
    let refuse =
        |what: String| Err(NetworkError::Io { what, source: io::ErrorKind::AlreadyExists.into() });
    if let Some(name) = wanted {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            let what =
                format!("{name:?} as a bridge's name: up to {NAME_BYTES_MAX} letters and digits");
            return Err(NetworkError::Io { what, source: io::ErrorKind::InvalidInput.into() });
        }
        return match taken(name) {
            true => {
                refuse(format!("interface {name} belongs to something else; choose another name"))
            }
            false => Ok(name.to_owned()),
        };
    }
    match (0..NAMES_MAX).map(|n| format!("{NAME}{n}")).find(|name| !taken(name)) {
        Some(name) => Ok(name),
        None => refuse(format!(
            "{NAMES_MAX} bridges named {NAME}… exist; `longshore down` removes old ones"
        )),
    }
}

fn choose_subnet(wanted: Option<Subnet>) -> Result<Subnet, NetworkError> {
    let text = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let routes = routes(&text);
    let overlap =
        |subnet: Subnet| routes.iter().find(|(network, mask, _)| subnet.overlaps(*network, *mask));
    let refuse = |subnet: Subnet, other: String| {
        Err(NetworkError::SubnetTaken { subnet: subnet.to_string(), other })
    };
    if let Some(subnet) = wanted {
        return match overlap(subnet) {
            Some((network, _, interface)) => {
                refuse(subnet, format!("{} on {interface}", Ipv4Addr::from(*network)))
            }
            None => Ok(subnet),
        };
    }
    match candidates().find(|subnet| overlap(*subnet).is_none()) {
        Some(subnet) => Ok(subnet),
        None => match candidates().last() {
            Some(last) => refuse(last, "a route of this host, like all others tried".to_owned()),
            None => {
                refuse("172.29.0.0/20".parse().unwrap_or_else(|_| unreachable!()), String::new())
            }
        },
    }
}

fn make(socket: &Socket, bridge: &Bridge, alias: &str) -> Result<(), NetworkError> {
    let Bridge { name, subnet } = bridge;
    let gateway = subnet.gateway();
    let fail = |what: &str| io_error(format!("cannot {what} bridge {name}"));
    if links::index(name).is_err() {
        links::make_bridge(socket, name, alias, mac(gateway)).map_err(fail("make"))?;
    }
    let index = links::index(name).map_err(fail("find"))?;
    socket
        .request(vec![links::add_address(index, gateway, subnet.prefix())])
        .map_err(fail("give an address to"))
}

/// The hardware address that goes with an address on a bridge, as Docker makes it.
pub(super) fn mac(address: Ipv4Addr) -> links::Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// Lets the kernel pass packets between the bridge and elsewhere, and the host's own loopback reach
/// published ports. The first is the host's setting and stays, as with Docker.
pub(super) fn open_ways(name: &str) -> Result<(), NetworkError> {
    for (setting, value) in [
        ("/proc/sys/net/ipv4/ip_forward".to_owned(), "1"),
        (format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1"),
    ] {
        fs::write(&setting, value).map_err(io_error(format!("cannot set {setting}")))?;
    }
    Ok(())
}
