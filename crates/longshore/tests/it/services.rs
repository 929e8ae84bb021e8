//! Services with the `aws` CLI, its waiters and boto3: made, found, changed, rolled, deleted.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Up, eventually};

/// A definition whose task ends at once when it is told to.
fn definition(family: &str, word: &str) -> Value {
    let script = format!("echo {word}; trap 'exit 0' TERM; sleep 600 & wait");
    json!({
        "family": family,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16, "stopTimeout": 2,
            "command": ["sh", "-c", script],
        }],
    })
}

fn register(up: &Up, definition: &Value) -> String {
    let text = definition.to_string();
    let answer = up.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
    answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
}

fn service(up: &Up, name: &str) -> Value {
    let describe = ["ecs", "describe-services", "--services", name, "--include", "TAGS"];
    up.aws(&describe)["services"][0].take()
}

/// Waits until a service has just one deployment, that is COMPLETED, with so many tasks.
fn await_steady(up: &Up, name: &str, count: usize) -> Value {
    let mut last = Value::Null;
    let is_steady = eventually(|| {
        last = service(up, name);
        last["deployments"].as_array().unwrap().len() == 1
            && last["deployments"][0]["rolloutState"] == "COMPLETED"
            && last["runningCount"] == count
            && last["pendingCount"] == 0
    });
    assert!(is_steady, "the service does not become steady: {last:#}");
    last
}

fn tasks(up: &Up, name: &str) -> Vec<Value> {
    let arns = up.aws(&["ecs", "list-tasks", "--service-name", name])["taskArns"].take();
    let arns: Vec<&str> =
        arns.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
    if arns.is_empty() {
        return Vec::new();
    }
    let describe = [&["ecs", "describe-tasks", "--include", "TAGS", "--tasks"], &arns[..]].concat();
    up.aws(&describe)["tasks"].as_array().unwrap().clone()
}

#[test]
fn a_service_lives_its_life_under_the_waiters() {
    let up = Up::start_with(&["--settle-seconds", "0"], &["busybox"]);
    let first = register(&up, &definition("web", "one"));
    let create = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
        "propagateTags": "SERVICE", "enableECSManagedTags": true,
        "tags": [{"key": "team", "value": "a"}],
    });
    let made = up.aws(&["ecs", "create-service", "--cli-input-json", &create.to_string()]);
    let id = made["service"]["deployments"][0]["id"].as_str().unwrap().to_owned();
    let shown = await_steady(&up, "web", 2);
    up.aws(&["ecs", "wait", "services-stable", "--services", "web"]);
    let events = shown["events"].as_array().unwrap();
    assert!(events.iter().any(|event| {
        event["message"].as_str().unwrap().starts_with("(service web) has started 2 tasks: (task ")
    }));

    let running = tasks(&up, "web");
    assert_eq!(running.len(), 2);
    for task in &running {
        assert_eq!((&task["group"], &task["startedBy"]), (&json!("service:web"), &json!(id)));
        let has = |key: &str, value: &str| {
            task["tags"].as_array().unwrap().contains(&json!({"key": key, "value": value}))
        };
        assert!(has("team", "a"), "{task:#}");
        assert!(has("aws:ecs:serviceName", "web") && has("aws:ecs:clusterName", "default"));
    }
    let started = up.aws(&["ecs", "list-tasks", "--started-by", &id]);
    assert_eq!(started["taskArns"].as_array().unwrap().len(), 2);
    let arn = running[0]["taskArn"].as_str().unwrap();
    let protect = ["ecs", "update-task-protection", "--cluster", "default", "--tasks", arn];
    let protected = up.aws(&[&protect[..], &["--protection-enabled"]].concat());
    assert_eq!(protected["protectedTasks"][0]["protectionEnabled"], true);
    up.aws(&[&protect[..], &["--no-protection-enabled"]].concat());

    up.aws(&["ecs", "update-service", "--service", "web", "--desired-count", "3"]);
    await_steady(&up, "web", 3);
    let second = register(&up, &definition("web", "two"));
    assert_ne!(first, second);
    up.aws(&["ecs", "update-service", "--service", "web", "--task-definition", "web"]);
    let shown = await_steady(&up, "web", 3);
    assert_eq!(shown["taskDefinition"], second.as_str());
    assert!(tasks(&up, "web").iter().all(|task| task["taskDefinitionArn"] == second.as_str()));
    let listed = up.aws(&["ecs", "list-service-deployments", "--service", "web"]);
    let listed = listed["serviceDeployments"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2, "a changed count starts no deployment");
    assert!(listed.iter().all(|one| one["status"] == "SUCCESSFUL"), "{listed:#?}");

    let refused = up.try_aws(&["ecs", "delete-service", "--service", "web"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("while it is scaled above 0."));
    up.aws(&["ecs", "delete-service", "--service", "web", "--force"]);
    assert!(eventually(|| service(&up, "web")["status"] == "INACTIVE"));
    up.aws(&["ecs", "wait", "services-inactive", "--services", "web"]);
    assert!(eventually(|| tasks(&up, "web").is_empty()));
    let made = up.aws(&["ecs", "create-service", "--cli-input-json", &create.to_string()]);
    assert_eq!(made["service"]["status"], "ACTIVE", "the name is free again");
}

/// Runs the example with the arguments, and gives what it says.
fn schedule(up: &Up, args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/external-scheduler/scheduler.py");
    let output = up.with_profile("python3").arg(script).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scheduler {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_scheduler_of_ones_own_rolls_task_sets_and_places_tasks() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "2"], &["busybox"]);
    let (first, second) =
        (register(&up, &definition("shop", "one")), register(&up, &definition("shop", "two")));
    for definition in [&first, &second] {
        let roll = ["roll", "--service", "shop", "--task-definition", definition, "--desired", "2"];
        schedule(&up, &roll);
        let shown = service(&up, "shop");
        assert_eq!(shown["taskDefinition"], definition.as_str());
        let sets = shown["taskSets"].as_array().unwrap();
        assert_eq!(sets.len(), 1, "{sets:#?}");
        assert_eq!((&sets[0]["status"], &sets[0]["runningCount"]), (&json!("PRIMARY"), &json!(2)));
        let running = tasks(&up, "shop");
        assert!(running.iter().all(|task| task["startedBy"] == sets[0]["id"]), "{running:#?}");
    }

    register(&up, &definition("cache", "cache"));
    let instances = up.aws(&["ecs", "list-container-instances"])["containerInstanceArns"].take();
    for (rack, arn) in instances.as_array().unwrap().iter().enumerate() {
        let attribute = format!("name=rack,value={rack},targetId={}", arn.as_str().unwrap());
        up.aws(&["ecs", "put-attributes", "--attributes", &attribute]);
    }
    let place = ["place", "--task-definition", "cache", "--label", "rack"];
    assert_eq!(schedule(&up, &place).matches("started").count(), 2);
    assert_eq!(schedule(&up, &place), "", "nothing is missing");
    let fewer = [&place[..], &["--per-label", "0"]].concat();
    assert_eq!(schedule(&up, &fewer).matches("stopped").count(), 2);
    up.aws(&["ecs", "delete-service", "--service", "shop", "--force"]);
    assert!(eventually(|| service(&up, "shop")["status"] == "INACTIVE"));
}
