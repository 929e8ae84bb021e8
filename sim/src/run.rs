//! One run: a seed's world, its faults, its healing, its end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Caller;
use crate::disk::Disk;
use crate::host::Host;
use crate::network::Channels;
use crate::node::{CLEANUP_WAIT, Node};
use crate::plan::Mutation;
use crate::server::Plane;
use crate::world::{Violation, World};

/// The longest time, once nothing goes wrong any more, until everything is as it should be. An
/// agent's longest wait is two minutes (its back-off); an inactive instance's is an hour.
const SETTLE_MAX: Duration = Duration::from_secs(90 * 60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often faults that need no occasion may strike.
const STORM: Duration = Duration::from_secs(3);
/// By then every call that was on its way when the faults ended has arrived.
const STRAGGLERS: Duration = Duration::from_secs(15);
/// A run that goes on for longer in virtual time hangs.
const RUN_MAX: Duration = Duration::from_secs(6 * 3600);

/// How a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether every line of the event log is printed.
    pub verbose: bool,
    /// A deliberate mistake.
    pub mutation: Mutation,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The hash of its event log.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much virtual time went by.
    pub lasted: Duration,
    /// The first invariant that was broken.
    pub violation: Option<Violation>,
    /// How often things happened.
    pub counts: BTreeMap<&'static str, u64>,
    /// The end of the event log.
    pub tail: Vec<String>,
}

/// Runs a seed to its end. The same seed gives the same report, whatever the machine does.
///
/// # Panics
/// If no runtime can be made.
pub fn run(seed: u64, options: Options) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread");
    runtime.block_on(async {
        let world = World::new(seed, options.mutation, options.verbose);
        let ended = tokio::select! {
            biased;
            () = world.violated.notified() => None,
            lived = tokio::time::timeout(RUN_MAX, live(&world)) => Some(lived),
        };
        if let Some(Err(_)) = ended {
            world.violate("a run comes to its end", "it hangs");
        }
        let (hash, events, tail) = world.log(|log| (log.hash(), log.lines(), log.tail()));
        Report {
            seed,
            hash,
            events,
            lasted: world.start.elapsed(),
            violation: world.violation(),
            counts: world.counts(),
            tail,
        }
    })
}

async fn live(world: &World) {
    world.note(format!("seed {}: {:?}", world.seed, world.plan));
    let channels = Channels::default();
    let clock = world.clock();
    let plane = Plane {
        world: world.clone(),
        disk: Disk::default(),
        channels: channels.clone(),
        clock: clock.clone(),
    };
    tokio::spawn(plane.run());
    let nodes: Vec<Node> =
        (0..world.plan.nodes).map(|number| Node::new(world, number, &channels)).collect();
    for node in &nodes {
        let size = (node.capacity.cpu, node.capacity.memory);
        world.checker.lock().machines.insert(node.host.name.clone(), size);
        tokio::spawn(node.clone().run());
    }
    let mut operator = Caller::new(world, "operator".to_owned());
    operator.prepare().await;
    let clients: Vec<_> = (0..world.plan.clients)
        .map(|number| tokio::spawn(Caller::new(world, format!("c{number}")).run()))
        .collect();
    let _ = tokio::time::timeout(world.plan.chaos, storm(world, &nodes, &clock)).await;
    world.heal();
    for node in &nodes {
        node.link.mend();
        node.host.clock.jump(0);
    }
    clock.jump(0);
    for client in clients {
        // It ends with the call that it is at.
        let _ = client.await;
    }
    // Until doubled calls have arrived, too.
    tokio::time::sleep(STRAGGLERS).await;
    nodes.iter().for_each(Node::restart_if_gone);
    let hosts: Vec<&Host> = nodes.iter().map(|node| &node.host).collect();
    settle(world, &hosts, "every task ends where its desired state says").await;
    operator.stop_everything().await;
    settle(world, &hosts, "every task that is stopped stops").await;
    clean(world, &hosts).await;
    let found = world.checker.lock().kept();
    world.judge(found);
    world.note("the end");
}

/// Waits until the world is as it should be.
async fn settle(world: &World, hosts: &[&Host], invariant: &'static str) {
    let since = Instant::now();
    loop {
        let found = world.checker.lock().kept();
        world.judge(found);
        let settled = world.checker.lock().settled(hosts);
        let Err(why) = settled else { break };
        if since.elapsed() > SETTLE_MAX {
            return world.violate(invariant, why);
        }
        tokio::time::sleep(LOOK).await;
    }
    world.note(format!("settled after {} s", since.elapsed().as_secs()));
}

/// Waits until nothing is left of the tasks.
async fn clean(world: &World, hosts: &[&Host]) {
    let since = Instant::now();
    loop {
        let left = hosts.iter().find_map(|host| {
            let left = host.state.lock().leftovers();
            (!left.is_empty()).then(|| format!("{}: {left}", host.name))
        });
        let Some(left) = left else { return };
        if since.elapsed() > CLEANUP_WAIT + Duration::from_secs(600) {
            return world.violate("nothing is left of a task that has stopped", left);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Faults that need no occasion: they come by every few seconds.
async fn storm(world: &World, nodes: &[Node], clock: &crate::clock::SimClock) {
    loop {
        tokio::time::sleep(STORM).await;
        let node = world.draw(|chance| chance.pick(nodes).cloned());
        let Some(node) = node else { continue };
        let name = &node.host.name;
        if world.strikes(|faults| faults.partition) {
            world.tally("partition", name);
            let wait = world.draw(|chance| chance.millis(500, 90_000));
            let link = node.link.clone();
            link.cut();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                link.mend();
            });
        }
        if world.strikes(|faults| faults.agent_dies) {
            world.note(format!("{name}: its agent is killed"));
            node.kill();
        }
        if world.strikes(|faults| faults.power_loss) {
            world.tally("power loss", name);
            node.lose_power();
        }
        if world.draw(|chance| chance.below(4)) == 0 {
            node.restart_if_gone();
        }
        let server = world.present_server();
        if let Some(server) = &server
            && world.strikes(|faults| faults.server_dies)
        {
            world.note("the server is killed");
            server.life.kill();
        }
        if let Some(server) = &server
            && world.strikes(|faults| faults.server_stops)
        {
            world.note("the server is stopped");
            server.stop();
        }
        if world.strikes(|faults| faults.clock_jumps) {
            let wrong_ms = world.draw(|chance| {
                let size = [500, 30_000, 200_000, 4_000_000][chance.below(4) as usize];
                i64::try_from(chance.below(size)).unwrap_or(0)
                    - i64::try_from(size / 2).unwrap_or(0)
            });
            let whose =
                if world.draw(|chance| chance.below(2)) == 0 { clock } else { &node.host.clock };
            world.tally("clock jump", format!("by {wrong_ms} ms, {name} or the server"));
            whose.jump(wrong_ms);
        }
    }
}
