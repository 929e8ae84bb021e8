//! VPCs and their attributes.

use ledger::View;
use shapes_ec2 as shapes;
use wire::{Context, Unit};

use super::listing::{Listing, Wish};
use super::{named, scope, tags};
use crate::Vpc;
use crate::error::{Error, Limit, NotFound};
use crate::model::{Cidr, DEFAULT, NoCidr, SecurityGroup, VpcRecord, dhcp_options, made};
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
    /// Lists VPCs.
    pub(super) fn describe_vpcs(
        &self,
        context: &Context,
        input: shapes::DescribeVpcsRequest,
    ) -> Result<shapes::DescribeVpcsResult, Error> {
        let (scope, snapshot) = (scope(context), self.ledger.snapshot());
        let rows = self.tables.vpcs(&snapshot, &scope);
        let rows = rows.into_iter().map(|vpc| show(&scope, vpc)).collect();
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

    /// Tells one attribute of a VPC (VPC User Guide, "DNS attributes for your VPC").
    pub(super) fn describe_vpc_attribute(
        &self,
        context: &Context,
        input: shapes::DescribeVpcAttributeRequest,
    ) -> Result<shapes::DescribeVpcAttributeResult, Error> {
        use shapes::VpcAttributeName as Name;
        let vpc = self.vpc_of(&self.ledger.snapshot(), &scope(context), &input.vpc_id)?;
        let value = |name: Name, value: bool| {
            (input.attribute == name)
                .then_some(shapes::AttributeBooleanValue { value: Some(value) })
        };
        Ok(shapes::DescribeVpcAttributeResult {
            enable_dns_hostnames: value(Name::EnableDnsHostnames, vpc.has_dns_hostnames),
            enable_dns_support: value(Name::EnableDnsSupport, vpc.has_dns_support),
            enable_network_address_usage_metrics: value(
                Name::EnableNetworkAddressUsageMetrics,
                false,
            ),
            vpc_id: Some(vpc.id),
        })
    }

    /// Makes a VPC, with its default security group.
    pub(super) async fn create_vpc(
        &self,
        scope: &Scope,
        input: shapes::CreateVpcRequest,
    ) -> Result<shapes::CreateVpcResult, Error> {
        check_built(&input)?;
        let text = input.cidr_block.ok_or(Error::Missing("cidrBlock"))?;
        let cidr = block(&text)?;
        if !PREFIXES.contains(&cidr.prefix) {
            return Err(Error::VpcRange(text));
        }
        let tags = tags::of_new(input.tag_specifications, shapes::ResourceType::Vpc)?;
        let done = self.ledger.transact("create vpc", |tx| {
            if self.tables.vpcs(tx, scope).len() >= Limit::Vpcs.most() {
                return Err(Error::TooMany(Limit::Vpcs));
            }
            let vpc = VpcRecord {
                id: made("vpc", &tx.next_id()),
                cidr,
                cidr_association: made("vpc-cidr-assoc", &tx.next_id()),
                dhcp_options: dhcp_options(scope),
                is_default: false,
                has_dns_hostnames: false,
                has_dns_support: true,
                tags: tags.clone(),
            };
            let group = made("sg", &tx.next_id());
            let rules = (made("sgr", &tx.next_id()), made("sgr", &tx.next_id()));
            let group = SecurityGroup::of_vpc(&vpc.id, group, rules.0, rules.1);
            tx.put(&self.tables.groups, (scope.clone(), group.id.clone()), group);
            tx.put(&self.tables.vpcs, (scope.clone(), vpc.id.clone()), vpc.clone());
            Ok(vpc)
        });
        Ok(shapes::CreateVpcResult { vpc: Some(show(scope, done.await?.value)) })
    }

    /// Deletes a VPC that has nothing in it, with its default security group. The one that an
    /// account has from the start has subnets for ever.
    pub(super) async fn delete_vpc(
        &self,
        scope: &Scope,
        input: shapes::DeleteVpcRequest,
    ) -> Result<Unit, Error> {
        let done = self.ledger.transact("delete vpc", |tx| {
            let vpc = self.vpc_of(tx, scope, &input.vpc_id)?;
            let key = (scope.clone(), vpc.id.clone());
            let has_subnets = tx.index(&self.tables.subnets_by_vpc, &key).next().is_some();
            let groups: Vec<_> = tx.index(&self.tables.groups_by_name, &key).collect();
            let has_groups = groups.iter().any(|(_, group)| group.name != DEFAULT);
            if vpc.is_default || has_subnets || has_groups {
                let text = format!("The vpc '{}' has dependencies and cannot be deleted.", vpc.id);
                return Err(Error::Dependency(text));
            }
            for (key, _) in groups {
                tx.delete(&self.tables.groups, &key);
            }
            tx.delete(&self.tables.vpcs, &key);
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    /// Changes one of the attributes of DNS.
    pub(super) async fn modify_vpc_attribute(
        &self,
        scope: &Scope,
        input: shapes::ModifyVpcAttributeRequest,
    ) -> Result<Unit, Error> {
        let told = |value: &Option<shapes::AttributeBooleanValue>| value.as_ref()?.value;
        let (hostnames, support) =
            (told(&input.enable_dns_hostnames), told(&input.enable_dns_support));
        if input.enable_network_address_usage_metrics.is_some() {
            let what = "EnableNetworkAddressUsageMetrics";
            return Err(Error::NotBuilt { operation: "ModifyVpcAttribute", what });
        }
        if hostnames.is_some() && support.is_some() {
            return Err(Error::Combination("enableDnsHostnames", "enableDnsSupport"));
        }
        if hostnames.is_none() && support.is_none() {
            return Err(Error::Missing("enableDnsSupport"));
        }
        let done = self.ledger.transact("modify vpc", |tx| {
            let vpc = self.vpc_of(tx, scope, &input.vpc_id)?;
            let changed = VpcRecord {
                has_dns_hostnames: hostnames.unwrap_or(vpc.has_dns_hostnames),
                has_dns_support: support.unwrap_or(vpc.has_dns_support),
                ..vpc
            };
            tx.put(&self.tables.vpcs, (scope.clone(), changed.id.clone()), changed);
            Ok(())
        });
        done.await?;
        Ok(Unit {})
    }

    /// The VPC of this id.
    pub(super) fn vpc_of(
        &self,
        view: &impl View,
        scope: &Scope,
        id: &str,
    ) -> Result<VpcRecord, Error> {
        let vpc = self.tables.vpc(view, scope, id);
        vpc.ok_or_else(|| Error::NotFound(NotFound::Vpcs, vec![id.to_owned()]))
    }
}

/// How large VPCs and subnets may be (VPC User Guide, "VPC CIDR blocks").
pub(super) const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// A block as a request writes it.
pub(super) fn block(text: &str) -> Result<Cidr, Error> {
    text.parse().map_err(|NoCidr| {
        Error::Value(format!(
            "Value ({text}) for parameter cidrBlock is invalid. This is not a valid CIDR block."
        ))
    })
}

fn check_built(input: &shapes::CreateVpcRequest) -> Result<(), Error> {
    let has_ipam = input.ipv4_ipam_pool_id.is_some()
        || input.ipv4_netmask_length.is_some()
        || input.ipv6_ipam_pool_id.is_some();
    let has_ipv6 = input.amazon_provided_ipv6_cidr_block == Some(true)
        || input.ipv6_cidr_block.is_some()
        || input.ipv6_pool.is_some()
        || input.ipv6_netmask_length.is_some();
    let is_dedicated =
        input.instance_tenancy.is_some_and(|tenancy| tenancy != shapes::Tenancy::Default);
    let what = match (has_ipam, has_ipv6, is_dedicated, input.vpc_encryption_control.is_some()) {
        (true, ..) => "address pools (IPAM)",
        (_, true, ..) => "IPv6",
        (_, _, true, _) => "InstanceTenancy other than default",
        (.., true) => "VpcEncryptionControl",
        _ => return Ok(()),
    };
    Err(Error::NotBuilt { operation: "CreateVpc", what })
}

fn show(scope: &Scope, vpc: VpcRecord) -> shapes::Vpc {
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
        is_default: Some(vpc.is_default),
        owner_id: Some(scope.account.to_string()),
        state: Some(shapes::VpcState::Available),
        tags: tags::shown(&vpc.tags),
        vpc_id: Some(vpc.id),
        ..Default::default()
    }
}
