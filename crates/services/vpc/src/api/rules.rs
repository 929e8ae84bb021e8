//! Rules of security groups.

use shapes_ec2 as shapes;
use wire::Context;

use super::listing::{Listing, Wish};
use super::{arn, default_vpc, named, scope, well_formed};
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
        let scope = scope(context);
        let ids = input.security_group_rule_ids.as_deref();
        well_formed(ids, "sgr", "InvalidSecurityGroupRuleId.Malformed")?;
        let rows = default_vpc(context).group.rules.into_iter();
        let rows = rows.map(|rule| show(&scope, rule)).collect();
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

fn show(scope: &Scope, rule: Rule) -> shapes::SecurityGroupRule {
    let owner = scope.account.to_string();
    let (cidr_ipv4, referenced_group_info) = match rule.peers {
        Peers::Cidr(cidr) => (Some(cidr), None),
        Peers::Group(id) => {
            let (group_id, user_id) = (Some(id), Some(owner.clone()));
            let group = shapes::ReferencedSecurityGroup { group_id, user_id, ..Default::default() };
            (None, Some(group))
        }
    };
    shapes::SecurityGroupRule {
        cidr_ipv4,
        // EC2 writes -1 where a rule is for every port.
        from_port: Some(-1),
        group_id: Some(rule.group),
        group_owner_id: Some(owner),
        ip_protocol: Some("-1".to_owned()),
        is_egress: Some(rule.is_egress),
        referenced_group_info,
        security_group_rule_arn: Some(arn(scope, "security-group-rule", &rule.id)),
        security_group_rule_id: Some(rule.id),
        tags: Some(Vec::new()),
        to_port: Some(-1),
        ..Default::default()
    }
}
