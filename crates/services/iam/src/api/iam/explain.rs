//! Broken constraints of the model in IAM's words (observed). What is missing, too short or too long
//! comes first, in the sentence of every service; wrong characters in names and paths have a sentence
//! of IAM's own, for one of them.

use wire::{ServiceError, Violation, describe_violations};

/// What the model allows in names.
const NAMES: &str = r"[\w+=,.@-]+";
/// What it allows in paths of users, groups and roles, and in those of policies.
const PATHS: [&str; 2] =
    [r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)", r"((/[A-Za-z0-9\.,\+@=_-]+)*)/"];

/// What IAM answers.
pub(super) fn explain(_: &'static str, broken: &[Violation]) -> ServiceError {
    let others: Vec<_> = broken.iter().filter(|one| own(one).is_none()).cloned().collect();
    let text = match broken.iter().find_map(own) {
        Some(text) if others.is_empty() => text,
        Some(_) => describe_violations(&others),
        None => describe_violations(broken),
    };
    ServiceError::new("ValidationError", 400, text)
}

/// The sentence of IAM's own, if there is one.
fn own(broken: &Violation) -> Option<String> {
    let pattern = broken.constraint.split_once("pattern: ")?.1;
    let allowed = if pattern == NAMES {
        "It must contain only alphanumeric characters and/or the following: +=,.@_-"
    } else if PATHS.contains(&pattern) {
        "It must begin and end with / and contain only alphanumeric characters and/or / characters."
    } else {
        return None;
    };
    Some(format!("The specified value for {} is invalid. {allowed}", broken.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, constraint: &str) -> Violation {
        Violation {
            path: path.to_owned(),
            value: "'a b'".to_owned(),
            constraint: constraint.to_owned(),
        }
    }

    fn pattern(path: &str, pattern: &str) -> Violation {
        broken(path, &format!("Member must satisfy regular expression pattern: {pattern}"))
    }

    #[test]
    fn lengths_come_before_characters() {
        let long = broken("userName", "Member must have length less than or equal to 64");
        let told = explain("CreateUser", &[pattern("userName", NAMES), long.clone()]);
        assert_eq!(told.message, describe_violations(&[long]));
        let told = explain("CreateUser", &[pattern("path", PATHS[0]), pattern("userName", NAMES)]);
        assert!(told.message.starts_with("The specified value for path is invalid. It must begin"));
        let key = pattern("tags.1.member.key", "[a-z]+");
        assert_eq!(
            explain("TagUser", std::slice::from_ref(&key)).message,
            describe_violations(&[key])
        );
    }
}
