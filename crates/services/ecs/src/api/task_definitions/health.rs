//! Health checks (ECS semantics §3.4).

use shapes_ecs as shapes;

use super::containers::wrong;
use crate::error::Error;

/// Checks a health check.
pub(crate) fn check(check: &shapes::HealthCheck, name: &str) -> Result<(), Error> {
    let kind = check.command.first().map(String::as_str);
    if !matches!(kind, Some("CMD" | "CMD-SHELL")) || check.command.len() < 2 {
        return Err(wrong(
            name,
            "The command of a health check must begin with CMD or CMD-SHELL and go on.",
        ));
    }
    let bounds = [
        ("interval", check.interval, 5..=300),
        ("timeout", check.timeout, 2..=60),
        ("retries", check.retries, 1..=10),
        ("startPeriod", check.start_period, 0..=300),
    ];
    for (member, value, range) in bounds {
        if value.is_some_and(|value| !range.contains(&value)) {
            let (from, to) = range.into_inner();
            let text = format!("'{member}' of a health check must be {from} to {to}.");
            return Err(wrong(name, &text));
        }
    }
    Ok(())
}
