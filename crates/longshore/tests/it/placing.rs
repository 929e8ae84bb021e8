//! Where tasks go on three instances: planned, run, started and waited for by real clients.

use serde_json::{Value, json};

use crate::harness::Up;

/// Definition, `plan`, run-task and start-task meet on the same three instances.
const WAITERS: &str = r#"
import boto3
ecs = boto3.client("ecs")
instances = ecs.list_container_instances()["containerInstanceArns"]
answer = ecs.start_task(taskDefinition="sleeper", containerInstances=instances[:2], startedBy="boto")
assert not answer["failures"], answer
arns = [task["taskArn"] for task in answer["tasks"]]
ecs.get_waiter("tasks_running").wait(tasks=arns, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
assert sorted(ecs.list_tasks(startedBy="boto")["taskArns"]) == sorted(arns)
token = dict(taskDefinition="sleeper", count=1, clientToken="once")
first, again = (ecs.run_task(**token)["tasks"][0]["taskArn"] for _ in range(2))
assert first == again, (first, again)
try:
    ecs.run_task(**{**token, "count": 2})
    raise SystemExit("the token was taken twice")
except ecs.exceptions.ConflictException as conflict:
    assert conflict.response["resourceIds"] == [first], conflict.response
try:
    ecs.run_task(taskDefinition="sleeper", overrides={"containerOverrides": [{"name": "x"}]})
    raise SystemExit("the override was taken")
except ecs.exceptions.InvalidParameterException as wrong:
    assert "is not a container in the TaskDefinition" in str(wrong), wrong
for arn in arns + [first]:
    ecs.stop_task(task=arn)
ecs.get_waiter("tasks_stopped").wait(
    tasks=arns + [first], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
"#;

/// What a plan says in which something does not fit.
fn unfit(up: &Up, args: &[&str]) -> String {
    let output = up.try_cli(args);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_plan_tells_where_tasks_go_and_they_go_there() {
    let up = Up::start_with(&["--instances", "3"], &["busybox"]);
    let definition = json!([{
        "name": "main", "image": "busybox", "memory": 64, "stopTimeout": 2,
        "command": ["sleep", "600"],
    }]);
    let definition = definition.to_string();
    let args = ["ecs", "register-task-definition", "--family", "sleeper"];
    up.aws(&[&args[..], &["--container-definitions", &definition]].concat());

    let wanted = ["--task-definition", "sleeper", "--count", "4"];
    let rules = [
        "--placement-strategy",
        "type=spread,field=attribute:ecs.availability-zone",
        "--placement-constraints",
        "type=distinctInstance",
    ];
    let asked = [&wanted[..], &rules].concat();
    let plan = unfit(&up, &[&["plan", "run-task"], &asked[..], &["--output", "json"]].concat());
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!((&plan["count"], &plan["placed"]), (&json!(4), &json!(3)), "{plan}");
    let words = unfit(&up, &[&["plan", "run-task"], &asked[..]].concat());
    assert!(words.starts_with("3 of 4 tasks of sleeper:1 would be placed"), "{words}");
    assert!(words.contains("3 × DistinctInstance"), "{words}");

    let answer = up.aws(&[&["ecs", "run-task"], &asked[..]].concat());
    assert_eq!(answer["failures"].as_array().unwrap().len(), 3, "{answer}");
    let instances = |list: &Value| {
        let arns = list.as_array().unwrap().iter();
        let mut arns: Vec<_> = arns.map(|one| one["containerInstanceArn"].clone()).collect();
        arns.sort_by_key(Value::to_string);
        arns
    };
    assert_eq!(instances(&answer["tasks"]), instances(&plan["placements"]));
    let tasks: Vec<_> = answer["tasks"].as_array().unwrap().iter().collect();
    let arns: Vec<&str> = tasks.iter().map(|task| task["taskArn"].as_str().unwrap()).collect();
    up.aws(&[&["ecs", "wait", "tasks-running", "--tasks"], &arns[..]].concat());
    let why = up.cli(&["why", arns[0]]);
    assert!(why.contains("of 3 instances 3 could take it; chosen by spread over"), "{why}");
    assert!(up.cli(&["status"]).contains("placed  3 tasks since it started, 1 found no place"));

    let ran = up.with_profile("python3").args(["-c", WAITERS]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
