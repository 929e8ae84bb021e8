//! Capacity providers with the `aws` CLI: instances that say where they belong, tasks shared out.

use serde_json::{Value, json};

use crate::harness::{Up, eventually};

/// How many tasks there are on instances of each provider: own, spot.
fn shares(up: &Up, service: &str) -> [usize; 2] {
    let list = ["ecs", "list-tasks", "--service-name", service, "--desired-status", "RUNNING"];
    let arns = up.aws(&list)["taskArns"].take();
    let arns: Vec<&str> =
        arns.as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
    if arns.is_empty() {
        return [0, 0];
    }
    let described = up.aws(&[&["ecs", "describe-tasks", "--tasks"], &arns[..]].concat());
    let tasks = described["tasks"].as_array().unwrap().clone();
    let of = |name: &str| {
        let is_it = |task: &&Value| task["capacityProviderName"] == name;
        tasks.iter().filter(is_it).count()
    };
    [of("own"), of("spot")]
}

#[test]
fn a_service_goes_by_a_strategy() {
    let flags = ["--instances", "2", "--capacity-provider", "own,spot", "--settle-seconds", "0"];
    let up = Up::start_with(&flags, &["busybox"]);
    for name in ["own", "spot"] {
        let group = format!("autoScalingGroupArn={name}");
        let create = ["ecs", "create-capacity-provider", "--name", name];
        up.aws(&[&create[..], &["--auto-scaling-group-provider", &group]].concat());
    }
    let put = ["ecs", "put-cluster-capacity-providers", "--cluster", "default"];
    let providers = ["--capacity-providers", "own", "spot"];
    up.aws(&[&put[..], &providers, &["--default-capacity-provider-strategy", "[]"]].concat());
    let listed = up.aws(&["ecs", "list-container-instances"])["containerInstanceArns"].take();
    let arns: Vec<&str> = listed.as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let describe = [&["ecs", "describe-container-instances", "--container-instances"], &arns[..]];
    let described = up.aws(&describe.concat());
    let instances = described["containerInstances"].as_array().unwrap();
    let mut names: Vec<&str> =
        instances.iter().map(|one| one["capacityProviderName"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["own", "spot"]);

    let definition = json!({"family": "web", "containerDefinitions": [{
        "name": "main", "image": "busybox", "memory": 16, "stopTimeout": 2,
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]}]});
    let definition = definition.to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let strategy = [
        "--capacity-provider-strategy",
        "capacityProvider=own,base=1,weight=0",
        "capacityProvider=spot,weight=1",
    ];
    let create = ["ecs", "create-service", "--service-name", "web", "--task-definition", "web"];
    up.aws(&[&create[..], &["--desired-count", "4"], &strategy].concat());
    assert!(eventually(|| shares(&up, "web") == [1, 3]));

    // One that is lost comes back where it was.
    let list = ["ecs", "list-tasks", "--service-name", "web"];
    for arn in up.aws(&list)["taskArns"].as_array().unwrap().iter().take(2) {
        up.aws(&["ecs", "stop-task", "--task", arn.as_str().unwrap()]);
    }
    assert!(eventually(|| shares(&up, "web") == [1, 3]));
    up.aws(&["ecs", "update-service", "--service", "web", "--desired-count", "2"]);
    assert!(eventually(|| shares(&up, "web") == [1, 1]));

    let run = ["ecs", "run-task", "--task-definition", "web", "--count", "3"];
    let run = up.aws(&[&run[..], &strategy].concat());
    let mut of: Vec<&str> = run["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["capacityProviderName"].as_str().unwrap())
        .collect();
    of.sort_unstable();
    assert_eq!(of, ["own", "spot", "spot"]);
}
