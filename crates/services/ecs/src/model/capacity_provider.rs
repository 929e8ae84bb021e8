//! Capacity providers: where a strategy's tasks go (ECS semantics §12).

use serde::{Deserialize, Serialize};
use terms::{CapacityProviderName, Timestamp};

use super::Tag;

/// The providers that every account has, and that nobody makes, changes or deletes.
pub(crate) const FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Whether a name is that of one of Fargate's two providers.
pub(crate) fn is_fargate(name: &CapacityProviderName) -> bool {
    FARGATE.contains(&name.as_str())
}

/// Where a provider is in its life (API reference, `CapacityProvider.status`).
///
/// Without Auto Scaling groups to set up, one is made and removed at once, so `PROVISIONING` and
/// `DEPROVISIONING` do not occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum ProviderStatus {
    /// May be given to a cluster.
    Active,
    /// Deleted; still described for a while.
    Inactive,
}

/// The outcome of the last change that was asked for (`updateStatus`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProviderUpdate {
    /// It has the new parameters.
    Updated,
    /// It is deleted.
    Deleted,
    /// It could not be deleted.
    DeleteFailed {
        /// Why not, for the user (`updateStatusReason`).
        reason: String,
    },
}

/// How the size of a provider's Auto Scaling group follows demand (ECS semantics §12.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManagedScaling {
    /// Whether ECS scales the group at all.
    pub(crate) enabled: bool,
    /// The share of its instances that should be in use, 1 to 100 percent.
    pub(crate) target_percent: u32,
    /// The fewest instances that are added at once, 1 to 10,000.
    pub(crate) minimum_step: u32,
    /// The most instances that are added at once, 1 to 10,000.
    pub(crate) maximum_step: u32,
    /// How long a new instance does not count, 0 to 10,000 seconds.
    pub(crate) warmup_s: u32,
}

impl Default for ManagedScaling {
    /// What ECS answers for a provider that says nothing about it.
    fn default() -> Self {
        Self {
            enabled: false,
            target_percent: 100,
            minimum_step: 1,
            maximum_step: 10_000,
            warmup_s: 300,
        }
    }
}

/// One capacity provider over an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CapacityProvider {
    /// The name, unique among those of an account and region that are not deleted.
    pub(crate) name: CapacityProviderName,
    /// Whether it is in use or deleted.
    pub(crate) status: ProviderStatus,
    /// How the last change went; none since it was made.
    pub(crate) update: Option<ProviderUpdate>,
    /// The Auto Scaling group's ARN or name, as given.
    pub(crate) group: String,
    /// How the group is scaled.
    pub(crate) scaling: ManagedScaling,
    /// Whether instances with tasks are kept from being scaled in.
    pub(crate) termination_protection: bool,
    /// Whether instances are drained before they go.
    pub(crate) draining: bool,
    /// Tags.
    pub(crate) tags: Vec<Tag>,
    /// The last change of `status`; deleted providers are forgotten some time after it.
    pub(crate) changed_at: Timestamp,
}

/// The name of the Auto Scaling group that an ARN or a name means: what is unique.
pub(crate) fn group_name(group: &str) -> &str {
    group.rsplit_once("autoScalingGroupName/").map_or(group, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_its_name() {
        let arn = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:\
                   6ba7b814-9dad-41d1-80b4-00c04fd430c8:autoScalingGroupName/web";
        assert_eq!(group_name(arn), "web");
        assert_eq!(group_name("web"), "web");
    }
}
