//! Questions about what would be if: answered by the functions that act, and nothing is done.

use serde_json::{Value, json};

use super::server::Server;

async fn register(server: &Server, zone: &str, memory: u32) -> String {
    let attribute = |name: &str, value: &str| json!({"name": name, "value": value});
    let number =
        |name: &str, value: u32| json!({"name": name, "type": "INTEGER", "integerValue": value});
    let body = json!({
        "totalResources": [number("CPU", 2048), number("MEMORY", memory)],
        "attributes": [
            attribute("ecs.availability-zone", zone),
            attribute("ecs.instance-type", "m5.large"),
        ],
    });
    let (status, answer) =
        server.call("admin", "RegisterContainerInstance", &body.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
    server.connect(&arn).await;
    arn
}

/// Three instances of 1,000 MiB in three zones, and a definition of 400.
async fn world() -> Server {
    let server = Server::start().await;
    server.call("admin", "CreateCluster", "{}").await;
    for zone in ["us-east-1a", "us-east-1b", "us-east-1c"] {
        register(&server, zone, 1000).await;
    }
    let definition = json!({
        "family": "web",
        "containerDefinitions": [{"name": "web", "image": "web", "cpu": 10, "memory": 400}],
    });
    server.call("admin", "RegisterTaskDefinition", &definition.to_string()).await;
    server
}

async fn ask(server: &Server, question: Value) -> Value {
    let before = server.ledger.snapshot().revision();
    let (status, answer) = server.post("admin", "/_longshore/what-if", &question.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(server.ledger.snapshot().revision(), before, "a question changed something");
    answer
}

async fn refused(server: &Server, question: Value) -> String {
    let (status, answer) = server.post("admin", "/_longshore/what-if", &question.to_string()).await;
    assert_eq!(status, 400, "{answer}");
    answer["message"].as_str().unwrap().to_owned()
}

async fn run(server: &Server, count: u32) {
    let spread = json!([{"type": "spread", "field": "attribute:ecs.availability-zone"}]);
    let request = json!({"taskDefinition": "web", "count": count, "placementStrategy": spread});
    let (status, answer) = server.call("admin", "RunTask", &request.to_string()).await;
    assert_eq!((status, answer["failures"].as_array().unwrap().len()), (200, 0), "{answer}");
}

fn used(answer: &Value, when: &str) -> Vec<(String, Option<u64>)> {
    let instances = answer["instances"].as_array().unwrap();
    let one = |instance: &Value| {
        let zone = instance["availabilityZone"].as_str().unwrap().to_owned();
        (zone, instance[when]["memory"].as_u64())
    };
    instances.iter().map(one).collect()
}

fn zones(memory: [Option<u64>; 3]) -> Vec<(String, Option<u64>)> {
    let names = ["us-east-1a", "us-east-1b", "us-east-1c"].map(str::to_owned);
    names.into_iter().zip(memory).collect()
}

#[tokio::test]
async fn run_task_is_asked_about_with_instances_added_and_removed() {
    let server = world().await;
    let run = json!({"taskDefinition": "web", "count": 8});
    let answer = ask(&server, json!({"runTask": run})).await;
    assert_eq!((&answer["fits"], &answer["runTask"]["placed"]), (&json!(false), &json!(6)));
    assert_eq!(used(&answer, "before"), zones([Some(0); 3]));
    assert_eq!(used(&answer, "after"), zones([Some(800); 3]));
    let add = json!([{"count": 1, "type": "m5.large", "zone": "b"}]);
    let answer = ask(&server, json!({"runTask": run, "changes": {"add": add}})).await;
    assert_eq!((&answer["fits"], &answer["runTask"]["placed"]), (&json!(true), &json!(8)));
    let new = answer["instances"].as_array().unwrap().iter().find(|one| one["before"].is_null());
    let new = new.unwrap();
    assert_eq!(new["name"], "new-m5.large-1");
    assert_eq!((&new["availabilityZone"], &new["memory"]), (&json!("us-east-1b"), &json!(1000)));
    let changes = json!({"add": [{"count": 2, "type": "4096x600"}], "removeZones": ["us-east-1c"]});
    let answer = ask(&server, json!({"runTask": run, "changes": changes})).await;
    assert_eq!(answer["runTask"]["placed"], 6);
    let name = answer["instances"][0]["name"].as_str().unwrap();
    let answer = ask(&server, json!({"runTask": run, "changes": {"remove": [name]}})).await;
    assert_eq!(answer["runTask"]["placed"], 4);
}

#[tokio::test]
async fn a_failover_tells_where_each_task_would_go() {
    let server = world().await;
    run(&server, 3).await;
    let answer = ask(&server, json!({"failover": {"zone": "a"}})).await;
    assert_eq!(answer["fits"], true);
    let moves = &answer["failover"];
    assert_eq!((&moves["lost"], &moves["tasks"]), (&json!("zone us-east-1a"), &json!(1)));
    assert_eq!((&moves["instances"], &moves["placed"]), (&json!(1), &json!(1)));
    let zone = moves["moves"][0]["toZone"].as_str().unwrap();
    assert!(["us-east-1b", "us-east-1c"].contains(&zone), "{zone}");
    assert_eq!(used(&answer, "before"), zones([Some(400); 3]));
    let sum: u64 = used(&answer, "after").into_iter().filter_map(|(_, memory)| memory).sum();
    assert_eq!((sum, used(&answer, "after")[0].1), (1200, None));
}

#[tokio::test]
async fn what_would_not_fit_after_a_failover_is_told_with_its_reason() {
    let server = world().await;
    run(&server, 6).await;
    let answer = ask(&server, json!({"failover": {"zone": "us-east-1b"}})).await;
    assert_eq!(answer["fits"], false);
    let moves = &answer["failover"];
    assert_eq!((&moves["tasks"], &moves["placed"]), (&json!(2), &json!(0)));
    let group = &moves["groups"][0];
    assert_eq!((&group["group"], &group["memory"]), (&json!("family:web"), &json!(400)));
    let reason = json!([{"reason": "RESOURCE:MEMORY", "instances": 2}]);
    assert_eq!(group["shortage"]["reasons"], reason);
    // With another instance one of them fits, with two both do.
    let added = |count: u32| json!({"add": [{"count": count, "type": "4096x500", "zone": "c"}]});
    let failover = json!({"zone": "b"});
    for (count, placed) in [(1, 1), (2, 2)] {
        let question = json!({"failover": failover, "changes": added(count)});
        let answer = ask(&server, question).await;
        assert_eq!(answer["failover"]["placed"], placed, "{count}");
    }
    let name = answer["instances"][0]["name"].as_str().unwrap();
    let answer = ask(&server, json!({"failover": {"instance": name}})).await;
    assert_eq!(answer["failover"]["tasks"], 2);
}

#[tokio::test]
async fn a_failover_heeds_the_constraints_that_came_with_run_task() {
    let check = async |count: u32, constraint: Value, placed: u32| {
        let server = world().await;
        let spread = json!([{"type": "spread", "field": "attribute:ecs.availability-zone"}]);
        let request = json!({
            "taskDefinition": "web", "count": count, "placementConstraints": [constraint],
            "placementStrategy": spread,
        });
        let (status, answer) = server.call("admin", "RunTask", &request.to_string()).await;
        assert_eq!((status, answer["failures"].as_array().unwrap().len()), (200, 0), "{answer}");
        let answer = ask(&server, json!({"failover": {"zone": "a"}})).await;
        let moves = &answer["failover"];
        assert_eq!((&moves["tasks"], &moves["placed"]), (&json!(1), &json!(placed)), "{request}");
    };
    let member = |expression: &str| json!({"type": "memberOf", "expression": expression});
    check(1, member("attribute:ecs.availability-zone == us-east-1a"), 0).await;
    check(3, json!({"type": "distinctInstance"}), 0).await;
    check(3, member("agentConnected == true"), 1).await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let server = world().await;
    let run = json!({"taskDefinition": "web"});
    let check = async |question: Value, expected: &str| {
        let told = refused(&server, question).await;
        assert!(told.contains(expected), "{told}");
    };
    check(json!({"failover": {"zone": "z"}}), "no instance to lose with zone us-east-1z").await;
    check(json!({"runTask": run, "changes": {"remove": ["x"]}}), "no instance 'x'").await;
    check(json!({"runTask": run, "changes": {"removeZones": ["q"]}}), "in zone us-east-1q").await;
    let add = |count: u32, kind: &str| json!({"add": [{"count": count, "type": kind}]});
    check(json!({"runTask": run, "changes": add(1, "x9.huge")}), "is no type of").await;
    check(json!({"runTask": run, "changes": add(0, "m5.large")}), "1 to 1000").await;
    check(json!({"runTask": run, "other": 1}), "unknown field").await;
    check(json!({"runTask": {"taskDefinition": "no"}}), "TaskDefinition not found").await;
    check(json!({"runTask": {"taskDefinition": 1}}), "taskDefinition").await;
}
