//! `pidMode` and `ipcMode`: containers of a task that see each other's processes and memory.

use serde_json::{Value, json};

use crate::harness::Up;

/// Two containers: what `second` writes, and how it ends, is the verdict. They meet in the volume
/// `meeting`, each saying which namespace it is in.
fn pair(family: &str, modes: &Value, first: &str, second: &str) -> Value {
    let container = |name: &str, essential: bool, script: &str| {
        json!({
            "name": name, "image": "busybox", "memory": 32, "essential": essential,
            "command": ["sh", "-c", script], "stopTimeout": 2,
            "mountPoints": [{"sourceVolume": "meeting", "containerPath": "/meeting"}],
        })
    };
    let mut definition = json!({
        "family": family,
        "volumes": [{"name": "meeting"}],
        "containerDefinitions": [container("first", false, first), container("second", true, second)],
    });
    let members = definition.as_object_mut().unwrap();
    members.extend(modes.as_object().unwrap().clone());
    definition
}

/// Runs a pair to its end and gives what `second` wrote.
fn run(up: &Up, definition: &Value) -> String {
    let task = up.run_task(definition);
    let stopped = up.await_status(&task, "STOPPED");
    let containers = stopped["containers"].as_array().unwrap();
    let second = containers.iter().find(|one| one["name"] == "second").unwrap();
    let said = up.cli(&["logs", "--container", "second", &task]);
    assert_eq!(second["exitCode"], 0, "{said}\n{stopped:#}");
    said
}

/// Says which namespaces the first container is in, and stays.
const FIRST: &str = "readlink /proc/self/ns/pid > /meeting/pid; readlink /proc/self/ns/ipc > /meeting/ipc; \
                     echo shared > /dev/shm/note; touch /meeting/there; exec sleep 4321";
/// Waits for the first one, then tells what it sees of it.
const SECOND: &str = "until [ -e /meeting/there ]; do sleep 0.05; done; \
                      [ \"$(readlink /proc/self/ns/pid)\" = \"$(cat /meeting/pid)\" ] && echo same pid; \
                      [ \"$(readlink /proc/self/ns/ipc)\" = \"$(cat /meeting/ipc)\" ] && echo same ipc; \
                      cat /dev/shm/note 2>/dev/null; \
                      ps | grep -q '[s]leep 4321' && echo sees it; true";

#[test]
fn containers_of_a_task_may_share_processes_and_memory() {
    let up = Up::start(&["busybox"]);
    let apart = run(&up, &pair("apart", &json!({}), FIRST, SECOND));
    assert_eq!(apart, "");
    let processes = run(&up, &pair("processes", &json!({"pidMode": "task"}), FIRST, SECOND));
    assert_eq!(processes, "same pid\nsees it\n");
    let memory = run(&up, &pair("memory", &json!({"ipcMode": "task"}), FIRST, SECOND));
    assert_eq!(memory, "same ipc\nshared\n");
    let both =
        run(&up, &pair("both", &json!({"pidMode": "task", "ipcMode": "task"}), FIRST, SECOND));
    assert_eq!(both, "same pid\nsame ipc\nshared\nsees it\n");
}

/// A container that ends, even the first one, takes nothing away from the others.
#[test]
fn what_is_shared_outlives_each_container() {
    let up = Up::start(&["busybox"]);
    let first = "readlink /proc/self/ns/pid > /meeting/pid; readlink /proc/self/ns/ipc > /meeting/ipc; \
                 echo shared > /dev/shm/note; touch /meeting/there";
    let modes = json!({"pidMode": "task", "ipcMode": "task"});
    let mut definition = pair("outlived", &modes, first, SECOND);
    // Once when the first has ended before the second begins, and once while it runs.
    definition["containerDefinitions"][1]["dependsOn"] =
        json!([{"containerName": "first", "condition": "SUCCESS"}]);
    assert_eq!(run(&up, &definition), "same pid\nsame ipc\nshared\n");
    let second = format!("{SECOND}; sleep 1; echo alive");
    let said = run(&up, &pair("survives", &modes, first, &second));
    assert!(said.ends_with("alive\n"), "{said}");
}

/// With `host` a container is in the machine's own namespaces.
#[test]
fn processes_and_memory_may_be_the_hosts() {
    let up = Up::start(&["busybox"]);
    let own = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        format!("{}\n", link.display())
    };
    let script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc";
    let said = |family: &str, modes: &Value| {
        let mut definition = json!({"family": family, "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 32, "command": ["sh", "-c", script]}]});
        definition.as_object_mut().unwrap().extend(modes.as_object().unwrap().clone());
        let task = up.run_task(&definition);
        up.await_status(&task, "STOPPED");
        let said = up.cli(&["logs", &task]);
        let (pid, ipc) = said.split_once('\n').unwrap();
        [format!("{pid}\n") == own("pid"), ipc == own("ipc")]
    };
    assert_eq!(said("own", &json!({})), [false, false]);
    assert_eq!(said("pid-host", &json!({"pidMode": "host"})), [true, false]);
    assert_eq!(said("ipc-host", &json!({"ipcMode": "host"})), [false, true]);
}
