//! Subnets.

use ledger::View;
use shapes_ec2 as shapes;
use wire::{Context, Unit};

use super::listing::{Listing, Wish};
use super::vpcs::{PREFIXES, block};
use super::{arn, named, scope, tags};
use crate::Vpc;
use crate::error::{Error, Limit, NotFound};
use crate::model::{Subnet, Zone, made, zones};
use crate::tables::Scope;

/// DescribeSubnets's filters (API reference).
const LISTING: Listing<shapes::Subnet> = Listing {
    key: |subnet| {
        let (zone, id) = (&subnet.availability_zone, &subnet.subnet_id);
        format!("{}/{}", zone.as_deref().unwrap_or_default(), id.as_deref().unwrap_or_default())
    },
    tags: |subnet| subnet.tags.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("availability-zone", |subnet| Vec::from_iter(subnet.availability_zone.clone())),
        // Older names that tools still use.
        ("availabilityZone", |subnet| Vec::from_iter(subnet.availability_zone.clone())),
        ("cidr", |subnet| Vec::from_iter(subnet.cidr_block.clone())),
        ("cidrBlock", |subnet| Vec::from_iter(subnet.cidr_block.clone())),
        ("defaultForAz", |subnet| text(subnet.default_for_az)),
        ("availability-zone-id", |subnet| Vec::from_iter(subnet.availability_zone_id.clone())),
        ("availabilityZoneId", |subnet| Vec::from_iter(subnet.availability_zone_id.clone())),
        ("available-ip-address-count", |subnet| text(subnet.available_ip_address_count)),
        ("cidr-block", |subnet| Vec::from_iter(subnet.cidr_block.clone())),
        ("customer-owned-ipv4-pool", |_| Vec::new()),
        ("default-for-az", |subnet| text(subnet.default_for_az)),
        ("enable-dns64", |subnet| text(subnet.enable_dns64)),
        ("enable-lni-at-device-index", |_| Vec::new()),
        ("ipv6-cidr-block-association.ipv6-cidr-block", |_| Vec::new()),
        ("ipv6-cidr-block-association.association-id", |_| Vec::new()),
        ("ipv6-cidr-block-association.state", |_| Vec::new()),
        ("ipv6-native", |subnet| text(subnet.ipv6_native)),
        ("map-customer-owned-ip-on-launch", |subnet| text(subnet.map_customer_owned_ip_on_launch)),
        ("map-public-ip-on-launch", |subnet| text(subnet.map_public_ip_on_launch)),
        ("outpost-arn", |_| Vec::new()),
        ("owner-id", |subnet| Vec::from_iter(subnet.owner_id.clone())),
        ("private-dns-name-options-on-launch.hostname-type", |_| vec!["ip-name".to_owned()]),
        ("private-dns-name-options-on-launch.enable-resource-name-dns-a-record", |_| {
            vec!["false".to_owned()]
        }),
        ("private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record", |_| {
            vec!["false".to_owned()]
        }),
        ("state", |subnet| Vec::from_iter(subnet.state.map(|state| state.as_str().to_owned()))),
        ("subnet-arn", |subnet| Vec::from_iter(subnet.subnet_arn.clone())),
        ("subnet-id", |subnet| Vec::from_iter(subnet.subnet_id.clone())),
        ("vpc-id", |subnet| Vec::from_iter(subnet.vpc_id.clone())),
    ],
};

fn text(value: Option<impl ToString>) -> Vec<String> {
    value.map(|value| value.to_string()).into_iter().collect()
}

impl Vpc {
    /// Lists subnets.
    pub(super) fn describe_subnets(
        &self,
        context: &Context,
        input: shapes::DescribeSubnetsRequest,
    ) -> Result<shapes::DescribeSubnetsResult, Error> {
        let (scope, snapshot) = (scope(context), self.ledger.snapshot());
        let row = |subnet: Subnet| {
            let free = self.tables.free_addresses(&snapshot, &scope, &subnet);
            show(&scope, subnet, free)
        };
        let rows = self.tables.subnets(&snapshot, &scope).into_iter().map(row).collect();
        let ids = input.subnet_ids.as_deref();
        let rows = named(rows, ids, NotFound::Subnets, |subnet| subnet.subnet_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (subnets, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeSubnetsResult { subnets: Some(subnets), next_token })
    }

    /// Makes a subnet of a VPC.
    pub(super) async fn create_subnet(
        &self,
        scope: &Scope,
        input: shapes::CreateSubnetRequest,
    ) -> Result<shapes::CreateSubnetResult, Error> {
        check_built(&input)?;
        let zone = zone(scope, &input)?;
        let text = input.cidr_block.ok_or(Error::Missing("cidrBlock"))?;
        let cidr = block(&text)?;
        let tags = tags::of_new(input.tag_specifications, shapes::ResourceType::Subnet)?;
        let done = self.ledger.transact("create subnet", |tx| {
            let vpc = self.vpc_of(tx, scope, &input.vpc_id)?;
            if !PREFIXES.contains(&cidr.prefix) || !vpc.cidr.holds(cidr) {
                return Err(Error::SubnetRange(text.clone()));
            }
            let of_vpc = self.tables.subnets(tx, scope);
            let of_vpc: Vec<_> = of_vpc.iter().filter(|subnet| subnet.vpc == vpc.id).collect();
            if of_vpc.len() >= Limit::Subnets.most() {
                return Err(Error::TooMany(Limit::Subnets));
            }
            if of_vpc.iter().any(|subnet| subnet.cidr.overlaps(cidr)) {
                return Err(Error::SubnetConflict(text.clone()));
            }
            let subnet = Subnet {
                id: made("subnet", &tx.next_id()),
                vpc: vpc.id,
                zone: zone.name.clone(),
                zone_id: zone.id.clone(),
                cidr,
                is_default: false,
                maps_public: false,
                tags: tags.clone(),
            };
            tx.put(&self.tables.subnets, (scope.clone(), subnet.id.clone()), subnet.clone());
            Ok(subnet)
        });
        let subnet = done.await?.value;
        let free = subnet.cidr.usable();
        let shown = show(scope, subnet, free.end - free.start);
        Ok(shapes::CreateSubnetResult { subnet: Some(shown) })
    }

    /// Deletes a subnet that has no interfaces. Those of the default VPC stay: they follow from
    /// account and region.
    pub(super) async fn delete_subnet(
        &self,
        scope: &Scope,
        input: shapes::DeleteSubnetRequest,
    ) -> Result<Unit, Error> {
        let id = &input.subnet_id;
        let done = self.ledger.transact("delete subnet", |tx| {
            let subnet = self.subnet_of(tx, scope, id)?;
            if subnet.is_default {
                let text = format!("The default subnet '{id}' of a zone cannot be deleted.");
                return Err(Error::CannotDelete(text));
            }
            let key = (scope.clone(), subnet.id);
            if tx.index(&self.tables.by_address, &key).next().is_some() {
                let text = format!("The subnet '{id}' has dependencies and cannot be deleted.");
                return Err(Error::Dependency(text));
            }
            tx.delete(&self.tables.subnets, &key);
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    /// Changes whether interfaces are to get public addresses.
    pub(super) async fn modify_subnet_attribute(
        &self,
        scope: &Scope,
        input: shapes::ModifySubnetAttributeRequest,
    ) -> Result<Unit, Error> {
        let subnet_id = input.subnet_id.clone();
        let wanted = input.map_public_ip_on_launch.as_ref().and_then(|value| value.value);
        let only = shapes::ModifySubnetAttributeRequest {
            map_public_ip_on_launch: input.map_public_ip_on_launch.clone(),
            subnet_id: subnet_id.clone(),
            ..Default::default()
        };
        if input != only {
            let what = "attributes other than MapPublicIpOnLaunch";
            return Err(Error::NotBuilt { operation: "ModifySubnetAttribute", what });
        }
        let maps_public = wanted.ok_or(Error::Missing("mapPublicIpOnLaunch"))?;
        let done = self.ledger.transact("modify subnet", |tx| {
            let subnet = self.subnet_of(tx, scope, &subnet_id)?;
            let changed = Subnet { maps_public, ..subnet };
            tx.put(&self.tables.subnets, (scope.clone(), subnet_id.clone()), changed);
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    fn subnet_of(&self, view: &impl View, scope: &Scope, id: &str) -> Result<Subnet, Error> {
        let subnet = self.tables.subnet(view, scope, id);
        subnet.ok_or_else(|| Error::NotFound(NotFound::Subnets, vec![id.to_owned()]))
    }
}

/// The zone that a request names, by its name or its id; else the first.
fn zone(scope: &Scope, input: &shapes::CreateSubnetRequest) -> Result<Zone, Error> {
    let all = zones(&scope.region);
    let (parameter, wanted) = match (&input.availability_zone, &input.availability_zone_id) {
        (Some(_), Some(_)) => {
            return Err(Error::Combination("availabilityZone", "availabilityZoneId"));
        }
        (Some(name), None) => ("availabilityZone", name),
        (None, Some(id)) => ("availabilityZoneId", id),
        (None, None) => return all.into_iter().next().ok_or(Error::Missing("availabilityZone")),
    };
    let known = match parameter {
        "availabilityZone" => all.iter().find(|zone| zone.name == *wanted),
        _ => all.iter().find(|zone| zone.id == *wanted),
    };
    known.cloned().ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|zone| zone.name.as_str()).collect();
        Error::Value(format!(
            "Value ({wanted}) for parameter {parameter} is invalid. Subnets can currently only be \
             created in the following availability zones: {}.",
            names.join(", ")
        ))
    })
}

fn check_built(input: &shapes::CreateSubnetRequest) -> Result<(), Error> {
    let has_ipv6 = input.ipv6_cidr_block.is_some()
        || input.ipv6_native == Some(true)
        || input.ipv6_ipam_pool_id.is_some()
        || input.ipv6_netmask_length.is_some();
    let has_ipam = input.ipv4_ipam_pool_id.is_some() || input.ipv4_netmask_length.is_some();
    let what = match (has_ipv6, has_ipam, input.outpost_arn.is_some()) {
        (true, ..) => "IPv6",
        (_, true, _) => "address pools (IPAM)",
        (.., true) => "Outposts",
        _ => return Ok(()),
    };
    Err(Error::NotBuilt { operation: "CreateSubnet", what })
}

fn show(scope: &Scope, subnet: Subnet, free: u32) -> shapes::Subnet {
    let options = shapes::PrivateDnsNameOptionsOnLaunch {
        enable_resource_name_dns_a_record: Some(false),
        enable_resource_name_dns_aaaa_record: Some(false),
        hostname_type: Some(shapes::HostnameType::IpName),
    };
    shapes::Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(subnet.zone),
        availability_zone_id: Some(subnet.zone_id),
        available_ip_address_count: i32::try_from(free).ok(),
        cidr_block: Some(subnet.cidr.to_string()),
        default_for_az: Some(subnet.is_default),
        enable_dns64: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(subnet.maps_public),
        owner_id: Some(scope.account.to_string()),
        private_dns_name_options_on_launch: Some(options),
        state: Some(shapes::SubnetState::Available),
        subnet_arn: Some(arn(scope, "subnet", &subnet.id)),
        subnet_id: Some(subnet.id),
        tags: tags::shown(&subnet.tags),
        vpc_id: Some(subnet.vpc),
        ..Default::default()
    }
}
