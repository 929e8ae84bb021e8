//! What clients do with capacity providers, and with Fargate.

use serde_json::{Value, json};

use crate::client::Caller;
use crate::families;
use crate::node::{CLUSTER, PROVIDERS};

/// Fargate's own.
const ON_FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

impl Caller {
    /// Makes the cluster's capacity providers.
    pub(crate) async fn prepare_capacity(&mut self) {
        if self.world.plan.providers {
            for name in PROVIDERS {
                let group = json!({ "autoScalingGroupArn": name });
                let body = json!({ "name": name, "autoScalingGroupProvider": group });
                self.until_answered("CreateCapacityProvider", &body).await;
            }
        }
        let own = PROVIDERS.iter().filter(|_| self.world.plan.providers);
        let fargate = ON_FARGATE.iter().filter(|_| self.world.plan.fleet);
        let names: Vec<&str> = own.chain(fargate).copied().collect();
        if names.is_empty() {
            return;
        }
        let body = json!({ "cluster": CLUSTER, "capacityProviders": names,
            "defaultCapacityProviderStrategy": [] });
        self.until_answered("PutClusterCapacityProviders", &body).await;
    }

    /// Does something that has to do with capacity.
    pub(crate) async fn use_capacity(&mut self) {
        let plan = &self.world.plan;
        let (providers, fleet) = (plan.providers, plan.fleet);
        match self.world.draw(|chance| chance.below(5)) {
            0 if fleet => self.drain_fleet_or_not().await,
            1 | 2 if fleet => self.run_shared(true).await,
            _ if providers => self.run_shared(false).await,
            _ => {}
        }
    }

    /// Whether what is made now is to run on Fargate.
    pub(crate) fn wants_fargate(&self) -> bool {
        self.world.plan.fleet && self.world.draw(|chance| chance.below(4)) == 0
    }

    /// A strategy over two providers. One of them has a weight.
    fn strategy(&self, on_fargate: bool) -> Value {
        let names = if on_fargate { ON_FARGATE } else { PROVIDERS };
        let (first, base, weights) = self.world.draw(|chance| {
            let first = usize::try_from(chance.below(2)).unwrap_or(0);
            (first, chance.below(3), (chance.below(3), 1 + chance.below(3)))
        });
        json!([
            { "capacityProvider": names[first], "base": base, "weight": weights.0 },
            { "capacityProvider": names[1 - first], "weight": weights.1 },
        ])
    }

    /// Lets tasks go by capacity providers: always on Fargate, else sometimes.
    pub(crate) fn choose_capacity(&self, body: &mut Value, on_fargate: bool) {
        let is_asked = self.world.plan.providers && self.world.draw(|chance| chance.below(3)) == 0;
        if on_fargate || is_asked {
            body["capacityProviderStrategy"] = self.strategy(on_fargate);
        }
    }

    /// Runs tasks by a strategy, whose shares they then have.
    async fn run_shared(&mut self, on_fargate: bool) {
        let family = match on_fargate {
            true => families::on_fargate(&self.world),
            false => families::SMALL,
        };
        let count = self.world.draw(|chance| 1 + chance.below(8));
        let (token, strategy) = (self.token(), self.strategy(on_fargate));
        let mut body = json!({
            "cluster": CLUSTER, "taskDefinition": family, "count": count,
            "clientToken": token, "startedBy": token, "capacityProviderStrategy": strategy,
        });
        families::join_network(family, &mut body);
        let wanted = usize::try_from(count).unwrap_or(0);
        self.world.checker.lock().used_token(&token, wanted);
        let Ok(answer) = self.ask_again("RunTask", &body).await else { return };
        self.told_of_tasks(Some(&token), wanted, &answer);
        let found = self.world.checker.lock().shared_out(&strategy, count, &answer);
        self.world.judge(found);
        self.world.tally("tasks shared out", token);
    }

    /// Drains the node for Fargate's tasks, which interrupts those of FARGATE_SPOT, or takes it back.
    async fn drain_fleet_or_not(&mut self) {
        let drain = self.world.draw(|chance| chance.below(3)) == 0;
        let status = if drain { "DRAINING" } else { "ACTIVE" };
        for node in self.fleet() {
            let body = json!({ "node": node, "status": status });
            if self.client().post("/_longshore/fleet", &body).await.is_ok() && drain {
                self.world.tally("fleet drained", node);
            }
        }
    }

    /// Lets the nodes for Fargate's tasks take some.
    pub(crate) async fn fill_fleet(&mut self) {
        for node in self.fleet() {
            let body = json!({ "node": node, "status": "ACTIVE" });
            while self.client().post("/_longshore/fleet", &body).await.is_err() {
                tokio::time::sleep(super::services::AGAIN).await;
            }
        }
    }

    fn fleet(&self) -> Vec<String> {
        let checker = self.world.checker.lock();
        let nodes = checker.instances.values().filter(|row| row.is_of_fleet && !row.is_gone);
        nodes.filter_map(|row| row.node.clone()).collect()
    }
}
