//! `healthStatus` of an instance: what its agent last said of its checks (ECS semantics §4).

use agent_protocol::tcs::InstanceStatus;
use shapes_ecs as shapes;
use terms::Timestamp;
use wire::value::Enumeration;

use shapes::{InstanceHealthCheckState as State, InstanceHealthCheckType as Kind};

/// The health of an instance. Each of its checks counts, and the worst is the instance's: what is
/// said of an instance whose agent is away is no longer known.
pub(super) fn status(
    is_connected: bool,
    checks: &[InstanceStatus],
) -> shapes::ContainerInstanceHealthStatus {
    let known = checks.iter().filter_map(|check| result(is_connected, check));
    let mut details: Vec<_> = known.collect();
    if details.is_empty() {
        // Every agent has this check; it reports when the first heartbeat has come.
        let state = if is_connected { State::Initializing } else { State::InsufficientData };
        details.push(shapes::InstanceHealthCheckResult {
            type_: Some(Kind::ContainerRuntime),
            status: Some(state),
            ..Default::default()
        });
    }
    let overall = details.iter().filter_map(|detail| detail.status).max_by_key(|s| gravity(*s));
    shapes::ContainerInstanceHealthStatus { details: Some(details), overall_status: overall }
}

/// A check as the API shows it; one that the API has no name for is left out.
fn result(is_connected: bool, check: &InstanceStatus) -> Option<shapes::InstanceHealthCheckResult> {
    let said = State::parse(&check.status).unwrap_or(State::InsufficientData);
    Some(shapes::InstanceHealthCheckResult {
        type_: Some(kind(&check.kind)?),
        status: Some(if is_connected { said } else { State::InsufficientData }),
        status_reason: check.status_reason.clone().filter(|_| is_connected),
        last_updated: time(check.last_updated),
        last_status_change: time(check.last_status_change),
    })
}

/// `ContainerRuntime` of the agents is `CONTAINER_RUNTIME` of the API (agent protocol §4).
fn kind(text: &str) -> Option<Kind> {
    let mut name = String::new();
    for (index, letter) in text.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    Kind::parse(&name).or_else(|| Kind::parse(text))
}

fn time(seconds: f64) -> Option<Timestamp> {
    let known = seconds.is_finite() && seconds > 0.0;
    known.then(|| Timestamp::from_millis((seconds * 1000.0).round() as i64))
}

/// The worst is the greatest.
const fn gravity(state: State) -> u8 {
    match state {
        State::Ok => 0,
        State::Initializing => 1,
        State::InsufficientData => 2,
        State::Impaired => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &str, status: &str) -> InstanceStatus {
        let (kind, status) = (kind.to_owned(), status.to_owned());
        InstanceStatus {
            kind,
            status,
            status_reason: None,
            last_updated: 20.5,
            last_status_change: 10.0,
        }
    }

    /// The overall status, and each check's.
    fn shown(is_connected: bool, checks: &[InstanceStatus]) -> (&'static str, Vec<String>) {
        let status = status(is_connected, checks);
        let overall = status.overall_status.map_or("", State::as_str);
        let detail = |one: shapes::InstanceHealthCheckResult| {
            let kind = one.type_.map_or("", Kind::as_str);
            format!("{kind} {}", one.status.map_or("", State::as_str))
        };
        (overall, status.details.into_iter().flatten().map(detail).collect())
    }

    #[test]
    fn the_worst_check_is_the_instances_health() {
        let case = |is_connected: bool, checks: &[(&str, &str)], overall: &str, all: &[&str]| {
            let checks: Vec<_> = checks.iter().map(|(kind, status)| check(kind, status)).collect();
            let (shown, details) = shown(is_connected, &checks);
            assert_eq!((shown, details), (overall, all.iter().map(ToString::to_string).collect()));
        };
        let runtime = "ContainerRuntime";
        case(true, &[], "INITIALIZING", &["CONTAINER_RUNTIME INITIALIZING"]);
        case(false, &[], "INSUFFICIENT_DATA", &["CONTAINER_RUNTIME INSUFFICIENT_DATA"]);
        case(true, &[(runtime, "OK")], "OK", &["CONTAINER_RUNTIME OK"]);
        case(
            false,
            &[(runtime, "OK")],
            "INSUFFICIENT_DATA",
            &["CONTAINER_RUNTIME INSUFFICIENT_DATA"],
        );
        case(
            true,
            &[(runtime, "OK"), ("AcceleratedCompute", "IMPAIRED"), ("Daemon", "INITIALIZING")],
            "IMPAIRED",
            &["CONTAINER_RUNTIME OK", "ACCELERATED_COMPUTE IMPAIRED", "DAEMON INITIALIZING"],
        );
        case(
            true,
            &[(runtime, "odd")],
            "INSUFFICIENT_DATA",
            &["CONTAINER_RUNTIME INSUFFICIENT_DATA"],
        );
        case(true, &[("Unheard", "IMPAIRED"), (runtime, "OK")], "OK", &["CONTAINER_RUNTIME OK"]);
    }

    #[test]
    fn times_are_the_agents() {
        let details = status(true, &[check("ContainerRuntime", "OK")]).details.unwrap_or_default();
        assert_eq!(details[0].last_updated, Some(Timestamp::from_millis(20_500)));
        assert_eq!(details[0].last_status_change, Some(Timestamp::from_millis(10_000)));
    }
}
