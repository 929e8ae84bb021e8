//! Quotas (Elastic Load Balancing guides, "Quotas"), and the operation that shows them.

use shapes_elbv2 as shapes;
use wire::Context;

use super::paging::page;
use crate::Inner;
use crate::error::Error;

/// Load balancers of one kind in an account and region.
pub(super) const LOAD_BALANCERS: usize = 50;
/// Target groups in an account and region.
pub(super) const TARGET_GROUPS: usize = 3000;
/// Listeners of a load balancer.
pub(super) const LISTENERS: usize = 50;
/// Certificates of a load balancer but the default ones.
pub(super) const CERTIFICATES: usize = 25;
/// Rules of a load balancer but the default ones. AWS begins with 100 and gives more when it is asked.
pub(super) const RULES: usize = 1000;
/// Target groups of one action.
pub(super) const GROUPS_OF_ACTION: usize = 5;
/// Target groups behind one load balancer.
pub(super) const GROUPS_OF_LOAD_BALANCER: usize = 100;
/// Targets of a target group.
pub(super) const TARGETS: usize = 1000;
/// Values of all conditions of a rule.
pub(super) const VALUES: usize = 5;
/// Wildcards of all conditions of a rule: pages differ, this is the lenient one.
pub(super) const WILDCARDS: usize = 6;

/// What DescribeAccountLimits shows.
const SHOWN: &[(&str, usize)] = &[
    ("application-load-balancers", LOAD_BALANCERS),
    ("condition-values-per-alb-rule", VALUES),
    ("condition-wildcards-per-alb-rule", WILDCARDS),
    ("listeners-per-application-load-balancer", LISTENERS),
    ("listeners-per-network-load-balancer", LISTENERS),
    ("network-load-balancers", LOAD_BALANCERS),
    ("rules-per-application-load-balancer", RULES),
    ("target-groups", TARGET_GROUPS),
    ("target-groups-per-action-on-application-load-balancer", GROUPS_OF_ACTION),
    ("target-groups-per-action-on-network-load-balancer", 1),
    ("target-groups-per-application-load-balancer", GROUPS_OF_LOAD_BALANCER),
    ("targets-per-application-load-balancer", TARGETS),
    ("targets-per-availability-zone-per-network-load-balancer", 500),
    ("targets-per-network-load-balancer", 3000),
];

impl Inner {
    /// Shows the quotas.
    pub(super) async fn describe_account_limits(
        &self,
        _: Context,
        input: shapes::DescribeAccountLimitsInput,
    ) -> Result<shapes::DescribeAccountLimitsOutput, Error> {
        let limit = |(name, max): &(&str, usize)| shapes::Limit {
            name: Some((*name).to_owned()),
            max: Some(max.to_string()),
        };
        let name = |limit: &shapes::Limit| limit.name.clone().unwrap_or_default();
        let all = SHOWN.iter().map(limit).collect();
        let (limits, next_marker) = page(all, name, input.page_size, input.marker.as_deref())?;
        Ok(shapes::DescribeAccountLimitsOutput { limits: Some(limits), next_marker })
    }
}
