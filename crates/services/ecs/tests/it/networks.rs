//! Interfaces of tasks: as many as there are tasks, and none when a subnet is full.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vpc::{NewInterface, Scope, Subnet, SubnetFull};

use super::server::{ACCOUNT, REGION, Server};

/// Usable addresses of a /20.
const ADDRESSES: usize = 4091;
/// How many interfaces one transaction makes.
const BATCH: usize = 256;

struct Inside {
    server: Server,
    instance: String,
    scope: Scope,
    subnet: Subnet,
}

/// A cluster with an instance in zone `a` for a hundred awsvpc tasks, and their definition.
async fn inside() -> Inside {
    let server = Server::start().await;
    let define = r#"{"family":"web","networkMode":"awsvpc",
        "containerDefinitions":[{"name":"web","image":"nginx","memory":4}]}"#;
    server.call("admin", "CreateCluster", "{}").await;
    server.call("admin", "RegisterTaskDefinition", define).await;
    let instance = register(&server).await;
    let scope = Scope { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
    let named = |id: &str| {
        let snapshot = server.ledger.snapshot();
        server.vpc.resolve(&snapshot, &scope, &[id.to_owned()], &[]).unwrap().subnets
    };
    // Those of this account and region (the golden conversation has it, too).
    let subnet = named("subnet-6fc8e45e81b0af4ef").remove(0);
    Inside { server, instance, scope, subnet }
}

/// Registers an instance and connects it.
async fn register(server: &Server) -> String {
    let register = json!({
        "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 400},
        ],
        "attributes": [
            {"name": "ecs.capability.task-eni"},
            {"name": "com.amazonaws.ecs.capability.docker-remote-api.1.18"},
        ],
    });
    let register = register.to_string();
    let (_, answer) = server.call("admin", "RegisterContainerInstance", &register).await;
    let instance = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
    server.connect(&instance).await;
    instance
}

impl Inside {
    async fn run(&self, count: u32) -> Value {
        let body = json!({
            "taskDefinition": "web",
            "count": count,
            "networkConfiguration": {"awsvpcConfiguration": {"subnets": [self.subnet.id]}},
        });
        self.server.call("admin", "RunTask", &body.to_string()).await.1
    }

    async fn report(&self, task: &str, status: &str) {
        let body = json!({"task": task, "status": status}).to_string();
        let (answered, _) = self.server.call("admin", "SubmitTaskStateChange", &body).await;
        assert_eq!(answered, 200);
    }

    async fn addresses(&self, tasks: &[String]) -> BTreeSet<String> {
        let mut addresses = BTreeSet::new();
        for page in tasks.chunks(100) {
            let body = json!({"tasks": page}).to_string();
            let (_, answer) = self.server.call("admin", "DescribeTasks", &body).await;
            for task in answer["tasks"].as_array().unwrap() {
                let interfaces = &task["containers"][0]["networkInterfaces"];
                addresses.insert(interfaces[0]["privateIpv4Address"].as_str().unwrap().to_owned());
            }
        }
        addresses
    }

    fn free(&self) -> usize {
        let snapshot = self.server.ledger.snapshot();
        let free = self.server.vpc.free_addresses(&snapshot, &self.scope, &self.subnet);
        usize::try_from(free).unwrap()
    }

    /// Takes that many addresses for something else.
    async fn take(&self, count: usize) {
        for start in (0..count).step_by(BATCH) {
            let taken = self.server.ledger.transact("take", |tx| {
                for _ in start..count.min(start + BATCH) {
                    let new = NewInterface::default();
                    self.server.vpc.attach(tx, &self.scope, &self.subnet, new)?;
                }
                Ok::<_, SubnetFull>(())
            });
            taken.await.unwrap();
        }
    }
}

fn arns(answer: &Value) -> Vec<String> {
    let tasks = answer["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["taskArn"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn there_are_as_many_interfaces_as_tasks_that_have_not_stopped() {
    let inside = inside().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.extend(arns(&inside.run(10).await));
    }
    assert_eq!((tasks.len(), inside.free()), (40, ADDRESSES - 40));
    assert_eq!(inside.addresses(&tasks).await.len(), 40);
    for task in &tasks[..10] {
        inside.report(task, "RUNNING").await;
        inside.report(task, "STOPPED").await;
        inside.report(task, "STOPPED").await;
    }
    assert_eq!(inside.free(), ADDRESSES - 30);
    let more = arns(&inside.run(10).await);
    assert_eq!((more.len(), inside.free()), (10, ADDRESSES - 40));
    let body = json!({"containerInstance": inside.instance, "force": true}).to_string();
    let (status, _) = inside.server.call("admin", "DeregisterContainerInstance", &body).await;
    // Their containers may still run.
    assert_eq!((status, inside.free()), (200, ADDRESSES - 40));
}

#[tokio::test]
async fn no_task_gets_an_address_that_a_container_left_behind_may_have() {
    let mut inside = inside().await;
    inside.take(ADDRESSES - 3).await;
    let left = arns(&inside.run(2).await);
    let body = json!({"containerInstance": inside.instance, "force": true}).to_string();
    inside.server.call("admin", "DeregisterContainerInstance", &body).await;
    // Late words of its agent change nothing, and neither does the end of the cluster.
    inside.report(&left[0], "STOPPED").await;
    let held = inside.addresses(&left).await;
    let gone = inside.server.call("admin", "DeleteCluster", r#"{"cluster":"default"}"#).await;
    assert_eq!(gone.0, 200);
    inside.server.call("admin", "CreateCluster", "{}").await;
    inside.instance = register(&inside.server).await;
    let next = inside.run(2).await;
    let status = |number: usize| &next["tasks"][number]["lastStatus"];
    assert_eq!((status(0), status(1)), (&json!("PROVISIONING"), &json!("STOPPED")));
    assert!(inside.addresses(&arns(&next)[..1]).await.is_disjoint(&held));
    assert_eq!(inside.free(), 0);
}

#[tokio::test]
async fn a_task_for_which_no_address_is_left_ends_before_it_begins() {
    let inside = inside().await;
    inside.take(ADDRESSES - 1).await;
    let answer = inside.run(2).await;
    assert_eq!(answer["failures"], json!([]));
    let (first, second) = (&answer["tasks"][0], &answer["tasks"][1]);
    assert_eq!(first["lastStatus"], "PROVISIONING");
    assert_eq!(
        (&second["lastStatus"], &second["desiredStatus"], &second["stopCode"]),
        (&json!("STOPPED"), &json!("STOPPED"), &json!("TaskFailedToStart"))
    );
    let reason = format!(
        "Unexpected EC2 error while attempting to Create Network Interface in subnet '{}': \
         InsufficientFreeAddressesInSubnet",
        inside.subnet.id
    );
    assert_eq!((&second["stoppedReason"], &second["attachments"]), (&json!(reason), &json!([])));
    // It holds nothing, and the next one has the address that the first gives back.
    inside.report(first["taskArn"].as_str().unwrap(), "STOPPED").await;
    assert_eq!(inside.run(1).await["tasks"][0]["lastStatus"], "PROVISIONING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_start_at_once_have_different_addresses() {
    let inside = std::sync::Arc::new(inside().await);
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let inside = inside.clone();
        starting.spawn(async move { arns(&inside.run(2).await) });
    }
    let tasks: Vec<String> = starting.join_all().await.concat();
    assert_eq!((tasks.len(), inside.free()), (64, ADDRESSES - 64));
    assert_eq!(inside.addresses(&tasks).await.len(), 64);
}
