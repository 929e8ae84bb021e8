//! Dependencies, times and restarts.

use serde_json::json;

use super::stage::{container, definition, stage};

#[test]
fn start_timeout_of_a_dependency_stops_the_task() {
    for condition in ["SUCCESS", "COMPLETE", "HEALTHY"] {
        let mut waited = json!({"essential": false, "startTimeout": 2});
        if condition == "HEALTHY" {
            waited["healthCheck"] = json!({"command": ["CMD", "false"], "interval": 5});
        }
        let main = json!({"dependsOn": [{"containerName": "slow", "condition": condition}]});
        let family = format!("start-timeout-{}", condition.to_lowercase());
        let ended = stage().run(&json!({"family": family, "containerDefinitions": [
            container("slow", "exec sleep 600", &waited), container("main", ":", &main),
        ]}));
        let reason = ended.container("main")["reason"].as_str().unwrap_or_default();
        let expected = "container ordering dependency [slow] for target [main] has timed out";
        assert!(reason.contains(expected), "{condition}: {:#}", ended.task);
    }
}

#[test]
fn stop_timeout_is_the_time_from_sigterm_to_sigkill() {
    let stage = stage();
    let script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.05; done";
    let members = json!({"stopTimeout": 2});
    let task = stage.start(&definition("stop-timeout", &members, script), &json!({})).unwrap();
    stage.reach(&task, "RUNNING");
    assert!(crate::harness::eventually(|| stage.logs(&task, "main").contains("ready")));
    stage.call("StopTask", &json!({"task": task})).unwrap();
    let ended = stage.end(&task);
    assert_eq!((ended.said("main"), ended.code("main")), ("ready\ntold\n", Some(137)));
}

/// The shortest period that ECS takes is a minute, and so long this test takes.
#[test]
fn restart_policy_restarts_a_container_in_place_after_its_period() {
    let policy = json!({"enabled": true, "restartAttemptPeriod": 60, "ignoredExitCodes": [3]});
    let script = "echo run >> /runs; hostname; \
                  if [ $(wc -l < /runs) = 1 ]; then sleep 61; exit 1; fi; \
                  wget -qO- $ECS_CONTAINER_METADATA_URI_V4 | grep -o '\"RestartCount\":[0-9]*'; \
                  exit 3";
    let ended = stage().run(&definition("restart", &json!({"restartPolicy": policy}), script));
    let said: Vec<&str> = ended.said("main").lines().collect();
    assert_eq!(said.len(), 3, "{said:?} {:#}", ended.task);
    assert_eq!(said[0], said[1], "it is the same container");
    assert_eq!(said[2], "\"RestartCount\":1");
    assert_eq!(ended.code("main"), Some(3));
}

#[test]
fn restart_policy_leaves_a_container_that_ended_before_its_period() {
    let policy = json!({"enabled": true, "restartAttemptPeriod": 60});
    let ended =
        stage().run(&definition("restart-early", &json!({"restartPolicy": policy}), "exit 4"));
    assert_eq!(ended.code("main"), Some(4));
    assert_eq!(ended.task["stopCode"], "EssentialContainerExited");
}
