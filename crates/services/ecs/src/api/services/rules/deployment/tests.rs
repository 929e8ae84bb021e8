//! Percentages, breaker, alarms, early success: what is given, what comes out.

use super::super::kinds::{DAEMON, EXTERNAL, REPLICA};
use super::*;
use crate::model::parse_json;

fn read(json: &str) -> DeploymentConfiguration {
    parse_json(json)
}

/// Merges what is given into the usual configuration; the text of the refusal, if it is refused.
fn made(kind: Kind, given: &str) -> Result<DeploymentConfiguration, String> {
    let given = read(given);
    merge(kind, None, Some(&given)).map_err(|error| error.to_string())
}

fn refused(kind: Kind, given: &str, text: &str) {
    match made(kind, given) {
        Ok(_) => panic!("{given} is to be refused"),
        Err(told) => assert!(told.starts_with(text), "{given}: {told}"),
    }
}

#[test]
fn what_is_not_said_is_filled_in() {
    let check = |kind, expected: (i32, i32)| {
        let usual = merge(kind, None, None).ok();
        let percents = usual.map(|one| (one.minimum_healthy_percent, one.maximum_percent));
        assert_eq!(percents, Some((Some(expected.0), Some(expected.1))), "{kind:?}");
    };
    check(REPLICA, (100, 200));
    check(DAEMON, (0, 100));
    check(EXTERNAL, (100, 200));
    let shown = made(REPLICA, r#"{"maximumPercent": 150}"#).unwrap_or_default();
    assert_eq!(shown.minimum_healthy_percent, Some(100));
    assert_eq!(shown.strategy, Some(DeploymentStrategy::Rolling));
    let breaker = shown.deployment_circuit_breaker.unwrap_or_default();
    assert_eq!((breaker.enable, breaker.reset_on_healthy_task), (false, Some(true)));
}

#[test]
fn percentages_have_ranges() {
    let good = |kind, minimum: i32, maximum: i32| {
        let given =
            format!(r#"{{"minimumHealthyPercent": {minimum}, "maximumPercent": {maximum}}}"#);
        assert!(made(kind, &given).is_ok(), "{given}");
    };
    good(REPLICA, 0, 100);
    good(REPLICA, 100, 200);
    good(REPLICA, 100, 100);
    good(DAEMON, 50, 100);
    good(EXTERNAL, 100, 200);
    refused(REPLICA, r#"{"maximumPercent": 99}"#, "maximumPercent must be at least 100");
    refused(REPLICA, r#"{"maximumPercent": 201}"#, "maximumPercent must be at most 200");
    let text = "minimumHealthyPercent must be at least 0";
    refused(REPLICA, r#"{"minimumHealthyPercent": -1}"#, text);
    let text = "minimumHealthyPercent must be at most 100";
    refused(REPLICA, r#"{"minimumHealthyPercent": 101}"#, text);
    let text = "The daemon scheduling strategy does not support values above 100";
    refused(DAEMON, r#"{"maximumPercent": 101}"#, text);
    refused(DAEMON, r#"{"maximumPercent": 99}"#, "maximumPercent must be at least 100");
    let text = "minimumHealthyPercent and maximumPercent cannot be specified";
    refused(EXTERNAL, r#"{"maximumPercent": 150}"#, text);
    refused(EXTERNAL, r#"{"minimumHealthyPercent": 0}"#, text);
}

#[test]
fn breakers_have_thresholds() {
    let breaker = |kind: &str, value: i32| {
        format!(
            r#"{{"deploymentCircuitBreaker": {{"enable": true, "rollback": true,
                "thresholdConfiguration": {{"type": "{kind}", "value": {value}}}}}}}"#
        )
    };
    for (kind, value) in
        [("COUNT", 1), ("COUNT", 7_000), ("BOUNDED_PERCENT", 100), ("UNBOUNDED_PERCENT", 1)]
    {
        assert!(made(REPLICA, &breaker(kind, value)).is_ok(), "{kind} {value}");
        assert!(made(DAEMON, &breaker(kind, value)).is_ok(), "{kind} {value}");
    }
    for (kind, value) in
        [("COUNT", 0), ("BOUNDED_PERCENT", 0), ("BOUNDED_PERCENT", 101), ("UNBOUNDED_PERCENT", 101)]
    {
        let text = "Invalid deployment circuit breaker threshold value";
        refused(REPLICA, &breaker(kind, value), text);
    }
    refused(EXTERNAL, &breaker("COUNT", 1), "Deployment circuit breaker can only be used");
}

#[test]
fn a_breaker_keeps_what_is_not_said_again() {
    let first = made(
        REPLICA,
        r#"{"deploymentCircuitBreaker": {"enable": true, "rollback": true,
            "resetOnHealthyTask": false,
            "thresholdConfiguration": {"type": "COUNT", "value": 5}}}"#,
    )
    .unwrap_or_default();
    let off = read(r#"{"deploymentCircuitBreaker": {"enable": false, "rollback": true}}"#);
    let second = merge(REPLICA, Some(&first), Some(&off)).unwrap_or_default();
    let breaker = second.deployment_circuit_breaker.unwrap_or_default();
    assert_eq!((breaker.enable, breaker.rollback), (false, false));
    assert_eq!(breaker.reset_on_healthy_task, Some(false));
    assert_eq!(breaker.threshold_configuration.map(|one| one.value), Some(5));
}

#[test]
fn alarms_have_names() {
    let alarms = |names: &str, enable: bool| {
        format!(r#"{{"alarms": {{"alarmNames": {names}, "enable": {enable}, "rollback": true}}}}"#)
    };
    assert!(made(REPLICA, &alarms(r#"["a", "b"]"#, true)).is_ok());
    assert!(made(REPLICA, &alarms("[]", false)).is_ok());
    refused(REPLICA, &alarms("[]", true), "alarmNames can not be empty");
    refused(REPLICA, &alarms(r#"[" "]"#, true), "Alarm names can not be blank.");
    refused(EXTERNAL, &alarms(r#"["a"]"#, true), "Deployment alarms can only be used");
}

#[test]
fn bake_time_is_a_day_at_most() {
    assert!(made(REPLICA, r#"{"bakeTimeInMinutes": 1440}"#).is_ok());
    for minutes in [-1, 1_441] {
        let given = format!(r#"{{"bakeTimeInMinutes": {minutes}}}"#);
        refused(REPLICA, &given, "bakeTimeInMinutes must be between 0 and 1440");
    }
}

#[test]
fn hooks_belong_to_deployments_beside_others() {
    let hook = r#""lifecycleHooks": [
        {"hookTargetArn": "http://hooks/", "lifecycleStages": ["PRE_SCALE_UP"]}]"#;
    refused(REPLICA, &format!("{{{hook}}}"), "Lifecycle hooks are not supported with the ROLLING");
    refused(EXTERNAL, &format!("{{{hook}}}"), "Lifecycle hooks can only be used");
    let canary =
        made(REPLICA, &format!(r#"{{"strategy": "CANARY", {hook}}}"#)).expect("it is good");
    assert!(canary.lifecycle_hooks.is_some());
    let merged = |given: &str| merge(REPLICA, Some(&canary), Some(&read(given)));
    let same = merged(r#"{"bakeTimeInMinutes": 1}"#).unwrap_or_default();
    assert_eq!(same.lifecycle_hooks, canary.lifecycle_hooks);
    let rolling = merged(r#"{"strategy": "ROLLING"}"#).unwrap_or_default();
    assert_eq!(rolling.lifecycle_hooks, None);
    assert!(made(REPLICA, r#"{"strategy": "ROLLING", "lifecycleHooks": []}"#).is_ok());
}

#[test]
fn strategies_have_what_they_need() {
    refused(REPLICA, r#"{"strategy": "BLUE_GREEN"}"#, "bakeTimeInMinutes is required");
    let daemon = r#"{"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 1}"#;
    refused(DAEMON, daemon, "The daemon scheduling strategy does not");
    refused(EXTERNAL, r#"{"strategy": "CANARY"}"#, "Deployment strategies can only");
    let early = r#""earlySuccessCriteria": {"enable": true, "healthyPercent": 100}"#;
    refused(
        REPLICA,
        &format!(r#"{{"strategy": "LINEAR", {early}}}"#),
        "earlySuccessCriteria is not",
    );
    for (name, percent) in [("stepPercent", "2.9"), ("stepPercent", "10.05")] {
        let given =
            format!(r#"{{"strategy": "LINEAR", "linearConfiguration": {{"{name}": {percent}}}}}"#);
        refused(REPLICA, &given, name);
    }
    let minutes =
        r#"{"strategy": "CANARY", "canaryConfiguration": {"canaryBakeTimeInMinutes": 1441}}"#;
    refused(REPLICA, minutes, "canaryBakeTimeInMinutes");
    let linear = made(REPLICA, r#"{"strategy": "LINEAR"}"#).expect("its steps are the usual ones");
    let steps = linear.linear_configuration.expect("it has steps");
    assert_eq!((steps.step_percent, steps.step_bake_time_in_minutes), (Some(10.0), Some(6)));
    let rolling = r#"{"strategy": "ROLLING", "canaryConfiguration": {"canaryPercent": 5.0}}"#;
    assert!(made(REPLICA, rolling).is_ok_and(|one| one.canary_configuration.is_none()));
}
