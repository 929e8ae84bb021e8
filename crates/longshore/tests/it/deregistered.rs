//! Instances that were deregistered, and what is left of one at its agent's end.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Process, Up, eventually, fetch};
use crate::many::{Traces, instances, register};

fn sleeper(up: &Up) -> (String, String) {
    let task = up.run_task(&json!({
        "family": "sleeper",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 16, "command": ["sleep", "600"]},
        ],
    }));
    let running = up.await_status(&task, "RUNNING");
    (task, running["containers"][0]["runtimeId"].as_str().unwrap().to_owned())
}

/// The one instance that is listed; there is no other.
fn only_instance(up: &Up) -> String {
    let listed = instances(up);
    let [instance] = listed.as_slice() else { panic!("{listed:#?}") };
    assert_eq!(instance["status"], "ACTIVE", "{instance:#}");
    instance["containerInstanceArn"].as_str().unwrap().to_owned()
}

fn deregister(up: &Up, instance: &str) {
    up.aws(&["ecs", "deregister-container-instance", "--force", "--container-instance", instance]);
}

#[test]
fn up_joins_anew_with_an_instance_that_was_deregistered() {
    let mut up = Up::start(&["busybox"]);
    let mut seen = vec![only_instance(&up)];
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let (task, container) = sleeper(&up);
        deregister(&up, seen.last().unwrap());
        up.process().end(signal);
        up.restart();
        let now = only_instance(&up);
        assert!(!seen.contains(&now), "{now} was deregistered");
        seen.push(now);
        assert_eq!(up.task(&task)["lastStatus"], "STOPPED");
        let folder = up.data().join("node/instance-1/containers").join(container);
        assert!(eventually(|| !folder.exists()), "the old container is still there");
    }
    // The new one takes tasks.
    sleeper(&up);
}

/// What the kernel still holds for a data folder.
fn mounts_of(data: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(data)).map(str::to_owned).collect()
}

/// The namespaces that an instance keeps, by their files.
fn namespaces(data: &str, name: &str) -> Vec<String> {
    let folder = Path::new(data).join("run").join(name);
    let folder = folder.display().to_string();
    let mounts = mounts_of(data).into_iter();
    let of_it = mounts.filter(|line| line.contains(&folder) && line.contains("nsfs"));
    of_it.map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

/// An agent of its own data folder, beside the server of `up`.
fn agent_args(up: &Up, folder: &str) -> Vec<String> {
    let made: Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let token = made["token"].as_str().unwrap();
    let endpoint = up.endpoint();
    let args = ["agent", "--server", &endpoint, "--name", "second", "--data-dir", folder];
    let more = ["--token", token, "--attribute", "rack=r1"];
    args.into_iter().chain(more).map(str::to_owned).collect()
}

fn second(up: &Up) -> Option<Value> {
    let is_it = |instance: &Value| {
        let attributes = instance["attributes"].as_array().unwrap();
        instance["agentConnected"] == true
            && attributes.iter().any(|attribute| attribute["name"] == "rack")
    };
    instances(up).into_iter().find(is_it)
}

#[test]
fn an_agents_end_leaves_what_containers_use_and_nothing_else() {
    let up = Up::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let args = agent_args(&up, &data);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let start = || {
        let agent = Process::start(&args, "Longshore agent");
        assert!(eventually(|| second(&up).is_some()), "no agent");
        agent
    };
    // Without a task nothing stays, and the next start makes it all again.
    let mut agent = start();
    assert!(eventually(|| namespaces(&data, "second").len() == 6), "its namespaces and 4 ready");
    agent.end(Signal::SIGINT);
    assert_eq!(mounts_of(&data), Vec::<String>::new());

    let mut agent = start();
    let image = crate::harness::example_image("nginx");
    up.cli(&["image", "load", &image, "--data-dir", &data]);
    register(
        &up,
        &json!({
            "family": "web",
            "placementConstraints": [{"type": "memberOf", "expression": "attribute:rack exists"}],
            "containerDefinitions": [{
                "name": "web", "image": "nginx", "memory": 64,
                "portMappings": [{"containerPort": 80, "hostPort": 8080}],
            }],
        }),
    );
    let answer = up.aws(&["ecs", "run-task", "--task-definition", "web"]);
    let task = answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    let running = up.await_status(&task, "RUNNING");
    let instance = second(&up).unwrap();
    let attributes = instance["attributes"].as_array().unwrap();
    let address = attributes.iter().find(|one| one["name"] == "longshore.address").unwrap();
    let url = format!("http://{}:8080/", address["value"].as_str().unwrap());
    assert!(eventually(|| fetch(&url).is_some()), "no page at {url}");
    agent.end(Signal::SIGINT);
    // The instance's own, the one of its endpoints, and the container's.
    let left = namespaces(&data, "second");
    assert_eq!(left.len(), 3, "{left:#?}");
    assert!(fetch(&url).is_some(), "an agent's end leaves its containers");

    let mut agent = start();
    assert!(fetch(&url).is_some(), "{url} is not reached after a restart");
    assert_eq!(up.task(&task)["containers"][0]["runtimeId"], running["containers"][0]["runtimeId"]);
    up.aws(&["ecs", "stop-task", "--task", &task]);
    up.await_status(&task, "STOPPED");
    assert!(eventually(|| fetch(&url).is_none()), "{url} goes on");
    agent.end(Signal::SIGINT);
    let left = namespaces(&data, "second");
    assert_eq!(left, Vec::<String>::new());

    // One that was deregistered says what to do.
    deregister(&up, instance["containerInstanceArn"].as_str().unwrap());
    let refused = up.try_cli(&args);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let journal = format!("{data}/node/second/journal");
    assert!(!refused.status.success() && said.contains(&journal), "{said}");
    assert_eq!(namespaces(&data, "second"), Vec::<String>::new());
    fs::remove_file(journal).unwrap();
    let mut agent = start();
    assert_ne!(second(&up).unwrap()["containerInstanceArn"], instance["containerInstanceArn"]);
    agent.end(Signal::SIGINT);
    up.cli(&["down", "--data-dir", &data]);
}

#[test]
fn an_up_that_fails_leaves_no_namespace() {
    let mut up = Up::start_with(&["--instances", "2"], &[]);
    let traces = Traces::of(up.data());
    up.process().end(Signal::SIGTERM);
    // The networks of both are made before it is found that nothing can be kept of one.
    let journal = up.data().join("node/instance-2/journal");
    fs::remove_file(&journal).unwrap();
    fs::create_dir(&journal).unwrap();
    let failed = up.try_cli(&["up", "--instances", "2", "--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(!failed.status.success() && said.contains("instance-2/journal"), "{said}");
    assert_eq!(traces.left(), Vec::<String>::new());
}
