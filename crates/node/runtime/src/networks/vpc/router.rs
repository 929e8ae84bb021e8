//! The namespace of a VPC: its bridge, and its way to the host and beyond.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::networks::bridge::{self, io_error, mac};
use crate::networks::netlink::{Family, Socket};
use crate::networks::subnet::routes;
use crate::networks::{NetworkError, Subnet, firewall, links, namespaces};

/// The bridge's name, in the VPC's namespace.
pub(super) const BRIDGE: &str = "vpc";
/// The inner end of the way to the host.
const INNER: &str = "up";
/// How the host's ends are called: `lsv0`, `lsv1`, ….
const OUTER: &str = "lsv";
/// The loopback interface's index, in every namespace.
const LOOPBACK: u32 = 1;

/// Ways to the host take the first free /29 of 169.254.172.0/22, where Amazon's agent has its bridge
/// for the same purpose: link-local addresses, which no network beyond this machine routes.
fn candidates() -> impl Iterator<Item = Subnet> {
    const COUNT: u32 = 128;
    let base = u32::from(Ipv4Addr::new(169, 254, 172, 0));
    (0..COUNT).filter_map(move |n| format!("{}/29", Ipv4Addr::from(base + n * 8)).parse().ok())
}

/// The way between the host and a VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Uplink {
    /// The host's interface; the host's firewall table has the same name.
    pub(super) name: String,
    subnet: Subnet,
}

impl Uplink {
    /// The host's address on it.
    fn outer(&self) -> Ipv4Addr {
        self.subnet.gateway()
    }

    /// The VPC's address on it.
    pub(super) fn inner(&self) -> Ipv4Addr {
        self.subnet.second()
    }
}

/// The file that holds the VPC's namespace.
pub(super) fn namespace(folder: &Path) -> PathBuf {
    folder.join("netns")
}

fn file(folder: &Path) -> PathBuf {
    folder.join("vpc.json")
}

/// The way to a VPC that is whole.
pub(super) fn recall(folder: &Path) -> Option<Uplink> {
    let uplink = serde_json::from_slice(&fs::read(file(folder)).ok()?).ok()?;
    namespaces::is_namespace(&namespace(folder)).then_some(uplink)
}

/// Makes the VPC unless it is there. The lock must be held.
pub(super) fn ensure(host: &Socket, folder: &Path) -> Result<Uplink, NetworkError> {
    if let Some(uplink) = recall(folder) {
        return Ok(uplink);
    }
    // What a crash left half made has no record; its interface goes with its namespace.
    namespaces::remove(&namespace(folder)).map_err(io_error("an old VPC's namespace"))?;
    let uplink = choose()?;
    make(host, folder, &uplink).inspect_err(|_| drop(remove(folder, Some(&uplink))))?;
    let text = serde_json::to_vec(&uplink).map_err(io::Error::from);
    text.and_then(|text| fs::write(file(folder), text))
        .map_err(io_error(format!("cannot write {}", file(folder).display())))?;
    Ok(uplink)
}

fn choose() -> Result<Uplink, NetworkError> {
    let text = fs::read_to_string("/proc/thread-self/net/route").unwrap_or_default();
    let known = routes(&text);
    let is_free = |subnet: &Subnet| {
        !known.iter().any(|(network, mask, _)| {
            // A route to all link-local addresses is no user of this one.
            *mask > u32::from(Ipv4Addr::new(255, 255, 0, 0)) && subnet.overlaps(*network, *mask)
        })
    };
    let mut all = (0..).map(|n| format!("{OUTER}{n}"));
    let name = all.find(|name| links::index(name).is_err()).unwrap_or_default();
    match candidates().find(is_free) {
        Some(subnet) => Ok(Uplink { name, subnet }),
        None => Err(NetworkError::SubnetTaken {
            subnet: "169.254.172.0/22".to_owned(),
            other: "the host's routes everywhere: too many VPCs".to_owned(),
        }),
    }
}

fn make(host: &Socket, folder: &Path, uplink: &Uplink) -> Result<(), NetworkError> {
    let made = namespaces::make(&namespace(folder), |namespace| {
        let inside = Socket::open(Family::Route)?;
        let peer =
            links::Peer { name: INNER, namespace: namespace.as_fd(), mac: mac(uplink.inner()) };
        links::make_pair(host, &uplink.name, None, &peer)?;
        let up = links::index(INNER)?;
        inside.request(vec![
            links::bring_up(LOOPBACK),
            links::bring_up(up),
            links::add_address(up, uplink.inner(), uplink.subnet.prefix()),
            links::add_default_route(uplink.outer()),
        ])?;
        // Before the bridge, which takes the settings over.
        for (setting, value) in [
            ("ip_forward", "1"),
            ("conf/all/send_redirects", "0"),
            ("conf/default/send_redirects", "0"),
        ] {
            fs::write(format!("/proc/sys/net/ipv4/{setting}"), value)?;
        }
        links::make_bridge(
            &inside,
            BRIDGE,
            &bridge::alias(folder),
            mac(Ipv4Addr::new(172, 31, 0, 1)),
        )?;
        firewall::nft(&inner_rules()).map_err(io::Error::other)
    });
    made.map_err(io_error("cannot make the VPC's namespace"))?;
    let index = links::index(&uplink.name).map_err(io_error("the VPC's interface"))?;
    host.request(vec![links::add_address(index, uplink.outer(), uplink.subnet.prefix())])
        .map_err(io_error("cannot give the VPC's interface its address"))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")
        .map_err(io_error("cannot set net.ipv4.ip_forward"))?;
    firewall::nft(&outer_rules(uplink))?;
    firewall::open_iptables(&uplink.name);
    Ok(())
}

/// What leaves the VPC has its address on the way to the host: answers find the way back even if
/// another VPC of this machine has the same addresses.
fn inner_rules() -> String {
    format!(
        r#"table ip longshore {{
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{INNER}" masquerade
    }}
}}
"#
    )
}

/// The host passes on what comes from the VPC; what comes from other machines does not get in, as
/// there are no published ports.
fn outer_rules(uplink: &Uplink) -> String {
    let (name, inner) = (&uplink.name, uplink.inner());
    format!(
        r#"table ip {name}
delete table ip {name}
table ip {name} {{
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "{name}" ip saddr {inner} masquerade
    }}
    chain passing {{
        type filter hook forward priority filter; policy accept;
        oifname "{name}" iifname != "{name}" ct state established,related accept
        oifname "{name}" iifname "longshore*" accept
        oifname "{name}" iifname != "{name}" drop
    }}
}}
"#
    )
}

/// Takes a VPC away. The lock must be held, and nobody use it.
pub(super) fn take_down(folder: &Path) -> Result<(), NetworkError> {
    let uplink = fs::read(file(folder)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    remove(folder, uplink.as_ref())?;
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error(format!("cannot remove {}", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

fn remove(folder: &Path, uplink: Option<&Uplink>) -> Result<(), NetworkError> {
    if let Some(uplink) = uplink {
        firewall::remove(&uplink.name)?;
        firewall::close_iptables(&uplink.name);
        let host = Socket::open(Family::Route).map_err(super::unreachable)?;
        links::remove(&host, &uplink.name)
            .map_err(io_error(format!("cannot remove interface {}", uplink.name)))?;
    }
    namespaces::remove(&namespace(folder)).map_err(io_error("cannot remove a VPC's namespace"))
}
