//! What a provider says of its Auto Scaling group, as requests give it (API reference,
//! `AutoScalingGroupProvider`).

use shapes_ecs as shapes;
use shapes_ecs::{ManagedDraining, ManagedScalingStatus, ManagedTerminationProtection};

use crate::error::Error;
use crate::model::{CapacityProvider, ManagedScaling, ProviderUpdate};

/// Longest name of an Auto Scaling group (Auto Scaling API reference, CreateAutoScalingGroup).
const MAX_GROUP_CHARS: usize = 255;

/// What can be changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// How it is scaled.
    pub(super) scaling: ManagedScaling,
    /// Whether instances with tasks are kept from being scaled in.
    pub(super) termination_protection: bool,
    /// Whether instances are drained before they go.
    pub(super) draining: bool,
}

impl Group {
    /// Reads what a new provider is given; gives the group's ARN or name, too.
    pub(super) fn create(given: shapes::AutoScalingGroupProvider) -> Result<(String, Self), Error> {
        check_arn(&given.auto_scaling_group_arn)?;
        // What ECS answers for a provider that says nothing else.
        let usual = Self {
            scaling: ManagedScaling::default(),
            termination_protection: false,
            draining: true,
        };
        let update = shapes::AutoScalingGroupProviderUpdate {
            managed_draining: given.managed_draining,
            managed_scaling: given.managed_scaling,
            managed_termination_protection: given.managed_termination_protection,
        };
        Ok((given.auto_scaling_group_arn, usual.update(update)?))
    }

    /// What a provider has.
    pub(super) fn of(row: &CapacityProvider) -> Self {
        Self {
            scaling: row.scaling.clone(),
            termination_protection: row.termination_protection,
            draining: row.draining,
        }
    }

    /// The same with what is given changed.
    pub(super) fn update(
        mut self,
        given: shapes::AutoScalingGroupProviderUpdate,
    ) -> Result<Self, Error> {
        if let Some(scaling) = given.managed_scaling {
            self.scaling = changed(self.scaling, &scaling)?;
        }
        if let Some(protection) = given.managed_termination_protection {
            self.termination_protection = protection == ManagedTerminationProtection::Enabled;
        }
        if let Some(draining) = given.managed_draining {
            self.draining = draining == ManagedDraining::Enabled;
        }
        if self.termination_protection && !self.scaling.enabled {
            return Err(Error::client(
                "The managed termination protection setting for the capacity provider is invalid. \
                 To enable managed termination protection for a capacity provider, managed \
                 scaling must be enabled.",
            ));
        }
        Ok(self)
    }

    /// The provider with this in place of what it had.
    pub(super) fn into_provider(self, row: &CapacityProvider) -> CapacityProvider {
        CapacityProvider {
            update: Some(ProviderUpdate::Updated),
            scaling: self.scaling,
            termination_protection: self.termination_protection,
            draining: self.draining,
            ..row.clone()
        }
    }
}

/// The model has checked each number's range.
fn changed(old: ManagedScaling, given: &shapes::ManagedScaling) -> Result<ManagedScaling, Error> {
    let number = |given: Option<i32>, old| given.map_or(old, |n| u32::try_from(n).unwrap_or(old));
    let scaling = ManagedScaling {
        enabled: given.status.map_or(old.enabled, |s| s == ManagedScalingStatus::Enabled),
        target_percent: number(given.target_capacity, old.target_percent),
        minimum_step: number(given.minimum_scaling_step_size, old.minimum_step),
        maximum_step: number(given.maximum_scaling_step_size, old.maximum_step),
        warmup_s: number(given.instance_warmup_period, old.warmup_s),
    };
    if scaling.minimum_step > scaling.maximum_step {
        // Observed on ECS.
        return Err(Error::client("The minimum or maximum scaling step size value is invalid."));
    }
    Ok(scaling)
}

/// `arn:aws:autoscaling:<region>:<account>:autoScalingGroup:<uuid>:autoScalingGroupName/<name>`, or
/// the name alone.
fn check_arn(text: &str) -> Result<(), Error> {
    let is_name = |name: &str| {
        !name.trim().is_empty() && name.chars().count() <= MAX_GROUP_CHARS && !name.contains(':')
    };
    let good = if text.starts_with("arn:") {
        let fields: Vec<_> = text.splitn(8, ':').collect();
        matches!(
            fields[..],
            ["arn", _, "autoscaling", region, account, "autoScalingGroup", id, name]
                if region.parse::<terms::Region>().is_ok()
                    && account.parse::<terms::AccountId>().is_ok()
                    && !id.is_empty()
                    && name.strip_prefix("autoScalingGroupName/").is_some_and(is_name)
        )
    } else {
        is_name(text)
    };
    let text = "The specified Auto Scaling group ARN is invalid. Specify a valid Auto Scaling group \
                ARN and try again.";
    good.then_some(()).ok_or_else(|| Error::client(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:\
                       6ba7b814-9dad-41d1-80b4-00c04fd430c8:autoScalingGroupName/web";

    #[test]
    fn groups_are_named_or_have_an_arn() {
        let check = |text: &str, good: bool| assert_eq!(check_arn(text).is_ok(), good, "{text}");
        check(ARN, true);
        check("web servers", true);
        check("", false);
        check(" ", false);
        check("a:b", false);
        check(&"a".repeat(256), false);
        check(&ARN.replace("web", ""), false);
        check(&ARN.replace("123456789012", "12"), false);
        check(&ARN.replace("autoscaling", "ecs"), false);
        check("arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:x", false);
    }

    #[test]
    fn what_is_not_given_stays() {
        let given = shapes::AutoScalingGroupProvider {
            auto_scaling_group_arn: ARN.to_owned(),
            ..Default::default()
        };
        let (_, usual) = Group::create(given).unwrap_or_else(|error| panic!("{error}"));
        let expected = Group {
            scaling: ManagedScaling {
                enabled: false,
                target_percent: 100,
                minimum_step: 1,
                maximum_step: 10_000,
                warmup_s: 300,
            },
            termination_protection: false,
            draining: true,
        };
        assert_eq!(usual, expected);
        let scaling = shapes::ManagedScaling {
            status: Some(ManagedScalingStatus::Enabled),
            target_capacity: Some(5),
            instance_warmup_period: Some(0),
            ..Default::default()
        };
        let update = shapes::AutoScalingGroupProviderUpdate {
            managed_scaling: Some(scaling),
            managed_termination_protection: Some(ManagedTerminationProtection::Enabled),
            ..Default::default()
        };
        let changed = usual.update(update).unwrap_or_else(|error| panic!("{error}"));
        let now = ManagedScaling {
            enabled: true,
            target_percent: 5,
            warmup_s: 0,
            ..ManagedScaling::default()
        };
        assert_eq!(changed, Group { scaling: now, termination_protection: true, draining: true });
    }

    #[test]
    fn protection_needs_scaling_and_steps_an_order() {
        let group = || Group {
            scaling: ManagedScaling { enabled: true, ..ManagedScaling::default() },
            termination_protection: true,
            draining: false,
        };
        let scaling = |status, minimum, maximum| shapes::AutoScalingGroupProviderUpdate {
            managed_scaling: Some(shapes::ManagedScaling {
                status: Some(status),
                minimum_scaling_step_size: Some(minimum),
                maximum_scaling_step_size: Some(maximum),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(group().update(scaling(ManagedScalingStatus::Enabled, 2, 2)).is_ok());
        assert!(group().update(scaling(ManagedScalingStatus::Enabled, 3, 2)).is_err());
        assert!(group().update(scaling(ManagedScalingStatus::Disabled, 1, 2)).is_err());
    }
}
