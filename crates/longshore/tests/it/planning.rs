//! What a deployment would change and how it would proceed, asked of a real server: `longshore diff`
//! and `longshore plan` for services. Nothing is done.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Up, eventually};

fn definition(image: &str) -> Value {
    json!({
        "family": "web",
        "containerDefinitions": [{
            "name": "main", "image": image, "memory": 64, "environment": [
                {"name": "LEVEL", "value": "info"}],
            "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"],
        }],
    })
}

/// A file with the document; its path.
fn file(folder: &Path, name: &str, document: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, document.to_string()).unwrap();
    path.display().to_string()
}

/// What the command says, and its exit code.
fn ask(up: &Up, words: &[&str]) -> (String, Option<i32>) {
    let output = up.try_cli(words);
    let told = [output.stdout, output.stderr].concat();
    (String::from_utf8(told).unwrap(), output.status.code())
}

/// A service `web` with two tasks that run.
fn service(up: &Up, folder: &Path) -> Value {
    let mut first = definition("busybox");
    first["tags"] = json!([{"key": "team", "value": "shop"}]);
    let first = format!("file://{}", file(folder, "first.json", &first));
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &first]);
    let create = json!({
        "serviceName": "web", "taskDefinition": "web", "desiredCount": 2,
        "tags": [{"key": "team", "value": "shop"}],
    });
    up.aws(&["ecs", "create-service", "--cli-input-json", &create.to_string()]);
    let describe = ["ecs", "describe-services", "--services", "web"];
    let is_up = eventually(|| {
        let shown = up.aws(&describe);
        shown["services"][0]["deployments"][0]["rolloutState"] == "COMPLETED"
    });
    assert!(is_up);
    create
}

#[test]
fn what_would_change_is_told_field_by_field() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "1"], &["busybox"]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let create = service(&up, folder);

    let mut next = definition("busybox:2");
    next["containerDefinitions"][0]["environment"] = json!([{"name": "LEVEL", "value": "debug"}]);
    next["tags"] = json!([{"key": "team", "value": "core"}]);
    let next = file(folder, "next.json", &next);
    let (told, code) = ask(&up, &["diff", "web", &next]);
    assert_eq!(code, Some(1), "{told}");
    let expected = "\
web: a deployment would begin

task definition web:1 → web:2
- containerDefinitions[main].environment[LEVEL]: \"info\"
+ containerDefinitions[main].environment[LEVEL]: \"debug\"
- containerDefinitions[main].image: \"busybox\"
+ containerDefinitions[main].image: \"busybox:2\"
- tags[team]: \"shop\"
+ tags[team]: \"core\"
";
    assert_eq!(told, expected);

    let mut wanted = create.clone();
    wanted["desiredCount"] = json!(3);
    wanted["launchType"] = json!("EXTERNAL");
    wanted["tags"] = json!([{"key": "team", "value": "shop"}, {"key": "tier", "value": "1"}]);
    let wanted = file(folder, "wanted.json", &wanted);
    let (told, code) = ask(&up, &["diff", "web", &wanted]);
    assert_eq!(code, Some(1), "{told}");
    for part in [
        "web: no deployment would begin",
        "- desiredCount: 2\n+ desiredCount: 3",
        "only a new service would have\n- launchType: \"EC2\"\n+ launchType: \"EXTERNAL\"",
        "by aws ecs tag-resource and untag-resource alone\n+ tags[tier]: \"1\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }

    let same = file(folder, "same.json", &create);
    let nothing = ("web is so already; nothing would change.\n".to_owned(), Some(0));
    assert_eq!(ask(&up, &["diff", "web", &same]), nothing);
    let wrong = file(folder, "wrong.json", &json!({"taskDefinition": "none"}));
    let (told, code) = ask(&up, &["diff", "web", &wrong]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("TaskDefinition not found."), "{told}");
    let known = up.aws(&["ecs", "list-task-definitions"])["taskDefinitionArns"].take();
    assert_eq!(known.as_array().unwrap().len(), 1, "nothing was registered");
}

#[test]
fn how_a_deployment_would_proceed_is_told_step_by_step() {
    let up = Up::start_with(&["--settle-seconds", "0", "--instances", "2"], &["busybox"]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    service(&up, folder);
    let next = file(folder, "next.json", &definition("busybox:2"));
    let update = ["plan", "update-service", "--service", "web"];
    let (told, code) = ask(&up, &[&update[..], &["--task-definition", &next]].concat());
    assert_eq!(code, Some(0), "{told}");
    assert!(told.starts_with("The deployment of web:2 to web would be complete, in "), "{told}");
    for part in ["NEW RUNNING", "would be on:", "deployment completed.", "MEMORY AFTER"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let (told, code) = ask(&up, &[&update[..], &["--desired-count", "100000"]].concat());
    assert_eq!(code, Some(1), "{told}");
    let (told, code) = ask(&up, &[&update[..], &["--desired-count", "4000"]].concat());
    assert_eq!(code, Some(3), "{told}");
    assert!(
        told.starts_with("No deployment would begin, and web would not be as wanted"),
        "{told}"
    );

    let other = json!({"serviceName": "other", "taskDefinition": "web", "desiredCount": 2});
    let other = file(folder, "other.json", &other);
    let create = ["plan", "create-service", "--cli-input-json", &other, "--output", "json"];
    let (told, code) = ask(&up, &create);
    assert_eq!(code, Some(0), "{told}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["end"], &told["fits"]), (&json!("COMPLETED"), &json!(true)));
    let tasks = |place: &Value| place["tasks"].as_u64().unwrap();
    let places = told["placements"].as_array().unwrap();
    assert_eq!(places.iter().map(tasks).sum::<u64>(), 2, "{told:#}");

    let known = up.aws(&["ecs", "list-services"])["serviceArns"].take();
    assert_eq!(known.as_array().unwrap().len(), 1, "nothing was made");
    let shown = up.aws(&["ecs", "describe-services", "--services", "web"])["services"][0].take();
    assert_eq!(
        (&shown["desiredCount"], shown["deployments"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
}
