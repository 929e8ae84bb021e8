//! Calls the functions that lifecycle hooks name, and writes down what they answer. Whether a deployment
//! goes on is decided elsewhere (`decide/service/hooks.rs`).
//!
//! What is to be called stands in the deployments' rows: after a crash, or by another leader, a call
//! whose answer was not written down is made again, with the same `executionId`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ledger::{Snapshot, View};
use serde_json::{Map, Value, json};
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::HookFailure;
use crate::api::{Api, service_deployment_arn, service_revision_arn};
use crate::decide::service::hooks::{Answer, MAX_DELAY, NoAnswer, USUAL_DELAY, answered};
use crate::error::Error;
use crate::model::{Deployment, HookRun, HookStatus, HookTarget, RevisionId};
use crate::tables::{DeploymentKey, Tables};

/// Calls that are under way at once; more wait.
const CALLS: usize = 64;
/// The longest that a call takes: as long as a Lambda function may run.
const CALL_MAX: Duration = Duration::from_secs(15 * 60);
/// The longest sleep; times are those of the ledger's clock, which may be set.
const LONGEST: Duration = Duration::from_secs(60);
/// The pause after an answer could not be written down.
const REFUSED: Duration = Duration::from_secs(1);
/// The most that a function may want to be told next time, in bytes of JSON.
const MAX_DETAILS_BYTES: usize = 16 * 1024;

/// A call that is under way: of which deployment, and the run's id.
type Under = (DeploymentKey, String);

/// Runs the loop until `shutdown`. Calls that are under way then are broken off.
pub(crate) async fn run(api: &Arc<Api>, shutdown: CancellationToken) {
    let mut feed = api.ledger.subscribe();
    let mut calls = FuturesUnordered::new();
    let mut under_way: BTreeSet<Under> = BTreeSet::new();
    loop {
        let snapshot = api.ledger.snapshot();
        let now = api.ledger.clock().now();
        let (due, next) = due(&snapshot, &api.tables, now);
        for (key, row, run) in due {
            let under = (key, run.id());
            if calls.len() < CALLS && under_way.insert(under.clone()) {
                calls.push(api.call_hook(under, row, run));
            }
        }
        let wait = next.map_or(LONGEST, |at| at.since(now).min(LONGEST));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(under) = calls.next(), if !calls.is_empty() => {
                under_way.remove(&under);
            }
            commit = feed.next() => match commit {
                Ok(_) => while let Ok(Some(_)) = feed.try_next() {},
                Err(ledger::Lagged) => {
                    feed.restart();
                }
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

type Due = (DeploymentKey, Deployment, HookRun);

/// What is to be called now, and when the next is.
fn due(snapshot: &Snapshot, tables: &Tables, now: Timestamp) -> (Vec<Due>, Option<Timestamp>) {
    let (mut due, mut next) = (Vec::new(), None);
    for (key, row) in snapshot.index_range(&tables.services.hooked, ..) {
        let runs = row.hooks.runs.iter().filter_map(|run| Some((run, run.call_at?)));
        let (ready, later): (Vec<_>, Vec<_>) = runs.partition(|(_, at)| *at <= now);
        let soonest = later.iter().map(|(_, at)| *at).min();
        next = [next, soonest].into_iter().flatten().min();
        due.extend(ready.into_iter().map(|(run, _)| (key.clone(), (*row).clone(), run.clone())));
        // They come in the order of their first call: those after this one are later still.
        if row.next_call().is_some_and(|at| at > now) {
            break;
        }
    }
    (due, next)
}

impl Api {
    async fn call_hook(&self, under: Under, row: Deployment, run: HookRun) -> Under {
        let (key, id) = &under;
        let snapshot = self.ledger.snapshot();
        let event = event(&snapshot, &self.tables, key, &row, &run).to_string();
        let hook = usize::try_from(run.hook).ok().and_then(|at| row.configuration.hooks.get(at));
        let answer = match (hook.map(|hook| &hook.target), self.hooks.get()) {
            (Some(HookTarget::Function(target)), Some(caller)) => {
                match tokio::time::timeout(CALL_MAX, caller.call(target, event)).await {
                    Ok(answer) => answer.and_then(|text| read(&text).map_err(HookFailure::lasting)),
                    Err(_) => Err(HookFailure::lasting("it did not answer in 15 minutes")),
                }
            }
            _ => Err(HookFailure::lasting("nothing calls functions here")),
        };
        let answer = answer.map_err(|HookFailure { text, may_pass }| NoAnswer { text, may_pass });
        let written = self.ledger.transact("hook answered", |tx| {
            let tables = &self.tables.services;
            let Some(row) = tx.get(&tables.deployments, key) else { return Ok(()) };
            let mut next = Deployment::clone(&row);
            answered(&mut next.hooks, id, answer.clone(), tx.now());
            if next.hooks != row.hooks {
                next.updated_at = tx.now();
                tx.put(&tables.deployments, key.clone(), next);
            }
            Ok::<_, Error>(())
        });
        if let Err(error) = written.await {
            tracing::warn!(hook = %id, %error, "a lifecycle hook's answer was not written down");
            tokio::time::sleep(REFUSED).await;
        }
        under
    }
}

/// What a function is told, in the form of AWS's guide.
fn event(
    view: &impl View,
    tables: &Tables,
    (service, id): &DeploymentKey,
    row: &Deployment,
    run: &HookRun,
) -> Value {
    let completed = view.index(&tables.services.completed, service);
    let completed = completed.filter(|(_, one)| one.id != *id);
    let source = match &row.rollback {
        Some(rollback) => Some(rollback.revision),
        None => completed.last().map(|(_, one)| one.revision),
    };
    let weights = |part: u32| {
        let mut weights = Map::new();
        let name = |revision: RevisionId| service_revision_arn(service, revision);
        if let Some(source) = source {
            weights.insert(name(source), percent(1000 - part.min(1000)));
        }
        weights.insert(name(row.revision), percent(part));
        Value::Object(weights)
    };
    let (production, test) = row.stage.map_or((0, 0), |at| (at.production, at.test));
    let hook = usize::try_from(run.hook).ok().and_then(|at| row.configuration.hooks.get(at));
    let details = row.hooks.details.get(&run.hook);
    let details = details.or_else(|| hook.and_then(|hook| hook.details.as_ref()));
    let mut event = json!({
        "executionId": format!("{}-{}", row.service_deployment, run.id()),
        "lifecycleStage": run.stage.as_str(),
        "resourceArn": service_deployment_arn(service, &row.service_deployment),
        "executionDetails": {
            "serviceArn": service.0.service_arn(service.1.clone()).to_string(),
            "targetServiceRevisionArn": service_revision_arn(service, row.revision),
            "testTrafficWeights": weights(test),
            "productionTrafficWeights": weights(production),
        },
    });
    if let Some(details) = details.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        event["hookDetails"] = details;
    }
    event
}

/// Thousandths as percent, whole ones without a point.
fn percent(part: u32) -> Value {
    match part % 10 {
        0 => json!(part / 10),
        _ => json!(f64::from(part) / 10.0),
    }
}

/// What a function answered.
///
/// # Errors
/// When it is nothing that a hook answers: that counts as FAILED (ECS semantics §10.3).
fn read(text: &str) -> Result<Answer, String> {
    let value: Value =
        serde_json::from_str(text).map_err(|_| "its answer is no JSON".to_owned())?;
    let status = match value.get("hookStatus").and_then(Value::as_str) {
        Some("SUCCEEDED") => HookStatus::Succeeded,
        Some("FAILED") => HookStatus::Failed,
        Some("IN_PROGRESS") => HookStatus::InProgress,
        Some(other) => return Err(format!("its answer has an unknown hookStatus '{other:.64}'")),
        None => return Err("its answer has no hookStatus".to_owned()),
    };
    // One page of AWS's guide has the second name.
    let delay = value.get("callBackDelay").or_else(|| value.get("callBackDelaySeconds"));
    let delay = match delay.filter(|delay| !delay.is_null()) {
        None => USUAL_DELAY,
        Some(delay) => {
            let seconds = delay.as_f64().filter(|seconds| *seconds >= 0.0);
            let seconds = seconds.ok_or("its callBackDelay is no number of seconds")?;
            Duration::try_from_secs_f64(seconds).unwrap_or(MAX_DELAY).min(MAX_DELAY)
        }
    };
    let details = value.get("hookDetails").filter(|details| !details.is_null());
    let details = details.map(Value::to_string);
    if details.as_ref().is_some_and(|text| text.len() > MAX_DETAILS_BYTES) {
        return Err(format!("its hookDetails have more than {MAX_DETAILS_BYTES} bytes"));
    }
    Ok(Answer { status, delay, details })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let check = |text: &str, expected: Result<(HookStatus, u64, Option<&str>), &str>| {
            let read = read(text);
            let short =
                read.as_ref().map(|one| (one.status, one.delay.as_secs(), one.details.as_deref()));
            assert_eq!(short.map_err(String::as_str), expected, "{text}");
        };
        check(r#"{"hookStatus": "SUCCEEDED"}"#, Ok((HookStatus::Succeeded, 30, None)));
        check(
            r#"{"hookStatus": "IN_PROGRESS", "callBackDelay": 5, "hookDetails": {"n": 1}}"#,
            Ok((HookStatus::InProgress, 5, Some("{\"n\":1}"))),
        );
        check(
            r#"{"hookStatus": "IN_PROGRESS", "callBackDelaySeconds": 1e30}"#,
            Ok((HookStatus::InProgress, 86_400, None)),
        );
        check(r#"{"hookStatus": "FAILED"}"#, Ok((HookStatus::Failed, 30, None)));
        check("", Err("its answer is no JSON"));
        check("{}", Err("its answer has no hookStatus"));
        check(r#"{"hookStatus": "OK"}"#, Err("its answer has an unknown hookStatus 'OK'"));
        let negative = r#"{"hookStatus": "IN_PROGRESS", "callBackDelay": -1}"#;
        check(negative, Err("its callBackDelay is no number of seconds"));
    }

    #[test]
    fn parts_are_shown_in_percent() {
        assert_eq!((percent(1000), percent(0)), (json!(100), json!(0)));
        assert_eq!(percent(55), json!(5.5));
    }
}
