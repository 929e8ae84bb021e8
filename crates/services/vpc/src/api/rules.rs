//! Rules of security groups.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{arn, named, scope, tags, well_formed};
use crate::Vpc;
use crate::error::{Error, NotFound};
use crate::model::{Peers, Rule};
use crate::tables::Scope;

/// DescribeSecurityGroupRules's filters (API reference).
const LISTING: Listing<shapes::SecurityGroupRule> = Listing {
    key: |rule| rule.security_group_rule_id.clone().unwrap_or_default(),
    tags: |rule| rule.tags.as_deref().unwrap_or_default(),
    has_tags: true,
    filters: &[
        ("group-id", |rule| Vec::from_iter(rule.group_id.clone())),
        ("security-group-rule-id", |rule| Vec::from_iter(rule.security_group_rule_id.clone())),
    ],
};

impl Vpc {
    /// Lists rules of security groups.
    pub(super) fn describe_security_group_rules(
        &self,
        context: &Context,
        input: shapes::DescribeSecurityGroupRulesRequest,
    ) -> Result<shapes::DescribeSecurityGroupRulesResult, Error> {
        let (scope, snapshot) = (scope(context), self.ledger.snapshot());
        let ids = input.security_group_rule_ids.as_deref();
        well_formed(ids, "sgr", "InvalidSecurityGroupRuleId.Malformed")?;
        let groups = self.tables.groups(&snapshot, &scope);
        let rows = groups
            .iter()
            .flat_map(|group| group.rules.iter().map(|rule| show(&scope, &group.id, rule)));
        let rows = rows.collect();
        let rows =
            named(rows, ids, NotFound::Rules, |rule| rule.security_group_rule_id.as_deref())?;
        let wish = Wish {
            filters: input.filters.as_deref(),
            max_results: input.max_results,
            next_token: input.next_token.as_deref(),
        };
        let (rules, next_token) = LISTING.select(rows, &wish)?;
        let security_group_rules = Some(rules);
        Ok(shapes::DescribeSecurityGroupRulesResult { security_group_rules, next_token })
    }
}

/// A rule with its peers, in the three forms that they have.
struct Shown {
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    group: Option<String>,
    ports: (i32, i32),
}

fn shown(rule: &Rule) -> Shown {
    let (mut cidr_ipv4, mut cidr_ipv6, mut group) = (None, None, None);
    match rule.traffic.peers.clone() {
        Peers::Cidr(block) => cidr_ipv4 = Some(block),
        Peers::Cidr6(block) => cidr_ipv6 = Some(block),
        Peers::Group(id) => group = Some(id),
    }
    // EC2 writes -1 where a rule is for every port.
    Shown { cidr_ipv4, cidr_ipv6, group, ports: rule.traffic.ports.unwrap_or((-1, -1)) }
}

/// A rule of this group as EC2 shows it.
pub(super) fn show(scope: &Scope, group_id: &str, rule: &Rule) -> shapes::SecurityGroupRule {
    let owner = scope.account.to_string();
    let Shown { cidr_ipv4, cidr_ipv6, group, ports } = shown(rule);
    let referenced_group_info = group.map(|id| shapes::ReferencedSecurityGroup {
        group_id: Some(id),
        user_id: Some(owner.clone()),
        ..Default::default()
    });
    shapes::SecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        description: rule.description.clone(),
        from_port: Some(ports.0),
        group_id: Some(group_id.to_owned()),
        group_owner_id: Some(owner),
        ip_protocol: Some(rule.traffic.protocol.clone()),
        is_egress: Some(rule.traffic.is_egress),
        referenced_group_info,
        security_group_rule_arn: Some(arn(scope, "security-group-rule", &rule.id)),
        security_group_rule_id: Some(rule.id.clone()),
        tags: Some(tags::show(&rule.tags)),
        to_port: Some(ports.1),
        ..Default::default()
    }
}

/// A rule that went.
pub(super) fn show_revoked(group_id: &str, rule: &Rule) -> shapes::RevokedSecurityGroupRule {
    let Shown { cidr_ipv4, cidr_ipv6, group, ports } = shown(rule);
    shapes::RevokedSecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        description: rule.description.clone(),
        from_port: Some(ports.0),
        group_id: Some(group_id.to_owned()),
        ip_protocol: Some(rule.traffic.protocol.clone()),
        is_egress: Some(rule.traffic.is_egress),
        referenced_group_id: group,
        security_group_rule_id: Some(rule.id.clone()),
        to_port: Some(ports.1),
        ..Default::default()
    }
}
