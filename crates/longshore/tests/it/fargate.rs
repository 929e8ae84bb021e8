//! Tasks of the launch type FARGATE on the node that `longshore up` has, as a user runs them.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Up, eventually};

/// Waits until the node takes tasks.
fn has_node(up: &Up) {
    let nodes = || serde_json::from_str::<Value>(&up.cli(&["fleet", "list", "--output", "json"]));
    let is_there = || nodes().is_ok_and(|told| told["nodes"][0]["connected"] == true);
    assert!(eventually(is_there), "the node does not connect");
}

fn task(up: &Up, arn: &str) -> Value {
    up.aws(&["ecs", "describe-tasks", "--tasks", arn])["tasks"][0].take()
}

fn until(up: &Up, arn: &str, status: &str) -> Value {
    assert!(eventually(|| task(up, arn)["lastStatus"] == status), "{}", task(up, arn));
    task(up, arn)
}

#[test]
fn a_definition_made_for_fargate_runs_is_interrupted_and_metered() {
    let mut up = Up::start(&["busybox"]);
    has_node(&up);
    let script = "trap 'echo interrupted; exit 0' TERM; \
                  wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task; echo; \
                  cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; \
                  sleep 600 & wait";
    let definition = json!({
        "family": "web", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
        // More than many a machine of a test has.
        "cpu": "8192", "memory": "16384", "ephemeralStorage": {"sizeInGiB": 21},
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "command": ["sh", "-c", script]}],
    });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let put = ["ecs", "put-cluster-capacity-providers", "--cluster", "default"];
    let providers = ["--capacity-providers", "FARGATE", "FARGATE_SPOT"];
    up.aws(&[&put[..], &providers, &["--default-capacity-provider-strategy", "[]"]].concat());
    let subnets = up.aws(&["ec2", "describe-subnets"])["Subnets"].take();
    // The node is in one zone, and takes tasks of every subnet.
    let subnet = subnets[2]["SubnetId"].as_str().unwrap();
    let network = format!("awsvpcConfiguration={{subnets=[{subnet}],assignPublicIp=ENABLED}}");
    let run = ["ecs", "run-task", "--task-definition", "web", "--network-configuration", &network];
    let spot = ["--capacity-provider-strategy", "capacityProvider=FARGATE_SPOT,weight=1"];
    let started = up.aws(&[&run[..], &spot].concat());
    let arn = started["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("{started}"));
    let running = until(&up, arn, "RUNNING");
    assert_eq!(running["launchType"], "FARGATE");
    assert_eq!(running["capacityProviderName"], "FARGATE_SPOT");
    assert_eq!(running["availabilityZone"], subnets[2]["AvailabilityZone"]);
    assert_eq!(running["attachments"][0]["status"], "ATTACHED");
    assert!(running["containerInstanceArn"].is_null());

    let id = arn.rsplit('/').next().unwrap();
    let limit = (16_384_u64 << 20).to_string();
    assert!(eventually(|| up.cli(&["logs", id]).contains(&limit)), "{}", up.cli(&["logs", id]));
    let logs = up.cli(&["logs", id]);
    let metadata: Value = serde_json::from_str(logs.lines().next().unwrap()).unwrap();
    assert_eq!(metadata["LaunchType"], "FARGATE");
    assert_eq!(metadata["Cluster"], running["clusterArn"]);
    assert_eq!(metadata["Limits"], json!({"CPU": 8.0, "Memory": 16_384}));
    assert_eq!(metadata["EphemeralStorageMetrics"], json!({"Utilized": 0, "Reserved": 21 * 1024}));

    up.cli(&["fleet", "drain", "fargate-1"]);
    let stopped = until(&up, arn, "STOPPED");
    assert_eq!(stopped["stopCode"], "SpotInterruption");
    assert_eq!(stopped["containers"][0]["exitCode"], 0);
    assert!(up.cli(&["logs", id]).contains("interrupted"));
    let usage = |up: &Up| -> Value {
        let told = up.cli(&["usage", "--by", "task", "--output", "json"]);
        serde_json::from_str::<Value>(&told).unwrap()["usage"].take()
    };
    let told = usage(&up);
    // What was used is known to the next server as well.
    up.process().end(Signal::SIGKILL);
    up.restart();
    assert_eq!(usage(&up), told);
    let line = &told[0];
    assert_eq!(line["taskArn"], arn);
    let seconds = line["seconds"].as_u64().unwrap();
    assert!(seconds > 0);
    assert_eq!(line["cpuUnitSeconds"], seconds * 8192);
    assert_eq!(line["storageGibSeconds"], seconds);
}

#[test]
fn a_task_is_reached_and_sees_a_machine_of_its_size() {
    let up = Up::start(&["busybox"]);
    has_node(&up);
    let definition = json!({
        "family": "reached", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
        "cpu": "1024", "memory": "2048", "taskRoleArn": "arn:aws:iam::000000000000:role/exec",
        "containerDefinitions": [{"name": "main", "image": "busybox",
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"]}],
    });
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition.to_string()]);
    let subnet = up.aws(&["ec2", "describe-subnets"])["Subnets"][0]["SubnetId"].take();
    let network = format!("awsvpcConfiguration={{subnets=[{}]}}", subnet.as_str().unwrap());
    let run = ["ecs", "run-task", "--task-definition", "reached", "--launch-type", "FARGATE"];
    let with = ["--enable-execute-command", "--network-configuration", &network];
    let started = up.aws(&[&run[..], &with].concat());
    let arn = started["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("{started}"));
    let running = until(&up, arn, "RUNNING");
    let agent = &running["containers"][0]["managedAgents"][0];
    assert_eq!(agent["lastStatus"], "RUNNING");
    let id = arn.rsplit('/').next().unwrap();
    let script = "id -u; grep MemTotal /proc/meminfo; grep -c ^processor /proc/cpuinfo; \
                  cat /sys/devices/system/cpu/online";
    let said = up.cli(&["exec", id, "--", "sh", "-c", script]);
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["0", "MemTotal:        2097152 kB", "1", "0"], "{said}");
}
