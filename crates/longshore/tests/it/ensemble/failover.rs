//! Leaders that are killed, ended, stopped and woken; an etcd that is restarted.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::stage::{Ensemble, role_at};
use crate::harness::{eventually, pid_of};

fn sleeper() -> Value {
    json!({
        "family": "survivor",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64,
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        }],
    })
}

/// Runs a task through `at` and gives its id and its container's process.
fn run(ensemble: &Ensemble, at: usize) -> (String, i32) {
    let up = &ensemble.servers[at].up;
    let task = up.run_task(&sleeper());
    let running = up.await_status(&task, "RUNNING");
    // Containers are in the folder of the first server's machine.
    let id = running["containers"][0]["runtimeId"].as_str().unwrap();
    (task, pid_of(&ensemble.servers[0].up, "instance-1", id))
}

#[test]
fn nothing_is_lost_or_touched_when_the_leader_is_killed_or_ended() {
    let mut ensemble = Ensemble::start();
    ensemble.add_agent("instance-1", &["busybox"]);
    let (task, pid) = run(&ensemble, ensemble.follower());
    let mut names = Vec::new();
    for (round, signal) in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL].iter().enumerate() {
        let (leader, follower) = (ensemble.leader(), ensemble.follower());
        let name = format!("before-{round}");
        ensemble.servers[follower].up.aws(&["ecs", "create-cluster", "--cluster-name", &name]);
        names.push(name);
        ensemble.servers[leader].end(*signal);
        // At once, to one that does not know yet: held until there is a leader, or tried again.
        let name = format!("after-{round}");
        let made = eventually(|| {
            let up = &ensemble.servers[follower].up;
            up.try_aws(&["ecs", "create-cluster", "--cluster-name", &name]).status.success()
        });
        assert!(made, "no server takes writes after {signal}");
        names.push(name);
        let told = ensemble.servers[follower].up.aws(
            &[["ecs", "describe-clusters", "--clusters"].as_slice(), &names_of(&names)].concat(),
        );
        assert_eq!(told["failures"], json!([]), "{told:#}");
        ensemble.await_agents(follower);
        ensemble.servers[leader].resume();
    }
    let up = &ensemble.servers[ensemble.follower()].up;
    assert_eq!(up.task(&task)["lastStatus"], "RUNNING");
    assert!(std::fs::metadata(format!("/proc/{pid}")).is_ok(), "the container was touched");
    // The agent takes orders of the server that leads now.
    up.aws(&["ecs", "stop-task", "--task", &task]);
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["stopCode"], "UserInitiated");
    // And a fleet that was kept from an earlier leadership places as the ledger has it.
    let (task, _) = run(&ensemble, ensemble.leader());
    assert_eq!(up.task(&task)["lastStatus"], "RUNNING");
    up.aws(&["ecs", "stop-task", "--task", &task]);
    up.await_status(&task, "STOPPED");
    ensemble.end();
}

fn names_of(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn a_report_that_nobody_could_take_is_made_later() {
    let mut ensemble = Ensemble::start();
    ensemble.add_agent("instance-1", &["busybox"]);
    let (task, pid) = run(&ensemble, ensemble.leader());
    for server in &mut ensemble.servers {
        server.end(Signal::SIGKILL);
    }
    let first = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(first, Signal::SIGTERM).unwrap();
    ensemble.servers.iter_mut().for_each(super::stage::Server::resume);
    ensemble.leader();
    let stopped = ensemble.servers[1].up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 0);
    ensemble.end();
}

#[test]
fn a_leader_that_was_stopped_neither_writes_nor_answers_what_is_old() {
    let ensemble = Ensemble::start();
    let (old, follower) = (ensemble.leader(), ensemble.follower());
    ensemble.servers[old].signal(Signal::SIGSTOP);
    let made = eventually(|| {
        let up = &ensemble.servers[follower].up;
        up.try_aws(&["ecs", "create-cluster", "--cluster-name", "meanwhile"]).status.success()
    });
    assert!(made, "no other server leads");
    ensemble.servers[old].signal(Signal::SIGCONT);
    // Its first answer is of today, and what it is told to write is written by the leader.
    let woken = &ensemble.servers[old].up;
    let told = woken.aws_patiently(&["ecs", "describe-clusters", "--clusters", "meanwhile"]);
    assert_eq!(told["clusters"][0]["status"], "ACTIVE", "{told:#}");
    woken.aws_patiently(&["ecs", "create-cluster", "--cluster-name", "through-the-old"]);
    let up = &ensemble.servers[follower].up;
    let told = up.aws(&["ecs", "describe-clusters", "--clusters", "through-the-old"]);
    assert_eq!(told["failures"], json!([]));
    assert!(eventually(|| role_at(&ensemble.servers[old].address).as_deref() == Some("follower")));
    ensemble.end();
}

#[test]
fn an_etcd_that_restarts_is_waited_for() {
    let mut ensemble = Ensemble::start();
    ensemble.add_agent("instance-1", &["busybox"]);
    let (task, pid) = run(&ensemble, 0);
    ensemble.etcd.kill();
    let refused = ensemble.servers[1].up.try_aws(&["ecs", "create-cluster", "--cluster-name", "x"]);
    assert!(!refused.status.success(), "a write without a store");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("ServerException"), "{told}");
    ensemble.etcd.resume();
    let made = eventually(|| {
        let up = &ensemble.servers[1].up;
        up.try_aws(&["ecs", "create-cluster", "--cluster-name", "after"]).status.success()
    });
    assert!(made, "no writes after etcd came back");
    ensemble.await_agents(2);
    assert_eq!(ensemble.servers[2].up.task(&task)["lastStatus"], "RUNNING");
    assert!(std::fs::metadata(format!("/proc/{pid}")).is_ok(), "the container was touched");
    ensemble.end();
}
