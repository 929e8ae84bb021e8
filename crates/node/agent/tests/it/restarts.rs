//! Restarts in place (ecs-semantics §3.4, `restartPolicy`), and crashes in the middle of them.

use std::time::Duration;

use agent::engine::Reported;
use agent_protocol::task::{Container, RestartPolicy, Task};

use crate::harness::{Running, World, container, task};
use crate::host::Moment;

/// A container that ends with 1 after a minute, and runs again then.
fn restarting(command: &str) -> Container {
    let policy = RestartPolicy {
        enabled: true,
        ignored_exit_codes: vec![3],
        restart_attempt_period: Some(60),
    };
    Container { restart_policy: Some(policy), ..container("app", command) }
}

/// Runs a task to its end: what it said of its container, and what happened on the host.
async fn run_out(command: &str) -> (Option<i32>, Option<String>, Vec<String>) {
    let world = World::new();
    let _agent = world.start();
    let task = task(1, vec![restarting(command)]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    let state = world.server.state.lock();
    let mut changes = state.submits.iter().flat_map(|submit| &submit.containers);
    let end = changes.rfind(|change| change.status == Reported::Stopped).unwrap();
    (end.exit_code, end.reason.clone(), world.log())
}

#[tokio::test(start_paused = true)]
async fn a_container_is_restarted_once_a_period_while_its_task_runs_on() {
    let world = World::new();
    let _agent = world.start();
    let task = task(1, vec![restarting("exit 1 60000")]);
    world.server.want(task.clone());
    world.server.until_reported(&task.arn, Reported::Running).await;
    tokio::time::sleep(Duration::from_secs(130)).await;
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running]);
    let (again, more) = (["exited app 1", "revive app 1"], ["exited app 1", "revive app 2"]);
    let first = ["pull busybox:latest", "create app", "start app"];
    let expected = [&first[..], &again, &["start app"], &more, &["start app"]].concat();
    assert_eq!(world.log(), expected);
    world.server.stop(&task);
    world.server.until_reported(&task.arn, Reported::Stopped).await;
    assert_eq!(world.server.statuses(&task.arn), [Reported::Running, Reported::Stopped]);
}

#[tokio::test(start_paused = true)]
async fn an_early_end_or_an_ignored_code_is_the_end() {
    let (code, reason, log) = run_out("exit 1 59999").await;
    assert_eq!((code, reason), (Some(1), None));
    assert!(!log.iter().any(|line| line.starts_with("revive")), "{log:?}");
    let (code, reason, log) = run_out("exit 3 60000").await;
    assert_eq!((code, reason), (Some(3), None));
    assert!(!log.iter().any(|line| line.starts_with("revive")), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_fails_leaves_the_end_that_was() {
    let (code, reason, _) = run_out("once 1 60000").await;
    assert_eq!(code, Some(1));
    let expected = "the container was not restarted: CannotStartContainerError: \
                    the host has had enough";
    assert_eq!(reason.as_deref(), Some(expected));
}

/// A task whose container is restarted, from its payload to its end; the agent dies at `crash`.
/// Answers how many effects it took.
async fn live(crash: Option<(usize, Moment)>, loses: bool) -> usize {
    let world = World::new();
    let mut agent = world.start();
    if let Some((number, moment)) = crash {
        world.host.crash_at(number, moment);
    }
    let task = task(1, vec![restarting("exit 1 60000")]);
    world.server.want(task.clone());
    let restarted = async {
        while world.host.state.lock().started.get("app").copied().unwrap_or_default() < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // What is known of it, and told, comes after it.
        world.server.until_reported(&task.arn, Reported::Running).await;
    };
    reach(&world, &mut agent, loses, restarted).await;
    stop(&world, &mut agent, loses, &task).await;
    agent.task.abort();
    world.host.cut();
    let log = world.log();
    let count = |what: &str| log.iter().filter(|line| *line == what).count();
    assert_eq!((count("create app"), count("start app")), (1, 2), "{crash:?}: {log:?}");
    assert_eq!((count("revive app 1"), count("revive app 2")), (1, 0), "{crash:?}: {log:?}");
    let mut statuses = world.server.statuses(&task.arn);
    statuses.dedup();
    assert_eq!(statuses, [Reported::Running, Reported::Stopped], "{crash:?}: {log:?}");
    world.host.effects()
}

async fn stop(world: &World, agent: &mut Running, loses: bool, task: &Task) {
    world.server.stop(task);
    reach(world, agent, loses, world.server.until_reported(&task.arn, Reported::Stopped)).await;
}

/// Waits for `done`; when the agent dies meanwhile, starts the next one.
async fn reach(world: &World, agent: &mut Running, loses: bool, done: impl Future<Output = ()>) {
    tokio::pin!(done);
    loop {
        tokio::select! {
            biased;
            () = &mut done => return,
            () = world.host.crashed.notified() => {
                agent.task.abort();
                if loses {
                    world.journal.lose_what_is_not_durable();
                }
                *agent = world.start();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_crash_forgets_or_doubles_a_restart() {
    let effects = live(None, false).await;
    assert!(effects > 10, "{effects}");
    for number in 0..effects {
        for moment in [Moment::Before, Moment::After] {
            live(Some((number, moment)), false).await;
            live(Some((number, moment)), true).await;
        }
    }
}
