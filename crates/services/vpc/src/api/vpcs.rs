//! VPCs and their attributes.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{default_vpc, named, scope};
use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::DefaultVpc;
use crate::tables::Scope;

/// DescribeVpcs's filters (API reference).
const LISTING: Listing<shapes::Vpc> = Listing {
    key: |vpc| vpc.vpc_id.clone().unwrap_or_default(),
    tags: |vpc| vpc.tags.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("cidr", |vpc| Vec::from_iter(vpc.cidr_block.clone())),
        // Older names that tools still use.
        ("cidrBlock", |vpc| Vec::from_iter(vpc.cidr_block.clone())),
        ("cidr-block", |vpc| Vec::from_iter(vpc.cidr_block.clone())),
        ("isDefault", |vpc| Vec::from_iter(vpc.is_default.map(|is| is.to_string()))),
        ("cidr-block-association.cidr-block", |vpc| Vec::from_iter(vpc.cidr_block.clone())),
        ("cidr-block-association.association-id", |vpc| {
            let all = vpc.cidr_block_association_set.iter().flatten();
            all.filter_map(|one| one.association_id.clone()).collect()
        }),
        ("cidr-block-association.state", |_| vec!["associated".to_owned()]),
        ("dhcp-options-id", |vpc| Vec::from_iter(vpc.dhcp_options_id.clone())),
        ("dhcpOptionsId", |vpc| Vec::from_iter(vpc.dhcp_options_id.clone())),
        ("ipv6-cidr-block-association.ipv6-cidr-block", |_| Vec::new()),
        ("ipv6-cidr-block-association.ipv6-pool", |_| Vec::new()),
        ("ipv6-cidr-block-association.association-id", |_| Vec::new()),
        ("ipv6-cidr-block-association.state", |_| Vec::new()),
        ("is-default", |vpc| Vec::from_iter(vpc.is_default.map(|is| is.to_string()))),
        ("owner-id", |vpc| Vec::from_iter(vpc.owner_id.clone())),
        ("state", |vpc| Vec::from_iter(vpc.state.map(|state| state.as_str().to_owned()))),
        ("vpc-id", |vpc| Vec::from_iter(vpc.vpc_id.clone())),
    ],
};

impl Vpc {
    /// Lists VPCs: the default one.
    pub(super) fn describe_vpcs(
        &self,
        context: &Context,
        input: shapes::DescribeVpcsRequest,
    ) -> Result<shapes::DescribeVpcsResult, Error> {
        let scope = scope(context);
        let rows = vec![show(&scope, DefaultVpc::of(&scope))];
        let ids = input.vpc_ids.as_deref();
        let rows = named(rows, ids, NotFound::Vpcs, |vpc| vpc.vpc_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (vpcs, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeVpcsResult { vpcs: Some(vpcs), next_token })
    }

    /// Tells one attribute of a VPC, as a default VPC has it (VPC User Guide, "DNS attributes for
    /// your VPC").
    pub(super) fn describe_vpc_attribute(
        &self,
        context: &Context,
        input: shapes::DescribeVpcAttributeRequest,
    ) -> Result<shapes::DescribeVpcAttributeResult, Error> {
        use shapes::VpcAttributeName as Name;
        if default_vpc(context).id != input.vpc_id {
            return Err(Error::NotFound(NotFound::Vpcs, vec![input.vpc_id]));
        }
        let value = |name: Name, value: bool| {
            (input.attribute == name)
                .then_some(shapes::AttributeBooleanValue { value: Some(value) })
        };
        Ok(shapes::DescribeVpcAttributeResult {
            enable_dns_hostnames: value(Name::EnableDnsHostnames, true),
            enable_dns_support: value(Name::EnableDnsSupport, true),
            enable_network_address_usage_metrics: value(
                Name::EnableNetworkAddressUsageMetrics,
                false,
            ),
            vpc_id: Some(input.vpc_id.clone()),
        })
    }
}

fn show(scope: &Scope, vpc: DefaultVpc) -> shapes::Vpc {
    let state = shapes::VpcCidrBlockState {
        state: Some(shapes::VpcCidrBlockStateCode::Associated),
        ..Default::default()
    };
    let association = shapes::VpcCidrBlockAssociation {
        association_id: Some(vpc.cidr_association),
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_state: Some(state),
    };
    shapes::Vpc {
        cidr_block: Some(vpc.cidr.to_string()),
        cidr_block_association_set: Some(vec![association]),
        dhcp_options_id: Some(vpc.dhcp_options),
        instance_tenancy: Some(shapes::Tenancy::Default),
        is_default: Some(true),
        owner_id: Some(scope.account.to_string()),
        state: Some(shapes::VpcState::Available),
        vpc_id: Some(vpc.id),
        ..Default::default()
    }
}
