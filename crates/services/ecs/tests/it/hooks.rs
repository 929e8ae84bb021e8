//! Lifecycle hooks of blue/green deployments, with functions that the test plays.

use std::sync::Arc;

use async_trait::async_trait;
use ecs::{HookCaller, HookFailure};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::targets::{Backend, World};

/// A call that waits for its answer.
struct Call {
    target: String,
    event: Value,
    answer: oneshot::Sender<Result<String, HookFailure>>,
}

impl Call {
    fn stage(&self) -> &str {
        self.event["lifecycleStage"].as_str().unwrap()
    }

    fn says(self, answer: Value) {
        self.answer.send(Ok(answer.to_string())).unwrap();
    }
}

/// Hands calls to the test.
struct Functions(mpsc::Sender<Call>);

#[async_trait]
impl HookCaller for Functions {
    async fn call(&self, target: &str, event: String) -> Result<String, HookFailure> {
        let (answer, answered) = oneshot::channel();
        let event = serde_json::from_str(&event).unwrap();
        let call = Call { target: target.to_owned(), event, answer };
        self.0.send(call).await.map_err(|_| HookFailure::lasting("the test is over"))?;
        answered.await.map_err(|_| HookFailure::lasting("the test hung up"))?
    }
}

const GATE: &str = "arn:aws:lambda:us-east-1:123456789012:function:gate";

/// A service of one task with the strategy BLUE_GREEN, whose first deployment is complete and whose
/// next ones have hooks; the calls of these.
struct Hooked {
    world: World,
    calls: Mutex<mpsc::Receiver<Call>>,
    first: String,
}

impl Hooked {
    async fn new(hooks: Value) -> Self {
        let (world, backend) = (World::new().await, Backend::begin().await);
        let (sender, calls) = mpsc::channel(16);
        world.server.ecs.call_hooks_by(Arc::new(Functions(sender)));
        let mut balancers = world.behind(&world.blue);
        balancers[0]["advancedConfiguration"] = json!({
            "alternateTargetGroupArn": world.idle, "productionListenerRule": world.rule});
        let wanted = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 1,
            "deploymentConfiguration": {"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0},
            "loadBalancers": balancers});
        world.ok("CreateService", wanted).await;
        let first = world.pending("").await;
        world.run(&first, &backend).await;
        world.until_said("(service web) has reached a steady state.").await;
        // Deployments are listed by when they were made.
        world.server.advance(1);
        let configuration = json!({"lifecycleHooks": hooks});
        let update = json!({"service": "web", "forceNewDeployment": true,
            "deploymentConfiguration": configuration});
        let told = world.ok("UpdateService", update).await;
        assert_eq!(told["service"]["deploymentConfiguration"]["lifecycleHooks"], hooks);
        Self { world, calls: Mutex::new(calls), first }
    }

    async fn call(&self) -> Call {
        self.calls.lock().await.recv().await.unwrap()
    }

    async fn deployment(&self) -> Value {
        let listed = self.world.ok("ListServiceDeployments", json!({"service": "web"})).await;
        let arn = &listed["serviceDeployments"][0]["serviceDeploymentArn"];
        let asked = json!({"serviceDeploymentArns": [arn]});
        let told = self.world.ok("DescribeServiceDeployments", asked).await;
        told["serviceDeployments"][0].clone()
    }

    /// Lets the task of the new revision run.
    async fn run_second(&self) -> String {
        let task = self.world.pending(&self.first).await;
        self.world.run(&task, &Backend::begin().await).await;
        task
    }

    async fn until_status(&self, status: &str) -> Value {
        let look = async || Some(self.deployment().await).filter(|told| told["status"] == status);
        self.world.until(status, look).await
    }
}

fn succeeded() -> Value {
    json!({"hookStatus": "SUCCEEDED"})
}

#[tokio::test]
async fn functions_and_people_say_whether_a_deployment_goes_on() {
    let hooked = Hooked::new(json!([
        {"targetType": "AWS_LAMBDA", "hookTargetArn": GATE, "lifecycleStages": ["PRE_SCALE_UP", "POST_SCALE_UP"],
         "hookDetails": {"limit": [1, 2.5, null]}},
        {"targetType": "PAUSE", "lifecycleStages": ["POST_TEST_TRAFFIC_SHIFT"]},
        {"targetType": "AWS_LAMBDA", "hookTargetArn": "https://hooks.example/shift",
         "lifecycleStages": ["PRODUCTION_TRAFFIC_SHIFT"]},
    ]))
    .await;
    let told = hooked.deployment().await;
    let call = hooked.call().await;
    let id = told["serviceDeploymentArn"].as_str().unwrap().rsplit('/').next().unwrap();
    let target = &told["targetServiceRevision"]["arn"];
    let source = &told["sourceServiceRevisions"][0]["arn"];
    let weights = |new: u32| {
        let mut weights = json!({});
        weights[target.as_str().unwrap()] = json!(new);
        weights[source.as_str().unwrap()] = json!(100 - new);
        weights
    };
    assert_eq!(call.target, GATE);
    let expected = json!({
        "executionId": format!("{id}-0-PRE_SCALE_UP-0"),
        "lifecycleStage": "PRE_SCALE_UP",
        "resourceArn": told["serviceDeploymentArn"],
        "executionDetails": {
            "serviceArn": told["serviceArn"],
            "targetServiceRevisionArn": target,
            "testTrafficWeights": weights(0),
            "productionTrafficWeights": weights(0),
        },
        "hookDetails": {"limit": [1, 2.5, null]},
    });
    assert_eq!(call.event, expected);
    call.says(json!({"hookStatus": "IN_PROGRESS", "callBackDelay": 0, "hookDetails": {"seen": 1}}));
    let again = hooked.call().await;
    assert_eq!((again.stage(), &again.event["hookDetails"]), ("PRE_SCALE_UP", &json!({"seen": 1})));
    again.says(succeeded());

    hooked.run_second().await;
    let scaled = hooked.call().await;
    assert_eq!(
        (scaled.stage(), &scaled.event["hookDetails"]),
        ("POST_SCALE_UP", &json!({"seen": 1}))
    );
    scaled.says(succeeded());

    let awaits = async || {
        let told = hooked.deployment().await;
        let detail = told["lifecycleHookDetails"][0].clone();
        (detail["status"] == "AWAITING_ACTION").then_some((told, detail))
    };
    let (told, detail) = hooked.world.until("paused", awaits).await;
    assert_eq!(told["lifecycleStage"], "POST_TEST_TRAFFIC_SHIFT");
    assert_eq!(
        (&detail["targetType"], &detail["timeoutAction"]),
        (&json!("PAUSE"), &json!("ROLLBACK"))
    );
    let go_on = |hook: &Value| json!({"serviceDeploymentArn": told["serviceDeploymentArn"], "hookId": hook});
    let wrong = go_on(&json!("0-PRE_SCALE_UP-0")).to_string();
    let (status, answer) =
        hooked.world.server.call("admin", "ContinueServiceDeployment", &wrong).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("InvalidParameterException")), "{answer}");
    hooked.world.ok("ContinueServiceDeployment", go_on(&detail["hookId"])).await;

    let shift = hooked.call().await;
    assert_eq!(
        (shift.target.as_str(), shift.stage()),
        ("https://hooks.example/shift", "PRODUCTION_TRAFFIC_SHIFT")
    );
    assert_eq!(shift.event["executionDetails"]["productionTrafficWeights"], weights(100));
    shift.says(succeeded());
    hooked.until_status("SUCCESSFUL").await;
    hooked.world.until_task_is(&hooked.first, "STOPPING").await;
}

#[tokio::test]
async fn a_function_that_says_no_takes_the_deployment_back() {
    let hooked = Hooked::new(json!([
        {"targetType": "AWS_LAMBDA", "hookTargetArn": GATE,
         "lifecycleStages": ["TEST_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"]},
    ]))
    .await;
    let second = hooked.run_second().await;
    hooked.call().await.says(succeeded());
    let shift = hooked.call().await;
    let weights = shift.event["executionDetails"]["productionTrafficWeights"].clone();
    shift.says(json!({"hookStatus": "FAILED"}));
    // Both shifts are told of again, in any order, with the weights the other way round.
    let mut told = Vec::new();
    for _ in 0..2 {
        let back = hooked.call().await;
        let details = &back.event["executionDetails"];
        assert_eq!(details["testTrafficWeights"], details["productionTrafficWeights"]);
        for (revision, weight) in details["productionTrafficWeights"].as_object().unwrap() {
            assert_eq!(weight.as_u64().unwrap() + weights[revision].as_u64().unwrap(), 100);
        }
        told.push(back.stage().to_owned());
        back.says(json!({"hookStatus": "FAILED"}));
    }
    told.sort();
    assert_eq!(told, ["PRODUCTION_TRAFFIC_SHIFT", "TEST_TRAFFIC_SHIFT"]);
    hooked.world.until_task_is(&second, "STOPPING").await;
    hooked.world.until_said("deployment failed: lifecycle hook failed.").await;
    let deployment = hooked.deployment().await;
    let reason = deployment["statusReason"].as_str().unwrap();
    assert!(
        reason.ends_with("failed at PRODUCTION_TRAFFIC_SHIFT: it answered FAILED."),
        "{reason}"
    );
    assert_eq!(hooked.world.task(&hooked.first).await["desiredStatus"], "RUNNING");
}

#[tokio::test]
async fn what_is_no_answer_counts_as_a_refusal() {
    let hooked = Hooked::new(json!([
        {"targetType": "AWS_LAMBDA", "hookTargetArn": GATE, "lifecycleStages": ["PRE_SCALE_UP"]},
    ]))
    .await;
    hooked.call().await.says(json!({"status": "fine"}));
    let told = hooked.until_status("ROLLBACK_SUCCESSFUL").await;
    let reason = told["statusReason"].as_str().unwrap();
    assert!(reason.ends_with("failed at PRE_SCALE_UP: its answer has no hookStatus."), "{reason}");
}
