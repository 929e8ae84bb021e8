//! What clients do with the task sets of a service whose deployments are their own.

use ecs::audit::{AuditedService, AuditedTaskSet};
use serde_json::{Value, json};

use crate::client::Caller;
use crate::families;
use crate::node::CLUSTER;
use crate::plan::ServicePlan;

/// The service.
const NAME: &str = "sets";
/// Percentages that a task set may have.
const SCALES: &[u64] = &[0, 25, 50, 100, 100];

impl Caller {
    /// Does something with task sets.
    pub(crate) async fn manage_sets(&mut self, plan: &ServicePlan) {
        let row = self.world.checker.lock().services.rows.get(NAME).cloned();
        if row.is_none_or(|row| row.status != "ACTIVE") {
            return self.create_owner(plan).await;
        }
        match self.world.draw(|chance| chance.below(100)) {
            0..35 => self.create_set().await,
            35..55 => self.scale_set().await,
            55..65 => self.promote_set().await,
            65..80 => self.delete_set().await,
            80..90 => {
                let count = self.some_count(plan);
                let body = json!({ "cluster": CLUSTER, "service": NAME, "desiredCount": count });
                let _ = self.ask_again("UpdateService", &body).await;
            }
            90..92 => {
                let body = json!({ "cluster": CLUSTER, "service": NAME, "force": true });
                let _ = self.ask_again("DeleteService", &body).await;
            }
            _ => self.describe_sets().await,
        }
    }

    async fn create_owner(&mut self, plan: &ServicePlan) {
        let (count, token) = (self.some_count(plan), self.token());
        let body = json!({
            "cluster": CLUSTER, "serviceName": NAME, "desiredCount": count,
            "deploymentController": { "type": "EXTERNAL" }, "clientToken": token,
        });
        let _ = self.ask_again("CreateService", &body).await;
    }

    fn set(&mut self, family: &str, scale: u64) -> Value {
        let mut body = json!({
            "cluster": CLUSTER, "service": NAME, "taskDefinition": family,
            "clientToken": self.token(), "scale": { "value": scale, "unit": "PERCENT" },
        });
        families::join_network(family, &mut body);
        body
    }

    async fn create_set(&mut self) {
        let scale = self.world.draw(|chance| chance.pick(SCALES).copied().unwrap_or(100));
        let mut body = self.set(families::of_service(&self.world), scale);
        self.choose_capacity(&mut body, false);
        if self.ask_again("CreateTaskSet", &body).await.is_ok() {
            self.world.tally("task set created", body.to_string());
        }
    }

    /// The task sets that are not over.
    fn sets(&self) -> Vec<AuditedTaskSet> {
        let checker = self.world.checker.lock();
        let sets = checker.services.task_sets.values().filter(|set| set.status != "DRAINING");
        sets.cloned().collect()
    }

    fn some_set(&self) -> Option<String> {
        let sets = self.sets();
        self.world.draw(|chance| chance.pick(&sets).map(|set| set.id.clone()))
    }

    async fn scale_set(&mut self) {
        let Some(id) = self.some_set() else { return self.create_set().await };
        let scale = self.world.draw(|chance| chance.pick(SCALES).copied().unwrap_or(100));
        let body = json!({ "cluster": CLUSTER, "service": NAME, "taskSet": id,
            "scale": { "value": scale, "unit": "PERCENT" } });
        let _ = self.ask_again("UpdateTaskSet", &body).await;
    }

    async fn promote_set(&mut self) {
        let Some(id) = self.some_set() else { return };
        let body = json!({ "cluster": CLUSTER, "service": NAME, "primaryTaskSet": id });
        let _ = self.ask_again("UpdateServicePrimaryTaskSet", &body).await;
    }

    async fn delete_set(&mut self) {
        let Some(id) = self.some_set() else { return };
        let force = self.world.draw(|chance| chance.below(3)) > 0;
        let body = json!({ "cluster": CLUSTER, "service": NAME, "taskSet": id, "force": force });
        if self.ask_again("DeleteTaskSet", &body).await.is_ok() {
            self.world.tally("task set deleted", id);
        }
    }

    async fn describe_sets(&mut self) {
        let body = json!({ "cluster": CLUSTER, "service": NAME });
        let Ok(answer) = self.ask("DescribeTaskSets", &body).await else { return };
        let sets = answer["taskSets"].as_array().cloned().unwrap_or_default();
        let primary = sets.iter().filter(|set| set["status"] == "PRIMARY").count();
        if primary > 1 {
            let detail = format!("{primary} PRIMARY task sets: {answer}");
            self.world.violate("services are described as they are", detail);
        }
    }

    /// Takes away the task sets that cannot come to rest.
    pub(crate) async fn mend_sets(&mut self, _: &AuditedService) {
        for set in self.sets() {
            if !families::runs_on(set.definition.family.as_str()) {
                self.drop_set(&set.id).await;
            }
        }
    }

    /// One task set of small tasks that run on, in the place of all others.
    pub(crate) async fn replace_sets(&mut self, _: &AuditedService) {
        for set in self.sets() {
            self.drop_set(&set.id).await;
        }
        let body = self.set(families::SMALL, 100);
        self.until_answered("CreateTaskSet", &body).await;
        let body = json!({ "cluster": CLUSTER, "service": NAME, "desiredCount": 2 });
        self.until_answered("UpdateService", &body).await;
    }

    async fn drop_set(&mut self, id: &str) {
        let body = json!({ "cluster": CLUSTER, "service": NAME, "taskSet": id, "force": true });
        self.until_answered("DeleteTaskSet", &body).await;
    }
}
