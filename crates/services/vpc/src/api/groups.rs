//! Security groups.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{arn, default_vpc, named, scope, well_formed};
use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::{Peers, Rule, SecurityGroup};
use crate::tables::Scope;

/// DescribeSecurityGroups's filters (API reference).
const LISTING: Listing<shapes::SecurityGroup> = Listing {
    key: |group| group.group_id.clone().unwrap_or_default(),
    tags: |group| group.tags.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("description", |group| Vec::from_iter(group.description.clone())),
        ("egress.ip-permission.cidr", |group| cidrs(&group.ip_permissions_egress)),
        ("egress.ip-permission.from-port", |_| Vec::new()),
        ("egress.ip-permission.group-id", |group| ids(&group.ip_permissions_egress)),
        ("egress.ip-permission.group-name", |_| Vec::new()),
        ("egress.ip-permission.ipv6-cidr", |_| Vec::new()),
        ("egress.ip-permission.prefix-list-id", |_| Vec::new()),
        ("egress.ip-permission.protocol", |group| protocols(&group.ip_permissions_egress)),
        ("egress.ip-permission.to-port", |_| Vec::new()),
        ("egress.ip-permission.user-id", |group| owners(&group.ip_permissions_egress)),
        ("group-id", |group| Vec::from_iter(group.group_id.clone())),
        ("group-name", |group| Vec::from_iter(group.group_name.clone())),
        ("ip-permission.cidr", |group| cidrs(&group.ip_permissions)),
        ("ip-permission.from-port", |_| Vec::new()),
        ("ip-permission.group-id", |group| ids(&group.ip_permissions)),
        ("ip-permission.group-name", |group| {
            let is_own = |id: &String| group.group_id.as_ref() == Some(id);
            let has_own = ids(&group.ip_permissions).iter().any(is_own);
            Vec::from_iter(group.group_name.clone().filter(|_| has_own))
        }),
        ("ip-permission.ipv6-cidr", |_| Vec::new()),
        ("ip-permission.prefix-list-id", |_| Vec::new()),
        ("ip-permission.protocol", |group| protocols(&group.ip_permissions)),
        ("ip-permission.to-port", |_| Vec::new()),
        ("ip-permission.user-id", |group| owners(&group.ip_permissions)),
        ("owner-id", |group| Vec::from_iter(group.owner_id.clone())),
        ("vpc-id", |group| Vec::from_iter(group.vpc_id.clone())),
    ],
};

type Permissions = Option<Vec<shapes::IpPermission>>;

fn cidrs(permissions: &Permissions) -> Vec<String> {
    let ranges = permissions.iter().flatten().flat_map(|one| one.ip_ranges.iter().flatten());
    ranges.filter_map(|range| range.cidr_ip.clone()).collect()
}

fn pairs(permissions: &Permissions) -> impl Iterator<Item = &shapes::UserIdGroupPair> {
    permissions.iter().flatten().flat_map(|one| one.user_id_group_pairs.iter().flatten())
}

fn ids(permissions: &Permissions) -> Vec<String> {
    pairs(permissions).filter_map(|pair| pair.group_id.clone()).collect()
}

fn owners(permissions: &Permissions) -> Vec<String> {
    pairs(permissions).filter_map(|pair| pair.user_id.clone()).collect()
}

fn protocols(permissions: &Permissions) -> Vec<String> {
    permissions.iter().flatten().filter_map(|one| one.ip_protocol.clone()).collect()
}

impl Vpc {
    /// Lists security groups: the default VPC's default one.
    pub(super) fn describe_security_groups(
        &self,
        context: &Context,
        input: shapes::DescribeSecurityGroupsRequest,
    ) -> Result<shapes::DescribeSecurityGroupsResult, Error> {
        let scope = scope(context);
        let vpc = default_vpc(context);
        let names = input.group_names.as_deref().filter(|names| !names.is_empty());
        if let Some(name) = names.and_then(|names| names.iter().find(|n| **n != vpc.group.name)) {
            return Err(Error::GroupName { name: name.clone(), vpc: vpc.id });
        }
        let ids = input.group_ids.as_deref();
        well_formed(ids, "sg", "InvalidGroupId.Malformed")?;
        let rows = vec![show(&scope, &vpc.group)];
        let rows = named(rows, ids, NotFound::Groups, |group| group.group_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (groups, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
    }
}

fn show(scope: &Scope, group: &SecurityGroup) -> shapes::SecurityGroup {
    let permissions = |is_egress: bool| {
        let rules = group.rules.iter().filter(|rule| rule.is_egress == is_egress);
        Some(rules.map(|rule| permission(scope, rule)).collect())
    };
    shapes::SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.clone()),
        group_name: Some(group.name.clone()),
        ip_permissions: permissions(false),
        ip_permissions_egress: permissions(true),
        owner_id: Some(scope.account.to_string()),
        security_group_arn: Some(arn(scope, "security-group", &group.id)),
        vpc_id: Some(group.vpc.clone()),
        ..Default::default()
    }
}

fn permission(scope: &Scope, rule: &Rule) -> shapes::IpPermission {
    let (mut ranges, mut groups) = (Vec::new(), Vec::new());
    match &rule.peers {
        Peers::Cidr(cidr) => {
            ranges.push(shapes::IpRange { cidr_ip: Some(cidr.clone()), ..Default::default() });
        }
        Peers::Group(id) => groups.push(shapes::UserIdGroupPair {
            group_id: Some(id.clone()),
            user_id: Some(scope.account.to_string()),
            ..Default::default()
        }),
    }
    shapes::IpPermission {
        // Every protocol; ports have no meaning then.
        ip_protocol: Some("-1".to_owned()),
        ip_ranges: Some(ranges),
        ipv6_ranges: Some(Vec::new()),
        prefix_list_ids: Some(Vec::new()),
        user_id_group_pairs: Some(groups),
        ..Default::default()
    }
}
