//! What higher services may call: networks that a request names, interfaces of tasks.

use std::net::Ipv4Addr;

use ledger::{Tx, View};
use terms::Region;

use crate::decide::address;
use crate::error::{Error, NotFound};
use crate::model::{DefaultVpc, Fresh, InterfaceRecord, Subnet, zones};
use crate::tables::{Scope, Tables};

/// What a request's subnets and security groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The VPC that all of them are in.
    pub vpc: String,
    /// The subnets, each once, in the order in which they were named.
    pub subnets: Vec<Subnet>,
    /// The ids of the security groups.
    pub groups: Vec<String>,
}

/// Why a network cannot be resolved. Its text is EC2's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Subnets that are not there.
    #[error("{text}")]
    Subnets {
        /// EC2's text.
        text: String,
        /// EC2's code, such as `InvalidSubnetID.NotFound`.
        code: &'static str,
    },
    /// Security groups that are not there.
    #[error("{text}")]
    Groups {
        /// EC2's text.
        text: String,
        /// EC2's code, such as `InvalidGroup.NotFound`.
        code: &'static str,
    },
}

impl ResolveError {
    fn subnets(error: &Error) -> Self {
        Self::Subnets { text: error.to_string(), code: error.code().0 }
    }

    fn groups(error: &Error) -> Self {
        Self::Groups { text: error.to_string(), code: error.code().0 }
    }
}

/// All addresses of the subnet are taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The subnet '{subnet}' has no free addresses left.")]
pub struct SubnetFull {
    /// The subnet.
    pub subnet: String,
}

/// What an interface is made for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewInterface {
    /// The ids of its security groups.
    pub groups: Vec<String>,
    /// Shown to users; for a task's, the ARN of its attachment.
    pub description: String,
    /// The machine that it is attached to, as in `i-0123456789abcdef0`.
    pub instance: Option<String>,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// An interface that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As in `eni-0123456789abcdef0`.
    pub id: String,
    /// The subnet.
    pub subnet: String,
    /// Its MAC, as in `02:5e:ac:1f:00:07`.
    pub mac: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// How many bits of the address are the subnet's.
    pub prefix: u8,
    /// The subnet's router.
    pub gateway: Ipv4Addr,
    /// As in `ip-172-31-0-7.ec2.internal`.
    pub private_dns_name: String,
}

/// The subnet of a zone in the default VPC: where an instance is that says no other.
pub fn default_subnet(scope: &Scope, zone: &str) -> Option<Subnet> {
    DefaultVpc::of(scope).subnets.into_iter().find(|subnet| subnet.zone == zone)
}

impl Tables {
    /// Whether the account has a VPC of this id in the region.
    pub fn has_vpc(&self, view: &impl View, scope: &Scope, id: &str) -> bool {
        self.vpc(view, scope, id).is_some()
    }

    /// The network that these ids name; no group means the default one of the subnets' VPC, and no
    /// subnet the default VPC.
    ///
    /// # Errors
    /// [`ResolveError`] if one is not there, or if they are of several VPCs.
    pub fn resolve(
        &self,
        view: &impl View,
        scope: &Scope,
        subnets: &[String],
        groups: &[String],
    ) -> Result<Network, ResolveError> {
        let mut found: Vec<Subnet> = Vec::new();
        let mut unknown = Vec::new();
        for id in subnets {
            match self.subnet(view, scope, id) {
                Some(subnet) if found.contains(&subnet) => {}
                Some(subnet) => found.push(subnet),
                None => unknown.push(id.clone()),
            }
        }
        if !unknown.is_empty() {
            return Err(ResolveError::subnets(&Error::NotFound(NotFound::Subnets, unknown)));
        }
        let vpc = found.first().map_or_else(|| DefaultVpc::id(scope), |first| first.vpc.clone());
        if let (Some(first), Some(other)) =
            (found.first(), found.iter().find(|subnet| subnet.vpc != vpc))
        {
            let both = format!("Subnets {} and {}", first.id, other.id);
            return Err(ResolveError::subnets(&Error::Networks(both)));
        }
        let groups = self.resolve_groups(view, scope, &vpc, groups)?;
        Ok(Network { groups, vpc, subnets: found })
    }

    fn resolve_groups(
        &self,
        view: &impl View,
        scope: &Scope,
        vpc: &str,
        groups: &[String],
    ) -> Result<Vec<String>, ResolveError> {
        if groups.is_empty() {
            let default = self.default_group(view, scope, vpc);
            return Ok(default.into_iter().map(|group| group.id).collect());
        }
        let is_malformed = |id: &&String| !id.starts_with("sg-");
        if let Some(id) = groups.iter().find(is_malformed) {
            let code = "InvalidGroupId.Malformed";
            let error = Error::Malformed { code, id: id.clone(), expected: "sg" };
            return Err(ResolveError::groups(&error));
        }
        let (mut ids, mut unknown) = (Vec::new(), Vec::new());
        for id in groups {
            match self.group(view, scope, id) {
                Some(_) if ids.contains(id) => {}
                // Of whatever VPC (decision 148).
                Some(_) => ids.push(id.clone()),
                None => unknown.push(id.clone()),
            }
        }
        match unknown.is_empty() {
            true => Ok(ids),
            false => Err(ResolveError::groups(&Error::NotFound(NotFound::Groups, unknown))),
        }
    }

    /// Makes an interface with a free address of the subnet, in the caller's transaction.
    ///
    /// # Errors
    /// [`SubnetFull`] if all addresses are taken.
    pub fn attach(
        &self,
        tx: &mut Tx<'_>,
        scope: &Scope,
        subnet: &Subnet,
        new: NewInterface,
    ) -> Result<Interface, SubnetFull> {
        let address = self.free_address(tx, scope, subnet);
        let address = address.ok_or_else(|| SubnetFull { subnet: subnet.id.clone() })?;
        let fresh = Fresh { id: tx.next_id(), attachment: tx.next_id() };
        let NewInterface { groups, description, instance, tags } = new;
        let made = InterfaceRecord::new(subnet, &scope.region, address, &fresh, tx.now());
        let row = InterfaceRecord { groups, description, instance, tags, ..made };
        let interface = Interface {
            id: row.id.clone(),
            subnet: row.subnet.clone(),
            mac: row.mac.clone(),
            address,
            prefix: subnet.cidr.prefix,
            gateway: subnet.cidr.gateway(),
            private_dns_name: row.private_dns_name.clone(),
        };
        tx.put(&self.interfaces, (scope.clone(), row.id.clone()), row);
        Ok(interface)
    }

    /// Gives an interface back, in the caller's transaction. One that is gone already is no error.
    pub fn release(&self, tx: &mut Tx<'_>, scope: &Scope, id: &str) {
        tx.delete(&self.interfaces, &(scope.clone(), id.to_owned()));
    }

    /// How many interfaces a subnet can still have.
    pub fn free_addresses(&self, view: &impl View, scope: &Scope, subnet: &Subnet) -> u32 {
        let taken = view.index(&self.by_address, &(scope.clone(), subnet.id.clone())).count();
        let usable = subnet.cidr.usable();
        (usable.end - usable.start).saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// A free address: by chance, which reads nothing but the address itself, so that interfaces
    /// that are made at once do not wait for each other; else the first one.
    fn free_address(&self, tx: &Tx<'_>, scope: &Scope, subnet: &Subnet) -> Option<Ipv4Addr> {
        let is_free = |address: &Ipv4Addr| {
            let key = (scope.clone(), subnet.id.clone(), u32::from(*address));
            tx.index(&self.by_address, &key).next().is_none()
        };
        address::candidates(subnet.cidr, tx.next_id()).find(is_free).or_else(|| {
            let key = (scope.clone(), subnet.id.clone());
            let taken = tx.index(&self.by_address, &key);
            address::first_free(subnet.cidr, taken.map(|(_, row)| u32::from(row.address)))
        })
    }
}

/// The id of a zone of a region, as in `use1-az1` of `us-east-1a`; none for other names.
pub fn zone_id(region: &Region, zone: &str) -> Option<String> {
    zones(region).into_iter().find(|known| known.name == zone).map(|known| known.id)
}
