//! `deploymentConfiguration` as a record, and as a shape.

use shapes_ecs as shapes;

use super::rules::deployment::merge;
pub(in crate::api) use super::rules::hooks::{action, target_type};
use super::rules::{Kind, hooks, strategy};
use crate::error::Error;
use crate::model::{
    CircuitBreaker, DeploymentAlarms, DeploymentConfiguration, EarlySuccess, Threshold,
};

/// The record of a service's configuration: what `old` says, or what is usual, with what is `given`
/// in its place.
///
/// # Errors
/// When what comes out breaks a rule of ECS.
pub(in crate::api) fn read(
    kind: Kind,
    old: Option<&DeploymentConfiguration>,
    given: Option<&shapes::DeploymentConfiguration>,
) -> Result<DeploymentConfiguration, Error> {
    let old = old.map(|old| shape(kind, old));
    let merged = merge(kind, old.as_ref(), given)?;
    let number = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let strategy = strategy::read(&merged);
    let alarms = merged.alarms.map(|alarms| DeploymentAlarms {
        names: alarms.alarm_names,
        enable: alarms.enable,
        rollback: alarms.rollback,
    });
    Ok(DeploymentConfiguration {
        maximum_percent: number(merged.maximum_percent).unwrap_or_default(),
        minimum_healthy_percent: number(merged.minimum_healthy_percent).unwrap_or_default(),
        breaker: merged.deployment_circuit_breaker.as_ref().map(breaker).unwrap_or_default(),
        alarms,
        bake_minutes: number(merged.bake_time_in_minutes),
        strategy,
        early: merged.early_success_criteria.as_ref().and_then(early),
        hooks: hooks::read(merged.lifecycle_hooks.as_ref()),
    })
}

fn breaker(given: &shapes::DeploymentCircuitBreaker) -> CircuitBreaker {
    let threshold = |given: &shapes::ThresholdConfiguration| {
        let value = u32::try_from(given.value).unwrap_or_default();
        match given.type_ {
            shapes::ThresholdType::Count => Threshold::Count(value),
            shapes::ThresholdType::BoundedPercent => Threshold::BoundedPercent(value),
            shapes::ThresholdType::UnboundedPercent => Threshold::UnboundedPercent(value),
        }
    };
    CircuitBreaker {
        enable: given.enable,
        rollback: given.rollback,
        threshold: given.threshold_configuration.as_ref().map(threshold).unwrap_or_default(),
        reset_on_healthy: given.reset_on_healthy_task.unwrap_or(true),
    }
}

/// Criteria that are off are as good as none.
fn early(given: &shapes::DeploymentEarlySuccessCriteria) -> Option<EarlySuccess> {
    let cleanup = given.source_service_revision_cleanup;
    given.enable.then(|| EarlySuccess {
        healthy_percent: given.healthy_percent.and_then(|n| u32::try_from(n).ok()).unwrap_or(100),
        deferred: cleanup == Some(shapes::ServiceRevisionCleanup::Deferred),
    })
}

/// The record as a shape: what was not given is not there.
fn shape(kind: Kind, record: &DeploymentConfiguration) -> shapes::DeploymentConfiguration {
    let percents = shapes::DeploymentConfiguration {
        maximum_percent: number(record.maximum_percent),
        minimum_healthy_percent: number(record.minimum_healthy_percent),
        ..Default::default()
    };
    if kind.is_external() {
        return percents;
    }
    let alarms = record.alarms.as_ref().map(|alarms| shapes::DeploymentAlarms {
        alarm_names: alarms.names.clone(),
        enable: alarms.enable,
        rollback: alarms.rollback,
    });
    let early = record.early.map(|early| shapes::DeploymentEarlySuccessCriteria {
        enable: true,
        healthy_percent: number(early.healthy_percent),
        source_service_revision_cleanup: Some(match early.deferred {
            true => shapes::ServiceRevisionCleanup::Deferred,
            false => shapes::ServiceRevisionCleanup::Blocking,
        }),
    });
    shapes::DeploymentConfiguration {
        strategy: Some(strategy::show(record.strategy)),
        linear_configuration: strategy::linear(record.strategy),
        canary_configuration: strategy::canary(record.strategy),
        bake_time_in_minutes: record.bake_minutes.and_then(number),
        deployment_circuit_breaker: Some(show_breaker(&record.breaker)),
        alarms,
        early_success_criteria: early,
        lifecycle_hooks: hooks::show(&record.hooks),
        ..percents
    }
}

/// The record as the API shows it.
pub(in crate::api) fn show(
    kind: Kind,
    record: &DeploymentConfiguration,
) -> shapes::DeploymentConfiguration {
    let shown = shape(kind, record);
    // A bake time that was never given is shown as none (observed on ECS).
    let bake = shown.bake_time_in_minutes.or_else(|| (!kind.is_external()).then_some(0));
    shapes::DeploymentConfiguration { bake_time_in_minutes: bake, ..shown }
}

fn show_breaker(breaker: &CircuitBreaker) -> shapes::DeploymentCircuitBreaker {
    let (type_, value) = match breaker.threshold {
        Threshold::Count(value) => (shapes::ThresholdType::Count, value),
        Threshold::BoundedPercent(value) => (shapes::ThresholdType::BoundedPercent, value),
        Threshold::UnboundedPercent(value) => (shapes::ThresholdType::UnboundedPercent, value),
    };
    shapes::DeploymentCircuitBreaker {
        enable: breaker.enable,
        rollback: breaker.rollback,
        reset_on_healthy_task: Some(breaker.reset_on_healthy),
        threshold_configuration: Some(shapes::ThresholdConfiguration {
            type_,
            value: number(value).unwrap_or(i32::MAX),
        }),
    }
}

fn number(number: u32) -> Option<i32> {
    i32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::super::rules::kinds::{DAEMON, EXTERNAL, REPLICA};
    use super::*;
    use crate::model::parse_json;

    #[test]
    fn what_is_stored_is_what_was_given() {
        let given: shapes::DeploymentConfiguration = parse_json(
            r#"{"maximumPercent": 150, "minimumHealthyPercent": 50, "bakeTimeInMinutes": 5,
                "strategy": "ROLLING",
                "deploymentCircuitBreaker": {"enable": true, "rollback": true,
                    "resetOnHealthyTask": false,
                    "thresholdConfiguration": {"type": "COUNT", "value": 7}},
                "alarms": {"alarmNames": ["a"], "enable": true, "rollback": false},
                "earlySuccessCriteria": {"enable": true, "healthyPercent": 80,
                    "sourceServiceRevisionCleanup": "DEFERRED"}}"#,
        );
        let record = read(REPLICA, None, Some(&given)).expect("it is good");
        assert_eq!(show(REPLICA, &record), given);
        let again = read(REPLICA, Some(&record), None);
        assert_eq!(again.ok(), Some(record));
    }

    #[test]
    fn a_bake_time_that_was_not_given_stays_so() {
        let record = read(REPLICA, None, None).expect("it is good");
        assert_eq!(record.bake_minutes, None);
        assert_eq!(show(REPLICA, &record).bake_time_in_minutes, Some(0));
        let again = read(REPLICA, Some(&record), Some(&Default::default()));
        assert_eq!(again.map(|again| again.bake_minutes).ok(), Some(None));
        assert_eq!(show(EXTERNAL, &record).bake_time_in_minutes, None);
        let daemon = read(DAEMON, None, None).expect("it is good");
        assert_eq!((daemon.minimum_healthy_percent, daemon.maximum_percent), (0, 100));
    }
}
