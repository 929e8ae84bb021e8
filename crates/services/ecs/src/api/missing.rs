//! What ECS says when a request breaks its model: its own texts, not those of most services.
//!
//! Known texts stand in one table; the others are made in their style. Constraints other than
//! missing members keep the usual text of AWS, except launch types.

use wire::ServiceError;
use wire::check::{Violation, describe};

const CLIENT: &str = "ClientException";
const INVALID: &str = "InvalidParameterException";

/// Operation (`*` for all), path of the missing member, code and text. The first line that fits
/// one of the missing members is told.
const TEXTS: [(&str, &str, &str, &str); 15] = [
    // Observed: `Container.name` and others have this form, so has an empty family.
    ("RegisterTaskDefinition", "family", CLIENT, "Family should not be null or empty."),
    // Observed.
    ("RegisterTaskDefinition", "containerDefinitions", CLIENT, "Container list cannot be empty."),
    // Observed for CreateService.
    ("*", "taskDefinition", INVALID, "TaskDefinition can not be blank."),
    // Observed: aws/copilot-cli issue 3551.
    ("*", "tasks", INVALID, "Tasks cannot be empty."),
    // Observed on ECS.
    ("DescribeServices", "services", INVALID, "Services cannot be empty."),
    // Seen in getmoto/moto and in fog, which took it from ECS.
    ("*", "containerInstances", CLIENT, "Container Instances cannot be empty."),
    // Observed for awsvpcConfiguration.
    ("*", "networkConfiguration.awsvpcConfiguration.subnets", INVALID, "subnets can not be empty."),
    ("PutAttributes", "attributes", INVALID, "attributes can not be empty"),
    ("DeleteAttributes", "attributes", INVALID, "attributes can not be empty"),
    ("ListAttributes", "targetType", INVALID, "targetType can not be blank."),
    ("TagResource", "tags", INVALID, "Tags can not be empty."),
    ("UntagResource", "tagKeys", INVALID, "Tag keys can not be empty."),
    ("UpdateClusterSettings", "settings", INVALID, "Settings cannot be empty."),
    ("DeleteTaskDefinitions", "taskDefinitions", INVALID, "Task definitions cannot be empty."),
    (
        "PutClusterCapacityProviders",
        "capacityProviders",
        INVALID,
        "Capacity providers cannot be null.",
    ),
];

/// Operations whose refusals are ClientExceptions, as a rule.
const CLIENT_OPERATIONS: [&str; 1] = ["RegisterTaskDefinition"];

/// The launch types of this model, as ECS tells them.
const LAUNCH_TYPES: &str = "launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]";

/// The error for what is broken; `violations` is not empty.
pub(super) fn explain(operation: &'static str, violations: &[Violation]) -> ServiceError {
    let missing: Vec<_> = violations.iter().filter(|one| one.is_missing()).collect();
    let known = TEXTS.iter().find(|(of, path, ..)| {
        (*of == "*" || *of == operation) && missing.iter().any(|one| one.path == *path)
    });
    if let Some((_, _, code, text)) = known {
        return ServiceError::new(*code, 400, *text);
    }
    if let Some(one) = missing.first() {
        let code = if CLIENT_OPERATIONS.contains(&operation) { CLIENT } else { INVALID };
        return ServiceError::new(code, 400, missing_text(&one.path));
    }
    // Observed: getmoto/moto has both from ECS.
    if violations.iter().any(|one| one.path == "launchType") {
        let code = if operation == "RunTask" { INVALID } else { CLIENT };
        return ServiceError::new(code, 400, LAUNCH_TYPES);
    }
    if let Some(text) = violations.iter().find_map(|one| unknown_setting(operation, one)) {
        return ServiceError::new(INVALID, 400, text);
    }
    ServiceError::new(INVALID, 400, describe(violations))
}

/// `x should be one of [serviceLongArnFormat,…]` for the name of an account setting.
fn unknown_setting(operation: &str, violation: &Violation) -> Option<String> {
    let names = violation.constraint.split_once(": [")?.1.strip_suffix(']')?.replace(", ", ",");
    let of_settings = violation.path == "name" && operation.contains("AccountSetting");
    let value = violation.value.trim_matches('\'');
    of_settings.then(|| format!("{value} should be one of [{names}]"))
}

/// `Task can not be blank.` for a member of the request itself,
/// `secret.name should not be null or empty.` for one further in.
fn missing_text(path: &str) -> String {
    let mut names = path.split('.').rev().filter(|step| *step != "member").peekable();
    let member = names.next().unwrap_or_default();
    let is_item = names.next_if(|step| step.bytes().all(|b| b.is_ascii_digit())).is_some();
    match names.next() {
        None => format!("{} can not be blank.", capitalised(member)),
        Some(list) if is_item => {
            format!(
                "{}.{member} should not be null or empty.",
                list.strip_suffix('s').unwrap_or(list)
            )
        }
        Some(parent) => format!("{parent}.{member} should not be null or empty."),
    }
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(path: &str, value: &str) -> Violation {
        let constraint = "Member must not be null".to_owned();
        Violation { path: path.to_owned(), value: value.to_owned(), constraint }
    }

    #[test]
    fn texts() {
        let check = |operation, paths: &[&str], code: &str, text: &str| {
            let broken: Vec<_> = paths.iter().map(|path| violation(path, "null")).collect();
            let told = explain(operation, &broken);
            assert_eq!((told.code.as_str(), told.message.as_str()), (code, text), "{paths:?}");
        };
        check("DescribeTasks", &["tasks"], INVALID, "Tasks cannot be empty.");
        let both = ["containerDefinitions", "family"];
        check("RegisterTaskDefinition", &both, CLIENT, "Family should not be null or empty.");
        check("StopTask", &["task"], INVALID, "Task can not be blank.");
        check("DeleteCluster", &["cluster"], INVALID, "Cluster can not be blank.");
        check("RunTask", &["taskDefinition"], INVALID, "TaskDefinition can not be blank.");
        let text = "secret.name should not be null or empty.";
        let path = "containerDefinitions.1.member.secrets.2.member.name";
        check("RegisterTaskDefinition", &[path], CLIENT, text);
        let text = "efsVolumeConfiguration.fileSystemId should not be null or empty.";
        let path = "volumes.1.member.efsVolumeConfiguration.fileSystemId";
        check("RegisterTaskDefinition", &[path], CLIENT, text);
        let text = "ephemeralStorage.sizeInGiB should not be null or empty.";
        check("RunTask", &["overrides.ephemeralStorage.sizeInGiB"], INVALID, text);
    }

    #[test]
    fn other_constraints_keep_their_text() {
        let told = explain("RunTask", &[violation("count", "'x'")]);
        assert!(told.message.starts_with("1 validation error detected"), "{}", told.message);
        let told = explain("RunTask", &[violation("launchType", "'LAMBDA'")]);
        assert_eq!((told.code.as_ref(), told.message.as_ref()), (INVALID, LAUNCH_TYPES));
        let mut name = violation("name", "'x'");
        name.constraint = "Member must satisfy enum value set: [a, b]".to_owned();
        let told = explain("ListAccountSettings", &[name]);
        assert_eq!(told.message, "x should be one of [a,b]");
    }
}
