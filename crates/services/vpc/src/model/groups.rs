//! Security groups and their rules (VPC User Guide, "Security groups for your VPC").

use serde::{Deserialize, Serialize};

use super::network::Tags;

/// Every protocol, as rules say it.
pub(crate) const ALL: &str = "-1";
/// The name of the group that each VPC has from the start.
pub(crate) const DEFAULT: &str = "default";

/// Whom a rule lets through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Peers {
    /// Addresses of this block.
    Cidr(String),
    /// Addresses of this block of IPv6.
    Cidr6(String),
    /// Interfaces in this security group.
    Group(String),
}

/// What a rule lets through, and whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// Outgoing, not incoming.
    pub(crate) is_egress: bool,
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a number, or `-1` for all.
    pub(crate) protocol: String,
    /// The first and the last port, or ICMP's type and code; none where a rule is for all of them.
    pub(crate) ports: Option<(i32, i32)>,
    /// Whom it lets through.
    pub(crate) peers: Peers,
}

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    /// As in `sgr-0123456789abcdef0`.
    pub(crate) id: String,
    /// What it lets through; each once in a group.
    pub(crate) traffic: Traffic,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Tags.
    pub(crate) tags: Tags,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecurityGroup {
    /// As in `sg-0123456789abcdef0`.
    pub(crate) id: String,
    /// Its name, unique in the VPC.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// The VPC's id.
    pub(crate) vpc: String,
    /// Incoming first in a new one; then as they came.
    pub(crate) rules: Vec<Rule>,
    /// Tags.
    pub(crate) tags: Tags,
}

impl SecurityGroup {
    /// Whether it is the one that its VPC has from the start.
    pub(crate) fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    /// The default group of a VPC: its members reach each other, and everything outside (VPC User
    /// Guide, "Default security groups").
    pub(crate) fn of_vpc(vpc: &str, id: String, ingress: String, egress: String) -> Self {
        let among = Rule {
            id: ingress,
            traffic: Traffic {
                is_egress: false,
                protocol: ALL.to_owned(),
                ports: None,
                peers: Peers::Group(id.clone()),
            },
            description: None,
            tags: Vec::new(),
        };
        Self {
            name: DEFAULT.to_owned(),
            description: "default VPC security group".to_owned(),
            vpc: vpc.to_owned(),
            rules: vec![among, Rule::to_everywhere(egress)],
            tags: Vec::new(),
            id,
        }
    }
}

impl Rule {
    /// Lets everything out: what each new group has.
    pub(crate) fn to_everywhere(id: String) -> Self {
        let traffic = Traffic {
            is_egress: true,
            protocol: ALL.to_owned(),
            ports: None,
            peers: Peers::Cidr("0.0.0.0/0".to_owned()),
        };
        Self { id, traffic, description: None, tags: Vec::new() }
    }
}
