//! Tasks on nodes of the operator's own: placed by size, shown as Fargate's, interrupted, metered.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::server::{Server, committed};

const FLEET: &str = "longshore-fargate-fleet";
/// Subnets of this account and region, of zones `a` and `b`.
const SUBNET: &str = "subnet-6fc8e45e81b0af4ef";

struct World {
    server: Server,
}

impl World {
    /// A cluster with Fargate's providers, and a definition of 0.25 vCPU and 512 MiB.
    async fn new() -> Self {
        let world = Self { server: Server::start_at_rest().await };
        let providers = json!(["FARGATE", "FARGATE_SPOT"]);
        world.ok("CreateCluster", json!({"capacityProviders": providers})).await;
        world.define("web", json!({})).await;
        world
    }

    async fn define(&self, family: &str, more: Value) {
        let mut body = json!({
            "family": family, "networkMode": "awsvpc", "cpu": "256", "memory": "512",
            "requiresCompatibilities": ["FARGATE"],
            "containerDefinitions": [{"name": "main", "image": "nginx"}],
        });
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        self.ok("RegisterTaskDefinition", body).await;
    }

    async fn call(&self, operation: &str, body: Value) -> (u16, Value) {
        self.server.call("admin", operation, &body.to_string()).await
    }

    async fn ok(&self, operation: &str, body: Value) -> Value {
        let (status, answer) = self.call(operation, body).await;
        assert_eq!(status, 200, "{operation}: {answer}");
        answer
    }

    /// A connected node with these attributes and so many vCPUs; its ARN.
    async fn node(&self, name: &str, attributes: &[&str], vcpus: u32) -> String {
        let has = [
            "ecs.capability.task-cpu-mem-limit",
            "ecs.capability.task-eni",
            "com.amazonaws.ecs.capability.docker-remote-api.1.18",
        ];
        let all = attributes.iter().chain(&has).map(|name| json!({"name": name}));
        let number = |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
        let body = json!({
            "cluster": FLEET, "attributes": all.collect::<Vec<_>>(),
            "totalResources": [number("CPU", vcpus * 1024), number("MEMORY", vcpus * 4096)],
        });
        let key = format!("node-{name}");
        let (_, answer) =
            self.server.call(&key, "RegisterContainerInstance", &body.to_string()).await;
        let arn = answer["containerInstance"]["containerInstanceArn"].as_str();
        let arn = arn.unwrap_or_else(|| panic!("{answer}")).to_owned();
        self.server.connect(&arn).await;
        arn
    }

    fn request(more: Value) -> Value {
        let network = json!({"awsvpcConfiguration": {
            "subnets": [SUBNET], "assignPublicIp": "ENABLED"}});
        let mut body = json!({"taskDefinition": "web", "networkConfiguration": network});
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        body
    }

    async fn run(&self, more: Value) -> Value {
        self.ok("RunTask", Self::request(more)).await
    }

    async fn task(&self, arn: &str) -> Value {
        self.ok("DescribeTasks", json!({"tasks": [arn]})).await["tasks"][0].clone()
    }

    async fn report(&self, node: &str, arn: &str, status: &str, more: Value) {
        let mut body = json!({"cluster": FLEET, "task": arn, "status": status});
        more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
        let key = format!("node-{node}");
        let (answered, told) =
            self.server.call(&key, "SubmitTaskStateChange", &body.to_string()).await;
        assert_eq!(answered, 200, "{told}");
    }

    async fn usage(&self, by: &str) -> Value {
        self.server.get("admin", &format!("/_longshore/usage?by={by}")).await.1
    }
}

const BOTH: [&str; 2] = ["longshore.fargate", "longshore.fargate-spot"];

fn arn(answer: &Value) -> String {
    answer["tasks"][0]["taskArn"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_task_goes_to_a_node_that_nobody_sees() {
    let world = World::new().await;
    let fargate = json!({"launchType": "FARGATE"});
    let refused = world.run(fargate.clone()).await;
    assert_eq!(refused["tasks"], json!([]));
    let reason = refused["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("Capacity is unavailable at this time."), "{refused}");

    let node = world.node("one", &BOTH, 4).await;
    let started = world.run(fargate.clone()).await;
    assert_eq!(started["tasks"][0]["lastStatus"], "PROVISIONING");
    let task = world.task(&arn(&started)).await;
    let expected = [
        ("launchType", json!("FARGATE")),
        ("platformVersion", json!("1.4.0")),
        ("platformFamily", json!("Linux")),
        ("ephemeralStorage", json!({"sizeInGiB": 20})),
        ("cpu", json!("256")),
        ("memory", json!("512")),
        ("containerInstanceArn", Value::Null),
        ("capacityProviderName", Value::Null),
        ("lastStatus", json!("PENDING")),
    ];
    for (member, value) in expected {
        assert_eq!(task[member], value, "{member}: {task}");
    }
    assert_eq!(task["attachments"][0]["type"], "ElasticNetworkInterface");
    // No operation shows the node, and no cluster is called as what it registered under.
    let listed = world.ok("ListContainerInstances", json!({})).await;
    assert_eq!(listed["containerInstanceArns"], json!([]));
    assert_eq!(
        world.ok("ListClusters", json!({})).await["clusterArns"].as_array().unwrap().len(),
        1
    );
    for (operation, body) in [
        ("ListContainerInstances", json!({"cluster": FLEET})),
        ("DescribeContainerInstances", json!({"cluster": FLEET, "containerInstances": [node]})),
        ("ListTasks", json!({"cluster": FLEET})),
        ("CreateCluster", json!({"clusterName": FLEET})),
    ] {
        assert_eq!(world.call(operation, body).await.0, 400, "{operation}");
    }
    let (_, started) =
        world.call("StartTask", World::request(json!({"containerInstances": [node]}))).await;
    assert!(started["tasks"].as_array().is_none_or(Vec::is_empty), "{started}");
    let described = world.ok("DescribeClusters", json!({"include": ["STATISTICS"]})).await;
    let cluster = &described["clusters"][0];
    assert_eq!(cluster["registeredContainerInstancesCount"], 0);
    assert_eq!(cluster["pendingTasksCount"], 1);
    let statistics = cluster["statistics"].as_array().unwrap();
    let of =
        |name: &str| statistics.iter().find(|one| one["name"] == name).unwrap()["value"].clone();
    assert_eq!(
        (of("pendingFargateTasksCount"), of("pendingEC2TasksCount")),
        (json!("1"), json!("0"))
    );
    let list = async |kind: &str| {
        let listed = world.ok("ListTasks", json!({"launchType": kind})).await;
        listed["taskArns"].as_array().unwrap().len()
    };
    assert_eq!((list("FARGATE").await, list("EC2").await), (1, 0));
    let (_, fleet) = world.server.get("admin", "/_longshore/fleet").await;
    assert_eq!(fleet["nodes"][0]["tasks"], 1, "{fleet}");
    // The node is full with sixteen of them: 4 vCPUs.
    let more = world.run(json!({"launchType": "FARGATE", "count": 10})).await;
    assert_eq!(more["tasks"].as_array().unwrap().len(), 10);
    let more = world.run(json!({"launchType": "FARGATE", "count": 10})).await;
    assert_eq!(more["tasks"].as_array().unwrap().len(), 5);
    assert_eq!(more["failures"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn what_fargate_refuses_of_a_launch() {
    let world = World::new().await;
    world.node("one", &BOTH, 4).await;
    let check = async |more: Value, kind: &str, text: &str| {
        let (status, answer) = world.call("RunTask", World::request(more.clone())).await;
        assert_eq!(status, 400, "{more}: {answer}");
        assert_eq!(answer["__type"], kind, "{more}: {answer}");
        let said = answer["message"].as_str().unwrap_or_default();
        assert!(said.contains(text), "{more}: {said}");
    };
    let invalid = "InvalidParameterException";
    let with = |member: &str, value: Value| {
        let mut body = json!({"launchType": "FARGATE"});
        body[member] = value;
        body
    };
    check(with("platformVersion", json!("9.9.9")), "PlatformUnknownException", "").await;
    let constraint = json!([{"type": "distinctInstance"}]);
    check(with("placementConstraints", constraint), invalid, "not supported with FARGATE").await;
    let random = json!([{"type": "random"}]);
    check(with("placementStrategy", random), invalid, "not supported with FARGATE").await;
    let size = json!({"cpu": "512", "memory": "512"});
    check(with("overrides", size), "ClientException", "No Fargate configuration exists").await;
    let storage = json!({"ephemeralStorage": {"sizeInGiB": 201}});
    check(with("overrides", storage), invalid, "at most 200").await;
    check(json!({}), invalid, "Assign public IP is not supported").await;
    world
        .define("bare", json!({"requiresCompatibilities": ["EC2"], "networkMode": "bridge"}))
        .await;
    let bare = json!({"launchType": "FARGATE", "taskDefinition": "bare",
        "networkConfiguration": null});
    check(bare, invalid, "does not support launch_type FARGATE").await;

    let given = json!({"launchType": "FARGATE", "platformVersion": "1.3.0", "overrides": {
        "cpu": "512", "memory": "1024", "ephemeralStorage": {"sizeInGiB": 30}}});
    let task = world.task(&arn(&world.run(given).await)).await;
    assert_eq!((&task["cpu"], &task["memory"]), (&json!("512"), &json!("1024")));
    assert_eq!(task["ephemeralStorage"]["sizeInGiB"], 30);
    assert_eq!(task["platformVersion"], "1.3.0");
}

#[tokio::test]
async fn a_spot_node_that_drains_gives_its_tasks_their_warning() {
    let world = World::new().await;
    world.node("spot", &["longshore.fargate-spot"], 4).await;
    // A node for Spot alone takes nothing else.
    let plain = world.run(json!({"launchType": "FARGATE"})).await;
    assert_eq!(plain["tasks"], json!([]));
    world.node("both", &BOTH, 4).await;
    let item = |name: &str, base: u32, weight: u32| json!({"capacityProvider": name, "base": base, "weight": weight});
    let strategy = json!([item("FARGATE", 1, 0), item("FARGATE_SPOT", 0, 1)]);
    let run = world.run(json!({"count": 9, "capacityProviderStrategy": strategy})).await;
    let tasks = run["tasks"].as_array().unwrap();
    let spot: Vec<&Value> =
        tasks.iter().filter(|one| one["capacityProviderName"] == "FARGATE_SPOT").collect();
    assert_eq!((tasks.len(), spot.len()), (9, 8), "{run}");
    assert!(tasks.iter().all(|one| one["launchType"] == "FARGATE"));
    let (_, fleet) = world.server.get("admin", "/_longshore/fleet").await;
    let on = |name: &str| {
        let nodes = fleet["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == name).unwrap()["tasks"].as_u64().unwrap()
    };
    assert!(on("spot") > 0 && on("both") > 1, "{fleet}");

    let asked = json!({"node": "both", "status": "DRAINING"}).to_string();
    let (status, _) = world.server.post("node-both", "/_longshore/fleet", &asked).await;
    assert_eq!(status, 403);
    let mut feed = world.server.ledger.subscribe();
    let (_, told) = world.server.post("admin", "/_longshore/fleet", &asked).await;
    let stopped = told["interrupted"].as_array().unwrap();
    assert_eq!(warned(&world, &mut feed).await, ids(stopped));
    assert_eq!(stopped.len() as u64, on("both") - 1, "{told}");
    for id in stopped {
        let task = world.task(id.as_str().unwrap()).await;
        assert_eq!(task["desiredStatus"], "STOPPED");
        assert_eq!(task["stopCode"], "SpotInterruption");
        assert_eq!(task["stoppedReason"], "Your Spot Task was interrupted.");
    }
    // That of FARGATE stays, and nothing more comes to the node.
    let own = tasks.iter().find(|one| one["capacityProviderName"] == "FARGATE").unwrap();
    assert_eq!(world.task(own["taskArn"].as_str().unwrap()).await["desiredStatus"], "RUNNING");
    assert_eq!(world.run(json!({"launchType": "FARGATE"})).await["tasks"], json!([]));
    // Who takes the node out takes its tasks with it.
    let remove = |force| json!({"node": "both", "status": "INACTIVE", "force": force}).to_string();
    let (status, _) = world.server.post("admin", "/_longshore/fleet", &remove(false)).await;
    assert_eq!(status, 400);
    let (status, _) = world.server.post("admin", "/_longshore/fleet", &remove(true)).await;
    assert_eq!(status, 200);
    assert_eq!(world.task(own["taskArn"].as_str().unwrap()).await["lastStatus"], "STOPPED");
}

fn ids(all: &[Value]) -> BTreeSet<String> {
    let id = |one: &Value| one.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    all.iter().map(id).collect()
}

/// The tasks of which EventBridge was told since that their Spot capacity goes, while they run.
async fn warned(world: &World, feed: &mut ledger::Feed) -> BTreeSet<String> {
    let source = world.server.ecs.event_source();
    let mut warned = Vec::new();
    for commit in committed(feed, &world.server.ledger).await {
        let moments = source.of_commit(&commit);
        let of_tasks = moments.iter().filter(|it| it.detail_type == "ECS Task State Change");
        for moment in of_tasks {
            let detail: Value = serde_json::from_str(&(moment.detail)()).unwrap();
            assert_eq!(detail["stopCode"], "SpotInterruption", "{detail}");
            assert_eq!(detail["stoppedReason"], "Your Spot Task was interrupted.");
            assert_eq!(detail["desiredStatus"], "STOPPED");
            assert_ne!(detail["lastStatus"], "STOPPED", "{detail}");
            assert_eq!(detail["capacityProviderName"], "FARGATE_SPOT");
            warned.push(detail["taskArn"].clone());
        }
    }
    ids(&warned)
}

#[tokio::test]
async fn use_is_metered_by_the_second() {
    let world = World::new().await;
    world.node("one", &BOTH, 16).await;
    let size = json!({"cpu": "1024", "memory": "2048", "ephemeralStorage": {"sizeInGiB": 25}});
    let run = json!({"launchType": "FARGATE", "overrides": size});
    let big = arn(&world.run(run).await);
    let strategy = json!([{"capacityProvider": "FARGATE_SPOT", "weight": 1}]);
    let small = arn(&world.run(json!({"capacityProviderStrategy": strategy})).await);
    // Nothing is used before the first pull.
    world.server.advance(10);
    assert_eq!(world.usage("family").await["total"]["seconds"], 0);
    let pulled = |at: i64| json!({"pullStartedAt": at});
    let start = 1_767_225_600;
    world.report("one", &big, "RUNNING", pulled(start + 10)).await;
    world.server.advance(100);
    world.report("one", &small, "RUNNING", pulled(start + 110)).await;
    world.server.advance(30);
    let told = world.usage("provider").await;
    let by = |told: &Value, name: &str| {
        let lines = told["usage"].as_array().unwrap();
        lines.iter().find(|one| one["provider"] == name).unwrap().clone()
    };
    let sums = |line: &Value| {
        ["tasks", "seconds", "cpuUnitSeconds", "mibSeconds", "storageGibSeconds"]
            .map(|name| line[name].as_u64().unwrap())
    };
    assert_eq!(sums(&by(&told, "FARGATE")), [1, 130, 130 * 1024, 130 * 2048, 130 * 5]);
    assert_eq!(sums(&by(&told, "FARGATE_SPOT")), [1, 30, 30 * 256, 30 * 512, 0]);
    // A task that has stopped uses nothing more, also when its row has gone.
    world.report("one", &small, "STOPPED", json!({})).await;
    world.server.advance(70);
    let told = world.usage("provider").await;
    assert_eq!(sums(&by(&told, "FARGATE_SPOT")), [1, 30, 30 * 256, 30 * 512, 0]);
    world.report("one", &big, "STOPPED", json!({})).await;
    world.server.advance(2 * 86_400);
    let told = world.usage("family").await;
    let total = [2, 230, 200 * 1024 + 30 * 256, 200 * 2048 + 30 * 512, 200 * 5];
    assert_eq!(sums(&told["total"]), total);
    assert_eq!(told["usage"][0]["family"], "web");
    let used = world.server.ecs.fargate_use();
    assert_eq!(used.iter().map(|one| one.cpu_unit_seconds).sum::<u64>(), total[2]);
    // A window takes the seconds that begin in it.
    let ms = (start + 20) * 1000;
    let path = format!("/_longshore/usage?since={ms}&until={}", ms + 5_000);
    let (_, told) = world.server.get("admin", &path).await;
    assert_eq!(sums(&told["total"]), [0, 5, 5 * 1024, 5 * 2048, 25]);
}
