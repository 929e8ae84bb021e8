//! Security groups.

use ledger::View;
use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{arn, named, permissions, scope, tags, well_formed};
use crate::Vpc;
use crate::error::{Error, Limit, NotFound};
use crate::model::{DEFAULT, DefaultVpc, Peers, Rule, SecurityGroup, made};
use crate::tables::Scope;

/// DescribeSecurityGroups's filters (API reference).
const LISTING: Listing<shapes::SecurityGroup> = Listing {
    key: |group| group.group_id.clone().unwrap_or_default(),
    tags: |group| group.tags.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("description", |group| Vec::from_iter(group.description.clone())),
        ("egress.ip-permission.cidr", |group| cidrs(&group.ip_permissions_egress)),
        ("egress.ip-permission.from-port", |group| {
            ports(&group.ip_permissions_egress, |one| one.from_port)
        }),
        ("egress.ip-permission.group-id", |group| ids(&group.ip_permissions_egress)),
        ("egress.ip-permission.group-name", |_| Vec::new()),
        ("egress.ip-permission.ipv6-cidr", |group| cidrs6(&group.ip_permissions_egress)),
        ("egress.ip-permission.prefix-list-id", |_| Vec::new()),
        ("egress.ip-permission.protocol", |group| protocols(&group.ip_permissions_egress)),
        ("egress.ip-permission.to-port", |group| {
            ports(&group.ip_permissions_egress, |one| one.to_port)
        }),
        ("egress.ip-permission.user-id", |group| owners(&group.ip_permissions_egress)),
        ("group-id", |group| Vec::from_iter(group.group_id.clone())),
        ("group-name", |group| Vec::from_iter(group.group_name.clone())),
        ("ip-permission.cidr", |group| cidrs(&group.ip_permissions)),
        ("ip-permission.from-port", |group| ports(&group.ip_permissions, |one| one.from_port)),
        ("ip-permission.group-id", |group| ids(&group.ip_permissions)),
        ("ip-permission.group-name", |group| {
            let is_own = |id: &String| group.group_id.as_ref() == Some(id);
            let has_own = ids(&group.ip_permissions).iter().any(is_own);
            Vec::from_iter(group.group_name.clone().filter(|_| has_own))
        }),
        ("ip-permission.ipv6-cidr", |group| cidrs6(&group.ip_permissions)),
        ("ip-permission.prefix-list-id", |_| Vec::new()),
        ("ip-permission.protocol", |group| protocols(&group.ip_permissions)),
        ("ip-permission.to-port", |group| ports(&group.ip_permissions, |one| one.to_port)),
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

fn cidrs6(permissions: &Permissions) -> Vec<String> {
    let ranges = permissions.iter().flatten().flat_map(|one| one.ipv6_ranges.iter().flatten());
    ranges.filter_map(|range| range.cidr_ipv6.clone()).collect()
}

fn ports(permissions: &Permissions, port: fn(&shapes::IpPermission) -> Option<i32>) -> Vec<String> {
    permissions.iter().flatten().filter_map(port).map(|port| port.to_string()).collect()
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
    /// Lists security groups.
    pub(super) fn describe_security_groups(
        &self,
        context: &Context,
        input: shapes::DescribeSecurityGroupsRequest,
    ) -> Result<shapes::DescribeSecurityGroupsResult, Error> {
        let (scope, snapshot) = (scope(context), self.ledger.snapshot());
        let mut groups = self.tables.groups(&snapshot, &scope);
        let names = input.group_names.as_deref().unwrap_or_default();
        if !names.is_empty() {
            // Names mean groups of the default VPC (API reference).
            let vpc = DefaultVpc::id(&scope);
            for name in names {
                self.group_by_name(&snapshot, &scope, &vpc, name)?;
            }
            groups.retain(|group| group.vpc == vpc && names.contains(&group.name));
        }
        let ids = input.group_ids.as_deref();
        well_formed(ids, "sg", "InvalidGroupId.Malformed")?;
        let rows = groups.iter().map(|group| show(&scope, group)).collect();
        let rows = named(rows, ids, NotFound::Groups, |group| group.group_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (groups, next_token) = LISTING.select(rows, &wish)?;
        Ok(shapes::DescribeSecurityGroupsResult { security_groups: Some(groups), next_token })
    }

    /// Makes a security group that lets everything out and nothing in.
    pub(super) async fn create_security_group(
        &self,
        scope: &Scope,
        input: shapes::CreateSecurityGroupRequest,
    ) -> Result<shapes::CreateSecurityGroupResult, Error> {
        check_name(&input.group_name)?;
        if !is_text(&input.description) {
            return Err(Error::Value(format!(
                "Invalid security group description. Valid descriptions are strings less than 256 \
                 characters from the following set:  a-zA-Z0-9. {MARKS}"
            )));
        }
        let name = &input.group_name;
        let tags = tags::of_new(input.tag_specifications, shapes::ResourceType::SecurityGroup)?;
        let done = self.ledger.transact("create security group", |tx| {
            let vpc = match &input.vpc_id {
                Some(id) => self.vpc_of(tx, scope, id)?.id,
                None => DefaultVpc::id(scope),
            };
            if self.tables.group_named(tx, scope, &vpc, name).is_some() {
                return Err(Error::GroupDuplicate { name: name.clone(), vpc });
            }
            if self.tables.groups(tx, scope).len() >= Limit::Groups.most() {
                return Err(Error::TooMany(Limit::Groups));
            }
            let group = SecurityGroup {
                id: made("sg", &tx.next_id()),
                name: name.clone(),
                description: input.description.clone(),
                vpc,
                rules: vec![Rule::to_everywhere(made("sgr", &tx.next_id()))],
                tags: tags.clone(),
            };
            let id = group.id.clone();
            tx.put(&self.tables.groups, (scope.clone(), id.clone()), group);
            Ok(id)
        });
        let id = done.await?.value;
        Ok(shapes::CreateSecurityGroupResult {
            security_group_arn: Some(arn(scope, "security-group", &id)),
            group_id: Some(id),
            tags: tags::shown(&tags),
        })
    }

    /// Deletes a security group that nothing is in, and that no other one's rules name.
    pub(super) async fn delete_security_group(
        &self,
        scope: &Scope,
        input: shapes::DeleteSecurityGroupRequest,
    ) -> Result<shapes::DeleteSecurityGroupResult, Error> {
        let done = self.ledger.transact("delete security group", |tx| {
            let group =
                self.group_of(tx, scope, input.group_id.as_deref(), input.group_name.as_deref())?;
            if group.is_default() {
                return Err(Error::CannotDelete(format!(
                    "the specified group: \"{}\" name: \"{DEFAULT}\" cannot be deleted by a user",
                    group.id
                )));
            }
            let names_it = |rule: &Rule| rule.traffic.peers == Peers::Group(group.id.clone());
            let all = self.tables.groups(tx, scope);
            let mut others = all.iter().filter(|other| other.id != group.id);
            let is_named = others.any(|other| other.rules.iter().any(names_it));
            let mut interfaces = tx.prefix(&self.tables.interfaces, scope);
            if is_named || interfaces.any(|(_, row)| row.groups.contains(&group.id)) {
                let text = format!("resource {} has a dependent object", group.id);
                return Err(Error::Dependency(text));
            }
            drop(interfaces);
            tx.delete(&self.tables.groups, &(scope.clone(), group.id.clone()));
            Ok(group.id)
        });
        let id = done.await?.value;
        Ok(shapes::DeleteSecurityGroupResult { group_id: Some(id), return_: Some(true) })
    }

    /// The group that a request names by its id, or by its name in the default VPC.
    pub(super) fn group_of(
        &self,
        view: &impl View,
        scope: &Scope,
        id: Option<&str>,
        name: Option<&str>,
    ) -> Result<SecurityGroup, Error> {
        match (id, name) {
            (Some(id), _) => {
                let ids = [id.to_owned()];
                well_formed(Some(&ids), "sg", "InvalidGroupId.Malformed")?;
                let group = self.tables.group(view, scope, id);
                group.ok_or_else(|| Error::NotFound(NotFound::Groups, ids.to_vec()))
            }
            (None, Some(name)) => self.group_by_name(view, scope, &DefaultVpc::id(scope), name),
            (None, None) => Err(Error::Missing("groupName or groupId")),
        }
    }

    /// The group of this name in a VPC.
    pub(super) fn group_by_name(
        &self,
        view: &impl View,
        scope: &Scope,
        vpc: &str,
        name: &str,
    ) -> Result<SecurityGroup, Error> {
        let group = self.tables.group_named(view, scope, vpc, name);
        group.ok_or_else(|| Error::GroupName { name: name.to_owned(), vpc: vpc.to_owned() })
    }
}

/// What names and descriptions may have besides letters, digits and spaces.
const MARKS: &str = "._-:/()#,@[]+=&;{}!$*";
/// Most characters of names and descriptions.
const TEXT_MAX: usize = 255;

fn is_text(text: &str) -> bool {
    let is_known = |c: char| c.is_ascii_alphanumeric() || c == ' ' || MARKS.contains(c);
    text.chars().count() <= TEXT_MAX && text.chars().all(is_known)
}

fn check_name(name: &str) -> Result<(), Error> {
    if name == DEFAULT {
        return Err(Error::GroupReserved(name.to_owned()));
    }
    let text = if name.starts_with("sg-") {
        format!(
            "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        )
    } else if name.is_empty() || !is_text(name) {
        format!(
            "Value ({name}) for parameter GroupName is invalid. Names have 1 to {TEXT_MAX} characters: \
             a-z, A-Z, 0-9, spaces, and {MARKS}."
        )
    } else {
        return Ok(());
    };
    Err(Error::Value(text))
}

fn show(scope: &Scope, group: &SecurityGroup) -> shapes::SecurityGroup {
    let permissions = |is_egress: bool| {
        let rules = group.rules.iter().filter(|rule| rule.traffic.is_egress == is_egress);
        Some(permissions::show(scope, rules))
    };
    shapes::SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.clone()),
        group_name: Some(group.name.clone()),
        ip_permissions: permissions(false),
        ip_permissions_egress: permissions(true),
        owner_id: Some(scope.account.to_string()),
        security_group_arn: Some(arn(scope, "security-group", &group.id)),
        tags: tags::shown(&group.tags),
        vpc_id: Some(group.vpc.clone()),
    }
}
