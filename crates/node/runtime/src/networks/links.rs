//! Bridges, pairs of interfaces, addresses and routes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::net::if_::if_nametoindex;

use super::netlink::{Message, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, Socket};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_DELNEIGH: u16 = 29;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const NDA_DST: u16 = 1;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;

const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const TYPE_UNICAST: u8 = 1;

/// A hardware address.
pub(super) type Mac = [u8; 6];

/// The kernel's `ifinfomsg`.
fn interface(index: u32, up: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    if up {
        bytes[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
        bytes[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    }
    bytes
}

/// The kernel's `ifaddrmsg`.
fn address_head(prefix: u8, index: u32) -> [u8; 8] {
    let mut bytes = [AF_INET, prefix, 0, SCOPE_UNIVERSE, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    bytes
}

/// The index of an interface of the calling thread's namespace.
pub(super) fn index(name: &str) -> io::Result<u32> {
    Ok(if_nametoindex(name)?)
}

/// Makes a bridge and brings it up. `alias` says whose it is.
pub(super) fn make_bridge(socket: &Socket, name: &str, alias: &str, mac: Mac) -> io::Result<()> {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let make = Message::new(RTM_NEWLINK, flags, &interface(0, true))
        .with_text(IFLA_IFNAME, name)
        .with(IFLA_ADDRESS, &mac)
        .with_nested(IFLA_LINKINFO, &[], |info| info.with_text(IFLA_INFO_KIND, "bridge"));
    socket.request(vec![make])?;
    // The kernel takes an alias only for an interface that exists.
    let describe = Message::new(RTM_NEWLINK, NLM_F_ACK, &interface(index(name)?, false))
        .with(IFLA_IFALIAS, alias.as_bytes());
    socket.request(vec![describe])
}

/// The inner end of a pair.
pub(super) struct Peer<'a> {
    /// Its name in there.
    pub(super) name: &'a str,
    /// The namespace that it goes to.
    pub(super) namespace: BorrowedFd<'a>,
    /// Its hardware address.
    pub(super) mac: Mac,
}

/// Makes a pair of interfaces: `outside`, up, on the bridge with index `bridge` if one is given, and
/// `peer` in another namespace, down: the kernel refuses to bring it up before the pair is whole.
pub(super) fn make_pair(
    socket: &Socket,
    outside: &str,
    bridge: Option<u32>,
    peer: &Peer<'_>,
) -> io::Result<()> {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut make = Message::new(RTM_NEWLINK, flags, &interface(0, true))
        .with_text(IFLA_IFNAME, outside)
        .with_nested(IFLA_LINKINFO, &[], |info| {
            info.with_text(IFLA_INFO_KIND, "veth").with_nested(IFLA_INFO_DATA, &[], |data| {
                data.with_nested(VETH_INFO_PEER, &interface(0, false), |inner| {
                    inner
                        .with_text(IFLA_IFNAME, peer.name)
                        .with(IFLA_ADDRESS, &peer.mac)
                        .with(IFLA_NET_NS_FD, &peer.namespace.as_raw_fd().to_ne_bytes())
                })
            })
        });
    if let Some(bridge) = bridge {
        make = make.with(IFLA_MASTER, &bridge.to_ne_bytes());
    }
    socket.request(vec![make])
}

/// Takes an interface down and gives it another name.
pub(super) fn take_down_and_rename(index: u32, name: &str) -> [Message; 2] {
    let mut down = interface(index, false);
    down[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    [
        Message::new(RTM_NEWLINK, NLM_F_ACK, &down),
        Message::new(RTM_NEWLINK, NLM_F_ACK, &interface(index, false)).with_text(IFLA_IFNAME, name),
    ]
}

/// Brings an interface up.
pub(super) fn bring_up(index: u32) -> Message {
    Message::new(RTM_NEWLINK, NLM_F_ACK, &interface(index, true))
}

/// Takes an interface away, and with it its other end. One that is not there is success.
pub(super) fn remove(socket: &Socket, name: &str) -> io::Result<()> {
    let remove =
        Message::new(RTM_DELLINK, NLM_F_ACK, &interface(0, false)).with_text(IFLA_IFNAME, name);
    match socket.request(vec![remove]) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// Gives an interface an address.
pub(super) fn add_address(index: u32, address: Ipv4Addr, prefix: u8) -> Message {
    let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
    let mut message =
        Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &address_head(prefix, index))
            .with(IFA_LOCAL, &address.octets())
            .with(IFA_ADDRESS, &address.octets());
    if prefix < 31 {
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        message = message.with(IFA_BROADCAST, &broadcast.octets());
    }
    message
}

/// Takes an interface's address away.
pub(super) fn remove_address(index: u32, address: Ipv4Addr, prefix: u8) -> Message {
    Message::new(RTM_DELADDR, NLM_F_ACK, &address_head(prefix, index))
        .with(IFA_LOCAL, &address.octets())
}

/// The kernel's `rtmsg` for one address (prefix 32) or everything (prefix 0).
fn route_head(prefix: u8, scope: u8) -> [u8; 12] {
    [AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, TYPE_UNICAST, 0, 0, 0, 0]
}

/// Finds one address through `gateway`.
pub(super) fn add_route(to: Ipv4Addr, gateway: Ipv4Addr) -> Message {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    Message::new(RTM_NEWROUTE, flags, &route_head(32, SCOPE_UNIVERSE))
        .with(RTA_DST, &to.octets())
        .with(RTA_GATEWAY, &gateway.octets())
}

/// Takes the route of [`add_route`] away.
pub(super) fn remove_route(to: Ipv4Addr, gateway: Ipv4Addr) -> Message {
    Message::new(RTM_DELROUTE, NLM_F_ACK, &route_head(32, SCOPE_UNIVERSE))
        .with(RTA_DST, &to.octets())
        .with(RTA_GATEWAY, &gateway.octets())
}

/// Forgets which hardware address an interface's neighbour has.
pub(super) fn forget_neighbour(index: u32, address: Ipv4Addr) -> Message {
    let mut head = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    Message::new(RTM_DELNEIGH, NLM_F_ACK, &head).with(NDA_DST, &address.octets())
}

/// Sends everything else through `gateway`.
pub(super) fn add_default_route(gateway: Ipv4Addr) -> Message {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    Message::new(RTM_NEWROUTE, flags, &route_head(0, SCOPE_UNIVERSE))
        .with(RTA_GATEWAY, &gateway.octets())
}

/// Finds one address directly on an interface, asking from `source`.
pub(super) fn add_neighbour_route(to: Ipv4Addr, index: u32, source: Ipv4Addr) -> Message {
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    Message::new(RTM_NEWROUTE, flags, &route_head(32, SCOPE_LINK))
        .with(RTA_DST, &to.octets())
        .with(RTA_OIF, &index.to_ne_bytes())
        .with(RTA_PREFSRC, &source.octets())
}
