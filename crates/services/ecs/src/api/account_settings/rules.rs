//! What account settings there are, and what values they take (ECS Developer Guide, "Access Amazon
//! ECS features with account settings").

use shapes_ecs::{SettingName, SettingType};

use crate::error::Error;

/// Every setting, by name.
pub(super) const NAMES: [SettingName; 12] = [
    SettingName::AwsvpcTrunking,
    SettingName::ContainerInsights,
    SettingName::ContainerInstanceLongArnFormat,
    SettingName::DefaultLogDriverMode,
    SettingName::DualStackIPv6,
    SettingName::FargateEventWindows,
    SettingName::FargateFIPSMode,
    SettingName::FargateTaskRetirementWaitPeriod,
    SettingName::GuardDutyActivate,
    SettingName::ServiceLongArnFormat,
    SettingName::TagResourceAuthorization,
    SettingName::TaskLongArnFormat,
];

/// The values of a setting, the one first that accounts have that never set it.
const fn values(name: SettingName) -> &'static [&'static str] {
    match name {
        SettingName::ServiceLongArnFormat
        | SettingName::TaskLongArnFormat
        | SettingName::ContainerInstanceLongArnFormat => &["enabled", "disabled"],
        SettingName::AwsvpcTrunking
        | SettingName::DualStackIPv6
        | SettingName::FargateFIPSMode
        | SettingName::FargateEventWindows => &["disabled", "enabled"],
        SettingName::ContainerInsights => &["disabled", "enabled", "enhanced"],
        SettingName::TagResourceAuthorization => &["on", "off"],
        SettingName::FargateTaskRetirementWaitPeriod => &["7", "0", "14"],
        SettingName::GuardDutyActivate => &["off", "on"],
        SettingName::DefaultLogDriverMode => &["non-blocking", "blocking"],
    }
}

/// The value that a setting has where nobody set it.
pub(super) const fn usual(name: SettingName) -> &'static str {
    values(name)[0]
}

/// Whether a setting can have a value.
pub(crate) fn allows(name: SettingName, value: &str) -> bool {
    values(name).contains(&value)
}

/// Whether the user or AWS sets it.
pub(super) const fn kind(name: SettingName) -> SettingType {
    match name {
        SettingName::GuardDutyActivate => SettingType::AwsManaged,
        SettingName::ServiceLongArnFormat
        | SettingName::TaskLongArnFormat
        | SettingName::ContainerInstanceLongArnFormat
        | SettingName::AwsvpcTrunking
        | SettingName::ContainerInsights
        | SettingName::FargateFIPSMode
        | SettingName::TagResourceAuthorization
        | SettingName::FargateTaskRetirementWaitPeriod
        | SettingName::DefaultLogDriverMode
        | SettingName::DualStackIPv6
        | SettingName::FargateEventWindows => SettingType::User,
    }
}

/// Refuses settings that the user does not set.
pub(super) fn check_writable(name: SettingName) -> Result<(), Error> {
    match kind(name) {
        SettingType::User => Ok(()),
        SettingType::AwsManaged => {
            Err(Error::invalid("The setting 'guardDutyActivate' is managed by AWS."))
        }
    }
}

/// Checks a value that is to be set.
pub(super) fn check(name: SettingName, value: &str) -> Result<(), Error> {
    check_writable(name)?;
    if !allows(name, value) {
        // Observed on ECS.
        return Err(Error::invalid("Invalid setting 'value'"));
    }
    let long_arns = matches!(
        name,
        SettingName::ServiceLongArnFormat
            | SettingName::TaskLongArnFormat
            | SettingName::ContainerInstanceLongArnFormat
    );
    if long_arns && value == "disabled" {
        // Observed on ECS; opting out ended on 1 April 2021.
        return Err(Error::invalid("You can no longer disable Long Arn settings"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_all_listed_and_in_order() {
        assert!(NAMES.is_sorted_by(|a, b| a.as_str() < b.as_str()));
        let wire::Kind::Enum(known) = shapes_ecs::schemas::SETTING_NAME.kind else {
            panic!("names of settings are an enumeration");
        };
        let mut known = known.to_vec();
        known.sort_unstable();
        assert_eq!(NAMES.map(SettingName::as_str).as_slice(), known);
    }

    #[test]
    fn values_are_checked() {
        let verdict = |name, value| check(name, value).map_err(|error| error.to_string());
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(verdict(SettingName::AwsvpcTrunking, "enabled"), Ok(()));
        assert_eq!(verdict(SettingName::ContainerInsights, "enhanced"), Ok(()));
        assert_eq!(verdict(SettingName::TagResourceAuthorization, "off"), Ok(()));
        assert_eq!(verdict(SettingName::FargateTaskRetirementWaitPeriod, "14"), Ok(()));
        assert_eq!(verdict(SettingName::DefaultLogDriverMode, "blocking"), Ok(()));
        let wrong = "Invalid setting 'value'";
        assert_eq!(verdict(SettingName::AwsvpcTrunking, "ENABLED"), refused(wrong));
        assert_eq!(verdict(SettingName::TagResourceAuthorization, "enabled"), refused(wrong));
        assert_eq!(verdict(SettingName::FargateTaskRetirementWaitPeriod, "1"), refused(wrong));
        let arns = "You can no longer disable Long Arn settings";
        assert_eq!(verdict(SettingName::TaskLongArnFormat, "disabled"), refused(arns));
        assert!(verdict(SettingName::GuardDutyActivate, "on").is_err());
    }
}
