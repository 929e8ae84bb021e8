//! Where a load balancer is: its subnets and security groups.

use ledger::{Tx, View};
use shapes_elbv2 as shapes;
use vpc::{ResolveError, Scope};
use wire::Context;

use super::{scope, show};
use crate::Inner;
use crate::arn;
use crate::error::{Error, Kind};
use crate::model::LoadBalancer;

/// Zones that an application load balancer has at least.
const ZONES_MIN: usize = 2;

/// What ids of subnets and security groups mean.
pub(super) struct Placement {
    /// The VPC of them all.
    pub(super) vpc: String,
    /// The subnets with their zones.
    pub(super) subnets: Vec<(String, String)>,
    /// The security groups.
    pub(super) groups: Vec<String>,
}

impl Placement {
    /// Whether it has as many zones as an application load balancer needs.
    pub(super) fn spans_zones(&self) -> bool {
        self.subnets.len() >= ZONES_MIN
    }
}

/// The ids of the subnets that a request names in either way.
pub(super) fn placed(
    subnets: Option<&[String]>,
    mappings: Option<&[shapes::SubnetMapping]>,
    operation: &'static str,
) -> Result<Vec<String>, Error> {
    let subnets = subnets.filter(|subnets| !subnets.is_empty());
    let mappings = mappings.filter(|mappings| !mappings.is_empty());
    match (subnets, mappings) {
        (Some(_), Some(_)) => {
            Err(Error::invalid("You can specify either subnets or subnet mappings, not both"))
        }
        (Some(subnets), None) => Ok(subnets.to_vec()),
        (None, Some(mappings)) => mappings.iter().map(|one| mapped(one, operation)).collect(),
        (None, None) => Err(Error::invalid("At least one subnet must be specified")),
    }
}

fn mapped(mapping: &shapes::SubnetMapping, operation: &'static str) -> Result<String, Error> {
    let shapes::SubnetMapping {
        allocation_id,
        i_pv6_address,
        private_i_pv4_address,
        source_nat_ipv6_prefix,
        subnet_id,
    } = mapping;
    let more = [allocation_id, i_pv6_address, private_i_pv4_address, source_nat_ipv6_prefix];
    if more.into_iter().any(Option::is_some) {
        return Err(Error::not_built(operation, "addresses in SubnetMappings"));
    }
    subnet_id.clone().ok_or_else(|| Error::invalid("A subnet ID must be specified"))
}

impl Inner {
    /// What these ids of subnets and security groups mean, checked as ELB checks them; a network
    /// load balancer has no security groups unless they are named.
    pub(super) fn place(
        &self,
        view: &impl View,
        scope: &Scope,
        subnets: &[String],
        (groups, is_network): (&[String], bool),
    ) -> Result<Placement, Error> {
        let network =
            self.vpc.resolve(view, scope, subnets, groups).map_err(|error| match error {
                ResolveError::Subnets { text, .. } => Error::Subnet(text),
                ResolveError::Groups { text, .. } => Error::SecurityGroup(text),
            })?;
        let subnets: Vec<(String, String)> =
            network.subnets.iter().map(|subnet| (subnet.id.clone(), subnet.zone.clone())).collect();
        let is_shared = |(index, subnet): (usize, &(String, String))| {
            subnets[..index].iter().any(|other| other.1 == subnet.1)
        };
        if subnets.iter().enumerate().any(is_shared) {
            return Err(Error::Configuration(
                "More than 1 subnet cannot be specified for 1 availability zone".to_owned(),
            ));
        }
        let groups = if is_network && groups.is_empty() { Vec::new() } else { network.groups };
        Ok(Placement { vpc: network.vpc, subnets, groups })
    }

    /// Replaces the subnets.
    pub(super) async fn set_subnets(
        &self,
        context: Context,
        input: shapes::SetSubnetsInput,
    ) -> Result<shapes::SetSubnetsOutput, Error> {
        check_address_type(input.ip_address_type, "SetSubnets")?;
        let wanted =
            placed(input.subnets.as_deref(), input.subnet_mappings.as_deref(), "SetSubnets")?;
        let of = arn::load_balancer(&scope(&context), &input.load_balancer_arn)?;
        let is_network = arn::is_network(&of.1);
        let row = self.change_load_balancer(&context, &input.load_balancer_arn, |tx, row| {
            let scope = scope(&context);
            let groups = (&row.security_groups[..], is_network);
            let placed = self.place(tx, &scope, &wanted, groups)?;
            if !is_network && !placed.spans_zones() {
                return Err(Error::Configuration(
                    "More than 1 availability zone must be specified".to_owned(),
                ));
            }
            row.subnets = placed.subnets;
            Ok(())
        });
        Ok(shapes::SetSubnetsOutput {
            availability_zones: Some(show::zones(&row.await?)),
            ip_address_type: Some(shapes::IpAddressType::Ipv4),
            ..Default::default()
        })
    }

    /// Replaces the security groups.
    pub(super) async fn set_security_groups(
        &self,
        context: Context,
        input: shapes::SetSecurityGroupsInput,
    ) -> Result<shapes::SetSecurityGroupsOutput, Error> {
        if input.security_groups.is_empty() {
            return Err(Error::Configuration("A security group must be specified".to_owned()));
        }
        let of = arn::load_balancer(&scope(&context), &input.load_balancer_arn)?;
        let is_network = arn::is_network(&of.1);
        let row = self.change_load_balancer(&context, &input.load_balancer_arn, |tx, row| {
            if is_network && row.security_groups.is_empty() {
                return Err(Error::Configuration(
                    "You cannot set security groups of a network load balancer that was created \
                     without any"
                        .to_owned(),
                ));
            }
            let subnets: Vec<String> =
                row.subnets.iter().map(|(subnet, _)| subnet.clone()).collect();
            let groups = (&input.security_groups[..], is_network);
            let placed = self.place(tx, &scope(&context), &subnets, groups)?;
            row.security_groups = placed.groups;
            Ok(())
        });
        Ok(shapes::SetSecurityGroupsOutput {
            security_group_ids: Some(row.await?.security_groups),
            ..Default::default()
        })
    }

    /// Sets the kind of addresses: the one that there is.
    pub(super) async fn set_ip_address_type(
        &self,
        context: Context,
        input: shapes::SetIpAddressTypeInput,
    ) -> Result<shapes::SetIpAddressTypeOutput, Error> {
        check_address_type(Some(input.ip_address_type), "SetIpAddressType")?;
        self.change_load_balancer(&context, &input.load_balancer_arn, |_, _| Ok(())).await?;
        Ok(shapes::SetIpAddressTypeOutput { ip_address_type: Some(input.ip_address_type) })
    }

    /// Changes a load balancer that is there, and gives it as it is then.
    pub(super) async fn change_load_balancer(
        &self,
        context: &Context,
        text: &str,
        change: impl Fn(&Tx<'_>, &mut LoadBalancer) -> Result<(), Error>,
    ) -> Result<LoadBalancer, Error> {
        let key = arn::load_balancer(&scope(context), text)?;
        let done = self.ledger.transact("change load balancer", |tx| {
            let row = tx.get(&self.tables.load_balancers, &key);
            let row = row.ok_or(Error::NotFound(Kind::LoadBalancer))?;
            let mut changed = LoadBalancer::clone(&row);
            change(tx, &mut changed)?;
            if changed != *row {
                tx.put(&self.tables.load_balancers, key.clone(), changed.clone());
            }
            Ok(changed)
        });
        Ok(done.await?.value)
    }
}

fn check_address_type(
    wanted: Option<shapes::IpAddressType>,
    operation: &'static str,
) -> Result<(), Error> {
    match wanted {
        None | Some(shapes::IpAddressType::Ipv4) => Ok(()),
        Some(other) => {
            Err(Error::not_built(operation, format!("IpAddressType {}", other.as_str())))
        }
    }
}
