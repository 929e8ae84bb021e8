//! Where a deployment stands, read from what the server tells: pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::WaitFor;
use crate::api::{short, text};

/// How a deployment goes, or how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    GoingOn,
    /// It failed, and the service goes back.
    GoingBack(String),
    /// What was waited for is so.
    Reached,
    /// It failed, and nothing was taken back.
    Failed(String),
    /// It failed, or somebody wanted it so, and the service is as it was before.
    RolledBack(String),
    /// Somebody stopped it.
    Stopped(String),
    /// A newer one took its place: its task definition.
    Replaced(String),
    /// The service was deleted.
    Deleted,
}

/// The exit code of a deployment that failed or was rolled back.
const FAILED: u8 = 3;
/// That of one that was stopped or replaced.
const GIVEN_UP: u8 = 4;

impl Verdict {
    /// The exit code; none as long as it is to be followed.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::GoingOn | Self::GoingBack(_) => None,
            Self::Reached => Some(0),
            Self::Failed(_) | Self::RolledBack(_) => Some(FAILED),
            Self::Stopped(_) | Self::Replaced(_) | Self::Deleted => Some(GIVEN_UP),
        }
    }

    /// One word for scripts.
    pub fn word(&self) -> &'static str {
        match self {
            Self::GoingOn => "IN_PROGRESS",
            Self::GoingBack(_) => "ROLLING_BACK",
            Self::Reached => "SUCCEEDED",
            Self::Failed(_) => "FAILED",
            Self::RolledBack(_) => "ROLLED_BACK",
            Self::Stopped(_) => "STOPPED",
            Self::Replaced(_) => "REPLACED",
            Self::Deleted => "SERVICE_DELETED",
        }
    }

    /// Why, if there is something to say.
    pub fn cause(&self) -> &str {
        match self {
            Self::GoingOn | Self::Reached | Self::Deleted => "",
            Self::GoingBack(cause)
            | Self::Failed(cause)
            | Self::RolledBack(cause)
            | Self::Stopped(cause)
            | Self::Replaced(cause) => cause,
        }
    }
}

/// Tasks of the followed deployment, or of those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many there are to be.
    pub desired: u64,
    /// How many are on their way to RUNNING.
    pub pending: u64,
    /// How many are RUNNING.
    pub running: u64,
    /// How many of those are healthy: their checks pass, or they have run for long enough.
    pub healthy: u64,
    /// How many failed.
    pub failed: u64,
}

/// Some tasks and what they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// `FAMILY:REVISION`.
    pub definition: String,
    /// How many.
    pub counts: Counts,
}

/// One look at a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many tasks the service is to have.
    pub desired: u64,
    /// What the deployment brings, as `FAMILY:REVISION`; empty if that was never seen.
    pub brings: String,
    /// The tasks of the deployment; none once the service has done away with it.
    pub new: Option<Side>,
    /// Those of the others, the newest first.
    pub old: Vec<Side>,
    /// Where it stands.
    pub verdict: Verdict,
}

/// What a look is made from.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The service.
    pub service: &'a Value,
    /// The service deployment; null where there is none to be had.
    pub service_deployment: &'a Value,
    /// By deployment, how many of its tasks are healthy; without it, those that run.
    pub healthy: Option<&'a BTreeMap<String, u64>>,
    /// What the deployment brought when it was seen last.
    pub brings: &'a str,
}

/// Reads where the deployment `id` stands.
pub fn look(told: Told<'_>, id: &str, wait_for: WaitFor) -> Look {
    let all = told.service["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let side = |one: &Value| side(one, told.healthy);
    let new = all.iter().find(|one| text(one, "id") == id).map(side);
    let old: Vec<Side> = all.iter().filter(|one| text(one, "id") != id).map(side).collect();
    let desired = number(told.service, "desiredCount");
    let is_first_healthy =
        wait_for == WaitFor::FirstHealthy && new.as_ref().is_some_and(|new| new.counts.healthy > 0);
    let verdict = match verdict(told, id, all) {
        Verdict::GoingOn if is_first_healthy => Verdict::Reached,
        // A service is steady, as the waiter has it, with one deployment and all tasks RUNNING.
        Verdict::Reached
            if wait_for == WaitFor::Steady
                && (all.len() != 1 || number(told.service, "runningCount") != desired) =>
        {
            Verdict::GoingOn
        }
        verdict => verdict,
    };
    let brings = new.as_ref().map_or(told.brings, |new| &new.definition).to_owned();
    Look { desired, brings, new, old, verdict }
}

fn side(deployment: &Value, healthy: Option<&BTreeMap<String, u64>>) -> Side {
    let running = number(deployment, "runningCount");
    let counted =
        |all: &BTreeMap<String, u64>| all.get(text(deployment, "id")).copied().unwrap_or_default();
    let healthy = healthy.map_or(running, counted);
    let counts = Counts {
        desired: number(deployment, "desiredCount"),
        pending: number(deployment, "pendingCount"),
        running,
        healthy: healthy.min(running),
        failed: number(deployment, "failedTasks"),
    };
    Side { definition: short(text(deployment, "taskDefinition")).to_owned(), counts }
}

fn verdict(told: Told<'_>, id: &str, all: &[Value]) -> Verdict {
    if text(told.service, "status") != "ACTIVE" {
        return Verdict::Deleted;
    }
    let ours = all.iter().find(|one| text(one, "id") == id).unwrap_or(&Value::Null);
    let primary = all.iter().find(|one| text(one, "status") == "PRIMARY").unwrap_or(&Value::Null);
    let rollout = text(ours, "rolloutState");
    let cause = || {
        let reasons =
            [text(told.service_deployment, "statusReason"), text(ours, "rolloutStateReason")];
        let reason = reasons.into_iter().find(|reason| !reason.is_empty());
        reason.unwrap_or("no reason was given").to_owned()
    };
    match text(told.service_deployment, "status") {
        "SUCCESSFUL" => Verdict::Reached,
        "ROLLBACK_SUCCESSFUL" => Verdict::RolledBack(cause()),
        "ROLLBACK_FAILED" => Verdict::Failed(format!("{} It could not be rolled back.", cause())),
        "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" => Verdict::GoingBack(cause()),
        // From here on without a service deployment, or with one that says no more than this.
        // One that a person stopped is FAILED too, but nothing found it so.
        "STOPPED" if was_found(told.service_deployment) => Verdict::Failed(cause()),
        "STOPPED" if rollout == "FAILED" => Verdict::Stopped(cause()),
        _ if rollout == "FAILED" => Verdict::Failed(cause()),
        _ if !primary.is_null() && text(primary, "id") != id => {
            Verdict::Replaced(short(text(primary, "taskDefinition")).to_owned())
        }
        // The service was looked at a moment before: whether a person stopped it or a newer one took
        // its place is for the next look.
        "STOPPED" if rollout == "IN_PROGRESS" => Verdict::GoingOn,
        "STOPPED" => Verdict::Stopped(cause()),
        _ if rollout == "COMPLETED" => Verdict::Reached,
        _ => Verdict::GoingOn,
    }
}

/// Whether the circuit breaker or an alarm ended a service deployment.
fn was_found(service_deployment: &Value) -> bool {
    let is_triggered = |name: &str| service_deployment[name]["status"] == "TRIGGERED";
    is_triggered("deploymentCircuitBreaker") || is_triggered("alarms")
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_default()
}

/// The events that were not there before, the oldest first.
pub fn new_events<'a>(service: &'a Value, last: &mut Vec<String>) -> Vec<&'a Value> {
    let all = service["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut new: Vec<&Value> =
        all.iter().filter(|event| !last.iter().any(|id| id == text(event, "id"))).collect();
    new.reverse();
    *last = all.iter().map(|event| text(event, "id").to_owned()).collect();
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(id: &str, status: &str, rollout: &str, counts: [u64; 4]) -> Value {
        let [desired, pending, running, failed] = counts;
        json!({
            "id": id, "status": status, "rolloutState": rollout,
            "taskDefinition": format!("arn:aws:ecs:r:0:task-definition/web:{}", &id[8..]),
            "desiredCount": desired, "pendingCount": pending, "runningCount": running,
            "failedTasks": failed, "rolloutStateReason": format!("{id} is {rollout}."),
        })
    }

    fn service(deployments: &[Value]) -> Value {
        let running: u64 = deployments.iter().map(|one| number(one, "runningCount")).sum();
        json!({"status": "ACTIVE", "desiredCount": 10, "runningCount": running, "deployments": deployments})
    }

    fn verdict_of(deployments: &[Value], status: &str, wait_for: WaitFor) -> Verdict {
        let told = Told {
            service: &service(deployments),
            service_deployment: &json!({"status": status, "statusReason": format!("It is {status}.")}),
            healthy: None,
            brings: "",
        };
        look(told, "ecs-svc/2", wait_for).verdict
    }

    #[test]
    fn counts_are_of_the_new_and_of_all_others() {
        let deployments = [
            deployment("ecs-svc/2", "PRIMARY", "IN_PROGRESS", [10, 2, 4, 1]),
            deployment("ecs-svc/1", "ACTIVE", "COMPLETED", [6, 0, 6, 0]),
        ];
        let told = Told {
            service: &service(&deployments),
            service_deployment: &Value::Null,
            healthy: Some(&BTreeMap::from([("ecs-svc/2".to_owned(), 3)])),
            brings: "",
        };
        let look = look(told, "ecs-svc/2", WaitFor::Completed);
        let new = Counts { desired: 10, pending: 2, running: 4, healthy: 3, failed: 1 };
        let old = Counts { desired: 6, running: 6, ..Counts::default() };
        assert_eq!(look.new, Some(Side { definition: "web:2".into(), counts: new }));
        assert_eq!(look.old, [Side { definition: "web:1".into(), counts: old }]);
        assert_eq!((look.desired, look.verdict), (10, Verdict::GoingOn));
    }

    #[test]
    fn a_deployment_that_is_done_away_with_is_none_and_not_nothing_of_nothing() {
        let told = Told {
            service: &service(&[deployment("ecs-svc/1", "PRIMARY", "IN_PROGRESS", [3, 0, 3, 0])]),
            service_deployment: &json!({"status": "ROLLBACK_IN_PROGRESS"}),
            healthy: None,
            brings: "web:2",
        };
        let look = look(told, "ecs-svc/2", WaitFor::Completed);
        assert_eq!((look.brings.as_str(), look.new, look.old.len()), ("web:2", None, 1));
        assert_eq!(look.old[0].counts.healthy, 3, "RUNNING has to do");
    }

    #[test]
    fn verdicts_follow_what_the_server_tells() {
        let ours = |status, rollout| deployment("ecs-svc/2", status, rollout, [10, 0, 10, 0]);
        let other = |status| deployment("ecs-svc/3", status, "IN_PROGRESS", [10, 0, 0, 0]);
        let old = deployment("ecs-svc/1", "ACTIVE", "COMPLETED", [0, 0, 1, 0]);
        let check = |deployments: &[Value], status: &str, word: &str, code: Option<u8>| {
            let verdict = verdict_of(deployments, status, WaitFor::Completed);
            assert_eq!((verdict.word(), verdict.exit_code()), (word, code), "{status}");
        };
        let primary = |rollout| [ours("PRIMARY", rollout), old.clone()];
        check(&primary("IN_PROGRESS"), "PENDING", "IN_PROGRESS", None);
        check(&primary("IN_PROGRESS"), "IN_PROGRESS", "IN_PROGRESS", None);
        check(&primary("COMPLETED"), "SUCCESSFUL", "SUCCEEDED", Some(0));
        check(&primary("COMPLETED"), "", "SUCCEEDED", Some(0));
        check(&primary("FAILED"), "", "FAILED", Some(3));
        check(&primary("FAILED"), "STOP_REQUESTED", "FAILED", Some(3));
        check(&primary("FAILED"), "STOPPED", "STOPPED", Some(4));
        check(&primary("IN_PROGRESS"), "STOPPED", "IN_PROGRESS", None);
        check(&[], "STOPPED", "STOPPED", Some(4));
        for rollout in ["IN_PROGRESS", "FAILED"] {
            let told = Told {
                service: &service(&primary(rollout)),
                service_deployment: &json!({
                    "status": "STOPPED", "deploymentCircuitBreaker": {"status": "TRIGGERED"},
                }),
                healthy: None,
                brings: "",
            };
            let verdict = look(told, "ecs-svc/2", WaitFor::Completed).verdict;
            assert_eq!(verdict.exit_code(), Some(3), "the service was looked at before or after");
        }
        check(&primary("FAILED"), "ROLLBACK_IN_PROGRESS", "ROLLING_BACK", None);
        check(&[other("PRIMARY")], "ROLLBACK_IN_PROGRESS", "ROLLING_BACK", None);
        check(&[other("PRIMARY")], "ROLLBACK_SUCCESSFUL", "ROLLED_BACK", Some(3));
        check(&[other("PRIMARY")], "ROLLBACK_FAILED", "FAILED", Some(3));
        check(&[other("PRIMARY"), ours("ACTIVE", "IN_PROGRESS")], "STOPPED", "REPLACED", Some(4));
        check(&[other("PRIMARY")], "", "REPLACED", Some(4));
        let verdict = verdict_of(&[other("PRIMARY")], "ROLLBACK_FAILED", WaitFor::Completed);
        assert_eq!(verdict.cause(), "It is ROLLBACK_FAILED. It could not be rolled back.");
        let mut gone = service(&[]);
        gone["status"] = "DRAINING".into();
        let told = Told {
            service: &gone,
            service_deployment: &Value::Null,
            healthy: None,
            brings: "web:2",
        };
        assert_eq!(look(told, "ecs-svc/2", WaitFor::Completed).verdict.exit_code(), Some(4));
    }

    #[test]
    fn what_is_waited_for_may_be_less_or_more() {
        let some = deployment("ecs-svc/2", "PRIMARY", "IN_PROGRESS", [10, 2, 1, 0]);
        let done = deployment("ecs-svc/2", "PRIMARY", "COMPLETED", [10, 0, 10, 0]);
        let left = deployment("ecs-svc/1", "ACTIVE", "COMPLETED", [0, 0, 1, 0]);
        let some = [some];
        assert_eq!(verdict_of(&some, "IN_PROGRESS", WaitFor::FirstHealthy), Verdict::Reached);
        assert_eq!(verdict_of(&some, "IN_PROGRESS", WaitFor::Steady), Verdict::GoingOn);
        let both = [done.clone(), left];
        assert_eq!(verdict_of(&both, "SUCCESSFUL", WaitFor::Completed), Verdict::Reached);
        assert_eq!(verdict_of(&both, "SUCCESSFUL", WaitFor::Steady), Verdict::GoingOn);
        assert_eq!(verdict_of(&[done], "SUCCESSFUL", WaitFor::Steady), Verdict::Reached);
    }

    #[test]
    fn events_come_once_and_in_order() {
        let told = |ids: &[&str]| {
            let events: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
            json!({"events": events})
        };
        let mut last = Vec::new();
        let before = told(&["1"]);
        assert_eq!(new_events(&before, &mut last).len(), 1);
        let now = told(&["3", "2", "1"]);
        let new: Vec<_> = new_events(&now, &mut last).into_iter().map(|e| text(e, "id")).collect();
        assert_eq!(new, ["2", "3"]);
        assert!(new_events(&now, &mut last).is_empty());
    }
}
