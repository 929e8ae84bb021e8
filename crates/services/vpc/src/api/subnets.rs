//! Subnets.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{arn, default_vpc, named, scope};
use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::Subnet;
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
    /// Lists subnets: those of the default VPC, one a zone.
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
        let rows = default_vpc(context).subnets.into_iter().map(row).collect();
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
        default_for_az: Some(true),
        enable_dns64: Some(false),
        ipv6_cidr_block_association_set: Some(Vec::new()),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        // There are no public addresses here; on AWS default subnets say true.
        map_public_ip_on_launch: Some(false),
        owner_id: Some(scope.account.to_string()),
        private_dns_name_options_on_launch: Some(options),
        state: Some(shapes::SubnetState::Available),
        subnet_arn: Some(arn(scope, "subnet", &subnet.id)),
        subnet_id: Some(subnet.id),
        vpc_id: Some(subnet.vpc),
        ..Default::default()
    }
}
