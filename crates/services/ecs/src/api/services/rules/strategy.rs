//! Deployment strategies (API reference, `DeploymentConfiguration`; ECS semantics §10.1).

use shapes_ecs as shapes;
use shapes_ecs::{DeploymentConfiguration, DeploymentStrategy as Shape};

use super::Kind;
use crate::error::Error;
use crate::model::Strategy;

/// Longest time between steps: a day, in minutes.
const MAX_MINUTES: i32 = 24 * 60;

/// Checks what belongs to the strategy, fills in what is usual and takes away what belongs to
/// another.
///
/// # Errors
/// When a member is out of its range, or the strategy does not go with the service.
pub(super) fn settle(
    kind: Kind,
    given: &DeploymentConfiguration,
    merged: &mut DeploymentConfiguration,
) -> Result<(), Error> {
    let strategy = merged.strategy.unwrap_or(Shape::Rolling);
    if strategy == Shape::Rolling {
        if super::some(&given.lifecycle_hooks) {
            return Err(Error::invalid(
                "Lifecycle hooks are not supported with the ROLLING deployment strategy.",
            ));
        }
        merged.lifecycle_hooks = None;
    }
    if strategy != Shape::Rolling {
        let word = wire::value::Enumeration::as_str(strategy);
        if kind.is_daemon() {
            return Err(Error::invalid(format!(
                "The daemon scheduling strategy does not support the {word} deployment strategy."
            )));
        }
        if merged.bake_time_in_minutes.is_none() && strategy == Shape::BlueGreen {
            return Err(Error::invalid(
                "bakeTimeInMinutes is required for the BLUE_GREEN deployment strategy.",
            ));
        }
        if merged.early_success_criteria.as_ref().is_some_and(|early| early.enable) {
            return Err(Error::invalid(format!(
                "earlySuccessCriteria is not supported with the {word} deployment strategy."
            )));
        }
    }
    merged.linear_configuration = match strategy {
        Shape::Linear => Some(check_linear(merged.linear_configuration.take())?),
        _ => None,
    };
    merged.canary_configuration = match strategy {
        Shape::Canary => Some(check_canary(merged.canary_configuration.take())?),
        _ => None,
    };
    Ok(())
}

fn check_linear(
    given: Option<shapes::LinearConfiguration>,
) -> Result<shapes::LinearConfiguration, Error> {
    let given = given.unwrap_or_default();
    let percent = given.step_percent.unwrap_or(10.0);
    check_percent("stepPercent", percent, 3.0)?;
    let minutes = given.step_bake_time_in_minutes.unwrap_or(6);
    check_minutes("stepBakeTimeInMinutes", minutes)?;
    Ok(shapes::LinearConfiguration {
        step_percent: Some(percent),
        step_bake_time_in_minutes: Some(minutes),
    })
}

fn check_canary(
    given: Option<shapes::CanaryConfiguration>,
) -> Result<shapes::CanaryConfiguration, Error> {
    let given = given.unwrap_or_default();
    let percent = given.canary_percent.unwrap_or(5.0);
    check_percent("canaryPercent", percent, 0.1)?;
    let minutes = given.canary_bake_time_in_minutes.unwrap_or(10);
    check_minutes("canaryBakeTimeInMinutes", minutes)?;
    Ok(shapes::CanaryConfiguration {
        canary_percent: Some(percent),
        canary_bake_time_in_minutes: Some(minutes),
    })
}

fn check_percent(name: &str, percent: f64, least: f64) -> Result<(), Error> {
    let is_tenth = (percent * 10.0 - (percent * 10.0).round()).abs() < 1e-6;
    match (least..=100.0).contains(&percent) && is_tenth {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{name} must be between {least:.1} and 100.0, in steps of 0.1."
        ))),
    }
}

fn check_minutes(name: &str, minutes: i32) -> Result<(), Error> {
    match (0..=MAX_MINUTES).contains(&minutes) {
        true => Ok(()),
        false => Err(Error::invalid(format!("{name} must be between 0 and {MAX_MINUTES}."))),
    }
}

/// A percentage with one decimal, in thousandths.
fn thousandths(percent: Option<f64>) -> u32 {
    // Between 0 and 1000: it was checked.
    (percent.unwrap_or_default() * 10.0).round().clamp(0.0, 1000.0) as u32
}

/// The strategy of a configuration that was settled.
pub(in crate::api) fn read(merged: &DeploymentConfiguration) -> Strategy {
    let minutes = |minutes: Option<i32>| u32::try_from(minutes.unwrap_or_default()).unwrap_or(0);
    match merged.strategy {
        None | Some(Shape::Rolling) => Strategy::Rolling,
        Some(Shape::BlueGreen) => Strategy::BlueGreen,
        Some(Shape::Linear) => {
            let of = merged.linear_configuration.clone().unwrap_or_default();
            let bake_minutes = minutes(of.step_bake_time_in_minutes);
            Strategy::Linear { step: thousandths(of.step_percent), bake_minutes }
        }
        Some(Shape::Canary) => {
            let of = merged.canary_configuration.clone().unwrap_or_default();
            let bake_minutes = minutes(of.canary_bake_time_in_minutes);
            Strategy::Canary { part: thousandths(of.canary_percent), bake_minutes }
        }
    }
}

/// The word of the API.
pub(in crate::api) fn show(strategy: Strategy) -> Shape {
    match strategy {
        Strategy::Rolling => Shape::Rolling,
        Strategy::BlueGreen => Shape::BlueGreen,
        Strategy::Linear { .. } => Shape::Linear,
        Strategy::Canary { .. } => Shape::Canary,
    }
}

/// The steps of LINEAR as the API shows them.
pub(in crate::api) fn linear(strategy: Strategy) -> Option<shapes::LinearConfiguration> {
    let Strategy::Linear { step, bake_minutes } = strategy else { return None };
    Some(shapes::LinearConfiguration {
        step_percent: Some(f64::from(step) / 10.0),
        step_bake_time_in_minutes: i32::try_from(bake_minutes).ok(),
    })
}

/// The step of CANARY as the API shows it.
pub(in crate::api) fn canary(strategy: Strategy) -> Option<shapes::CanaryConfiguration> {
    let Strategy::Canary { part, bake_minutes } = strategy else { return None };
    Some(shapes::CanaryConfiguration {
        canary_percent: Some(f64::from(part) / 10.0),
        canary_bake_time_in_minutes: i32::try_from(bake_minutes).ok(),
    })
}
