//! Real containers in each network mode.

use std::net::TcpListener;

use serde_json::json;

use crate::harness::{Up, eventually, fetch};

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn a_static_port_is_published_and_held() {
    let up = Up::start(&["nginx"]);
    let port = free_port();
    let definition = json!({
        "family": "static",
        "containerDefinitions": [{
            "name": "web", "image": "nginx", "memory": 64,
            "portMappings": [{"containerPort": 80, "hostPort": port}],
        }],
    });
    let task = up.run_task(&definition);
    up.await_status(&task, "RUNNING");
    let url = format!("http://127.0.0.1:{port}/");
    assert!(eventually(|| fetch(&url).is_some()), "no page on port {port}");

    let second = up.aws(&["ecs", "run-task", "--task-definition", "static"]);
    assert_eq!(second["tasks"], json!([]));
    assert_eq!(second["failures"][0]["reason"], "RESOURCE:PORTS");

    up.cli(&["stop", &task]);
    assert!(fetch(&url).is_none(), "the port is still published");
    let again = up.aws(&["ecs", "run-task", "--task-definition", "static"]);
    assert_eq!(again["failures"], json!([]));
}

#[test]
fn host_mode_is_the_hosts_network() {
    let up = Up::start(&["busybox"]);
    let port = free_port();
    let serve = format!("echo of the host > /tmp/index.html; exec httpd -f -p {port} -h /tmp");
    let task = up.run_task(&json!({
        "family": "host",
        "networkMode": "host",
        "containerDefinitions": [
            {"name": "main", "image": "busybox", "memory": 64, "command": ["sh", "-c", serve]},
        ],
    }));
    up.await_status(&task, "RUNNING");
    let url = format!("http://127.0.0.1:{port}/index.html");
    assert!(eventually(|| fetch(&url).as_deref() == Some("of the host\n")));
}

#[test]
fn none_mode_has_loopback_alone() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&json!({
        "family": "none",
        "networkMode": "none",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64,
            "command": ["sh", "-c", "ls /sys/class/net"],
        }],
    }));
    up.await_status(&task, "STOPPED");
    assert_eq!(up.cli(&["logs", &task]), "lo\n");
}
