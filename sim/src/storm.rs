//! Faults that need no occasion: they come by every few seconds.

use std::time::Duration;

use crate::clock::SimClock;
use crate::etcd::SharedEtcd;
use crate::network::Link;
use crate::node::Node;
use crate::world::World;

/// How often they may strike.
const STORM: Duration = Duration::from_secs(3);
/// The longest time for which a way is cut, in milliseconds.
const CUT_MILLIS: u64 = 90_000;
/// The same where servers are cut off from each other or from etcd.
const SERVER_CUT_MILLIS: u64 = 20_000;
/// The longest pause of a process, in milliseconds: longer than a lease.
const PAUSE_MILLIS: u64 = 9_000;
/// The least history that etcd keeps, in revisions, is below this.
const HISTORY: u64 = 30;

/// Who is struck.
pub(crate) struct Storm {
    pub(crate) world: World,
    pub(crate) nodes: Vec<Node>,
    /// The servers' clocks, by their numbers.
    pub(crate) clocks: Vec<SimClock>,
    /// The etcd that several servers share.
    pub(crate) etcd: Option<SharedEtcd>,
}

impl Storm {
    /// Strikes until it is dropped.
    pub(crate) async fn rage(&self) {
        loop {
            tokio::time::sleep(STORM).await;
            let Some(node) = self.world.draw(|chance| chance.pick(&self.nodes).cloned()) else {
                continue;
            };
            self.strike_node(&node);
            let number = self.some_server();
            self.strike_server(number);
            self.strike_clock(&node, number);
            if let Some(etcd) = &self.etcd {
                self.strike_several(&node, number, etcd).await;
            }
        }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn end(&self) {
        self.world.heal();
        for node in &self.nodes {
            node.roads.mend();
            node.host.clock.jump(0);
        }
        self.world.net.mend();
        self.clocks.iter().for_each(|clock| clock.jump(0));
    }

    fn some_server(&self) -> usize {
        let count = self.clocks.len() as u64;
        usize::try_from(self.world.draw(|chance| chance.below(count))).unwrap_or(0)
    }

    fn cut(&self, links: Vec<Link>, most_millis: u64) {
        let wait = self.world.draw(|chance| chance.millis(500, most_millis));
        links.iter().for_each(Link::cut);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            links.iter().for_each(Link::mend);
        });
    }

    fn strike_node(&self, node: &Node) {
        let (world, name) = (&self.world, &node.host.name);
        if world.strikes(|faults| faults.partition) {
            world.tally("partition", name);
            self.cut(node.roads.all().to_vec(), CUT_MILLIS);
        }
        if world.strikes(|faults| faults.agent_dies) {
            world.note(format!("{name}: its agent is killed"));
            node.kill();
        }
        if world.strikes(|faults| faults.power_loss) {
            world.tally("power loss", name);
            node.lose_power();
        }
        if world.strikes(|faults| faults.pause) {
            world.tally("agent pauses", name);
            node.pause(world.draw(|chance| chance.millis(500, PAUSE_MILLIS)));
        }
        if world.draw(|chance| chance.below(4)) == 0 {
            node.restart_if_gone();
        }
    }

    fn strike_server(&self, number: usize) {
        let world = &self.world;
        let Some(server) = world.server(number) else { return };
        let name = &server.name;
        if world.strikes(|faults| faults.server_dies) {
            world.note(format!("{name} is killed"));
            server.life.kill();
        }
        if world.strikes(|faults| faults.server_stops) {
            world.tally("server stops", name);
            server.stop();
        }
        if world.strikes(|faults| faults.pause) {
            let time = world.draw(|chance| chance.millis(500, PAUSE_MILLIS));
            world.tally("server pauses", format!("{name} for {} ms", time.as_millis()));
            server.life.pause(time);
        }
    }

    fn strike_clock(&self, node: &Node, server: usize) {
        let world = &self.world;
        if !world.strikes(|faults| faults.clock_jumps) {
            return;
        }
        let wrong_ms = world.draw(|chance| {
            let size = [500, 30_000, 200_000, 4_000_000][chance.below(4) as usize];
            i64::try_from(chance.below(size)).unwrap_or(0) - i64::try_from(size / 2).unwrap_or(0)
        });
        let (whose, clock) = match world.draw(|chance| chance.below(2)) {
            0 => (format!("s{server}"), &self.clocks[server]),
            _ => (node.host.name.clone(), &node.host.clock),
        };
        world.tally("clock jump", format!("by {wrong_ms} ms, {whose}"));
        clock.jump(wrong_ms);
    }

    async fn strike_several(&self, node: &Node, number: usize, etcd: &SharedEtcd) {
        let (world, net) = (&self.world, &self.world.net);
        if world.strikes(|faults| faults.etcd_cut) {
            world.tally("server without etcd", format!("s{number}"));
            self.cut(vec![net.etcd.to(number).clone()], SERVER_CUT_MILLIS);
        }
        let other = self.some_server();
        if other != number && world.strikes(|faults| faults.peers_cut) {
            let mut links = vec![net.peers[number].to(other).clone()];
            if world.draw(|chance| chance.below(2)) == 0 {
                links.push(net.peers[other].to(number).clone());
            }
            world.tally("servers apart", format!("s{number} and s{other}"));
            self.cut(links, SERVER_CUT_MILLIS);
        }
        if world.strikes(|faults| faults.server_cut) {
            world.tally("machine without a server", format!("{} s{number}", node.host.name));
            self.cut(vec![node.roads.to(number).clone()], CUT_MILLIS);
        }
        if world.strikes(|faults| faults.etcd_forgets) {
            let kept = world.draw(|chance| chance.below(HISTORY));
            world.tally("etcd forgets", format!("all but {kept} revisions"));
            etcd.forget(i64::try_from(kept).unwrap_or(0)).await;
        }
    }
}
