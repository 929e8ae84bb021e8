//! `linuxParameters`, `systemControls` and GPUs.

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;

use super::stage::{definition, stage};

/// The stage's GPUs, for one scenario at a time.
fn all_gpus() -> MutexGuard<'static, ()> {
    static GPUS: Mutex<()> = Mutex::new(());
    GPUS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn init_process_enabled_puts_an_init_before_the_command() {
    let stage = stage();
    let init = json!({"linuxParameters": {"initProcessEnabled": true}});
    // An orphan that ends is reaped: nothing is left of it.
    let script = "tr '\\0' ' ' < /proc/1/cmdline | cut -c 1-20; [ $$ != 1 ] && echo not first; \
                  (sh -c 'sleep 0.1 &' &); sleep 0.5; ps | grep -c '\\[sleep\\]'; exit 5";
    let ended = stage.run(&definition("init", &init, script));
    assert_eq!(ended.said("main"), "/sbin/docker-init --\nnot first\n0\n");
    assert_eq!(ended.code("main"), Some(5));
}

#[test]
fn an_init_hands_signals_on() {
    let stage = stage();
    let init = json!({"linuxParameters": {"initProcessEnabled": true}, "stopTimeout": 30});
    let script = "trap 'echo told; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let task = stage.start(&definition("init-signal", &init, script), &json!({})).unwrap();
    stage.reach(&task, "RUNNING");
    let has_begun = || stage.logs(&task, "main").contains("ready");
    assert!(crate::harness::eventually(has_begun));
    stage.call("StopTask", &json!({"task": task})).unwrap();
    let ended = stage.end(&task);
    assert_eq!((ended.said("main"), ended.code("main")), ("ready\ntold\n", Some(7)));
}

#[test]
fn shared_memory_size_is_in_mebibytes() {
    let members = json!({"linuxParameters": {"sharedMemorySize": 96}});
    stage().expect("shm", &members, "df -m /dev/shm | tail -n 1 | awk '{print $2}'", "96\n");
}

#[test]
fn tmpfs_has_its_size_in_mebibytes_and_its_options() {
    let members = json!({"linuxParameters": {"tmpfs": [
        {"containerPath": "/scratch", "size": 32, "mountOptions": ["noexec", "mode=0700", "uid=33"]},
        {"containerPath": "/fixed", "size": 1, "mountOptions": ["defaults", "ro"]},
    ]}});
    let script = "df -m /scratch | tail -n 1 | awk '{print $2}'; stat -c '%a %u' /scratch; \
                  grep -c ' /scratch tmpfs rw.*noexec' /proc/mounts; \
                  touch /fixed/file 2>/dev/null || echo read-only";
    stage().expect("tmpfs", &members, script, "32\n700 33\n1\nread-only\n");
}

#[test]
fn devices_may_be_used_with_their_permissions_only() {
    let members = json!({"linuxParameters": {"devices": [
        {"hostPath": "/dev/loop0", "containerPath": "/dev/disk", "permissions": ["read"]},
    ]}});
    let script = "test -b /dev/disk && echo there; \
                  head -c 0 /dev/disk && echo read; \
                  (: > /dev/disk) 2>/dev/null || echo not written; \
                  mknod /tmp/other b 7 1 && (head -c 1 /tmp/other) 2>/dev/null || echo no other";
    stage().expect("devices", &members, script, "there\nread\nnot written\nno other\n");
}

#[test]
fn capabilities_are_dropped_then_added() {
    let stage = stage();
    let rights = |add: &[&str], drop: &[&str]| json!({"linuxParameters": {"capabilities": {"add": add, "drop": drop}}});
    let script = "grep CapEff /proc/self/status | cut -f 2";
    let only_kill = rights(&["KILL"], &["ALL"]);
    stage.expect("capabilities-one", &only_kill, script, "0000000000000020\n");
    let no_chown = rights(&[], &["CHOWN"]);
    stage.expect("capabilities-less", &no_chown, script, "00000000a80425fa\n");
    let net_admin = rights(&["NET_ADMIN"], &[]);
    stage.expect("capabilities-more", &net_admin, script, "00000000a80435fb\n");
}

#[test]
fn max_swap_and_memory_limit_the_container_together() {
    let members = json!({
        "memory": 48, "linuxParameters": {"maxSwap": 0, "swappiness": 10},
    });
    let stage = stage();
    let task = stage.start(&definition("swap", &members, "sleep 600"), &json!({})).unwrap();
    let running = stage.reach(&task, "RUNNING");
    let id = running["containers"][0]["runtimeId"].as_str().unwrap();
    let cgroup = |controller: &str, name: &str| {
        let of = |root: &str| format!("/sys/fs/cgroup{root}/ecs/{task}/{id}/{name}");
        let version_1 = fs::read_to_string(of(&format!("/{controller}")));
        version_1.or_else(|_| fs::read_to_string(of(""))).map(|text| text.trim().to_owned())
    };
    let limit = (48 * 1024 * 1024).to_string();
    let memory = cgroup("memory", "memory.limit_in_bytes").or_else(|_| cgroup("", "memory.max"));
    assert_eq!(memory.unwrap(), limit);
    // Kernels that do not count swap have neither file.
    if let Ok(both) = cgroup("memory", "memory.memsw.limit_in_bytes") {
        assert_eq!(both, limit);
    }
    if let Ok(swap) = cgroup("", "memory.swap.max") {
        assert_eq!(swap, "0");
    }
    if let Ok(swappiness) = cgroup("memory", "memory.swappiness") {
        assert_eq!(swappiness, "10");
    }
    stage.call("StopTask", &json!({"task": task})).unwrap();
    stage.reach(&task, "STOPPED");
}

#[test]
fn max_swap_is_allowed_beside_the_tasks_memory() {
    let members = json!({
        "memory": null, "task.memory": "64", "linuxParameters": {"maxSwap": 16, "swappiness": 10},
    });
    let mut definition = definition("swap-of-task", &members, "sleep 600");
    definition["containerDefinitions"][0].as_object_mut().unwrap().remove("memory");
    let stage = stage();
    let started = stage.start(&definition, &json!({}));
    // Without a swappiness for each group of processes no instance takes it.
    if !std::path::Path::new("/sys/fs/cgroup/memory/memory.swappiness").exists() {
        assert_eq!(started, Err("ATTRIBUTE".to_owned()));
        return;
    }
    let task = started.unwrap();
    let running = stage.reach(&task, "RUNNING");
    let id = running["containers"][0]["runtimeId"].as_str().unwrap();
    let cgroup = |name: &str| {
        let path = format!("/sys/fs/cgroup/memory/ecs/{task}/{id}/{name}");
        fs::read_to_string(path).map(|text| text.trim().to_owned())
    };
    assert_eq!(cgroup("memory.limit_in_bytes").unwrap(), (64 << 20).to_string());
    if let Ok(both) = cgroup("memory.memsw.limit_in_bytes") {
        assert_eq!(both, (80 << 20).to_string());
    }
    assert_eq!(cgroup("memory.swappiness").unwrap(), "10");
    stage.call("StopTask", &json!({"task": task})).unwrap();
    stage.reach(&task, "STOPPED");
}

#[test]
fn system_controls_are_set_in_the_containers_namespaces() {
    let controls = json!([
        {"namespace": "net.core.somaxconn", "value": "321"},
        {"namespace": "kernel.msgmax", "value": "12345"},
        {"namespace": "fs.mqueue.queues_max", "value": "77"},
    ]);
    let script =
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/queues_max";
    let bridge = json!({"systemControls": controls});
    stage().expect("sysctl", &bridge, script, "321\n12345\n77\n");
}

#[test]
fn system_controls_of_a_shared_namespace_hold_for_all_who_share_it() {
    let controls = json!([{"namespace": "kernel.msgmax", "value": "23456"}]);
    let first = super::stage::container(
        "first",
        "sleep 600",
        &json!({"systemControls": controls, "essential": false}),
    );
    let after = json!({"dependsOn": [{"containerName": "first", "condition": "START"}]});
    let main = super::stage::container("main", "cat /proc/sys/kernel/msgmax", &after);
    let ended = stage().run(&json!({
        "family": "sysctl-shared", "ipcMode": "task", "containerDefinitions": [first, main],
    }));
    assert_eq!((ended.said("main"), ended.code("main")), ("23456\n", Some(0)));
}

#[test]
fn a_container_gets_as_many_gpus_as_it_requires_to_itself() {
    let _all = all_gpus();
    let gpus = json!({"resourceRequirements": [{"type": "GPU", "value": "2"}]});
    let script = "echo $NVIDIA_VISIBLE_DEVICES | tr ',' '\\n' | sort; \
                  test -c /dev/zero && test -c /dev/full && echo devices";
    stage().expect("gpus", &gpus, script, "GPU-a\nGPU-b\ndevices\n");
}

#[test]
fn the_gpus_of_two_containers_are_different_ones() {
    let _all = all_gpus();
    let gpus = json!({"resourceRequirements": [{"type": "GPU", "value": "1"}]});
    let mut definition = definition("gpus-apart", &gpus, "echo $NVIDIA_VISIBLE_DEVICES");
    let mut other = gpus.clone();
    other["essential"] = json!(false);
    let other = super::stage::container("other", "echo $NVIDIA_VISIBLE_DEVICES", &other);
    definition["containerDefinitions"].as_array_mut().unwrap().insert(0, other);
    definition["containerDefinitions"][1]["dependsOn"] =
        json!([{"containerName": "other", "condition": "SUCCESS"}]);
    let ended = stage().run(&definition);
    let mut all = [ended.said("main").to_owned(), ended.said("other").to_owned()];
    all.sort();
    assert_eq!(all, ["GPU-a\n", "GPU-b\n"], "{:#}", ended.task);
}

#[test]
fn a_container_that_requires_all_gpus_gets_those_that_no_other_has() {
    let _all = all_gpus();
    let require = |value: &str| json!({"resourceRequirements": [{"type": "GPU", "value": value}]});
    let say = "echo $NVIDIA_VISIBLE_DEVICES | tr ',' '\\n' | sort";
    stage().expect("gpus-all", &require("ALL"), say, "GPU-a\nGPU-b\n");
    // Another container's are not among them.
    let mut definition = definition("gpus-rest", &require("ALL"), say);
    let mut other = require("1");
    other["essential"] = json!(false);
    let other = super::stage::container("other", say, &other);
    definition["containerDefinitions"].as_array_mut().unwrap().push(other);
    definition["containerDefinitions"][0]["dependsOn"] =
        json!([{"containerName": "other", "condition": "SUCCESS"}]);
    let ended = stage().run(&definition);
    assert_eq!([ended.said("other"), ended.said("main")], ["GPU-a\n", "GPU-b\n"]);
}
