//! The agent dies before and after each of its effects; the next one goes on.

use agent::engine::Reported;
use agent_protocol::task::DependencyCondition;

use crate::harness::{Running, World, after, awsvpc, container, sidecar, task};
use crate::host::Moment;

/// A task with a dependency, from its payload to its removal; `crash` is where the first agent
/// dies, `loses` whether what the journal wrote without a sync is lost then. Answers how many
/// effects it took.
async fn live(crash: Option<(usize, Moment)>, loses: bool, own_interface: bool) -> usize {
    let world = World::new();
    let mut agent = world.start();
    if let Some((number, moment)) = crash {
        world.host.crash_at(number, moment);
    }
    let containers = vec![
        sidecar("init", "exit 0 100"),
        after(container("app", "run"), "init", DependencyCondition::Success),
    ];
    let task = task(1, containers);
    let task = if own_interface { awsvpc(task) } else { task };
    world.server.want(task.clone());
    reach(&world, &mut agent, loses, world.server.until_reported(&task.arn, Reported::Running))
        .await;
    world.server.stop(&task);
    reach(&world, &mut agent, loses, world.server.until_reported(&task.arn, Reported::Stopped))
        .await;
    let clean = async {
        while !world.is_clean() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    };
    let limit = std::time::Duration::from_secs(600);
    reach(&world, &mut agent, loses, async {
        assert!(tokio::time::timeout(limit, clean).await.is_ok(), "{crash:?}: remains are left");
    })
    .await;
    agent.task.abort();
    world.host.cut();
    check(&world, &task.arn, crash);
    world.host.effects()
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

fn check(world: &World, arn: &terms::TaskArn, crash: Option<(usize, Moment)>) {
    let host = world.host.state.lock();
    for name in ["init", "app"] {
        assert_eq!(host.started[name], 1, "{crash:?}: {name} was started once: {:?}", host.log);
        let created = host.log.iter().filter(|line| **line == format!("create {name}")).count();
        assert_eq!(created, 1, "{crash:?}: {name} was created once: {:?}", host.log);
    }
    drop(host);
    let mut statuses = world.server.statuses(arn);
    assert!(statuses.is_sorted(), "{crash:?}: {statuses:?}");
    statuses.dedup();
    assert_eq!(statuses, [Reported::Running, Reported::Stopped], "{crash:?}");
    let state = world.server.state.lock();
    let code = |name: &str| {
        let changes = state.submits.iter().flat_map(|submit| &submit.containers);
        let codes: Vec<_> =
            changes.filter(|c| c.name == name).filter_map(|change| change.exit_code).collect();
        codes
    };
    assert!(code("init").iter().all(|&code| code == 0) && !code("init").is_empty(), "{crash:?}");
    assert!(code("app").iter().all(|&code| code == 143) && !code("app").is_empty(), "{crash:?}");
}

/// With a loss of unsynced writes, as when the whole machine goes down and the containers do not.
#[tokio::test(start_paused = true)]
async fn no_crash_loses_or_doubles_a_container() {
    for own_interface in [false, true] {
        let effects = live(None, false, own_interface).await;
        assert!(effects > 20, "{effects}");
        for number in 0..effects {
            for moment in [Moment::Before, Moment::After] {
                live(Some((number, moment)), false, own_interface).await;
                live(Some((number, moment)), true, own_interface).await;
            }
        }
    }
}
