//! How a service is deployed: `deploymentConfiguration`, checked, with what is not said filled in
//! (API reference, `DeploymentConfiguration`; ECS semantics §7.2, §8).

use shapes_ecs as shapes;
use shapes_ecs::{DeploymentConfiguration, DeploymentStrategy, ThresholdType};

use super::{Kind, early, hooks, some, strategy};
use crate::error::Error;

/// Longest bake time: a day, in minutes.
const MAX_BAKE_MINUTES: i32 = 24 * 60;
/// Most alarms of a service.
const MAX_ALARMS: usize = 100;

/// What a service has that says nothing.
fn usual(kind: Kind) -> DeploymentConfiguration {
    let (maximum, minimum) = if kind.is_daemon() { (100, 0) } else { (200, 100) };
    let percents = DeploymentConfiguration {
        maximum_percent: Some(maximum),
        minimum_healthy_percent: Some(minimum),
        ..Default::default()
    };
    if kind.is_external() {
        return percents;
    }
    DeploymentConfiguration {
        strategy: Some(DeploymentStrategy::Rolling),
        deployment_circuit_breaker: Some(shapes::DeploymentCircuitBreaker {
            enable: false,
            rollback: false,
            reset_on_healthy_task: Some(true),
            threshold_configuration: Some(shapes::ThresholdConfiguration {
                type_: ThresholdType::BoundedPercent,
                value: 50,
            }),
        }),
        ..percents
    }
}

/// The configuration of a service: `old`, or the usual one, with what is `given` in its place.
/// Members that are not given stay; so do those of the circuit breaker (observed on ECS).
///
/// # Errors
/// When what comes out breaks a rule of ECS.
pub(in crate::api) fn merge(
    kind: Kind,
    old: Option<&DeploymentConfiguration>,
    given: Option<&DeploymentConfiguration>,
) -> Result<DeploymentConfiguration, Error> {
    let mut merged = old.cloned().unwrap_or_else(|| usual(kind));
    let Some(given) = given else { return Ok(merged) };
    if kind.is_external() {
        refuse_of_external(given)?;
        return Ok(merged);
    }
    let DeploymentConfiguration { maximum_percent, minimum_healthy_percent, .. } = given;
    merged.maximum_percent = maximum_percent.or(merged.maximum_percent);
    merged.minimum_healthy_percent = minimum_healthy_percent.or(merged.minimum_healthy_percent);
    merged.strategy = given.strategy.or(merged.strategy);
    merged.bake_time_in_minutes = given.bake_time_in_minutes.or(merged.bake_time_in_minutes);
    merged.alarms = given.alarms.clone().or(merged.alarms);
    merged.linear_configuration =
        given.linear_configuration.clone().or(merged.linear_configuration);
    merged.canary_configuration =
        given.canary_configuration.clone().or(merged.canary_configuration);
    merged.lifecycle_hooks = given.lifecycle_hooks.clone().or(merged.lifecycle_hooks);
    let early = given.early_success_criteria.clone();
    merged.early_success_criteria = early.or(merged.early_success_criteria);
    if let Some(breaker) = &given.deployment_circuit_breaker {
        merged.deployment_circuit_breaker = Some(merge_breaker(&merged, breaker));
    }
    strategy::settle(kind, given, &mut merged)?;
    check(kind, &merged)?;
    Ok(merged)
}

/// A breaker that is off never rolls back (observed on ECS).
fn merge_breaker(
    old: &DeploymentConfiguration,
    given: &shapes::DeploymentCircuitBreaker,
) -> shapes::DeploymentCircuitBreaker {
    let old = old.deployment_circuit_breaker.as_ref();
    let threshold = given.threshold_configuration.clone();
    shapes::DeploymentCircuitBreaker {
        enable: given.enable,
        rollback: given.enable && given.rollback,
        reset_on_healthy_task: given
            .reset_on_healthy_task
            .or_else(|| old.and_then(|old| old.reset_on_healthy_task)),
        threshold_configuration: threshold
            .or_else(|| old.and_then(|old| old.threshold_configuration.clone())),
    }
}

/// Percentages that are the usual ones may be said (ECS semantics §11).
fn refuse_of_external(given: &DeploymentConfiguration) -> Result<(), Error> {
    let DeploymentConfiguration { maximum_percent, minimum_healthy_percent, .. } = given;
    let usual = matches!(maximum_percent, None | Some(200))
        && matches!(minimum_healthy_percent, None | Some(100));
    if !usual {
        return Err(Error::invalid(
            "minimumHealthyPercent and maximumPercent cannot be specified for services with an \
             EXTERNAL deployment controller.",
        ));
    }
    let breaker = given.deployment_circuit_breaker.as_ref().is_some_and(|one| one.enable);
    let alarms = given.alarms.as_ref().is_some_and(|one| one.enable);
    let early = given.early_success_criteria.as_ref().is_some_and(|one| one.enable);
    let is_rolling = matches!(given.strategy, None | Some(DeploymentStrategy::Rolling));
    if some(&given.lifecycle_hooks) {
        return Err(Error::invalid(
            "Lifecycle hooks can only be used with the ECS deployment controller.",
        ));
    }
    if !is_rolling {
        return Err(Error::invalid(
            "Deployment strategies can only be used with the ECS deployment controller.",
        ));
    }
    let what = match (breaker, alarms, early) {
        (true, ..) => "Deployment circuit breaker",
        (_, true, _) => "Deployment alarms",
        (.., true) => "Early success criteria",
        (false, false, false) => return Ok(()),
    };
    Err(Error::invalid(format!("{what} can only be used with the ECS deployment controller.")))
}

fn check(kind: Kind, merged: &DeploymentConfiguration) -> Result<(), Error> {
    let maximum = merged.maximum_percent.unwrap_or_default();
    let minimum = merged.minimum_healthy_percent.unwrap_or_default();
    check_percents(kind, minimum, maximum)?;
    let bake = merged.bake_time_in_minutes.unwrap_or_default();
    if !(0..=MAX_BAKE_MINUTES).contains(&bake) {
        let text = format!("bakeTimeInMinutes must be between 0 and {MAX_BAKE_MINUTES}");
        return Err(Error::invalid(text));
    }
    if let Some(breaker) = &merged.deployment_circuit_breaker {
        check_threshold(breaker)?;
    }
    if let Some(alarms) = &merged.alarms {
        check_alarms(alarms)?;
    }
    hooks::check(merged.lifecycle_hooks.as_deref().unwrap_or_default())?;
    let early = merged.early_success_criteria.as_ref();
    early.map_or(Ok(()), |criteria| early::check(criteria, minimum))
}

/// The texts were observed on ECS. So was a refusal of 100 and 100, but only lately: ECS's guide
/// has such a deployment hang and say so, and so do we (docs/decisions/0045).
fn check_percents(kind: Kind, minimum: i32, maximum: i32) -> Result<(), Error> {
    let text = match (minimum, maximum) {
        (_, 101..) if kind.is_daemon() => {
            "The daemon scheduling strategy does not support values above 100 for maximumPercent \
             on a deployment configuration. Change the maximumPercent value to 100, and try again"
        }
        (_, ..=99) => "maximumPercent must be at least 100",
        (_, 201..) => "maximumPercent must be at most 200",
        (..=-1, _) => "minimumHealthyPercent must be at least 0",
        (101.., _) => "minimumHealthyPercent must be at most 100",
        _ => return Ok(()),
    };
    Err(Error::invalid(text))
}

fn check_threshold(breaker: &shapes::DeploymentCircuitBreaker) -> Result<(), Error> {
    let Some(threshold) = &breaker.threshold_configuration else { return Ok(()) };
    let (good, range) = match threshold.type_ {
        ThresholdType::Count => (threshold.value >= 1, "at least 1"),
        ThresholdType::BoundedPercent | ThresholdType::UnboundedPercent => {
            ((1..=100).contains(&threshold.value), "between 1 and 100")
        }
    };
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Invalid deployment circuit breaker threshold value: it must be {range} for the type {}.",
        wire::value::Enumeration::as_str(threshold.type_)
    )))
}

fn check_alarms(alarms: &shapes::DeploymentAlarms) -> Result<(), Error> {
    let names = &alarms.alarm_names;
    if alarms.enable && names.is_empty() {
        return Err(Error::invalid("alarmNames can not be empty when alarms are enabled."));
    }
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(Error::invalid("Alarm names can not be blank."));
    }
    if names.len() > MAX_ALARMS {
        return Err(Error::invalid(format!("alarmNames can have at most {MAX_ALARMS} items.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
