//! Alarms that watch deployments (ECS semantics §8.2), with real containers and the `aws` CLI.

use serde_json::{Value, json};

use crate::harness::Up;
use crate::watched::{Watched, checked, says, well_behaved};

fn put_alarm(up: &Up) {
    let words = "cloudwatch put-metric-alarm --alarm-name errors --metric-name Errors \
                 --namespace web --statistic Sum --period 60 --evaluation-periods 1 \
                 --threshold 1 --comparison-operator GreaterThanThreshold";
    up.aws(&words.split_whitespace().collect::<Vec<_>>());
}

fn set_alarm(up: &Up, state: &str) {
    let words = format!("--alarm-name errors --state-value {state} --state-reason test");
    let mut call = vec!["cloudwatch", "set-alarm-state"];
    call.extend(words.split_whitespace());
    up.aws(&call);
}

/// Expects that the service went back to `good` because of the alarm, and what it says of that.
fn went_back(ecs: &Watched, good: &str, failed: &str, before: &[String]) {
    let service = ecs.await_steady("web", good, 1);
    let id = service["deployments"][0]["id"].as_str().unwrap();
    let lines = says(&service);
    for line in [
        format!("(service web) (deployment {failed}) deployment failed: alarm detected."),
        format!("(service web) rolling back to deployment {id}."),
    ] {
        assert!(lines.contains(&line), "{line} is not among {lines:#?}");
    }
    let told = ecs.call("ListServiceDeployments", json!({"service": "web"}));
    let arn = &told["serviceDeployments"][0]["serviceDeploymentArn"];
    let body = json!({"serviceDeploymentArns": [arn]});
    let mut told = ecs.call("DescribeServiceDeployments", body);
    let told = told["serviceDeployments"][0].take();
    assert_eq!(told["status"], "ROLLBACK_SUCCESSFUL", "{told:#}");
    let alarms = json!({"status": "TRIGGERED", "alarmNames": ["errors"],
        "triggeredAlarmNames": ["errors"]});
    assert_eq!(told["alarms"], alarms, "{told:#}");
    let reason = told["rollback"]["reason"].as_str().unwrap();
    assert_eq!(reason, "ECS deployment failed: alarm detected.");
    let running = ecs.running("web");
    assert!(before.is_empty() || running == before, "what ran well goes on");
}

fn deploys(ecs: &Watched, definition: &str) -> String {
    let service = ecs.update("web", definition);
    service["deployments"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_alarm_takes_a_deployment_back_on_its_way_and_while_it_bakes() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "1"], &["busybox"]);
    let ecs = Watched::of(&up);
    put_alarm(&up);
    let good = ecs.register(&well_behaved("web"));
    ecs.create("web", &good, 1, None);
    let before = ecs.running("web");
    let watch = json!({"service": "web", "deploymentConfiguration": {
        "minimumHealthyPercent": 100, "maximumPercent": 200, "bakeTimeInMinutes": 60,
        "alarms": {"alarmNames": ["errors"], "enable": true, "rollback": true}}});
    ecs.call("UpdateService", watch);

    // On its way: neither healthy nor sick for five minutes.
    let mut coming = checked(well_behaved("web"), "exit 1");
    coming["containerDefinitions"][0]["healthCheck"]["startPeriod"] = 300.into();
    let coming = ecs.register(&coming);
    let failed = deploys(&ecs, &coming);
    ecs.until("web", "a task of each", |service| service["runningCount"] == 2);
    set_alarm(&up, "ALARM");
    went_back(&ecs, &good, &failed, &before);

    // While it bakes: all of it runs, and nothing else.
    set_alarm(&up, "OK");
    let next = ecs.register(&well_behaved("web"));
    let failed = deploys(&ecs, &next);
    let bakes = |service: &Value| {
        let deployments = service["deployments"].as_array().unwrap();
        deployments.len() == 1 && deployments[0]["runningCount"] == 1
    };
    let baking = ecs.until("web", "only the new task", bakes);
    assert_eq!(baking["deployments"][0]["id"], *failed);
    assert_eq!(baking["deployments"][0]["rolloutState"], "IN_PROGRESS");
    set_alarm(&up, "ALARM");
    went_back(&ecs, &good, &failed, &[]);

    // An alarm of before the start is none of the deployment's doing, and nothing bakes.
    deploys(&ecs, &next);
    let done = ecs.await_steady("web", &next, 1);
    let last = &says(&done)[..2];
    assert!(last.iter().any(|line| line.ends_with("deployment completed.")), "{last:#?}");
}
