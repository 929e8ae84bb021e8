//! What clients do with services, and how a run brings them to rest at its end.

use std::time::Duration;

use ecs::audit::AuditedService;
use serde_json::{Value, json};
use terms::TaskId;

use crate::client::Caller;
use crate::families;
use crate::node::CLUSTER;
use crate::plan::ServicePlan;

/// Percentages that a service may have: the least healthy, the most.
const PERCENTS: &[(u64, u64)] =
    &[(100, 200), (100, 200), (50, 200), (50, 100), (0, 100), (100, 150), (0, 200), (100, 100)];
/// Tasks that one call protects at most.
const PROTECTED_MAX: usize = 10;
/// How often the operator asks again.
pub(crate) const AGAIN: Duration = Duration::from_millis(700);
/// How often it tries to give a service something that runs.
const REPLACED_TRIES: usize = 3;

impl Caller {
    /// Does something with a service.
    pub(crate) async fn manage_services(&mut self, plan: &ServicePlan) {
        if plan.external && self.world.draw(|chance| chance.below(4)) == 0 {
            return self.manage_sets(plan).await;
        }
        if plan.alarms && self.world.draw(|chance| chance.below(8)) == 0 {
            return self.manage_alarms().await;
        }
        match self.world.draw(|chance| chance.below(100)) {
            0..25 => self.create_service(plan).await,
            25..60 => self.update_service(plan).await,
            60..67 => self.delete_service(plan).await,
            67..76 => self.stop_deployment(plan).await,
            76..86 => self.protect_tasks(plan).await,
            86..90 => self.stop_service_task(plan).await,
            _ => self.describe_services(plan).await,
        }
    }

    fn some_service(&self, plan: &ServicePlan) -> String {
        format!("web{}", self.world.draw(|chance| chance.below(plan.names)))
    }

    /// A desired count: small ones are usual.
    pub(crate) fn some_count(&self, plan: &ServicePlan) -> u64 {
        self.world.draw(|chance| {
            let most = 1 + chance.below(plan.tasks);
            chance.below(most + 1)
        })
    }

    fn configuration(&self, plan: &ServicePlan, is_daemon: bool) -> Value {
        let (minimum, maximum) =
            self.world.draw(|chance| chance.pick(PERCENTS).copied().unwrap_or((100, 200)));
        let maximum = if is_daemon { 100 } else { maximum };
        let minimum = if is_daemon { minimum / 2 } else { minimum };
        let mut body = json!({
            "minimumHealthyPercent": minimum, "maximumPercent": maximum,
        });
        if self.world.draw(|chance| chance.below(3)) > 0 {
            let rollback = self.world.draw(|chance| chance.below(3)) > 0;
            let mut breaker = json!({ "enable": true, "rollback": rollback });
            if self.world.draw(|chance| chance.below(2)) == 0 {
                let count = self.world.draw(|chance| 1 + chance.below(4));
                breaker["thresholdConfiguration"] = json!({ "type": "COUNT", "value": count });
                breaker["resetOnHealthyTask"] =
                    self.world.draw(|chance| chance.below(2) == 0).into();
            }
            body["deploymentCircuitBreaker"] = breaker;
        }
        if plan.alarms && self.world.draw(|chance| chance.below(2)) == 0 {
            body["alarms"] = self.some_alarms();
        }
        body
    }

    async fn create_service(&mut self, plan: &ServicePlan) {
        let (name, mut family) = (self.some_service(plan), families::of_service(&self.world));
        let is_daemon = self.world.draw(|chance| chance.below(6)) == 0;
        let on_fargate = !is_daemon && self.wants_fargate();
        if on_fargate {
            family = families::on_fargate(&self.world);
        }
        let token = self.token();
        let mut body = json!({
            "cluster": CLUSTER, "serviceName": name, "taskDefinition": family,
            "deploymentConfiguration": self.configuration(plan, is_daemon), "clientToken": token,
        });
        if is_daemon {
            body["schedulingStrategy"] = "DAEMON".into();
        } else {
            body["desiredCount"] = self.some_count(plan).into();
            self.choose_capacity(&mut body, on_fargate);
            if !on_fargate {
                self.choose_placement(&mut body);
            }
        }
        if self.world.draw(|chance| chance.below(4)) == 0 {
            body["healthCheckGracePeriodSeconds"] = 20.into();
        }
        families::join_network(family, &mut body);
        if self.ask_again("CreateService", &body).await.is_ok() {
            self.world.tally("service created", &name);
            let is_known = self.world.checker.lock().services.rows.contains_key(&name);
            if !is_known {
                let detail = format!("CreateService answered {name}, which is not there");
                self.world.violate("no acknowledged write is lost", detail);
            }
        }
    }

    async fn update_service(&mut self, plan: &ServicePlan) {
        let name = self.some_service(plan);
        let row = self.world.checker.lock().services.rows.get(&name).cloned();
        let Some(row) = row.filter(|row| row.status == "ACTIVE") else {
            return self.create_service(plan).await;
        };
        let mut body = json!({ "cluster": CLUSTER, "service": name });
        let current = self.current_family(&row);
        let on_fargate = current.as_deref().is_some_and(families::is_on_fargate);
        let what = self.world.draw(|chance| 1 + chance.below(15));
        if what & 1 > 0 && !row.is_daemon {
            body["desiredCount"] = self.some_count(plan).into();
        }
        if what & 2 > 0 {
            let family = match on_fargate {
                true => families::on_fargate(&self.world),
                false => families::of_service(&self.world),
            };
            body["taskDefinition"] = family.into();
            families::join_network(family, &mut body);
        }
        if what & 4 > 0 {
            body["deploymentConfiguration"] = self.configuration(plan, row.is_daemon);
        }
        if what & 8 > 0 && self.world.draw(|chance| chance.below(2)) == 0 {
            body["forceNewDeployment"] = true.into();
            if !row.is_daemon && self.world.draw(|chance| chance.below(2)) == 0 {
                self.choose_capacity(&mut body, on_fargate);
            }
        }
        if self.ask_again("UpdateService", &body).await.is_ok() {
            self.world.tally("service updated", format!("{name}: {body}"));
        }
    }

    async fn delete_service(&mut self, plan: &ServicePlan) {
        let name = self.some_service(plan);
        let made = |caller: &Self| {
            let checker = caller.world.checker.lock();
            checker.services.rows.get(&name).map(|row| (row.created_at, row.status))
        };
        let before = made(self);
        let force = self.world.draw(|chance| chance.below(3)) > 0;
        let body = json!({ "cluster": CLUSTER, "service": name, "force": force });
        if self.ask_again("DeleteService", &body).await.is_err() {
            return;
        }
        self.world.tally("service deleted", &name);
        if let (Some((before, _)), Some((after, "ACTIVE"))) = (before, made(self))
            && before == after
        {
            let detail = format!("{name} was deleted, and is ACTIVE");
            self.world.violate("no acknowledged write is lost", detail);
        }
    }

    async fn stop_deployment(&mut self, plan: &ServicePlan) {
        let name = self.some_service(plan);
        let body = json!({ "cluster": CLUSTER, "service": name });
        let Ok(answer) = self.ask("ListServiceDeployments", &body).await else { return };
        let all = answer["serviceDeployments"].as_array().cloned().unwrap_or_default();
        let Some(arn) = all.first().and_then(|one| one["serviceDeploymentArn"].as_str()) else {
            return;
        };
        let kind = if self.world.draw(|chance| chance.below(3)) > 0 { "ROLLBACK" } else { "ABORT" };
        let body = json!({ "serviceDeploymentArn": arn, "stopType": kind });
        if self.ask_again("StopServiceDeployment", &body).await.is_ok() {
            self.world.tally("deployment stopped", format!("{name}: {kind}"));
        }
    }

    /// Tasks of a service that are to run.
    fn tasks_of(&self, name: &str) -> Vec<TaskId> {
        let checker = self.world.checker.lock();
        let tasks = checker.tasks.values().filter(|task| task.service.as_deref() == Some(name));
        let tasks = tasks.filter(|task| task.wants_running);
        tasks.map(|task| task.arn.id).collect()
    }

    async fn protect_tasks(&mut self, plan: &ServicePlan) {
        let mut tasks = self.tasks_of(&self.some_service(plan));
        let count = self.world.draw(|chance| chance.below(tasks.len() as u64 + 1));
        tasks.truncate(usize::try_from(count).unwrap_or(0).min(PROTECTED_MAX));
        if tasks.is_empty() {
            return;
        }
        let tasks: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let body = json!({
            "cluster": CLUSTER, "tasks": tasks, "expiresInMinutes": 1,
            "protectionEnabled": self.world.draw(|chance| chance.below(4)) > 0,
        });
        if self.ask_again("UpdateTaskProtection", &body).await.is_ok() {
            self.world.tally("tasks protected", format!("{tasks:?}"));
        }
    }

    async fn stop_service_task(&mut self, plan: &ServicePlan) {
        let tasks = self.tasks_of(&self.some_service(plan));
        let Some(id) = self.world.draw(|chance| chance.pick(&tasks).copied()) else { return };
        self.stop_one(id).await;
    }

    async fn describe_services(&mut self, plan: &ServicePlan) {
        let name = self.some_service(plan);
        let body = json!({ "cluster": CLUSTER, "services": [name] });
        let Ok(answer) = self.ask("DescribeServices", &body).await else { return };
        for service in answer["services"].as_array().into_iter().flatten() {
            if let Err(what) = described(service) {
                let detail = format!("{name} is described with {what}: {service}");
                self.world.violate("services are described as they are", detail);
            }
        }
    }

    /// Gives services that cannot come to rest something that can: where tasks fail again and
    /// again and nothing ends it, ECS starts them for ever.
    pub(crate) async fn mend_services(&mut self) {
        for row in self.active_services() {
            if row.is_external {
                self.mend_sets(&row).await;
                continue;
            }
            let families = self.world.checker.lock().families_of(&row);
            if Self::comes_to_rest(&row, &families) {
                self.world.note(format!("{} is left alone: {families:?}", row.name));
                continue;
            }
            let count = self.world.draw(|chance| chance.below(4));
            self.replace_service(&row, count).await;
        }
    }

    /// Whether a service that runs these families comes to rest by itself. What is complete is not
    /// judged any more, and so is what has no tasks.
    fn comes_to_rest(row: &AuditedService, families: &[(String, &'static str)]) -> bool {
        let is_judged = row.breaker.is_some() && !row.is_daemon && row.desired > 0;
        let fails = |family: &str, rollout| {
            is_judged && families::fails_at_once(family) && rollout != "COMPLETED"
        };
        let Some(((current, rollout), others)) = families.split_first() else { return false };
        (families::runs_on(current) || fails(current, *rollout))
            && others.iter().all(|(family, _)| families::runs_on(family))
    }

    fn active_services(&self) -> Vec<AuditedService> {
        let checker = self.world.checker.lock();
        let rows = checker.services.rows.values();
        rows.filter(|row| row.status == "ACTIVE").cloned().collect()
    }

    /// What the current deployment of a service runs.
    fn current_family(&self, row: &AuditedService) -> Option<String> {
        let families = self.world.checker.lock().families_of(row);
        families.into_iter().next().map(|(family, _)| family)
    }

    async fn replace_service(&mut self, row: &AuditedService, count: u64) {
        let name = &row.name;
        let maximum = if row.is_daemon { 100 } else { 200 };
        let mut body = json!({
            "cluster": CLUSTER, "service": name, "forceNewDeployment": true,
            "availabilityZoneRebalancing": "DISABLED", "placementConstraints": [],
            "deploymentConfiguration": {
                "minimumHealthyPercent": 0, "maximumPercent": maximum,
            },
        });
        if !row.is_daemon {
            body["desiredCount"] = count.into();
            // Back to any instance.
            body["capacityProviderStrategy"] = json!([]);
        }
        for _ in 0..REPLACED_TRIES {
            // What it runs may change meanwhile: a deployment is taken back.
            let family = families::small_after(self.current_family(row).as_deref());
            body["taskDefinition"] = family.into();
            self.world.note(format!("{name} gets something that runs"));
            // In bad times it could not be registered.
            while !self.define(family).await {}
            if self.until_answered("UpdateService", &body).await {
                return;
            }
        }
    }

    /// Lets every instance take tasks, and gives every service one small task that runs: nothing
    /// hinders their deployments any more.
    pub(crate) async fn clear_the_way(&mut self) {
        self.stop_tasks(|task| task.service.is_none()).await;
        let instances: Vec<String> = {
            let checker = self.world.checker.lock();
            let there = checker.instances.values().filter(|row| !row.is_gone && !row.is_of_fleet);
            there.map(|row| row.arn.id.to_string()).collect()
        };
        for instance in instances {
            let body = json!({
                "cluster": CLUSTER, "containerInstances": [instance], "status": "ACTIVE",
            });
            self.until_answered("UpdateContainerInstancesState", &body).await;
        }
        self.fill_fleet().await;
        for row in self.active_services() {
            match row.is_external {
                true => self.replace_sets(&row).await,
                false => self.replace_service(&row, 1).await,
            }
        }
    }

    /// Deletes every service.
    pub(crate) async fn delete_services(&mut self) {
        for row in self.active_services() {
            let body = json!({ "cluster": CLUSTER, "service": row.name, "force": true });
            self.until_answered("DeleteService", &body).await;
        }
    }

    /// Asks until there is an answer, good or bad; says which.
    pub(crate) async fn until_answered(&self, operation: &str, body: &Value) -> bool {
        while let Err(error) = self.ask(operation, body).await {
            if !error.is_transient() {
                self.world.note(format!("{operation} is refused: {error}"));
                return false;
            }
            tokio::time::sleep(AGAIN).await;
        }
        true
    }
}

/// What can be told from one answer of DescribeServices.
fn described(service: &Value) -> Result<(), String> {
    let deployments = service["deployments"].as_array().cloned().unwrap_or_default();
    let primary = deployments.iter().filter(|one| one["status"] == "PRIMARY").count();
    if service["status"] == "ACTIVE" && primary != 1 {
        return Err(format!("{primary} PRIMARY deployments"));
    }
    let sum = |what: &str| deployments.iter().filter_map(|one| one[what].as_u64()).sum::<u64>();
    for what in ["runningCount", "pendingCount"] {
        if service["status"] == "ACTIVE" && service[what].as_u64() != Some(sum(what)) {
            return Err(format!("{what} that is not the sum of its deployments'"));
        }
    }
    Ok(())
}
