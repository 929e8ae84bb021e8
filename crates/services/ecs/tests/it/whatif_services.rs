//! Deployments that are played on a copy: nothing is done, and all is told.

use serde_json::{Value, json};

use super::rollout::{Manner, World, is_stable};

async fn ask(world: &World, question: Value) -> Value {
    let text = question.to_string();
    let (status, answer) = world.server.post("admin", "/_longshore/what-if", &text).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

/// What would come of an UpdateService with more members than the service's name.
async fn update(world: &World, members: Value, changes: Value) -> Value {
    let mut update = json!({"service": "web"});
    for (name, value) in members.as_object().unwrap() {
        update[name] = value.clone();
    }
    ask(world, json!({"updateService": update, "changes": changes, "play": true})).await
}

fn percents(minimum: u32, maximum: u32) -> Value {
    json!({"taskDefinition": "next", "deploymentConfiguration": {
        "minimumHealthyPercent": minimum, "maximumPercent": maximum}})
}

fn end(answer: &Value) -> (&str, bool, bool) {
    let rollout = &answer["rollout"];
    (rollout["end"].as_str().unwrap(), rollout["deploys"] == true, answer["fits"] == true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_told_before_it_is_made() {
    let world = World::new(0, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    for _ in 0..2 {
        // Two tasks of 16 MiB each.
        world.server.instance("default", 1024, 40).await;
    }
    let create = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4,
        "availabilityZoneRebalancing": "DISABLED"});
    let asked = json!({"createService": create, "play": true});
    let told = ask(&world, asked).await;
    assert_eq!(end(&told), ("COMPLETED", true, true), "{told:#}");
    let tasks = |told: &Value| -> Vec<u64> {
        let places = told["rollout"]["placements"].as_array().unwrap();
        places.iter().map(|place| place["tasks"].as_u64().unwrap()).collect()
    };
    assert_eq!(tasks(&told), [2, 2]);
    let mut more = create.clone();
    more["desiredCount"] = json!(5);
    let told = ask(&world, json!({"createService": more, "play": true})).await;
    assert_eq!(end(&told), ("NO_PLACE", true, false), "{told:#}");
    assert_eq!(world.service().await, Value::Null, "nothing was made");

    world.ok("CreateService", create).await;
    world.until("stable", |one| is_stable(one, 4)).await;
    let none = json!({});
    // The instances are full: a new task finds no place, and none may be stopped for it.
    let told = update(&world, percents(100, 200), none.clone()).await;
    assert_eq!(end(&told), ("NO_PLACE", true, false), "{told:#}");
    let told = update(&world, percents(100, 100), none.clone()).await;
    assert_eq!(end(&told), ("STUCK", true, false), "{told:#}");
    let told = update(&world, percents(50, 100), none.clone()).await;
    assert_eq!(end(&told), ("COMPLETED", true, true), "{told:#}");
    for step in told["rollout"]["steps"].as_array().unwrap() {
        let count = |name: &str| step[name].as_u64().unwrap();
        let (new, old) = (count("newRunning"), count("old"));
        assert!(new + old >= 2 && new + old + count("newPending") <= 4, "{step}");
    }
    let events = told["rollout"]["events"].to_string();
    assert!(events.contains("deployment completed."), "{events}");
    let room = json!({"add": [{"count": 1, "type": "1024x80"}]});
    let told = update(&world, percents(100, 200), room).await;
    assert_eq!(end(&told), ("COMPLETED", true, true), "{told:#}");

    // A count alone deploys nothing, and finds its places or not.
    let told = update(&world, json!({"desiredCount": 1}), none.clone()).await;
    assert_eq!((end(&told), tasks(&told)), (("COMPLETED", false, true), vec![1]), "{told:#}");
    let told = update(&world, json!({"desiredCount": 9}), none.clone()).await;
    assert_eq!(end(&told), ("NO_PLACE", false, false), "{told:#}");
    // Far more than a look starts: it waits for room, and does not look on and on.
    let told = update(&world, json!({"desiredCount": 4_000}), none).await;
    assert_eq!(end(&told), ("NO_PLACE", false, false), "{told:#}");
    assert!(told["rollout"]["looks"].as_u64().unwrap() <= 2, "{told:#}");
    assert!(is_stable(&world.service().await, 4), "nothing was done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_tasks_are_counted_as_the_scheduler_does() {
    let world = World::new(1, &[("web", Manner::Run)]).await;
    let create = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2});
    world.ok("CreateService", create).await;
    let path = "/_longshore/service-health?cluster=default&service=web";
    let running = world.until("running", |one| one["runningCount"] == 2).await;
    let id = running["deployments"][0]["id"].as_str().unwrap();
    let (_, told) = world.server.get("admin", path).await;
    let counts = &told["deployments"][id];
    assert_eq!((&told["settleSeconds"], &counts["settling"]), (&json!(40.0), &json!(2)));
    world.until("stable", |one| is_stable(one, 2)).await;
    let (_, told) = world.server.get("admin", path).await;
    let expected = json!({"healthy": 2, "settling": 0, "unhealthy": 0});
    assert_eq!(told["deployments"][id], expected);
    let (status, told) = world.server.get("admin", &format!("{path}x")).await;
    assert_eq!((status, &told["__type"]), (400, &json!("ServiceNotFoundException")));
}
