//! Lifecycle hooks of deployments (API reference, `DeploymentLifecycleHook`; ECS semantics §10.3).

use http::Uri;
use shapes_ecs as shapes;
use shapes_ecs::DeploymentLifecycleHookStage as StageShape;
use shapes_ecs::{
    DeploymentLifecycleHook as Shape, DeploymentLifecycleHookAction as ActionShape,
    DeploymentLifecycleHookTargetType as TargetType,
};

use crate::error::Error;
use crate::model::{Hook, HookAction, HookTarget, Stage};

/// Most hooks of a service.
const MAX_HOOKS: usize = 20;
/// The longest that a function may take, in minutes: as long as a stage. A person has two weeks: the
/// model says so.
const MAX_MINUTES: i32 = 24 * 60;
/// The most that a hook is told besides, in bytes of JSON.
pub(crate) const MAX_DETAILS_BYTES: usize = 16 * 1024;

/// Checks hooks.
///
/// # Errors
/// When one breaks a rule; the text names the member.
pub(super) fn check(hooks: &[Shape]) -> Result<(), Error> {
    if hooks.len() > MAX_HOOKS {
        return Err(Error::invalid(format!("lifecycleHooks can have at most {MAX_HOOKS} items.")));
    }
    hooks.iter().try_for_each(check_one)
}

fn check_one(hook: &Shape) -> Result<(), Error> {
    let wrong = |text: String| Err(Error::invalid(text));
    let is_pause = hook.target_type == Some(TargetType::Pause);
    let target = hook.hook_target_arn.as_deref().unwrap_or_default();
    match (is_pause, target) {
        (true, "") => {}
        (true, _) => {
            return wrong("hookTargetArn cannot be specified for the target type PAUSE.".into());
        }
        (false, "") => {
            return wrong("hookTargetArn is required for the target type AWS_LAMBDA.".into());
        }
        (false, target) if is_callable(target) => {}
        (false, target) => {
            return wrong(format!(
                "hookTargetArn '{target}' is neither the ARN of a Lambda function nor an http:// or \
                 https:// URL."
            ));
        }
    }
    let stages = hook.lifecycle_stages.as_deref().unwrap_or_default();
    if stages.is_empty() {
        return wrong("lifecycleStages of a lifecycle hook can not be empty.".into());
    }
    let is_shift = |stage: &StageShape| {
        matches!(stage, StageShape::TestTrafficShift | StageShape::ProductionTrafficShift)
    };
    if let Some(stage) = stages.iter().find(|stage| is_pause && is_shift(stage)) {
        let stage = stage.as_str();
        return wrong(format!("The target type PAUSE is not supported at the stage {stage}."));
    }
    let timeout = hook.timeout_configuration.as_ref();
    if let Some(minutes) = timeout.and_then(|timeout| timeout.timeout_in_minutes)
        && !is_pause
        && minutes > MAX_MINUTES
    {
        return wrong(format!(
            "timeoutInMinutes must be at most {MAX_MINUTES} for the target type AWS_LAMBDA."
        ));
    }
    let size = hook.hook_details.as_ref().map_or(0, |details| details.0.to_string().len());
    if size > MAX_DETAILS_BYTES {
        return wrong(format!("hookDetails can have at most {MAX_DETAILS_BYTES} bytes."));
    }
    Ok(())
}

/// Whether it is a function's ARN or a URL.
fn is_callable(target: &str) -> bool {
    if target.starts_with("http://") || target.starts_with("https://") {
        return target.parse::<Uri>().is_ok_and(|uri| uri.authority().is_some());
    }
    let mut parts = target.splitn(7, ':');
    let head = [parts.next(), parts.next(), parts.next()];
    let is_lambda = matches!(head, [Some("arn"), Some(partition), Some("lambda")]
        if partition.starts_with("aws"));
    let rest: Vec<&str> = parts.skip(2).collect();
    is_lambda && matches!(rest.as_slice(), ["function", name] if !name.is_empty())
}

/// Hooks that were checked, as records.
pub(in crate::api) fn read(hooks: Option<&Vec<Shape>>) -> Vec<Hook> {
    hooks.into_iter().flatten().map(read_one).collect()
}

fn read_one(hook: &Shape) -> Hook {
    let stages = hook.lifecycle_stages.iter().flatten();
    let timeout = hook.timeout_configuration.clone().unwrap_or_default();
    Hook {
        target: match hook.target_type {
            Some(TargetType::Pause) => HookTarget::Pause,
            Some(TargetType::AwsLambda) | None => {
                HookTarget::Function(hook.hook_target_arn.clone().unwrap_or_default())
            }
        },
        role: hook.role_arn.clone(),
        stages: stages.map(|stage| record(*stage)).collect(),
        details: hook.hook_details.as_ref().map(|details| details.0.to_string()),
        minutes: timeout.timeout_in_minutes.and_then(|minutes| u32::try_from(minutes).ok()),
        action: timeout.action.map(|action| match action {
            ActionShape::Rollback => HookAction::Rollback,
            ActionShape::Continue => HookAction::Continue,
        }),
    }
}

fn record(stage: StageShape) -> Stage {
    match stage {
        StageShape::ReconcileService => Stage::ReconcileService,
        StageShape::PreScaleUp => Stage::PreScaleUp,
        StageShape::PostScaleUp => Stage::PostScaleUp,
        StageShape::TestTrafficShift => Stage::TestTrafficShift,
        StageShape::PostTestTrafficShift => Stage::PostTestTrafficShift,
        StageShape::PreProductionTrafficShift => Stage::PreProductionTrafficShift,
        StageShape::ProductionTrafficShift => Stage::ProductionTrafficShift,
        StageShape::PostProductionTrafficShift => Stage::PostProductionTrafficShift,
    }
}

/// Hooks as the API shows them; none at all if there are none.
pub(in crate::api) fn show(hooks: &[Hook]) -> Option<Vec<Shape>> {
    (!hooks.is_empty()).then(|| hooks.iter().map(show_one).collect())
}

fn show_one(hook: &Hook) -> Shape {
    let stages = hook.stages.iter();
    let stages =
        stages.filter_map(|stage| wire::value::Enumeration::parse(stage.as_str())).collect();
    let minutes = hook.minutes.and_then(|minutes| i32::try_from(minutes).ok());
    let is_timed = minutes.is_some() || hook.action.is_some();
    Shape {
        hook_details: hook.details.as_deref().and_then(document),
        hook_target_arn: match &hook.target {
            HookTarget::Function(name) => Some(name.clone()),
            HookTarget::Pause => None,
        },
        lifecycle_stages: Some(stages),
        role_arn: hook.role.clone(),
        target_type: Some(target_type(&hook.target)),
        timeout_configuration: is_timed.then(|| {
            shapes::DeploymentLifecycleHookTimeoutConfiguration {
                timeout_in_minutes: minutes,
                action: hook.action.map(|action| self::action(Some(action))),
            }
        }),
    }
}

fn document(text: &str) -> Option<wire::Any> {
    serde_json::from_str(text).ok().map(wire::Any)
}

/// What kind of target it is.
pub(in crate::api) fn target_type(target: &HookTarget) -> TargetType {
    match target {
        HookTarget::Function(_) => TargetType::AwsLambda,
        HookTarget::Pause => TargetType::Pause,
    }
}

/// What happens when nobody answers in time: the service goes back, if nothing else was said.
pub(in crate::api) fn action(action: Option<HookAction>) -> ActionShape {
    match action {
        None | Some(HookAction::Rollback) => ActionShape::Rollback,
        Some(HookAction::Continue) => ActionShape::Continue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_json;

    fn hook(json: &str) -> Shape {
        parse_json(json)
    }

    #[test]
    fn what_is_stored_is_what_was_given() {
        let given = vec![
            hook(
                r#"{"hookTargetArn": "arn:aws:lambda:us-east-1:000000000000:function:gate",
                    "roleArn": "arn:aws:iam::000000000000:role/hooks", "targetType": "AWS_LAMBDA",
                    "lifecycleStages": ["POST_SCALE_UP", "PRE_PRODUCTION_TRAFFIC_SHIFT"],
                    "hookDetails": {"least": 0.5, "names": ["a", null]}}"#,
            ),
            hook(
                r#"{"targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"],
                    "timeoutConfiguration": {"timeoutInMinutes": 20160, "action": "CONTINUE"}}"#,
            ),
        ];
        assert_eq!(check(&given).map_err(|error| error.to_string()), Ok(()));
        assert_eq!(show(&read(Some(&given))), Some(given));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        let check = |json: &str, expected: &str| {
            let text = check(&[hook(json)]).expect_err(json).to_string();
            assert!(text.contains(expected), "{text}");
        };
        let stages = r#""lifecycleStages": ["POST_SCALE_UP"]"#;
        check(&format!("{{{stages}}}"), "hookTargetArn is required");
        check(&format!(r#"{{"hookTargetArn": "gate", {stages}}}"#), "'gate' is neither");
        check(&format!(r#"{{"hookTargetArn": "http://", {stages}}}"#), "is neither");
        let arn = r#""hookTargetArn": "arn:aws:lambda:r:a:function:""#;
        check(&format!("{{{arn}, {stages}}}"), "is neither");
        let pause = r#""targetType": "PAUSE""#;
        check(&format!(r#"{{"hookTargetArn": "http://a/", {pause}, {stages}}}"#), "cannot be");
        check(&format!(r#"{{{pause}, "lifecycleStages": []}}"#), "lifecycleStages");
        let shift = r#""lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"]"#;
        check(&format!("{{{pause}, {shift}}}"), "PAUSE is not supported at the stage PRODUCTION");
        let minutes =
            |minutes: u32| format!(r#""timeoutConfiguration": {{"timeoutInMinutes": {minutes}}}"#);
        let url = r#""hookTargetArn": "https://hooks.example/gate""#;
        check(&format!("{{{url}, {stages}, {}}}", minutes(1_441)), "at most 1440");
        let long = "x".repeat(MAX_DETAILS_BYTES);
        check(&format!(r#"{{{url}, {stages}, "hookDetails": "{long}"}}"#), "hookDetails");
    }
}
