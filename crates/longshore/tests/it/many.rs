//! Many container instances on one machine, each in a network of its own.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Process, Up, eventually, fetch};

pub fn three(images: &[&str]) -> Up {
    Up::start_with(&["--instances", "3", "--instance-cpu", "2048"], images)
}

/// Every container instance, by ARN.
pub fn instances(up: &Up) -> Vec<Value> {
    let status: Value = serde_json::from_str(&up.cli(&["status", "--output", "json"])).unwrap();
    status["containerInstances"].as_array().unwrap().clone()
}

fn attribute(instance: &Value, name: &str) -> String {
    let all = instance["attributes"].as_array().unwrap();
    let found = all.iter().find(|attribute| attribute["name"] == name);
    found.and_then(|found| found["value"].as_str()).unwrap_or_default().to_owned()
}

/// The address of the instance that a task is on.
pub fn address_of(task: &Value, instances: &[Value]) -> String {
    let arn = &task["containerInstanceArn"];
    let instance = instances.iter().find(|i| i["containerInstanceArn"] == *arn).unwrap();
    attribute(instance, "longshore.address")
}

/// One task of a registered family on each of three instances; each RUNNING.
pub fn one_on_each(up: &Up, family: &str, more: &[&str]) -> Vec<Value> {
    let mut args = vec!["ecs", "run-task", "--task-definition", family, "--count", "3"];
    args.extend(["--placement-constraints", "type=distinctInstance"]);
    args.extend(more);
    let answer = up.aws(&args);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let tasks = answer["tasks"].as_array().unwrap().iter();
    let id =
        |task: &Value| task["taskArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    tasks.map(|task| up.await_status(&id(task), "RUNNING")).collect()
}

pub fn register(up: &Up, definition: &Value) {
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
}

/// What the networks of an installation are known by.
pub struct Traces {
    folder: PathBuf,
    uplink: (PathBuf, String),
    data: String,
}

impl Traces {
    pub fn of(data: &Path) -> Self {
        let installation = fs::read_to_string(data.join("installation")).unwrap();
        let folder = Path::new("/run/longshore").join(installation);
        let vpc: Value =
            serde_json::from_slice(&fs::read(folder.join("vpc.json")).unwrap()).unwrap();
        let interface = Path::new("/sys/class/net").join(vpc["name"].as_str().unwrap());
        let index = fs::read_to_string(interface.join("ifindex")).unwrap();
        let data = data.display().to_string();
        Self { folder, uplink: (interface.join("ifindex"), index), data }
    }

    /// Folders, interfaces and mounts that are still there.
    pub fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        if self.folder.exists() {
            left.push(self.folder.display().to_string());
        }
        // Another installation may have the name by now.
        let (interface, index) = &self.uplink;
        if fs::read_to_string(interface).is_ok_and(|now| now == *index) {
            left.push(interface.display().to_string());
        }
        let folder = self.folder.display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let of_ours = |line: &&str| line.contains(&self.data) || line.contains(&folder);
        left.extend(mounts.lines().filter(of_ours).map(str::to_owned));
        left
    }
}

#[test]
fn the_same_port_is_published_by_three_instances_in_three_zones() {
    let mut up = three(&["nginx"]);
    register(
        &up,
        &json!({
            "family": "web",
            "containerDefinitions": [{
                "name": "web", "image": "nginx", "memory": 64,
                "portMappings": [{"containerPort": 80, "hostPort": 8080}],
            }],
        }),
    );
    let instances = instances(&up);
    let mut zones: Vec<_> =
        instances.iter().map(|i| attribute(i, "ecs.availability-zone")).collect();
    zones.sort();
    assert_eq!(zones, ["us-east-1a", "us-east-1b", "us-east-1c"]);
    let tasks = one_on_each(&up, "web", &[]);
    let urls: Vec<String> =
        tasks.iter().map(|task| format!("http://{}:8080/", address_of(task, &instances))).collect();
    for url in &urls {
        assert!(eventually(|| fetch(url).is_some()), "no page at {url}");
    }
    let fourth = up.aws(&["ecs", "run-task", "--task-definition", "web"]);
    assert_eq!(fourth["failures"].as_array().unwrap().len(), 3, "{fourth:#}");
    assert!(up.cli(&["status"]).contains(urls[0].trim_matches(|c| "htp:/".contains(c))));

    // They outlive a kill, and the next process takes them up.
    let traces = Traces::of(up.data());
    up.process().end(Signal::SIGKILL);
    for url in &urls {
        assert!(fetch(url).is_some(), "{url} ended with the server");
    }
    up.restart();
    let after: Vec<_> =
        tasks.iter().map(|task| up.task(task["taskArn"].as_str().unwrap())).collect();
    for (before, after) in tasks.iter().zip(&after) {
        assert_eq!(after["lastStatus"], "RUNNING");
        assert_eq!(after["containers"][0]["runtimeId"], before["containers"][0]["runtimeId"]);
    }
    for url in &urls {
        assert!(fetch(url).is_some(), "{url} is not reached after a restart");
    }
    up.process().end(Signal::SIGTERM);
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn down_clears_what_a_kill_left_of_many_instances() {
    let mut up = three(&["busybox"]);
    register(
        &up,
        &json!({
            "family": "sleeper",
            "containerDefinitions": [
                {"name": "main", "image": "busybox", "memory": 16, "command": ["sleep", "600"]},
            ],
        }),
    );
    one_on_each(&up, "sleeper", &[]);
    let traces = Traces::of(up.data());
    let refused = up.try_cli(&["down"]);
    assert!(!refused.status.success(), "down must not touch what runs");
    up.process().end(Signal::SIGKILL);
    assert!(!traces.left().is_empty());
    let said = up.cli(&["down"]);
    assert!(said.starts_with("removed 3 containers of "), "{said}");
    assert_eq!(traces.left(), Vec::<String>::new());
    let said = up.cli(&["down"]);
    assert!(said.starts_with("no container of "), "{said}");
}

#[test]
fn refused_instances_leave_nothing() {
    let mut up = Up::start_with(&["--instances", "2"], &[]);
    let traces = Traces::of(up.data());
    up.process().end(Signal::SIGTERM);
    let again =
        ["up", "--instances", "2", "--listen", "127.0.0.1:0", "--instance-type", "m5.large"];
    let refused = up.try_cli(&again);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("instance type changes"), "{said}");
    assert_eq!(traces.left(), Vec::<String>::new());
}

#[test]
fn host_mode_is_the_instances_own_network() {
    let up = three(&["busybox"]);
    // The same port for each, and each finds its own metadata and instance name.
    let script = "wget -q -O - $ECS_CONTAINER_METADATA_URI_V4/task > /tmp/index.html \
                  && hostname >> /tmp/index.html && exec httpd -f -p 7070 -h /tmp";
    register(
        &up,
        &json!({
            "family": "host",
            "networkMode": "host",
            "containerDefinitions": [{
                "name": "main", "image": "busybox", "memory": 16,
                "portMappings": [{"containerPort": 7070}],
                "command": ["sh", "-c", script],
            }],
        }),
    );
    let instances = instances(&up);
    for task in one_on_each(&up, "host", &[]) {
        let address = address_of(&task, &instances);
        let url = format!("http://{address}:7070/");
        assert!(eventually(|| fetch(&url).is_some()), "no page at {url}");
        let page = fetch(&url).unwrap();
        assert!(page.contains(task["taskArn"].as_str().unwrap()), "{page}");
        assert!(page.ends_with(&format!("ip-{}\n", address.replace('.', "-"))), "{page}");
    }
}

#[test]
fn an_agent_joins_as_a_fourth_instance() {
    let up = three(&["nginx"]);
    let made: Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (endpoint, folder) = (up.endpoint(), folder.path().display().to_string());
    let common = ["agent", "--server", &endpoint, "--name", "fourth", "--data-dir", &folder];
    let with = |more: &[&'static str]| -> Vec<String> {
        common.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
    };
    for (flag, expected) in [
        ("ecs.instance-type=m5.large", "use --instance-type"),
        ("ecs.os-type=linux", "is reserved"),
    ] {
        let args = with(&["--attribute"]);
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.push(flag);
        let refused = up.try_cli(&args);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(expected), "{said}");
    }
    let more = ["--instance-type", "t2.micro", "--attribute", "rack=r1", "--zone", "us-east-1b"];
    let mut args = with(&more);
    args.extend(["--token".to_owned(), made["token"].as_str().unwrap().to_owned()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut agent = Process::start(&args, "Longshore agent");
    let joined = || instances(&up).into_iter().find(|i| attribute(i, "rack") == "r1");
    assert!(eventually(|| joined().is_some_and(|i| i["agentConnected"] == true)), "no agent");
    let fourth = joined().unwrap();
    assert_eq!(attribute(&fourth, "ecs.instance-type"), "t2.micro");
    assert_eq!(attribute(&fourth, "ecs.availability-zone"), "us-east-1b");
    assert_eq!(attribute(&fourth, "ecs.os-type"), "linux");
    assert!(attribute(&fourth, "ecs.vpc-id").starts_with("vpc-"));
    let subnets = up.aws(&["ec2", "describe-subnets"]);
    let subnets = subnets["Subnets"].as_array().unwrap().iter();
    let there = subnets.filter(|subnet| subnet["AvailabilityZone"] == "us-east-1b");
    let ids: Vec<_> = there.map(|subnet| subnet["SubnetId"].as_str().unwrap()).collect();
    assert_eq!(ids, [attribute(&fourth, "ecs.subnet-id")]);

    // Its images are its own.
    let image = crate::harness::example_image("nginx");
    up.cli(&["image", "load", &image, "--data-dir", &folder]);
    register(
        &up,
        &json!({
            "family": "web",
            "containerDefinitions": [{
                "name": "web", "image": "nginx", "memory": 64,
                "portMappings": [{"containerPort": 80, "hostPort": 8080}],
            }],
        }),
    );
    let there = "type=memberOf,expression=attribute:ecs.instance-type == t2.micro";
    let run = ["ecs", "run-task", "--task-definition", "web", "--placement-constraints", there];
    let answer = up.aws(&run);
    assert_eq!(answer["failures"], json!([]), "{answer:#}");
    let task = up.await_status(answer["tasks"][0]["taskArn"].as_str().unwrap(), "RUNNING");
    assert_eq!(task["containerInstanceArn"], fourth["containerInstanceArn"]);
    let url = format!("http://{}:8080/", attribute(&fourth, "longshore.address"));
    assert!(eventually(|| fetch(&url).is_some()), "no page at {url}");
    agent.end(Signal::SIGTERM);
    assert!(fetch(&url).is_some(), "an agent's end leaves its containers");
    up.cli(&["down", "--data-dir", &folder]);
    assert!(fetch(&url).is_none());
}
