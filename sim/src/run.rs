//! One run: a seed's world, its faults, its healing, its end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Caller;
use crate::clock::SimClock;
use crate::disk::Disk;
use crate::etcd::SharedEtcd;
use crate::host::Host;
use crate::mutation::Mutation;
use crate::network::Channels;
use crate::node::{CLEANUP_WAIT, Node};
use crate::server::{Alone, Reference, Several};
use crate::storm::Storm;
use crate::world::{Violation, World};

/// The longest time, once nothing goes wrong any more, until everything is as it should be. An
/// agent's longest wait is two minutes (its back-off); an inactive instance's is an hour.
const SETTLE_MAX: Duration = Duration::from_secs(90 * 60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// For how long it is looked whether services stay as they are.
const REST: Duration = Duration::from_secs(60);
/// By then every call that was on its way when the faults ended has arrived.
const STRAGGLERS: Duration = Duration::from_secs(15);
/// The longest time in which a server that nothing keeps from it tells what it has.
const AGREE_MAX: Duration = Duration::from_secs(30);
/// A run that goes on for longer in virtual time hangs.
const RUN_MAX: Duration = Duration::from_secs(6 * 3600);

/// How a run is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether every line of the event log is printed.
    pub verbose: bool,
    /// A deliberate mistake.
    pub mutation: Mutation,
    /// How many servers there are, if that is not left to the seed.
    pub servers: Option<usize>,
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
        let world = World::new(seed, options);
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
            counts: counts(&world),
            tail,
        }
    })
}

fn counts(world: &World) -> BTreeMap<&'static str, u64> {
    let mut counts = world.counts();
    counts.extend(world.checker.lock().counts.clone());
    counts
}

async fn live(world: &World) {
    world.note(format!("seed {}: {:?}", world.seed, world.plan));
    let channels = Channels::default();
    let (clocks, etcd) = control_plane(world, &channels);
    let mut nodes: Vec<Node> =
        (0..world.plan.nodes).map(|number| Node::new(world, number, &channels)).collect();
    if world.plan.fleet {
        nodes.push(Node::of_fleet(world, world.plan.nodes, &channels));
    }
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
    let storm = Storm { world: world.clone(), nodes: nodes.clone(), clocks, etcd };
    let _ = tokio::time::timeout(world.plan.chaos, storm.rage()).await;
    storm.end();
    for client in clients {
        // It ends with the call that it is at.
        let _ = client.await;
    }
    // Until doubled calls have arrived, too.
    tokio::time::sleep(STRAGGLERS).await;
    nodes.iter().for_each(Node::restart_if_gone);
    let hosts: Vec<&Host> = nodes.iter().map(|node| &node.host).collect();
    operator.mend_services().await;
    settle(world, &hosts, "every task ends where its desired state says", false).await;
    if world.plan.services.is_some() {
        operator.clear_the_way().await;
        settle(world, &hosts, "every deployment comes to its end", true).await;
        rest(world).await;
        operator.delete_services().await;
        settle(world, &hosts, "deleted services leave no tasks", true).await;
    }
    operator.stop_everything().await;
    settle(world, &hosts, "every task that is stopped stops", true).await;
    clean(world, &hosts).await;
    agree(world).await;
    let found = world.checker.lock().kept();
    world.judge(found);
    metered(world);
    world.note("the end");
}

/// Starts the servers. Gives their clocks, and their etcd if they share one.
fn control_plane(world: &World, channels: &Channels) -> (Vec<SimClock>, Option<SharedEtcd>) {
    let clocks: Vec<SimClock> = (0..world.plan.servers).map(|_| world.clock()).collect();
    let channels = || channels.clone();
    if let [clock] = clocks.as_slice() {
        let (disk, clock) = (Disk::default(), clock.clone());
        tokio::spawn(Alone { world: world.clone(), disk, channels: channels(), clock }.run());
        return (clocks, None);
    }
    let etcd = SharedEtcd::new();
    let reference = Reference { world: world.clone(), etcd: etcd.clone(), clock: world.clock() };
    tokio::spawn(reference.run());
    for (number, clock) in clocks.iter().enumerate() {
        let (world, etcd, clock) = (world.clone(), etcd.clone(), clock.clone());
        tokio::spawn(Several { number, world, etcd, channels: channels(), clock }.run());
    }
    (clocks, Some(etcd))
}

/// All servers of several show the same in the end.
async fn agree(world: &World) {
    if world.plan.servers == 1 {
        return;
    }
    for server in world.servers_up() {
        let since = Instant::now();
        loop {
            let shown = tokio::time::timeout(AGREE_MAX, server.ledger.current()).await;
            let why = match shown {
                Ok(Ok(snapshot)) => {
                    let audit = server.tables.audit(&snapshot);
                    match world.checker.lock().shows(snapshot.revision(), &audit) {
                        Ok(()) => break,
                        Err(why) => why,
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it does not answer".to_owned(),
            };
            if since.elapsed() > AGREE_MAX {
                let detail = format!("{}: {why}", server.name);
                return world.violate("all servers show the same", detail);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What tasks used of Fargate adds up.
fn metered(world: &World) {
    for server in world.servers_up() {
        let found = world.checker.lock().metered(&server.ecs.fargate_use());
        world.judge(found);
    }
}

/// What has settled stays as it is: nobody starts and stops tasks for nothing.
async fn rest(world: &World) {
    let starts = || world.checker.lock().services.starts;
    let before = starts();
    tokio::time::sleep(REST).await;
    let more = starts() - before;
    if more > 0 {
        let detail = format!("{more} tasks were started within {} s", REST.as_secs());
        world.violate("services that are as they should be stay so", detail);
    }
}

/// Waits until the world is as it should be; `strict` says that nothing hinders services.
async fn settle(world: &World, hosts: &[&Host], invariant: &'static str, strict: bool) {
    let since = Instant::now();
    loop {
        let found = world.checker.lock().kept();
        world.judge(found);
        let settled = world.checker.lock().settled(hosts, strict);
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
