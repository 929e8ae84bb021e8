//! Whole deployments against a server that answers by a script.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::{Value, json};
use wire::client::{Client, Exchange, Exchanged};

use super::Deploy;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::output::Format;

#[derive(Parser)]
struct Words {
    #[command(flatten)]
    deploy: Deploy,
}

/// What the server tells at each look: the service, and the state of the service deployment.
struct Script {
    looks: Mutex<VecDeque<(Value, &'static str)>>,
    /// The state at the last look.
    state: Mutex<&'static str>,
    /// Calls with their inputs.
    calls: Mutex<Vec<(String, Value)>>,
}

impl Script {
    fn answer(&self, operation: &str) -> Value {
        match operation {
            "DescribeServices" => {
                let mut looks = self.looks.lock();
                // The last one stays.
                let last = looks.front().cloned();
                let look = if looks.len() > 1 { looks.pop_front() } else { last };
                let (service, state) = look.unwrap_or_default();
                *self.state.lock() = state;
                json!({"services": [service]})
            }
            "DescribeServiceDeployments" => {
                let (state, reason) = (*self.state.lock(), "The circuit broke.");
                json!({"serviceDeployments": [{"status": state, "statusReason": reason}]})
            }
            "UpdateService" => json!({"service": service(2, 0)}),
            "RegisterTaskDefinition" => json!({"taskDefinition": {"taskDefinitionArn": "x/web:2"}}),
            "DescribeTaskDefinition" => json!({"taskDefinition": {
                "family": "web", "revision": 1, "taskDefinitionArn": "x/web:1",
                "containerDefinitions": [{"name": "app", "image": "web:1"}]}}),
            "ListTasks" => json!({"taskArns": ["x/1"]}),
            "DescribeTasks" => json!({"tasks": [
                {"startedBy": "ecs-svc/2", "stoppedReason": "Essential container in task exited"}]}),
            _ => Value::Null,
        }
    }
}

impl Exchange for Script {
    fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Exchanged> + Send>> {
        let target = request.headers().get("x-amz-target").and_then(|name| name.to_str().ok());
        // What is no operation is a path of ours: the tasks that are healthy.
        let operation = target.and_then(|name| name.rsplit('.').next()).unwrap_or("Health");
        let operation = operation.to_owned();
        let answer = self.answer(&operation);
        let whole = Bytes::from(answer.to_string());
        // The body of a request in memory is there at once.
        let mut body = Box::pin(request.into_body().collect());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Ok(body)) = body.as_mut().poll(&mut context) else {
            panic!("the body is there");
        };
        let input = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        self.calls.lock().push((operation, input));
        Box::pin(async move { Ok(Response::new(whole)) })
    }
}

/// The service while the deployment of this number is primary, with so many new tasks running.
fn service(primary: u32, running: u32) -> Value {
    let rollout = if running == 2 { "COMPLETED" } else { "IN_PROGRESS" };
    json!({
        "serviceName": "web", "status": "ACTIVE", "desiredCount": 2, "runningCount": 2,
        "taskDefinition": "x/web:1", "currentServiceDeployment": format!("x/{primary}"),
        "deployments": [{"id": format!("ecs-svc/{primary}"), "status": "PRIMARY",
            "rolloutState": rollout, "taskDefinition": format!("x/web:{primary}"),
            "desiredCount": 2, "runningCount": running}],
        "events": [{"id": running.to_string(), "createdAt": 1, "message": "(service web) moves."}],
    })
}

/// Deploys against looks; gives the exit code and the calls.
fn deploy(words: &[&str], looks: &[(Value, &'static str)]) -> (u8, Vec<(String, Value)>) {
    // The first look is before anything began.
    let looks = std::iter::once((service(1, 2), "")).chain(looks.iter().cloned()).collect();
    let script =
        Script { looks: Mutex::new(looks), state: Mutex::default(), calls: Mutex::default() };
    let script = Arc::new(script);
    let region = "us-east-1".parse().unwrap_or_else(|_| panic!("a region"));
    let client = Client::new("http://script", None, region, Arc::new(SystemClock))
        .with_exchange(script.clone());
    let words = ["deploy", "web"].iter().chain(words);
    let words = Words::parse_from(words);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let outcome = runtime.block_on(words.deploy.carry_out(&client, Format::Json));
    let code = match outcome {
        Ok(()) => 0,
        Err(error) => error.downcast_ref::<Exit>().map_or(1, |exit| exit.0),
    };
    let calls = std::mem::take(&mut *script.calls.lock());
    (code, calls)
}

fn input<'a>(calls: &'a [(String, Value)], operation: &str) -> &'a Value {
    let call = calls.iter().find(|(name, _)| name == operation);
    call.map_or(&Value::Null, |(_, input)| input)
}

#[test]
fn an_image_is_registered_deployed_and_followed_to_success() {
    let looks =
        [(service(2, 0), "PENDING"), (service(2, 1), "IN_PROGRESS"), (service(2, 2), "SUCCESSFUL")];
    let (code, calls) = deploy(&["--image", "app=web:2"], &looks);
    assert_eq!(code, 0);
    let registered = input(&calls, "RegisterTaskDefinition");
    let containers = json!([{"name": "app", "image": "web:2"}]);
    assert_eq!(*registered, json!({"family": "web", "containerDefinitions": containers}));
    let updated = json!({"cluster": "default", "service": "web", "taskDefinition": "x/web:2"});
    assert_eq!(*input(&calls, "UpdateService"), updated);
}

#[test]
fn without_anything_the_same_is_deployed_again() {
    let (code, calls) = deploy(&[], &[(service(2, 2), "SUCCESSFUL")]);
    assert_eq!(code, 0);
    assert_eq!(input(&calls, "UpdateService")["forceNewDeployment"], true);
    assert_eq!(*input(&calls, "RegisterTaskDefinition"), Value::Null);
}

#[test]
fn a_deployment_that_does_not_end_well_has_its_code() {
    let ends = |looks: &[(Value, &'static str)]| deploy(&["--task-definition", "web:2"], looks).0;
    let back = (service(1, 1), "ROLLBACK_IN_PROGRESS");
    assert_eq!(
        ends(&[(service(2, 1), "IN_PROGRESS"), back, (service(1, 2), "ROLLBACK_SUCCESSFUL")]),
        3
    );
    assert_eq!(ends(&[(service(1, 2), "ROLLBACK_FAILED")]), 3);
    assert_eq!(ends(&[(service(3, 0), "STOPPED")]), 4);
    // The service was looked at before somebody stopped it, or before a newer one took its place.
    let mut stopped = service(2, 1);
    stopped["deployments"][0]["rolloutState"] = "FAILED".into();
    for then in [stopped, service(3, 0)] {
        assert_eq!(ends(&[(service(2, 1), "STOPPED"), (then, "STOPPED")]), 4);
    }
    let (code, _) = deploy(&["--timeout", "0"], &[(service(2, 1), "IN_PROGRESS")]);
    assert_eq!(code, 5);
}

#[test]
fn nobody_has_to_follow_and_nothing_has_to_begin() {
    let (code, calls) = deploy(&["--no-follow"], &[(service(2, 0), "PENDING")]);
    assert_eq!((code, calls.len()), (0, 2));
    let (code, calls) = deploy(&["--attach"], &[(service(1, 2), "SUCCESSFUL")]);
    assert_eq!(code, 0);
    assert!(
        calls
            .iter()
            .all(|(operation, _)| operation.starts_with("Describe") || operation == "Health"),
        "{calls:?}"
    );
}
