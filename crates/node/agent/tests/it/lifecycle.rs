//! Whole lives of tasks, over the protocol.

use std::time::Duration;

use agent::AtEnd;
use agent::engine::Reported;
use agent::transport::CallError;
use agent_protocol::acs::{
    AgentMessage, Heartbeat, TaskIdentifier, TaskManifest, TaskStopVerificationAck,
};
use agent_protocol::docker::{ContainerConfig, HealthCheck, HostConfig};
use agent_protocol::task::{Container, Credentials, DependencyCondition, DockerConfig};
use agent_protocol::tcs;
use runtime::containers::Network;

use crate::harness::{World, after, awsvpc, checked, container, sidecar, task};
use crate::server::{CLUSTER, INSTANCE, acked};

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_stops_when_told() {
    let world = World::new();
    let _agent = world.start();
    let task = task(1, vec![container("app", "run")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    assert_eq!(acked(&world.server.state.lock()).len(), 1);
    world.server.stop(&task);
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running, Reported::Stopped]);
    assert_eq!(
        world.log(),
        ["pull busybox:latest", "create app", "start app", "SIGTERM app", "exited app 143"]
    );
    let state = world.server.state.lock();
    let (running, stopped) = (&state.submits[0].containers[0], &state.submits[1].containers[0]);
    assert_eq!((running.exit_code, running.status), (None, Reported::Running));
    assert_eq!((stopped.exit_code, &stopped.reason), (Some(143), &None));
    assert_eq!(running.runtime_id.as_ref().unwrap().len(), 64);
    assert!(running.image_digest.is_some());
    assert!(state.submits[1].execution_stopped_at.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_private_registry_is_asked_with_its_credentials() {
    let world = World::new();
    let _agent = world.start();
    let mut app = container("app", "exit 0 10");
    app.image = "private.test:5000/web:1".to_owned();
    let task = task(1, vec![app]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(world.log()[0], "pull private.test:5000/web:1 with Basic(me)");
}

#[tokio::test(start_paused = true)]
async fn containers_of_an_awsvpc_task_share_its_interface() {
    let world = World::new();
    let _agent = world.start();
    let mut port = agent_protocol::task::PortMapping::default();
    (port.container_port, port.host_port) = (Some(80), Some(80));
    let mut app = container("app", "run");
    app.port_mappings = vec![port];
    let task_of = |number| awsvpc(task(number, vec![app.clone(), container("beside", "run")]));
    // Each has port 80 to itself.
    let (first, second) = (task_of(1), task_of(2));
    for task in [&first, &second] {
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
    }
    {
        let state = world.host.state.lock();
        assert!(state.attachments.is_empty());
        assert_eq!(state.networks.len(), 2);
        for fake in state.containers.values() {
            assert_eq!(fake.spec.hostname.as_deref(), Some("ip-10-0-1-7.ec2.internal"));
            let address = Some([10, 0, 1, 7].into());
            let path = "/nonexistent/task".into();
            assert_eq!(fake.spec.network, Network::Namespace { path, address });
        }
    }
    world.server.stop(&first);
    world.server.until_reported(&first.arn, Reported::Stopped).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(world.host.state.lock().networks.len(), 1, "its address is free at once");
}

#[tokio::test(start_paused = true)]
async fn an_awsvpc_task_without_an_interface_says_so() {
    let world = World::new();
    let _agent = world.start();
    let mut task = awsvpc(task(1, vec![container("app", "run")]));
    task.elastic_network_interfaces.clear();
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    let state = world.server.state.lock();
    let expected =
        "ResourceInitializationError: the task's network interface: the payload has none";
    assert_eq!(state.submits[0].reason, expected);
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_does_not_wait_for_an_older_stop() {
    let mut world = World::new();
    world.at_end = AtEnd::StopAll;
    let agent = world.start();
    let mut app = container("app", "stubborn");
    app.stop_timeout = Some(120);
    let task = task(1, vec![app]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    world.server.stop(&task);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    agent.shutdown.cancel();
    agent.task.await.unwrap().unwrap();
    assert_eq!(before.elapsed().as_secs(), agent::STOP_TIMEOUT_AT_END.as_secs());
    assert!(world.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_task_is_removed_after_its_wait() {
    let world = World::new();
    let _agent = world.start();
    let task = task(1, vec![container("app", "exit 3 10")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(world.host.state.lock().containers.len(), 1);
    assert!(world.host.state.lock().attachments.is_empty(), "ports are free at once");
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(world.is_clean());
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running, Reported::Stopped]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_keeps_nothing_for_longer() {
    let world = World::new();
    let _agent = world.start();
    world.clock.set_ahead(Duration::from_secs(3600));
    let task = task(1, vec![container("app", "exit 3 10")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    world.clock.set_ahead(Duration::ZERO);
    // A minute until the agent notices, and the wait.
    tokio::time::sleep(Duration::from_secs(125)).await;
    assert!(world.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_stubborn_container_is_killed_after_its_stop_timeout() {
    let world = World::new();
    let _agent = world.start();
    let mut app = container("app", "stubborn");
    app.stop_timeout = Some(3);
    let task = task(1, vec![app]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    let before = tokio::time::Instant::now();
    world.server.stop(&task);
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(before.elapsed().as_secs(), 3);
    let state = world.server.state.lock();
    assert_eq!(state.submits[1].containers[0].exit_code, Some(137));
}

#[tokio::test(start_paused = true)]
async fn an_essential_exit_stops_the_others_in_reverse_order() {
    let world = World::new();
    let _agent = world.start();
    let containers = vec![
        container("db", "run"),
        after(container("app", "run"), "db", DependencyCondition::Start),
        container("job", "exit 0 1000"),
    ];
    let task = task(1, containers);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    let log = world.log();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("start db") < at("create app"));
    assert!(at("exited job 0") < at("SIGTERM app"));
    assert!(at("exited app 143") < at("SIGTERM db"));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_told_with_its_reason() {
    let check = async |containers: Vec<_>, name: &str, reason: &str, code: Option<i32>| {
        let world = World::new();
        let _agent = world.start();
        let task = task(1, containers);
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Stopped).await;
        let state = world.server.state.lock();
        let changes = state.submits.iter().flat_map(|submit| &submit.containers);
        let found = changes.filter(|c| c.name == name && c.status == Reported::Stopped);
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{name} is told once");
        let told = found[0].reason.clone().unwrap_or_default();
        assert!(told.starts_with(reason), "{told}");
        assert_eq!(found[0].exit_code, code, "{told}");
    };
    let missing = || {
        let mut container = container("app", "run");
        container.image = "missing".to_owned();
        container
    };
    check(vec![missing()], "app", "CannotPullImageManifestError: ", None).await;
    check(vec![container("app", "broken")], "app", "CannotStartContainerError: ", None).await;
    let oom = "OutOfMemoryError: Container killed due to memory usage";
    check(vec![container("app", "oom 10")], "app", oom, Some(137)).await;
    let failed = vec![
        sidecar("init", "exit 1 10"),
        after(container("app", "run"), "init", DependencyCondition::Success),
    ];
    let reason = "CannotStartContainerError: dependency graph: failed to resolve container \
                  ordering dependency [init] for target [app] as dependency did not exit";
    check(failed, "app", reason, None).await;
    let mut slow = sidecar("init", "run");
    slow.start_timeout = Some(20);
    let late = vec![slow, after(container("app", "run"), "init", DependencyCondition::Complete)];
    let reason = "CannotStartContainerError: dependency graph: container ordering dependency \
                  [init] for target [app] has timed out.";
    check(late, "app", reason, None).await;
    let cycle = vec![
        after(container("a", "run"), "b", DependencyCondition::Start),
        after(container("b", "run"), "a", DependencyCondition::Start),
    ];
    check(cycle, "a", "TaskDependencyError: ", None).await;
}

#[tokio::test(start_paused = true)]
async fn health_gates_dependants_and_is_told_at_once() {
    let world = World::new();
    let _agent = world.start();
    let containers = vec![
        checked(container("db", "run")),
        after(container("app", "run"), "db", DependencyCondition::Healthy),
    ];
    let task = task(1, containers);
    let before = tokio::time::Instant::now();
    world.server.want(task.clone());
    let told = |state: &crate::server::State, wanted: tcs::HealthStatus| {
        state.telemetry.iter().any(|message| match message {
            tcs::AgentMessage::Health(health) => {
                health.tasks.iter().any(|t| t.containers[0].health_status == wanted)
            }
            _ => false,
        })
    };
    world.server.until(|state| told(state, tcs::HealthStatus::Healthy)).await;
    assert_eq!(before.elapsed().as_secs(), 5);
    world.server.until_reported(&task.arn, Reported::Running).await;
    world.host.state.lock().probe = 1;
    world.server.until(|state| told(state, tcs::HealthStatus::Unhealthy)).await;
    assert_eq!(before.elapsed().as_secs(), 15, "two failures in a row");
}

/// ECS takes such a check, and Docker knows none of its kind: it would be waited for in vain.
#[tokio::test(start_paused = true)]
async fn a_health_check_of_an_unknown_form_is_not_waited_for() {
    let world = World::new();
    let _agent = world.start();
    let check = HealthCheck { test: vec!["/healthcheck".to_owned()], ..HealthCheck::default() };
    let config = ContainerConfig { healthcheck: Some(check), ..ContainerConfig::default() };
    let docker_config = DockerConfig::new("1.24", &config, &HostConfig::default());
    let db = Container { docker_config, ..checked(container("db", "run")) };
    let app = after(container("app", "run"), "db", DependencyCondition::Healthy);
    let task = task(1, vec![db, app]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    let state = world.server.state.lock();
    let told = format!("{:?}", state.submits);
    assert!(told.contains("begins with neither CMD nor CMD-SHELL"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_task_waits_until_it_fits() {
    let world = World::new();
    let _agent = world.start();
    let big = |number, command: &str| {
        let mut app = container("app", command);
        app.memory = 3000;
        task(number, vec![app])
    };
    let (first, second) = (big(1, "exit 0 5000"), big(2, "run"));
    world.server.want(first.clone());
    world.server.want(second.clone());
    world.server.until_reported(&first.arn, Reported::Running).await;
    assert!(world.server.statuses(&second.arn).is_empty());
    world.server.until_reported(&second.arn, Reported::Running).await;
    assert_eq!(world.server.statuses(&first.arn), [Reported::Running, Reported::Stopped]);
    let mut impossible = container("app", "run");
    impossible.memory = 5000;
    let third = task(3, vec![impossible]);
    world.server.want(third.clone());
    world.server.until_reported(&third.arn, Reported::Stopped).await;
    let state = world.server.state.lock();
    assert!(state.submits.last().unwrap().reason.starts_with("ResourceInitializationError: "));
}

#[tokio::test(start_paused = true)]
async fn reports_are_tried_again_and_dropped_only_when_refused_for_good() {
    let world = World::new();
    let error = |code: &str| CallError::Service { code: code.to_owned(), message: String::new() };
    // Taken from the end.
    world.server.state.lock().submit_errors = vec![
        error("InvalidParameterException"),
        error("ClientException"),
        CallError::Transport("down".to_owned()),
    ];
    let _agent = world.start();
    let task = task(1, vec![container("app", "exit 0 10000")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&task.arn), [Reported::Stopped], "RUNNING was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_side_change_waits_for_its_tick_and_goes_with_the_present_status() {
    let world = World::new();
    let _agent = world.start();
    let task = task(1, vec![container("app", "run"), sidecar("init", "exit 0 500")]);
    let before = tokio::time::Instant::now();
    world.server.want(task.clone());
    world.server.until(|state| state.submits.len() == 2).await;
    assert!((10..=31).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    let state = world.server.state.lock();
    let side = &state.submits[1];
    assert_eq!((side.status, side.containers.len()), (Reported::Running, 1));
    assert_eq!(side.containers[0].exit_code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn heartbeats_and_credentials_are_acknowledged() {
    let world = World::new();
    let _agent = world.start();
    let mut task = task(1, vec![container("app", "run")]);
    task.role_credentials = Some(Credentials {
        credentials_id: "c1".to_owned(),
        secret_access_key: "secret".to_owned(),
        expiration: "2026-12-01T00:00:00Z".to_owned(),
        ..Credentials::default()
    });
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    let message_id = Some("h1".to_owned());
    world.server.send(Heartbeat { message_id, healthy: true }.into());
    let is_ack = |message: &AgentMessage| matches!(message, AgentMessage::HeartbeatAck(_));
    world.server.until(|state| state.from_agent.iter().any(is_ack)).await;
    let state = world.server.state.lock();
    let credentials = state.from_agent.iter().find_map(|message| match message {
        AgentMessage::RoleCredentialsAck(ack) => Some(ack.clone()),
        _ => None,
    });
    let credentials = credentials.unwrap();
    assert_eq!(
        (credentials.credentials_id.as_str(), credentials.message_id.as_str()),
        ("c1", "m1")
    );
    let journal = format!("{:?}", serde_json::to_string(&world.journal.records()).unwrap());
    assert!(!journal.contains("secret\\\""), "secrets stay in memory");
    let host = world.host.state.lock();
    let env = &host.containers.values().next().unwrap().spec.env;
    assert!(env.contains(&"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/c1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_stops_what_the_server_confirms() {
    let world = World::new();
    let _agent = world.start();
    let (wanted, unwanted) =
        (task(1, vec![container("app", "run")]), task(2, vec![container("app", "run")]));
    for task in [&wanted, &unwanted] {
        world.server.want(task.clone());
        world.server.until_reported(&task.arn, Reported::Running).await;
    }
    let identifier = |task: &agent_protocol::task::Task| TaskIdentifier {
        task_arn: task.arn.clone(),
        task_cluster_arn: CLUSTER.to_owned(),
        desired_status: "RUNNING".to_owned(),
    };
    let manifest = |id: &str, timeline| TaskManifest {
        message_id: id.to_owned(),
        cluster_arn: CLUSTER.to_owned(),
        container_instance_arn: INSTANCE.to_owned(),
        generated_at: None,
        timeline,
        tasks: vec![identifier(&wanted)],
    };
    world.server.send(manifest("stale", 1).into());
    world.server.send(manifest("fresh", world.server.next_sequence()).into());
    let candidates = |message: &AgentMessage| match message {
        AgentMessage::TaskStopVerification(stop) => Some(stop.clone()),
        _ => None,
    };
    world.server.until(|state| state.from_agent.iter().any(|m| candidates(m).is_some())).await;
    let stop = world.server.state.lock().from_agent.iter().find_map(candidates).unwrap();
    assert_eq!(stop.message_id, "fresh");
    assert_eq!(stop.stop_candidates.len(), 1);
    assert!(!acked(&world.server.state.lock()).contains("stale"));
    let message_id = "fresh".to_owned();
    let stop_tasks = stop.stop_candidates;
    world
        .server
        .send(TaskStopVerificationAck { message_id, generated_at: None, stop_tasks }.into());
    world.server.until_reported(&unwanted.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&wanted.arn), [Reported::Running]);
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_leaves_nothing_behind_and_reports() {
    let mut world = World::new();
    world.at_end = AtEnd::StopAll;
    let agent = world.start();
    let task = task(1, vec![container("app", "stubborn")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    agent.shutdown.cancel();
    agent.task.await.unwrap().unwrap();
    assert!(world.is_clean());
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running, Reported::Stopped]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_agent_leaves_its_containers_to_the_next_one() {
    let world = World::new();
    let agent = world.start();
    let task = task(1, vec![container("app", "run")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    agent.shutdown.cancel();
    agent.task.await.unwrap().unwrap();
    assert_eq!(world.log().last().unwrap(), "start app");
    let _agent = world.start();
    world.server.until(|state| state.queries.len() == 2).await;
    world.server.stop(&task);
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running, Reported::Stopped]);
    assert_eq!(world.host.state.lock().started["app"], 1);
    let state = world.server.state.lock();
    assert_eq!(state.registrations[0].container_instance_arn, None);
    assert_eq!(state.registrations[1].container_instance_arn.as_deref(), Some(INSTANCE));
    assert!(state.queries.iter().all(|query| query.send_credentials), "the first of each process");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_channel_comes_back_without_asking_for_credentials() {
    let world = World::new();
    let _agent = world.start();
    world.server.until(|state| state.queries.len() == 1).await;
    world.server.drop_connection();
    world.server.until(|state| state.queries.len() == 2).await;
    let asked: Vec<_> =
        world.server.state.lock().queries.iter().map(|query| query.send_credentials).collect();
    assert_eq!(asked, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn registration_tries_again_what_may_pass_and_gives_up_on_the_rest() {
    let error = |code: &str| CallError::Service { code: code.to_owned(), message: String::new() };
    let world = World::new();
    world.server.state.lock().register_errors =
        vec![CallError::Transport("down".to_owned()), error("ServerException")];
    let _agent = world.start();
    world.server.until(|state| state.queries.len() == 1).await;
    let tokens: Vec<_> =
        world.server.state.lock().registrations.iter().map(|r| r.client_token.clone()).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    let world = World::new();
    world.server.state.lock().register_errors = vec![error("ClientException")];
    let agent = world.start();
    assert!(agent.task.await.unwrap().is_err());
}
