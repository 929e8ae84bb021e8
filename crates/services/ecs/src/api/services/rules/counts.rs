//! How many tasks a service may have, and for how long their health is not looked at.

use super::Kind;
use crate::error::Error;

/// Most tasks of a service (ECS semantics §24).
const MAX_TASKS: i32 = 5_000;
/// Longest client token, in characters (ECS semantics §1.3).
const MAX_TOKEN_CHARS: usize = 36;

/// The desired count that CreateService gives: none for a daemon.
///
/// # Errors
/// When a replica service has none, a daemon has one, or it is out of range. A service of task
/// sets needs nothing but its name (API reference, CreateService).
pub(in crate::api) fn desired_at_first(kind: Kind, given: Option<i32>) -> Result<u32, Error> {
    match given {
        Some(_) if kind.is_daemon() => Err(of_daemon()),
        // Observed on ECS.
        None if !kind.is_daemon() && !kind.is_external() => {
            Err(Error::invalid("DesiredCount is missing"))
        }
        None => Ok(0),
        Some(count) => in_range(count, "DesiredCount can not be lesser than 0"),
    }
}

/// The desired count that UpdateService gives, if it gives one.
///
/// # Errors
/// When a daemon gets one, or it is out of range.
pub(in crate::api) fn desired(kind: Kind, given: Option<i32>) -> Result<Option<u32>, Error> {
    match given {
        Some(_) if kind.is_daemon() => Err(of_daemon()),
        Some(count) => in_range(count, "Task count can not be lesser than 0").map(Some),
        None => Ok(None),
    }
}

/// Observed on ECS.
fn of_daemon() -> Error {
    Error::invalid(
        "The daemon scheduling strategy does not support a desired count for services. Remove the \
         desired count value and try again",
    )
}

/// The texts for negative counts were observed on ECS.
fn in_range(count: i32, negative: &str) -> Result<u32, Error> {
    if count > MAX_TASKS {
        let text = format!("The maximum number of tasks per service is {MAX_TASKS}.");
        return Err(Error::invalid(text));
    }
    u32::try_from(count).map_err(|_| Error::invalid(negative))
}

/// The grace period, if one is given, in seconds.
///
/// # Errors
/// When it is negative.
pub(in crate::api) fn grace(given: Option<i32>) -> Result<Option<u32>, Error> {
    // Observed on ECS.
    let wrong = |_| Error::invalid("healthCheckGracePeriodSeconds must be at least 0");
    given.map(|seconds| u32::try_from(seconds).map_err(wrong)).transpose()
}

/// A client token, checked.
///
/// # Errors
/// When it is too long, or has characters that a token may not have.
pub(in crate::api) fn token(given: Option<&str>) -> Result<Option<&str>, Error> {
    let Some(token) = given.filter(|token| !token.is_empty()) else { return Ok(None) };
    if token.chars().count() > MAX_TOKEN_CHARS {
        // Observed on ECS.
        return Err(Error::invalid(format!("idempotency token longer than {MAX_TOKEN_CHARS}.")));
    }
    if !token.bytes().all(|byte| (33..=126).contains(&byte)) {
        return Err(Error::invalid("clientToken takes ASCII characters, without spaces."));
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{DAEMON, EXTERNAL, REPLICA};
    use super::*;

    #[test]
    fn desired_counts() {
        let first = |kind, given, expected: Option<u32>| {
            assert_eq!(desired_at_first(kind, given).ok(), expected, "{kind:?} {given:?}");
        };
        first(REPLICA, Some(0), Some(0));
        first(REPLICA, Some(5_000), Some(5_000));
        first(REPLICA, Some(5_001), None);
        first(REPLICA, Some(-1), None);
        first(REPLICA, None, None);
        first(DAEMON, None, Some(0));
        first(DAEMON, Some(0), None);
        first(EXTERNAL, None, Some(0));
        first(EXTERNAL, Some(2), Some(2));
        let later = |kind, given, expected: Option<Option<u32>>| {
            assert_eq!(desired(kind, given).ok(), expected, "{kind:?} {given:?}");
        };
        later(REPLICA, None, Some(None));
        later(REPLICA, Some(3), Some(Some(3)));
        later(REPLICA, Some(-1), None);
        later(DAEMON, None, Some(None));
        later(DAEMON, Some(1), None);
    }

    #[test]
    fn tokens_and_grace() {
        assert_eq!(token(None).ok(), Some(None));
        assert_eq!(token(Some("")).ok(), Some(None));
        assert!(token(Some(&"a".repeat(36))).is_ok());
        assert!(token(Some(&"a".repeat(37))).is_err());
        assert!(token(Some("a b")).is_err());
        assert!(token(Some("ü")).is_err());
        assert_eq!(grace(None).ok(), Some(None));
        assert_eq!(grace(Some(i32::MAX)).ok(), Some(Some(2_147_483_647)));
        assert!(grace(Some(-1)).is_err());
    }
}
