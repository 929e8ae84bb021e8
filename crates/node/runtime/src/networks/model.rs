//! What networks speak of.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ContainerId;

/// What travels over a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// IANA's number for it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of a container that the host is to pass on to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The port in the container.
    pub container_port: u16,
    /// The port on the host; 0 is any free one of the host's dynamic range.
    pub host_port: u16,
    /// What travels over it.
    pub protocol: Protocol,
}

/// A port that the host passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortBinding {
    /// The host's addresses it is taken on: 0.0.0.0, all.
    pub bind_ip: Ipv4Addr,
    /// The port in the container.
    pub container_port: u16,
    /// The port on the host.
    pub host_port: u16,
    /// What travels over it.
    pub protocol: Protocol,
}

/// A container's place in the instance's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Whose it is.
    pub container: ContainerId,
    /// The namespace's file, for [`Network::Namespace`](crate::containers::Network).
    pub namespace: PathBuf,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// The length of the bridge's network prefix.
    pub prefix: u8,
    /// The bridge's own address.
    pub gateway: Ipv4Addr,
    /// Its interface's hardware address.
    pub mac: [u8; 6],
    /// Its published ports, in the order they were asked for.
    pub bindings: Vec<PortBinding>,
}

/// An elastic network interface: what an awsvpc task is reached at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its id, `eni-…`.
    pub id: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its address.
    pub address: Ipv4Addr,
    /// The length of its subnet's prefix.
    pub prefix: u8,
    /// Its subnet's gateway.
    pub gateway: Ipv4Addr,
}

/// The network that all containers of an awsvpc task share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNetwork {
    /// Whose it is.
    pub task: String,
    /// The namespace's file, for [`Network::Namespace`](crate::containers::Network).
    pub namespace: PathBuf,
    /// Its interface.
    pub interface: Interface,
    /// Its address on the instance's bridge, by which the instance's endpoints know it.
    pub local: Ipv4Addr,
}

/// The network of containers in host mode, where that is not the host's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNetwork {
    /// The namespace's file.
    pub namespace: PathBuf,
    /// The instance's address: the host reaches published ports there.
    pub address: Ipv4Addr,
}

/// Why something about a network failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A wanted host port is taken.
    #[error("host port {port}/{protocol} is already in use{}", by(.holder))]
    PortTaken {
        /// The port.
        port: u16,
        /// What travels over it.
        protocol: Protocol,
        /// Who has it, if that can be told.
        holder: Option<String>,
    },
    /// No port of the dynamic range is free.
    #[error(
        "no free {protocol} port between {first} and {last}; stop a task, or widen net.ipv4.ip_local_port_range"
    )]
    NoFreePort {
        /// What travels over it.
        protocol: Protocol,
        /// The range's first port.
        first: u16,
        /// The range's last port.
        last: u16,
    },
    /// The subnet is used up.
    #[error("no free address in {subnet}; stop a task, or give the bridge a larger subnet")]
    NoFreeAddress {
        /// The subnet.
        subnet: String,
    },
    /// The bridge's subnet is used by something else.
    #[error("the bridge's subnet {subnet} overlaps {other}; choose another one")]
    SubnetTaken {
        /// The subnet asked for, or the last one tried.
        subnet: String,
        /// What overlaps it.
        other: String,
    },
    /// The address of an interface is in use.
    #[error("address {address} is in use on this machine by {holder}")]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// Who has it.
        holder: String,
    },
    /// The instance was opened without a VPC.
    #[error("this instance has no awsvpc network; use networkMode bridge or host")]
    NoVpc,
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The firewall's tool refused.
    #[error("nft: {0}")]
    Firewall(String),
}

fn by(holder: &Option<String>) -> String {
    holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default()
}
