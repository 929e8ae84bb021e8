//! Clients: what people and their tools ask for, chosen by the seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ecs::audit::AuditedTask;
use serde_json::{Value, json};
use terms::TaskId;
use wire::client::{Client, ClientError};

use crate::check::{Seen, id_of};
use crate::families;
use crate::life::Life;
use crate::network::{Roads, Wire};
use crate::node::{CLUSTER, credentials};
use crate::server::{REGION, url, urls};
use crate::world::World;

/// Tasks that a client keeps in mind; older ones it forgets.
const KNOWN_MAX: usize = 60;
/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often a client that wants an answer asks.
const TRIES_MAX: u64 = 4;

/// One client.
pub(crate) struct Caller {
    pub(crate) world: World,
    pub(crate) name: String,
    client: Client,
    /// Tasks that it was told of.
    tasks: Vec<TaskId>,
    count: u64,
}

impl Caller {
    pub(crate) fn new(world: &World, name: String) -> Self {
        let wire = Wire {
            world: world.clone(),
            name: name.clone(),
            life: Life::default(),
            roads: Roads::to_servers(world.plan.servers),
        };
        let region = REGION.parse().expect("a region");
        let key = Some(credentials(&name));
        let client = Client::new(&urls(world.plan.servers), key, region, Arc::new(world.clock()))
            .with_exchange(Arc::new(wire))
            .with_timeout(TIMEOUT);
        Self { world: world.clone(), name, client, tasks: Vec::new(), count: 0 }
    }

    /// Makes what every run needs; asks until it is there.
    pub(crate) async fn prepare(&mut self) {
        let cluster = json!({ "clusterName": CLUSTER });
        self.until_done("CreateCluster", &cluster).await;
        for family in families::all() {
            self.define(family).await;
        }
        self.prepare_capacity().await;
        self.prepare_alarms().await;
    }

    /// Asks for one thing after the other, until the faults end.
    pub(crate) async fn run(mut self) {
        while self.world.faults_on() {
            let wait = self.world.draw(|chance| chance.millis(0, self.world.plan.think_ms));
            tokio::time::sleep(wait).await;
            if let Some(plan) = self.world.plan.services.clone()
                && self.world.draw(|chance| chance.below(100)) < plan.share
            {
                self.manage_services(&plan).await;
                continue;
            }
            if self.world.draw(|chance| chance.below(5)) == 0 {
                self.use_capacity().await;
                continue;
            }
            let choice = self.world.draw(|chance| chance.below(100));
            match choice {
                0..40 => self.run_task().await,
                40..58 => self.stop_task().await,
                58..74 => self.describe().await,
                74..80 => self.start_task().await,
                80..85 => {
                    let family = families::any(&self.world);
                    self.define(family).await;
                }
                85..92 => self.drain_or_not().await,
                92..95 => self.deregister_instance().await,
                95..97 => self.deregister_definition().await,
                _ => self.list().await,
            }
        }
    }

    /// A client of any server, whichever answered before.
    pub(crate) fn client(&self) -> Client {
        let servers = self.world.plan.servers as u64;
        let server = usize::try_from(self.world.draw(|chance| chance.below(servers))).unwrap_or(0);
        self.client.at(&url(server))
    }

    pub(crate) async fn ask(&self, operation: &str, body: &Value) -> Result<Value, ClientError> {
        let answer = self.client().invoke(&shapes_ecs::SERVICE, operation, body).await;
        if let Err(error) = &answer {
            let code = error.code().unwrap_or("no answer");
            self.world.note(format!("{} fails at {operation}: {code}: {error}", self.name));
        }
        answer
    }

    /// Asks again while there is no answer, now and then; gives the last answer.
    pub(crate) async fn ask_again(
        &self,
        operation: &str,
        body: &Value,
    ) -> Result<Value, ClientError> {
        let tries = self.world.draw(|chance| 1 + chance.below(TRIES_MAX));
        let mut answer = self.ask(operation, body).await;
        for _ in 1..tries {
            match &answer {
                Err(error) if error.is_transient() => {}
                Ok(_) | Err(_) => break,
            }
            let wait = self.world.draw(|chance| chance.millis(100, 2_000));
            tokio::time::sleep(wait).await;
            answer = self.ask(operation, body).await;
        }
        answer
    }

    async fn until_done(&self, operation: &str, body: &Value) -> Value {
        loop {
            match self.ask(operation, body).await {
                Ok(answer) => return answer,
                Err(_) => tokio::time::sleep(Duration::from_millis(700)).await,
            }
        }
    }

    fn remember(&mut self, tasks: &[TaskId]) {
        self.tasks.extend(tasks);
        let surplus = self.tasks.len().saturating_sub(KNOWN_MAX);
        self.tasks.drain(..surplus);
    }

    pub(crate) fn token(&mut self) -> String {
        self.count += 1;
        format!("{}-{}", self.name, self.count)
    }

    /// Registers a family, unless no answer comes; whether it did.
    pub(crate) async fn define(&mut self, family: &str) -> bool {
        let memory = self.world.draw(|chance| 64 * (1 + chance.below(6)));
        let body = families::definition(family, memory);
        let Ok(answer) = self.ask_again("RegisterTaskDefinition", &body).await else {
            return false;
        };
        let arn = answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap_or_default();
        let found = self.world.checker.lock().defined(arn, &format!("{memory}"));
        self.world.judge(found);
        true
    }

    async fn run_task(&mut self) {
        let family = families::any(&self.world);
        let count = self.world.draw(|chance| 1 + chance.below(4) * chance.below(3));
        let mut body = json!({ "cluster": CLUSTER, "taskDefinition": family, "count": count });
        self.choose_placement(&mut body);
        families::join_network(family, &mut body);
        let with_token = self.world.draw(|chance| chance.below(10)) < 7;
        let token = with_token.then(|| self.token());
        if let Some(token) = &token {
            body["clientToken"] = token.as_str().into();
            body["startedBy"] = token.as_str().into();
            let count = usize::try_from(count).unwrap_or(0);
            self.world.checker.lock().used_token(token, count);
        }
        let answer = match &token {
            Some(_) => self.ask_again("RunTask", &body).await,
            None => self.ask("RunTask", &body).await,
        };
        let Ok(answer) = answer else { return };
        self.told_of_tasks(token.as_deref(), usize::try_from(count).unwrap_or(0), &answer);
    }

    pub(crate) fn told_of_tasks(&mut self, token: Option<&str>, count: usize, answer: &Value) {
        let tasks = answer["tasks"].as_array().into_iter().flatten();
        let tasks: Vec<_> =
            tasks.filter_map(|task| id_of(task["taskArn"].as_str().unwrap_or_default())).collect();
        self.world.tally("tasks started", format!("{}: {tasks:?}", self.name));
        let found = self.world.checker.lock().ran(token, count, &tasks);
        self.world.judge(found);
        self.remember(&tasks);
    }

    pub(crate) fn choose_placement(&self, body: &mut Value) {
        match self.world.draw(|chance| chance.below(6)) {
            0 => body["placementStrategy"] = json!([{ "type": "random" }]),
            1 => body["placementStrategy"] = json!([{ "type": "binpack", "field": "memory" }]),
            2 => {
                body["placementStrategy"] =
                    json!([{ "type": "spread", "field": "attribute:ecs.availability-zone" }]);
            }
            3 => body["placementConstraints"] = json!([{ "type": "distinctInstance" }]),
            4 => {
                body["placementConstraints"] = json!([
                    { "type": "memberOf",
                      "expression": "attribute:ecs.availability-zone == us-east-1a" }
                ]);
            }
            _ => {}
        }
    }

    async fn start_task(&mut self) {
        let Some(instance) = self.some_instance() else { return };
        let family = families::any(&self.world);
        let mut body = json!({
            "cluster": CLUSTER, "taskDefinition": family, "containerInstances": [instance],
        });
        families::join_network(family, &mut body);
        let Ok(answer) = self.ask("StartTask", &body).await else { return };
        self.told_of_tasks(None, 1, &answer);
    }

    async fn stop_task(&mut self) {
        let Some(id) = self.world.draw(|chance| chance.pick(&self.tasks).copied()) else { return };
        self.stop_one(id).await;
    }

    pub(crate) async fn stop_one(&mut self, id: TaskId) {
        let body = json!({ "cluster": CLUSTER, "task": id.to_string(), "reason": "simulated" });
        let Ok(_) = self.ask_again("StopTask", &body).await else { return };
        self.world.tally("tasks stopped", id.to_string());
        let found = self.world.checker.lock().stopped(id);
        self.world.judge(found);
    }

    async fn describe(&mut self) {
        let ids: Vec<TaskId> = self.tasks.iter().rev().take(20).copied().collect();
        if ids.is_empty() {
            return;
        }
        let expected: BTreeMap<TaskId, (bool, Seen)> = {
            let checker = self.world.checker.lock();
            ids.iter().map(|id| (*id, checker.expected(*id))).collect()
        };
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let body = json!({ "cluster": CLUSTER, "tasks": names });
        let Ok(answer) = self.ask("DescribeTasks", &body).await else { return };
        let found = self.world.checker.lock().described(&answer, &expected);
        self.world.judge(found);
    }

    async fn list(&mut self) {
        let body = json!({ "cluster": CLUSTER, "desiredStatus": "RUNNING" });
        let expected = self.world.checker.lock().listed_when_asked();
        if let Ok(answer) = self.ask("ListTasks", &body).await
            && answer["nextToken"].is_null()
        {
            let found = self.world.checker.lock().listed(&answer, &expected);
            self.world.judge(found);
        }
        let listed = self.ask("ListContainerInstances", &json!({ "cluster": CLUSTER })).await;
        if let Ok(answer) = listed {
            let found = self.world.checker.lock().instances_listed(&answer);
            self.world.judge(found);
        }
    }

    async fn drain_or_not(&mut self) {
        let Some(instance) = self.some_instance() else { return };
        // Draining is the exception, or nothing would run.
        let drain = self.world.draw(|chance| chance.below(3)) == 0;
        let status = if drain { "DRAINING" } else { "ACTIVE" };
        let body =
            json!({ "cluster": CLUSTER, "containerInstances": [instance], "status": status });
        let _ = self.ask_again("UpdateContainerInstancesState", &body).await;
    }

    async fn deregister_instance(&mut self) {
        let Some(instance) = self.some_instance() else { return };
        let force = self.world.draw(|chance| chance.below(2)) == 0;
        let body = json!({ "cluster": CLUSTER, "containerInstance": instance, "force": force });
        if self.ask_again("DeregisterContainerInstance", &body).await.is_ok() {
            let found = self.world.checker.lock().deregistered(&instance);
            self.world.judge(found);
            self.world.tally("instance deregistered", instance);
        }
    }

    async fn deregister_definition(&mut self) {
        let family = families::any(&self.world);
        if family == families::SMALL {
            // What services are given in the end.
            return;
        }
        // A new revision first, so that the family goes on.
        self.define(family).await;
        let body = json!({ "taskDefinition": format!("{family}:1") });
        let _ = self.ask("DeregisterTaskDefinition", &body).await;
    }

    fn some_instance(&self) -> Option<String> {
        let checker = self.world.checker.lock();
        let alive = checker.instances.values().filter(|row| !row.is_gone && !row.is_of_fleet);
        let all: Vec<String> = alive.map(|row| row.arn.id.to_string()).collect();
        drop(checker);
        self.world.draw(|chance| chance.pick(&all).cloned())
    }

    /// Stops every task.
    pub(crate) async fn stop_everything(&mut self) {
        self.stop_tasks(|_| true).await;
    }

    /// Stops all of these tasks.
    pub(crate) async fn stop_tasks(&mut self, which: impl Fn(&AuditedTask) -> bool) {
        let running: Vec<TaskId> = {
            let checker = self.world.checker.lock();
            let wanted = checker.tasks.values().filter(|task| task.wants_running && which(task));
            wanted.map(|task| task.arn.id).collect()
        };
        for id in running {
            let body = json!({ "cluster": CLUSTER, "task": id.to_string() });
            self.until_done("StopTask", &body).await;
            let found = self.world.checker.lock().stopped(id);
            self.world.judge(found);
        }
    }
}
