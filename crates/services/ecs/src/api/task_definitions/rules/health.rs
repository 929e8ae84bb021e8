//! Health checks (ECS semantics §3.4).

use shapes_ecs as shapes;

use crate::error::Error;

/// Seconds between two checks if the definition does not say.
pub(in super::super) const DEFAULT_INTERVAL: i32 = 30;
/// Seconds that a check may take if the definition does not say.
pub(in super::super) const DEFAULT_TIMEOUT: i32 = 5;
/// Failures until the container is unhealthy if the definition does not say.
pub(in super::super) const DEFAULT_RETRIES: i32 = 3;

/// Checks a health check. The texts of upper bounds were observed.
///
/// A command that begins with another word is taken, as ECS takes it (aws/aws-cdk issue 34389:
/// `["/healthcheck"]`, AWS's own example for its collector); Docker knows no check of that kind, so
/// that agents make none.
pub(super) fn check(check: &shapes::HealthCheck, name: &str) -> Result<(), Error> {
    let is_kind = |word: &str| matches!(word, "CMD" | "CMD-SHELL");
    let is_empty = match check.command.as_slice() {
        [] => true,
        [only] => only.is_empty() || is_kind(only),
        _ => false,
    };
    if is_empty {
        return Err(Error::client(format!(
            "Health check command should not be empty for container '{name}'"
        )));
    }
    let bounds = [
        ("interval", check.interval, 5..=300),
        ("timeout", check.timeout, 2..=60),
        ("retries", check.retries, 1..=10),
        ("startPeriod", check.start_period, 0..=300),
    ];
    for (member, value, range) in bounds {
        let Some(value) = value.filter(|value| !range.contains(value)) else { continue };
        let (least, most) = range.into_inner();
        let told = if value > most {
            format!("less than or equal to the maximum allowed value {most}")
        } else {
            format!("greater than or equal to the minimum allowed value {least}")
        };
        return Err(Error::client(format!(
            "Health check {member} must be {told} for container '{name}'"
        )));
    }
    Ok(())
}
