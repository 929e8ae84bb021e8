//! What a container sees: its rights, its metadata, and the API through unmodified boto3.

use serde_json::{Value, json};

use crate::harness::Up;

/// Runs a shell script in busybox to its end and gives what it wrote.
fn output_of(up: &Up, family: &str, script: &str, more: Value) -> String {
    let mut container = json!({
        "name": "main", "image": "busybox", "memory": 64, "command": ["sh", "-c", script],
    });
    for (member, value) in more.as_object().into_iter().flatten() {
        container[member] = value.clone();
    }
    let task = up.run_task(&json!({"family": family, "containerDefinitions": [container]}));
    up.await_status(&task, "STOPPED");
    up.cli(&["logs", &task])
}

#[test]
fn rights_are_dockers_defaults() {
    let up = Up::start(&["busybox"]);
    let script = "grep -E '^(Seccomp|CapEff):' /proc/1/status; id -u; touch /made && echo written";
    let seen = output_of(&up, "rights", script, json!({}));
    assert!(seen.contains("CapEff:\t00000000a80425fb"), "{seen}");
    assert!(seen.contains("Seccomp:\t2"), "{seen}");
    assert!(seen.contains("\n0\n") && seen.contains("written"), "{seen}");

    let narrowed = json!({"user": "1000:1000", "readonlyRootFilesystem": true});
    let seen = output_of(&up, "narrow", script, narrowed);
    assert!(seen.contains("\n1000\n") && !seen.contains("written"), "{seen}");
}

#[test]
fn environment_volumes_and_limits_arrive() {
    let up = Up::start(&["busybox"]);
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("greeting"), "from the host\n").unwrap();
    let task = up.run_task(&json!({
        "family": "settings",
        "volumes": [{"name": "data", "host": {"sourcePath": host.path()}}],
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32,
            "environment": [{"name": "COLOUR", "value": "blue"}],
            "workingDirectory": "/data",
            "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": true}],
            "ulimits": [{"name": "nofile", "softLimit": 77, "hardLimit": 88}],
            "command": ["sh", "-c", "echo $COLOUR; pwd; cat greeting; ulimit -n; touch x || echo ro"],
        }],
    }));
    up.await_status(&task, "STOPPED");
    assert_eq!(up.cli(&["logs", &task]), "blue\n/data\nfrom the host\n77\nro\n");
}

#[test]
fn too_much_memory_is_told_as_such() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&json!({
        "family": "greedy",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 16,
            "command": ["sh", "-c", "tail /dev/zero"],
        }],
    }));
    let stopped = up.await_status(&task, "STOPPED");
    let container = &stopped["containers"][0];
    assert_eq!(container["exitCode"], 137);
    let reason = container["reason"].as_str().unwrap();
    assert_eq!(reason, "OutOfMemoryError: Container killed due to memory usage");
}

#[test]
fn boto3_in_a_container_finds_the_api_and_its_role() {
    let up = Up::start(&["python"]);
    let script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])";
    let task = up.run_task(&json!({
        "family": "caller",
        "taskRoleArn": "arn:aws:iam::000000000000:role/app",
        "containerDefinitions": [{
            "name": "main", "image": "python", "memory": 256,
            "command": ["python3", "-c", script],
        }],
    }));
    let stopped = up.await_status(&task, "STOPPED");
    let said = up.cli(&["logs", &task]);
    let arn = format!("arn:aws:sts::000000000000:assumed-role/app/{task}\n");
    assert_eq!(said, arn, "{stopped:#}");
}

#[test]
fn containers_wait_for_what_they_depend_on() {
    let up = Up::start(&["busybox"]);
    let volume = json!([{"sourceVolume": "shared", "containerPath": "/shared"}]);
    let task = up.run_task(&json!({
        "family": "ordered",
        "volumes": [{"name": "shared"}],
        "containerDefinitions": [
            {
                "name": "setup", "image": "busybox", "memory": 32, "essential": false,
                "mountPoints": volume, "command": ["sh", "-c", "echo ready > /shared/state"],
            },
            {
                "name": "backend", "image": "busybox", "memory": 32, "mountPoints": volume,
                "dependsOn": [{"containerName": "setup", "condition": "SUCCESS"}],
                "healthCheck": {"command": ["CMD-SHELL", "test -e /shared/healthy"],
                                "interval": 5, "retries": 10},
                "command": ["sh", "-c", "cat /shared/state; touch /shared/healthy; sleep 600"],
            },
            {
                "name": "client", "image": "busybox", "memory": 32,
                "dependsOn": [{"containerName": "backend", "condition": "HEALTHY"}],
                "command": ["sh", "-c", "echo all there; exit 5"],
            },
        ],
    }));
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(up.cli(&["logs", "--container", "backend", &task]), "ready\n");
    assert_eq!(up.cli(&["logs", "--container", "client", &task]), "all there\n");
    let containers = stopped["containers"].as_array().unwrap();
    let code = |name| &containers.iter().find(|c| c["name"] == name).unwrap()["exitCode"];
    assert_eq!((code("setup"), code("client")), (&json!(0), &json!(5)));
}
