//! The default VPC: what each account and region has from the start (VPC User Guide, "Default
//! VPCs"; sizes from design.md: names and defaults).

use std::net::Ipv4Addr;

use super::id::derived;
use super::region::zones;
use super::{Cidr, SecurityGroup, Subnet, VpcRecord};
use crate::tables::Scope;

/// The first address of a default VPC.
const VPC_BASE: Ipv4Addr = Ipv4Addr::new(172, 31, 0, 0);
/// The prefix of a default VPC.
const VPC_PREFIX: u8 = 16;
/// The prefix of its subnets.
const SUBNET_PREFIX: u8 = 20;

/// A default VPC with its parts, as it is until something of it is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefaultVpc {
    /// The VPC.
    pub(crate) vpc: VpcRecord,
    /// One a zone, in the order of the zones.
    pub(crate) subnets: Vec<Subnet>,
    /// The default security group.
    pub(crate) group: SecurityGroup,
}

impl DefaultVpc {
    /// The default VPC of an account and region.
    pub(crate) fn of(scope: &Scope) -> Self {
        let id = Self::id(scope);
        let first = u32::from(VPC_BASE);
        let zones =
            zones(&scope.region).into_iter().zip((first..).step_by(1 << (32 - SUBNET_PREFIX)));
        let subnet = |(zone, base): (super::Zone, u32)| Subnet {
            id: derived("subnet", scope, &zone.name),
            vpc: id.clone(),
            zone: zone.name,
            zone_id: zone.id,
            cidr: Cidr { base: Ipv4Addr::from(base), prefix: SUBNET_PREFIX },
            is_default: true,
            // There are no public addresses here; on AWS default subnets say true.
            maps_public: false,
            tags: Vec::new(),
        };
        let group = SecurityGroup::of_vpc(
            &id,
            derived("sg", scope, "default"),
            derived("sgr", scope, "ingress"),
            derived("sgr", scope, "egress"),
        );
        let vpc = VpcRecord {
            cidr: Cidr { base: VPC_BASE, prefix: VPC_PREFIX },
            cidr_association: derived("vpc-cidr-assoc", scope, "default"),
            dhcp_options: dhcp_options(scope),
            is_default: true,
            has_dns_hostnames: true,
            has_dns_support: true,
            tags: Vec::new(),
            id: id.clone(),
        };
        Self { subnets: zones.map(subnet).collect(), group, vpc }
    }

    /// Its id.
    pub(crate) fn id(scope: &Scope) -> String {
        derived("vpc", scope, "default")
    }
}

/// The DHCP options of every VPC of an account and region.
pub(crate) fn dhcp_options(scope: &Scope) -> String {
    derived("dopt", scope, "default")
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
        assert_eq!(vpc.vpc.id, "vpc-fe0fe60341ecac006");
        assert_eq!(vpc.subnets[0].id, "subnet-acd4c0aa41ee17c66");
        assert_eq!(vpc.group.id, "sg-f5351fa1c9865ed6e");
        let blocks: Vec<_> = vpc.subnets.iter().map(|subnet| subnet.cidr.to_string()).collect();
        assert_eq!(blocks, ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]);
        for other in [scope("000000000001", "us-east-1"), scope("000000000000", "eu-west-1")] {
            let other = DefaultVpc::of(&other);
            assert_ne!(other.vpc.id, vpc.vpc.id);
            assert_ne!(other.subnets[0].id, vpc.subnets[0].id);
            assert_ne!(other.group.id, vpc.group.id);
        }
    }
}
