//! Network interfaces.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use terms::{Region, Timestamp};

use super::{Subnet, dns_suffix, id};

/// A network interface of a task. It exists as long as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InterfaceRecord {
    /// As in `eni-0123456789abcdef0`.
    pub(crate) id: String,
    /// The id of its attachment to the instance, as in `eni-attach-0123456789abcdef0`.
    pub(crate) attachment: String,
    /// Its subnet.
    pub(crate) subnet: String,
    /// Its VPC.
    pub(crate) vpc: String,
    /// The zone's name.
    pub(crate) zone: String,
    /// The zone's id.
    pub(crate) zone_id: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Its MAC, as in `02:5e:ac:1f:00:07`.
    pub(crate) mac: String,
    /// As in `ip-172-31-0-7.ec2.internal`.
    pub(crate) private_dns_name: String,
    /// Its security groups.
    pub(crate) groups: Vec<String>,
    /// Who made it and what for: for a task's, the ARN of its attachment.
    pub(crate) description: String,
    /// The instance that it is attached to.
    pub(crate) instance: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// Tags.
    pub(crate) tags: Vec<(String, String)>,
}

/// What distinguishes a new interface: bytes that nobody else has.
pub(crate) struct Fresh {
    /// For its id.
    pub(crate) id: [u8; 16],
    /// For the id of its attachment.
    pub(crate) attachment: [u8; 16],
}

impl InterfaceRecord {
    /// A new interface with this address of the subnet.
    pub(crate) fn new(
        subnet: &Subnet,
        region: &Region,
        address: Ipv4Addr,
        fresh: &Fresh,
        now: Timestamp,
    ) -> Self {
        let [a, b, c, d] = address.octets();
        Self {
            id: id::made("eni", &fresh.id),
            attachment: id::made("eni-attach", &fresh.attachment),
            subnet: subnet.id.clone(),
            vpc: subnet.vpc.clone(),
            zone: subnet.zone.clone(),
            zone_id: subnet.zone_id.clone(),
            address,
            // Locally administered; unique in the VPC because the address is.
            mac: format!("02:{:02x}:{a:02x}:{b:02x}:{c:02x}:{d:02x}", fresh.id[15]),
            private_dns_name: format!("ip-{a}-{b}-{c}-{d}.{}", dns_suffix(region)),
            groups: Vec::new(),
            description: String::new(),
            instance: None,
            created_at: now,
            tags: Vec::new(),
        }
    }
}
