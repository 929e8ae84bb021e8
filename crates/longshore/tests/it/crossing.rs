//! Container instances that try what is not theirs: another's instance and tasks, other regions,
//! other accounts.

use serde_json::{Value, json};

use crate::harness::Up;
use crate::security::{call, certificates, curl, node_key, text};

const HANDSHAKE: [&str; 8] = [
    "-H",
    "connection: upgrade",
    "-H",
    "upgrade: websocket",
    "-H",
    "sec-websocket-version: 13",
    "-H",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
];

/// What an upgrade of one of an agent's channels, for this instance, is answered with.
fn upgrade(up: &Up, key: &Value, path: &str, instance: &str) -> (u16, String) {
    let parameter = if path == "/acs/ws" { "containerInstanceArn" } else { "containerInstance" };
    let instance = instance.replace(':', "%3A").replace('/', "%2F");
    let query = format!("{path}?clusterArn=default&{parameter}={instance}");
    curl(up, &query, Some(key), &HANDSHAKE)
}

const CHANNELS: [&str; 3] = ["/acs/ws", "/tcs/ws", "/_longshore/node/ws"];

/// The same key, whose requests are signed for another region.
fn signed_in(key: &Value, region: &str) -> Value {
    let mut key = key.clone();
    key["region"] = region.into();
    key
}

fn register(up: &Up, key: &Value) -> (u16, String) {
    let resources = json!([{"name": "CPU", "type": "INTEGER", "integerValue": 1024},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}]);
    call(up, key, "RegisterContainerInstance", &json!({"totalResources": resources}))
}

/// A plane with an instance that runs a task, and an instance that has joined beside it.
struct Scene {
    up: Up,
    task: String,
    task_arn: String,
    instance: String,
    other: Value,
}

impl Scene {
    fn set() -> Self {
        let up = Up::start(&["busybox"]);
        let task = up.run_task(&json!({"family": "sleeper", "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"]}]}));
        let running = up.await_status(&task, "RUNNING");
        let of = |name: &str| running[name].as_str().unwrap().to_owned();
        let (task_arn, instance) = (of("taskArn"), of("containerInstanceArn"));
        let other = node_key(&up, "other");
        let (status, told) = register(&up, &other);
        assert_eq!(status, 200, "{told}");
        Self { up, task, task_arn, instance, other }
    }

    /// Nothing happened to the task or its instance.
    fn is_untouched(&self) {
        let task = self.up.task(&self.task);
        let states = (&task["lastStatus"], &task["desiredStatus"]);
        assert_eq!(states, (&json!("RUNNING"), &json!("RUNNING")), "{task:#}");
        let described = self.up.aws(&[
            "ecs",
            "describe-container-instances",
            "--container-instances",
            &self.instance,
        ]);
        let found = &described["containerInstances"][0];
        let states = (&found["status"], &found["agentConnected"]);
        assert_eq!(states, (&json!("ACTIVE"), &json!(true)), "{found:#}");
    }

    /// What only the instance itself may say, with these names for it and its task.
    fn reports(task: &str, instance: &str) -> Vec<(&'static str, Value)> {
        vec![
            ("SubmitTaskStateChange", json!({"task": task, "status": "STOPPED"})),
            (
                "SubmitContainerStateChange",
                json!({"task": task, "containerName": "main", "status": "STOPPED", "exitCode": 0}),
            ),
            (
                "SubmitTaskStateChange",
                json!({"task": task, "containers": [{"containerName": "main", "status": "STOPPED"}]}),
            ),
            ("DeregisterContainerInstance", json!({"containerInstance": instance, "force": true})),
            (
                "UpdateContainerInstancesState",
                json!({"containerInstances": [instance], "status": "DRAINING"}),
            ),
            (
                "RegisterContainerInstance",
                json!({"containerInstanceArn": instance, "totalResources": []}),
            ),
        ]
    }
}

fn is_refused((status, told): &(u16, String)) -> bool {
    // Of several things in one call, what is refused is told of each.
    (400..500).contains(status) || (*status == 200 && told.contains("\"failures\":[{"))
}

#[test]
fn an_instance_that_has_joined_does_nothing_for_another() {
    let scene = Scene::set();
    for (operation, input) in Scene::reports(&scene.task_arn, &scene.instance) {
        let answer = call(&scene.up, &scene.other, operation, &input);
        assert!(is_refused(&answer), "{operation}: {answer:?}");
    }
    for path in CHANNELS {
        let answer = upgrade(&scene.up, &scene.other, path, &scene.instance);
        assert_eq!(answer.0, 403, "{path}: {answer:?}");
    }
    scene.is_untouched();
}

#[test]
fn no_instance_reaches_into_another_region_or_account() {
    let scene = Scene::set();
    let (home, abroad) = ("us-east-1", "eu-west-1");
    let elsewhere =
        |arn: &str| [arn.replace(home, abroad), arn.replace("000000000000", "111111111111")];
    let its_own = node_key(&scene.up, "instance-1");
    // Whoever it is, and wherever a request is signed for: the other's key and the instance's own.
    for key in
        [&scene.other, &its_own, &signed_in(&scene.other, abroad), &signed_in(&its_own, abroad)]
    {
        let region = key["region"].as_str().unwrap_or(home);
        let mut names: Vec<(String, String)> = Vec::new();
        for (task, instance) in
            elsewhere(&scene.task_arn).into_iter().zip(elsewhere(&scene.instance))
        {
            names.push((task, instance));
        }
        if region != home {
            // The right names, asked for in the wrong region.
            names.push((scene.task_arn.clone(), scene.instance.clone()));
        }
        for (task, instance) in names {
            for (operation, input) in Scene::reports(&task, &instance) {
                let answer = call(&scene.up, key, operation, &input);
                // What nobody knows is taken note of, so that agents forget it; nothing comes of it.
                let is_forgotten =
                    operation.starts_with("Submit") && answer.1.contains("acknowledgment");
                let told = format!("{operation} of {task} in {region}: {answer:?}");
                assert!(is_forgotten || is_refused(&answer), "{told}");
            }
            for path in CHANNELS {
                let (status, told) = upgrade(&scene.up, key, path, &instance);
                assert!((400..500).contains(&status), "{path} of {instance}: {status} {told}");
            }
        }
    }
    scene.is_untouched();
}

#[test]
fn keys_and_certificates_of_another_plane_are_worth_nothing() {
    let (tls, others_tls) = (certificates(), certificates());
    let up = Up::server(&["--tls-dir", &text(tls.path())]);
    let folder = text(others_tls.path());
    let other = Up::server(&["--tls-dir", &folder, "--account", "111111111111"]);
    let key = node_key(&other, "web-1");
    let discover = json!({});
    assert_eq!(call(&other, &key, "DiscoverPollEndpoint", &discover).0, 200);
    let (status, told) = call(&up, &key, "DiscoverPollEndpoint", &discover);
    assert!((400..500).contains(&status), "{status} {told}");
    let instance = "arn:aws:ecs:us-east-1:111111111111:container-instance/default/0123456789abcdef0123456789abcdef";
    for path in CHANNELS {
        let (status, told) = upgrade(&up, &key, path, instance);
        assert!((400..500).contains(&status), "{path}: {status} {told}");
    }
    // A certificate that another authority signed ends the handshake, also with a key of this plane.
    let own = node_key(&up, "web-1");
    let shown = |name: &str| text(&others_tls.path().join(name));
    let (certificate, certificate_key) = (shown("server.crt"), shown("server.key"));
    let foreign = ["--cert", &certificate, "--key", &certificate_key];
    assert_eq!(curl(&up, "/_longshore/healthz", None, &[]).0, 200);
    assert_eq!(curl(&up, "/_longshore/healthz", None, &foreign).0, 0, "the handshake fails");
    assert_eq!(curl(&up, "/_longshore/healthz", Some(&own), &foreign).0, 0);
}
