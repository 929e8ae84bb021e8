//! The instance's own table of the kernel's firewall. Its rules are made once, through `nft`; each
//! published port is one element of a map, added and removed over netlink.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::netlink::{Family, Message, NLM_F_ACK, NLM_F_CREATE, Socket};
use super::{NetworkError, Protocol, Subnet};

const MAP: &str = "published";

const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFT_MSG_NEWSETELEM: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 12;
const NFT_MSG_DELSETELEM: u16 = (NFNL_SUBSYS_NFTABLES << 8) | 14;
const NFTA_SET_ELEM_LIST_TABLE: u16 = 1;
const NFTA_SET_ELEM_LIST_SET: u16 = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_SET_ELEM_KEY: u16 = 1;
const NFTA_SET_ELEM_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFPROTO_IPV4: u8 = 2;

/// A host port, and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) protocol: Protocol,
    pub(super) host_port: u16,
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
}

/// The firewall table of one bridge; both have the same name.
pub(super) struct Firewall {
    bridge: String,
    socket: Socket,
}

impl Firewall {
    /// Makes the table anew, with these ports in it, in one step.
    pub(super) fn install(
        bridge: &str,
        subnet: Subnet,
        published: &[Publication],
    ) -> Result<Self, NetworkError> {
        nft(&rules(bridge, subnet, published))?;
        let socket = Socket::open(Family::Firewall).map_err(|source| NetworkError::Io {
            what: "cannot reach the firewall".into(),
            source,
        })?;
        Ok(Self { bridge: bridge.to_owned(), socket })
    }

    /// Adds ports, all or none.
    pub(super) fn publish(&self, ports: &[Publication]) -> io::Result<()> {
        self.change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, ports)
    }

    /// Takes ports away, all or none.
    pub(super) fn withdraw(&self, ports: &[Publication]) -> io::Result<()> {
        self.change(NFT_MSG_DELSETELEM, 0, ports)
    }

    fn change(&self, kind: u16, flags: u16, ports: &[Publication]) -> io::Result<()> {
        if ports.is_empty() {
            return Ok(());
        }
        let head = |family: u8, resource: u16| {
            let [high, low] = resource.to_be_bytes();
            [family, 0, high, low]
        };
        let elements = |list: Message| ports.iter().fold(list, element);
        let change = Message::new(kind, flags | NLM_F_ACK, &head(NFPROTO_IPV4, 0))
            .with_text(NFTA_SET_ELEM_LIST_TABLE, &self.bridge)
            .with_text(NFTA_SET_ELEM_LIST_SET, MAP)
            .with_nested(NFTA_SET_ELEM_LIST_ELEMENTS, &[], elements);
        let edge = |kind| Message::new(kind, 0, &head(0, NFNL_SUBSYS_NFTABLES));
        self.socket.request(vec![edge(NFNL_MSG_BATCH_BEGIN), change, edge(NFNL_MSG_BATCH_END)])
    }
}

/// Parts of a joined key or value fill four bytes each.
fn element(list: Message, port: &Publication) -> Message {
    let [high, low] = port.host_port.to_be_bytes();
    let key = [port.protocol.number(), 0, 0, 0, high, low, 0, 0];
    let [a, b, c, d] = port.address.octets();
    let [high, low] = port.port.to_be_bytes();
    let value = [a, b, c, d, high, low, 0, 0];
    list.with_nested(NFTA_LIST_ELEM, &[], |element| {
        element
            .with_nested(NFTA_SET_ELEM_KEY, &[], |data| data.with(NFTA_DATA_VALUE, &key))
            .with_nested(NFTA_SET_ELEM_DATA, &[], |data| data.with(NFTA_DATA_VALUE, &value))
    })
}

/// The table. `fib daddr type local` keeps a container's own traffic to a published port number of
/// another host from being turned back. Traffic from the host's loopback and from the bridge to
/// itself gets the bridge's address, so that answers come back through here. What comes from the
/// bridge for 127.0.0.0/8 is dropped first: `route_localnet` would let it reach the host's own
/// loopback services. Nothing from elsewhere reaches a container but through a published port.
fn rules(bridge: &str, subnet: Subnet, published: &[Publication]) -> String {
    let mut elements = String::new();
    for port in published {
        let Publication { protocol, host_port, address, port } = port;
        let _ = write!(elements, "{protocol} . {host_port} : {address} . {port}, ");
    }
    let elements = match elements.is_empty() {
        true => String::new(),
        false => format!("elements = {{ {elements} }}"),
    };
    let dnat = format!("fib daddr type local dnat ip to meta l4proto . th dport map @{MAP}");
    format!(
        r#"table ip {bridge}
delete table ip {bridge}
table ip {bridge} {{
    map {MAP} {{
        type inet_proto . inet_service : ipv4_addr . inet_service
        {elements}
    }}
    chain early {{
        type filter hook prerouting priority raw; policy accept;
        iifname "{bridge}" ip daddr 127.0.0.0/8 drop
    }}
    chain arriving {{
        type nat hook prerouting priority dstnat; policy accept;
        {dnat}
    }}
    chain own {{
        type nat hook output priority -100; policy accept;
        {dnat}
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{bridge}" ct status dnat ip saddr {{ 127.0.0.0/8, {subnet} }} masquerade
        oifname != "{bridge}" ip saddr {subnet} masquerade
    }}
    chain passing {{
        type filter hook forward priority filter; policy accept;
        oifname "{bridge}" iifname != "{bridge}" ct state established,related accept
        oifname "{bridge}" iifname != "{bridge}" ct status dnat accept
        oifname "{bridge}" iifname != "{bridge}" drop
    }}
}}
"#
    )
}

/// Takes a table away. One that is not there is success.
pub(super) fn remove(bridge: &str) -> Result<(), NetworkError> {
    nft(&format!("table ip {bridge}\ndelete table ip {bridge}\n"))
}

/// Hands rules to the firewall of the calling thread's namespace, all or none.
pub(super) fn nft(script: &str) -> Result<(), NetworkError> {
    let run = || {
        let mut child = Command::new("nft")
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(script.as_bytes())?;
        }
        child.wait_with_output()
    };
    match run() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(NetworkError::Firewall(said))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(NetworkError::Firewall("not installed; install the package nftables".to_owned()))
        }
        Err(error) => Err(NetworkError::Firewall(error.to_string())),
    }
}

/// Where iptables' own chains would drop what is passed on (a dockerd with its defaults sets the
/// FORWARD policy to DROP), rules that accept our bridge are put first. An accept in a table of ours
/// cannot do that: a packet must be accepted by every table. Where there is no iptables, or no such
/// policy, nothing is done.
pub(super) fn open_iptables(bridge: &str) {
    let Some(chain) = dropping_chain() else { return };
    for rule in iptables_rules(bridge) {
        if !iptables("-C", chain, &rule) && !iptables("-I", chain, &rule) {
            tracing::warn!(bridge, chain, "iptables would not let this bridge's traffic pass");
        }
    }
}

/// Takes the rules of [`open_iptables`] away.
pub(super) fn close_iptables(bridge: &str) {
    for chain in ["DOCKER-USER", "FORWARD"] {
        for rule in iptables_rules(bridge) {
            while iptables("-D", chain, &rule) {}
        }
    }
}

fn iptables_rules(bridge: &str) -> [[&str; 4]; 2] {
    [["-i", bridge, "-j", "ACCEPT"], ["-o", bridge, "-j", "ACCEPT"]]
}

fn dropping_chain() -> Option<&'static str> {
    let listing = |chain| {
        let output = Command::new("iptables").args(["-w", "-S", chain]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if !listing("FORWARD")?.contains("-P FORWARD DROP") {
        return None;
    }
    Some(if listing("DOCKER-USER").is_some() { "DOCKER-USER" } else { "FORWARD" })
}

fn iptables(action: &str, chain: &str, rule: &[&str]) -> bool {
    Command::new("iptables")
        .args(["-w", action, chain])
        .args(rule)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
