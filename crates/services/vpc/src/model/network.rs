//! The default VPC: what each account and region has from the start (VPC User Guide, "Default
//! VPCs"; sizes from design.md: names and defaults).

use std::fmt;
use std::net::Ipv4Addr;

use super::id::derived;
use super::region::zones;
use crate::tables::Scope;

/// The first address of a default VPC.
const VPC_BASE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
/// The prefix of a default VPC.
const VPC_PREFIX: u8 = 16;
/// The prefix of its subnets.
const SUBNET_PREFIX: u8 = 20;
/// Addresses at the start of a subnet that nobody gets: network, router, name server, future use
/// (VPC User Guide, "Subnet CIDR blocks").
const RESERVED_FIRST: u32 = 4;
/// Addresses at the end of a subnet that nobody gets: broadcast.
const RESERVED_LAST: u32 = 1;

/// A block of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The first address.
    pub base: Ipv4Addr,
    /// How many bits all its addresses have in common, 1 to 30.
    pub prefix: u8,
}

impl Cidr {
    /// How many addresses it has.
    pub fn size(self) -> u32 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The subnet's router: the second address.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// Whether the address is one of the block's.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let bits = 32 - u32::from(self.prefix);
        u32::from(address) >> bits == u32::from(self.base) >> bits
    }

    /// The addresses that interfaces may have, as numbers: all but the first four and the last.
    pub fn usable(self) -> std::ops::Range<u32> {
        let first = u32::from(self.base);
        first + RESERVED_FIRST..first + self.size() - RESERVED_LAST
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// As in `subnet-0123456789abcdef0`.
    pub id: String,
    /// The VPC's id.
    pub vpc: String,
    /// The zone's name, as in `us-east-1a`.
    pub zone: String,
    /// The zone's id, as in `use1-az1`.
    pub zone_id: String,
    /// Its addresses.
    pub cidr: Cidr,
}

/// Whom a rule lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// Addresses of this block.
    Cidr(String),
    /// Interfaces in this security group.
    Group(String),
}

/// A rule of a security group; all rules of default groups are for every protocol and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// As in `sgr-0123456789abcdef0`.
    pub(crate) id: String,
    /// Its group.
    pub(crate) group: String,
    /// Outgoing, not incoming.
    pub(crate) is_egress: bool,
    /// Whom it lets through.
    pub(crate) peers: Peers,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecurityGroup {
    /// As in `sg-0123456789abcdef0`.
    pub(crate) id: String,
    /// Its name, unique in the VPC.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: String,
    /// The VPC's id.
    pub(crate) vpc: String,
    /// Incoming first.
    pub(crate) rules: Vec<Rule>,
}

/// A default VPC with its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultVpc {
    /// As in `vpc-0123456789abcdef0`.
    pub(crate) id: String,
    /// Its addresses.
    pub(crate) cidr: Cidr,
    /// The id of the association of its addresses.
    pub(crate) cidr_association: String,
    /// The id of its DHCP options.
    pub(crate) dhcp_options: String,
    /// One a zone, in the order of the zones.
    pub(crate) subnets: Vec<Subnet>,
    /// The default security group.
    pub(crate) group: SecurityGroup,
}

impl DefaultVpc {
    /// The default VPC of an account and region.
    pub(crate) fn of(scope: &Scope) -> Self {
        let id = derived("vpc", scope, "default");
        let first = u32::from(VPC_BASE);
        let zones =
            zones(&scope.region).into_iter().zip((first..).step_by(1 << (32 - SUBNET_PREFIX)));
        let subnet = |(zone, base): (super::Zone, u32)| Subnet {
            id: derived("subnet", scope, &zone.name),
            vpc: id.clone(),
            zone: zone.name,
            zone_id: zone.id,
            cidr: Cidr { base: Ipv4Addr::from(base), prefix: SUBNET_PREFIX },
        };
        Self {
            cidr: Cidr { base: VPC_BASE, prefix: VPC_PREFIX },
            cidr_association: derived("vpc-cidr-assoc", scope, "default"),
            dhcp_options: derived("dopt", scope, "default"),
            subnets: zones.map(subnet).collect(),
            group: default_group(scope, &id),
            id,
        }
    }
}

/// Members of the group reach each other, and everything outside (VPC User Guide, "Default security
/// groups").
fn default_group(scope: &Scope, vpc: &str) -> SecurityGroup {
    let id = derived("sg", scope, "default");
    let rule = |is_egress, what: &str, peers| Rule {
        id: derived("sgr", scope, what),
        group: id.clone(),
        is_egress,
        peers,
    };
    SecurityGroup {
        name: "default".to_owned(),
        description: "default VPC security group".to_owned(),
        vpc: vpc.to_owned(),
        rules: vec![
            rule(false, "ingress", Peers::Group(id.clone())),
            rule(true, "egress", Peers::Cidr("0.0.0.0/0".to_owned())),
        ],
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(account: &str, region: &str) -> Scope {
        let account = account.parse().expect("an account");
        Scope { account, region: region.parse().expect("a region") }
    }

    #[test]
    fn each_account_and_region_has_its_own_for_ever() {
        let vpc = DefaultVpc::of(&scope("000000000000", "us-east-1"));
        // Scripts rely on these: they never change.
        assert_eq!(vpc.id, "vpc-fe0fe60341ecac006");
        assert_eq!(vpc.subnets[0].id, "subnet-acd4c0aa41ee17c66");
        assert_eq!(vpc.group.id, "sg-f5351fa1c9865ed6e");
        let blocks: Vec<_> = vpc.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        assert_eq!(blocks, ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
        for other in [scope("000000000001", "us-east-1"), scope("000000000000", "eu-west-1")] {
            let other = DefaultVpc::of(&other);
            assert_ne!(other.id, vpc.id);
            assert_ne!(other.subnets[0].id, vpc.subnets[0].id);
            assert_ne!(other.group.id, vpc.group.id);
        }
    }
}
