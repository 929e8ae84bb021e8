//! What a seed is about: how large its world is, and which faults meet it how often.

use std::time::Duration;

use crate::chance::Chance;
use crate::check::Rules;
use crate::mutation::Mutation;

/// Parts of a hundred thousand: how often a fault happens of the times it could.
pub(crate) type Parts = u32;

/// The faults of a run. Each seed has some of them, so that each is also met without the others
/// (swarm testing: Groce et al., ISSTA 2012).
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The server dies before a commit is written.
    pub(crate) crash_before_commit: Parts,
    /// The server dies when a commit is written and nobody knows.
    pub(crate) crash_after_commit: Parts,
    /// The store fails; the commit may or may not have been written.
    pub(crate) store_fails: Parts,
    /// An agent dies before an effect on its host.
    pub(crate) crash_before_effect: Parts,
    /// An agent dies after an effect, before it knows.
    pub(crate) crash_after_effect: Parts,
    /// A call is lost on its way.
    pub(crate) lost_request: Parts,
    /// A call's answer is lost.
    pub(crate) lost_answer: Parts,
    /// What is lost is lost without a word: the caller waits until its time is over.
    pub(crate) silent_loss: Parts,
    /// A call, an answer or a message takes seconds.
    pub(crate) late: Parts,
    /// A call reaches the server twice.
    pub(crate) doubled_call: Parts,
    /// A message of a channel comes twice.
    pub(crate) doubled_message: Parts,
    /// A channel breaks at a message.
    pub(crate) broken_channel: Parts,
    /// A pull fails.
    pub(crate) pull_fails: Parts,
    /// A pull takes many seconds.
    pub(crate) slow_pull: Parts,
    /// A container cannot be created: the disk is full.
    pub(crate) create_fails: Parts,
    /// A container cannot be started.
    pub(crate) start_fails: Parts,
    /// A network cannot be had: somebody else has the port.
    pub(crate) network_fails: Parts,
    /// A health check fails that would pass.
    pub(crate) check_fails: Parts,
    /// A container cannot be removed just now.
    pub(crate) remove_fails: Parts,
    /// A clean-up of the journal fails: no room.
    pub(crate) journal_fails: Parts,
    /// Each few seconds: a node is cut off for a while.
    pub(crate) partition: Parts,
    /// Each few seconds: an agent dies.
    pub(crate) agent_dies: Parts,
    /// Each few seconds: a machine loses power, with all its containers.
    pub(crate) power_loss: Parts,
    /// Each few seconds: the server dies.
    pub(crate) server_dies: Parts,
    /// Each few seconds: the server is stopped in an orderly way.
    pub(crate) server_stops: Parts,
    /// Each few seconds: a machine's clock jumps.
    pub(crate) clock_jumps: Parts,
    /// A write of a disk, a server's or a machine's, takes seconds.
    pub(crate) slow_disk: Parts,
    /// Each few seconds: a process, a server's or an agent's, stands still for seconds.
    pub(crate) pause: Parts,
    /// A question to etcd, or its answer, is lost.
    pub(crate) etcd_loses: Parts,
    /// A question to etcd, its answer or what a watch tells takes seconds.
    pub(crate) etcd_late: Parts,
    /// A question to etcd arrives twice.
    pub(crate) etcd_doubles: Parts,
    /// A watch of etcd breaks, falls silent, or ends in the middle of what it tells.
    pub(crate) watch_breaks: Parts,
    /// Each few seconds: a server is cut off from etcd for a while.
    pub(crate) etcd_cut: Parts,
    /// Each few seconds: two servers are cut off from each other, in one direction or both.
    pub(crate) peers_cut: Parts,
    /// Each few seconds: a machine is cut off from one of several servers.
    pub(crate) server_cut: Parts,
    /// Each few seconds: etcd's history is forgotten.
    pub(crate) etcd_forgets: Parts,
}

/// Everything that a seed decides at the start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Faults,
    /// One keeps its ledger on a disk of its own; several share theirs on an etcd.
    pub(crate) servers: usize,
    /// How long a silent leader among several goes on to count as leading.
    pub(crate) lease: Duration,
    /// Whether the disk of a server that is alone takes time, and not only when it is slow.
    pub(crate) disk_takes_time: bool,
    pub(crate) nodes: u64,
    pub(crate) clients: u64,
    /// How long faults happen.
    pub(crate) chaos: Duration,
    /// The longest wait of a client between two calls, in milliseconds.
    pub(crate) think_ms: u64,
    /// What there is of services; none in every third seed.
    pub(crate) services: Option<ServicePlan>,
    /// Whether instances belong to capacity providers, and tasks go by them.
    pub(crate) providers: bool,
    /// Whether there is a node for Fargate's tasks.
    pub(crate) fleet: bool,
    pub(crate) mutation: Mutation,
}

/// What a seed decides about services.
#[derive(Clone, Debug)]
pub(crate) struct ServicePlan {
    /// How many of a hundred things that clients do are about services.
    pub(crate) share: u64,
    /// How many services there may be.
    pub(crate) names: u64,
    /// How many tasks one is to have at most.
    pub(crate) tasks: u64,
    pub(crate) rules: Rules,
    /// The longest wait before a start, when tasks end before they run.
    pub(crate) throttle: Duration,
    /// Whether there is a service whose deployments are somebody else's: task sets.
    pub(crate) external: bool,
    /// Whether there are alarms that end deployments.
    pub(crate) alarms: bool,
}

impl ServicePlan {
    fn of(chance: &mut Chance) -> Option<Self> {
        let is_there = chance.below(3) > 0;
        let settle = [0, 5, 40][usize::try_from(chance.below(3)).unwrap_or(0)];
        let lost_after = [None, Some(20), Some(60)][usize::try_from(chance.below(3)).unwrap_or(0)];
        let plan = Self {
            share: [20, 40, 80][usize::try_from(chance.below(3)).unwrap_or(0)],
            names: 1 + chance.below(3),
            tasks: [2, 4, 8][usize::try_from(chance.below(3)).unwrap_or(0)],
            rules: Rules {
                settle: Duration::from_secs(settle),
                lost_after: lost_after.map(Duration::from_secs),
            },
            throttle: Duration::from_secs(5 + chance.below(40)),
            external: chance.below(2) == 0,
            alarms: chance.below(2) == 0,
        };
        is_there.then_some(plan)
    }
}

impl Plan {
    pub(crate) fn of(chance: &mut Chance, mutation: Mutation, servers: Option<usize>) -> Self {
        let drawn = [1, 1, 1, 2, 3][usize::try_from(chance.below(5)).unwrap_or(0)];
        let several = 2 + usize::try_from(chance.below(2)).unwrap_or(0);
        let drawn = match mutation {
            _ if mutation.is_of_several() => several,
            _ if mutation.is_of_one() => 1,
            _ => drawn,
        };
        // Every eighth seed is a calm one: what fails there fails without any fault.
        let calm = chance.below(8) == 0;
        let mut fault = |often: Parts| {
            let present = chance.below(2) == 0;
            let weight = [1, 3, 10][usize::try_from(chance.below(3)).unwrap_or(0)];
            if calm || !present { 0 } else { often * weight / 3 }
        };
        let faults = Faults {
            crash_before_commit: fault(300),
            crash_after_commit: fault(300),
            store_fails: fault(100),
            crash_before_effect: fault(700),
            crash_after_effect: fault(700),
            lost_request: fault(1_000),
            lost_answer: fault(1_000),
            silent_loss: fault(30_000),
            late: fault(2_000),
            doubled_call: fault(1_000),
            doubled_message: fault(1_000),
            broken_channel: fault(500),
            pull_fails: fault(2_000),
            slow_pull: fault(5_000),
            create_fails: fault(2_000),
            start_fails: fault(2_000),
            network_fails: fault(2_000),
            check_fails: fault(5_000),
            remove_fails: fault(2_000),
            journal_fails: fault(200),
            partition: fault(4_000),
            agent_dies: fault(4_000),
            power_loss: fault(1_500),
            server_dies: fault(3_000),
            server_stops: fault(2_000),
            clock_jumps: fault(2_000),
            slow_disk: fault(500),
            pause: fault(3_000),
            etcd_loses: fault(300),
            etcd_late: fault(500),
            etcd_doubles: fault(500),
            watch_breaks: fault(500),
            etcd_cut: fault(3_000),
            peers_cut: fault(3_000),
            server_cut: fault(3_000),
            etcd_forgets: fault(5_000),
        };
        let mut plan = Self {
            faults,
            servers: servers.unwrap_or(drawn),
            lease: Duration::from_secs([2, 2, 5][usize::try_from(chance.below(3)).unwrap_or(0)]),
            disk_takes_time: chance.below(2) == 0,
            nodes: 1 + chance.below(4),
            clients: 1 + chance.below(4),
            chaos: chance.millis(20_000, 100_000),
            think_ms: [200, 1_000, 4_000][usize::try_from(chance.below(3)).unwrap_or(0)],
            services: ServicePlan::of(chance),
            providers: chance.below(2) == 0,
            fleet: chance.below(3) == 0,
            mutation,
        };
        mutation.aim(&mut plan);
        plan
    }
}
