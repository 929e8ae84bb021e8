//! Rules come to security groups and go again.

use ledger::{Tx, View};
use shapes_ec2 as shapes;

use super::permissions::{self, Asked};
use super::{rules, tags, well_formed};
use crate::Vpc;
use crate::error::{Error, Limit, NotFound};
use crate::model::{Rule, SecurityGroup, Tags, made};
use crate::tables::Scope;

/// Which group, by its id or its name in the default VPC.
#[derive(Clone, Debug, Default)]
struct Which {
    id: Option<String>,
    name: Option<String>,
}

/// Rules in one direction, as a request names them.
#[derive(Clone, Debug)]
struct Wanted {
    which: Which,
    is_egress: bool,
    operation: &'static str,
    permissions: Vec<shapes::IpPermission>,
}

/// The older way to write one permission, beside `IpPermissions`.
#[derive(Clone, Debug, Default)]
struct Plain {
    cidr: Option<String>,
    from: Option<i32>,
    to: Option<i32>,
    protocol: Option<String>,
    source: Option<String>,
}

impl Plain {
    /// All permissions of a request; those of the older way are one.
    fn with(self, listed: Option<Vec<shapes::IpPermission>>) -> Vec<shapes::IpPermission> {
        let Self { cidr, from, to, protocol, source } = self;
        let mut all = listed.unwrap_or_default();
        if protocol.is_none() && cidr.is_none() && source.is_none() {
            return all;
        }
        let range = |cidr| shapes::IpRange { cidr_ip: Some(cidr), description: None };
        let pair = |name| shapes::UserIdGroupPair { group_name: Some(name), ..Default::default() };
        // A group alone stands for every protocol (API reference).
        let every = source.as_ref().map(|_| "-1".to_owned());
        all.push(shapes::IpPermission {
            from_port: from,
            ip_protocol: protocol.or(every),
            ip_ranges: cidr.map(|cidr| vec![range(cidr)]),
            to_port: to,
            user_id_group_pairs: source.map(|name| vec![pair(name)]),
            ..Default::default()
        });
        all
    }
}

/// What a request wants. The four inputs have the same members, and no type in common.
macro_rules! wanted {
    ($input:ident, $operation:literal, $is_egress:literal, $id:expr, $name:expr) => {
        Wanted {
            which: Which { id: $id, name: $name },
            is_egress: $is_egress,
            operation: $operation,
            permissions: Plain {
                cidr: $input.cidr_ip,
                from: $input.from_port,
                to: $input.to_port,
                protocol: $input.ip_protocol,
                source: $input.source_security_group_name,
            }
            .with($input.ip_permissions),
        }
    };
}

impl Vpc {
    /// Lets traffic in.
    pub(super) async fn authorize_ingress(
        &self,
        scope: &Scope,
        input: shapes::AuthorizeSecurityGroupIngressRequest,
    ) -> Result<shapes::AuthorizeSecurityGroupIngressResult, Error> {
        let (id, name) = (input.group_id, input.group_name);
        let wanted = wanted!(input, "AuthorizeSecurityGroupIngress", false, id, name);
        let made = Some(self.authorize(scope, wanted, input.tag_specifications).await?);
        let return_ = Some(true);
        Ok(shapes::AuthorizeSecurityGroupIngressResult { return_, security_group_rules: made })
    }

    /// Lets traffic out.
    pub(super) async fn authorize_egress(
        &self,
        scope: &Scope,
        input: shapes::AuthorizeSecurityGroupEgressRequest,
    ) -> Result<shapes::AuthorizeSecurityGroupEgressResult, Error> {
        let id = Some(input.group_id);
        let wanted = wanted!(input, "AuthorizeSecurityGroupEgress", true, id, None);
        let made = Some(self.authorize(scope, wanted, input.tag_specifications).await?);
        let return_ = Some(true);
        Ok(shapes::AuthorizeSecurityGroupEgressResult { return_, security_group_rules: made })
    }

    /// Takes away what lets traffic in.
    pub(super) async fn revoke_ingress(
        &self,
        scope: &Scope,
        input: shapes::RevokeSecurityGroupIngressRequest,
    ) -> Result<shapes::RevokeSecurityGroupIngressResult, Error> {
        let (id, name) = (input.group_id, input.group_name);
        let wanted = wanted!(input, "RevokeSecurityGroupIngress", false, id, name);
        let gone = self.revoke(scope, wanted, input.security_group_rule_ids).await?;
        Ok(shapes::RevokeSecurityGroupIngressResult {
            return_: Some(true),
            revoked_security_group_rules: Some(gone),
            unknown_ip_permissions: None,
        })
    }

    /// Takes away what lets traffic out.
    pub(super) async fn revoke_egress(
        &self,
        scope: &Scope,
        input: shapes::RevokeSecurityGroupEgressRequest,
    ) -> Result<shapes::RevokeSecurityGroupEgressResult, Error> {
        let id = Some(input.group_id);
        let wanted = wanted!(input, "RevokeSecurityGroupEgress", true, id, None);
        let gone = self.revoke(scope, wanted, input.security_group_rule_ids).await?;
        Ok(shapes::RevokeSecurityGroupEgressResult {
            return_: Some(true),
            revoked_security_group_rules: Some(gone),
            unknown_ip_permissions: None,
        })
    }

    async fn authorize(
        &self,
        scope: &Scope,
        wanted: Wanted,
        specifications: Option<Vec<shapes::TagSpecification>>,
    ) -> Result<Vec<shapes::SecurityGroupRule>, Error> {
        let tags = tags::of_new(specifications, shapes::ResourceType::SecurityGroupRule)?;
        if wanted.permissions.is_empty() {
            return Err(Error::Missing("ipPermissions"));
        }
        let done = self.ledger.transact("authorize", |tx| {
            let group = self.group_wanted(tx, scope, &wanted.which)?;
            let asked = self.asked(tx, scope, &group, &wanted)?;
            let (group, new) = add(tx, group, asked, &tags)?;
            let shown = new.iter().map(|rule| rules::show(scope, &group.id, rule)).collect();
            tx.put(&self.tables.groups, (scope.clone(), group.id.clone()), group);
            Ok(shown)
        });
        Ok(done.await?.value)
    }

    async fn revoke(
        &self,
        scope: &Scope,
        wanted: Wanted,
        ids: Option<Vec<String>>,
    ) -> Result<Vec<shapes::RevokedSecurityGroupRule>, Error> {
        let ids = ids.unwrap_or_default();
        well_formed(Some(&ids), "sgr", "InvalidSecurityGroupRuleId.Malformed")?;
        if wanted.permissions.is_empty() && ids.is_empty() {
            return Err(Error::Missing("ipPermissions"));
        }
        let done = self.ledger.transact("revoke", |tx| {
            let mut group = self.group_wanted(tx, scope, &wanted.which)?;
            let asked = self.asked(tx, scope, &group, &wanted)?;
            let has = |rule: &Rule| rule.traffic.is_egress == wanted.is_egress;
            for id in &ids {
                if !group.rules.iter().any(|rule| rule.id == *id && has(rule)) {
                    return Err(Error::NotFound(NotFound::Rules, vec![id.clone()]));
                }
            }
            let is_there = |one: &Asked| group.rules.iter().any(|rule| rule.traffic == one.traffic);
            if !asked.iter().all(is_there) {
                return Err(Error::RuleMissing);
            }
            let goes = |rule: &Rule| {
                ids.contains(&rule.id) || asked.iter().any(|one| one.traffic == rule.traffic)
            };
            let (gone, kept): (Vec<_>, Vec<_>) = group.rules.into_iter().partition(goes);
            group.rules = kept;
            let shown = gone.iter().map(|rule| rules::show_revoked(&group.id, rule)).collect();
            tx.put(&self.tables.groups, (scope.clone(), group.id.clone()), group);
            Ok(shown)
        });
        Ok(done.await?.value)
    }

    fn group_wanted(
        &self,
        view: &impl View,
        scope: &Scope,
        which: &Which,
    ) -> Result<SecurityGroup, Error> {
        self.group_of(view, scope, which.id.as_deref(), which.name.as_deref())
    }

    /// The rules that a request means, each once; groups that it names are there.
    fn asked(
        &self,
        view: &impl View,
        scope: &Scope,
        group: &SecurityGroup,
        wanted: &Wanted,
    ) -> Result<Vec<Asked>, Error> {
        let group_id = |pair: &shapes::UserIdGroupPair| {
            let (id, name) = (pair.group_id.as_deref(), pair.group_name.as_deref());
            match (id, name) {
                (None, Some(name)) => {
                    self.group_by_name(view, scope, &group.vpc, name).map(|group| group.id)
                }
                _ => self.group_of(view, scope, id, None).map(|group| group.id),
            }
        };
        permissions::read(&wanted.permissions, wanted.is_egress, wanted.operation, &group_id)
    }
}

/// The group with these rules besides, and the rules.
fn add(
    tx: &Tx<'_>,
    mut group: SecurityGroup,
    asked: Vec<Asked>,
    tags: &Tags,
) -> Result<(SecurityGroup, Vec<Rule>), Error> {
    let mut new = Vec::new();
    for Asked { traffic, description } in asked {
        if group.rules.iter().any(|rule| rule.traffic == traffic) {
            return Err(Error::RuleDuplicate(permissions::in_words(&traffic)));
        }
        let of_direction = |rule: &&Rule| rule.traffic.is_egress == traffic.is_egress;
        if group.rules.iter().filter(of_direction).count() >= Limit::Rules.most() {
            return Err(Error::TooMany(Limit::Rules));
        }
        let id = made("sgr", &tx.next_id());
        let rule = Rule { id, traffic, description, tags: tags.clone() };
        group.rules.push(rule.clone());
        new.push(rule);
    }
    Ok((group, new))
}
