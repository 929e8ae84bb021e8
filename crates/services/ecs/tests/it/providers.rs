//! Services whose tasks go by capacity providers, with agents that the test plays.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rollout::{Manner, World, is_stable, messages};

/// A cluster with the providers `own` and `spot`, and so many instances of each.
async fn world(own: u32, spot: u32) -> World {
    let world = World::new(0, &[("web", Manner::Run), ("next", Manner::Run)]).await;
    for name in ["own", "spot"] {
        let group = json!({"autoScalingGroupArn": name});
        world
            .ok("CreateCapacityProvider", json!({"name": name, "autoScalingGroupProvider": group}))
            .await;
    }
    let body = json!({"cluster": "default", "capacityProviders": ["own", "spot"],
        "defaultCapacityProviderStrategy": []});
    world.ok("PutClusterCapacityProviders", body).await;
    for (name, count) in [("own", own), ("spot", spot)] {
        for _ in 0..count {
            world.server.instance_of("default", Some(name), 100_000, 100_000).await;
        }
    }
    world
}

fn strategy(items: &[(&str, u32, u32)]) -> Value {
    let item = |(name, base, weight): &(&str, u32, u32)| {
        json!({"capacityProvider": name,
        "base": base, "weight": weight})
    };
    items.iter().map(item).collect()
}

/// How many tasks that are to run each provider has; every one is on an instance of its own.
async fn shares(world: &World) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for task in world.tasks("RUNNING").await {
        let provider = task["capacityProviderName"].as_str().unwrap_or("none").to_owned();
        let arn = &task["containerInstanceArn"];
        let answer =
            world.ok("DescribeContainerInstances", json!({"containerInstances": [arn]})).await;
        let instance = &answer["containerInstances"][0];
        if provider != "none" {
            assert_eq!(instance["capacityProviderName"], *provider);
        }
        *shares.entry(provider).or_default() += 1;
    }
    shares
}

fn of(own: usize, spot: usize) -> BTreeMap<String, usize> {
    let shares = [("own", own), ("spot", spot)].into_iter().filter(|(_, count)| *count > 0);
    shares.map(|(name, count)| (name.to_owned(), count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_keeps_its_shares_as_it_grows_and_shrinks() {
    let world = world(2, 2).await;
    let items = strategy(&[("own", 2, 1), ("spot", 0, 3)]);
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 6,
                "capacityProviderStrategy": items}),
        )
        .await;
    let service = world.until("stable", |one| is_stable(one, 6)).await;
    assert_eq!(shares(&world).await, of(3, 3));
    assert_eq!(service["capacityProviderStrategy"], items);
    assert_eq!(service["deployments"][0]["capacityProviderStrategy"], items);
    assert!(service["launchType"].is_null() && service["deployments"][0]["launchType"].is_null());
    for (desired, expected) in [(10, of(4, 6)), (2, of(2, 0)), (6, of(3, 3))] {
        world.ok("UpdateService", json!({"service": "web", "desiredCount": desired})).await;
        world.until("scaled", |one| is_stable(one, desired)).await;
        assert_eq!(shares(&world).await, expected, "{desired}");
    }
    // A provider whose tasks would come back stays with its cluster.
    world.ok("UpdateService", json!({"service": "web", "desiredCount": 0})).await;
    world.until("empty", |one| is_stable(one, 0)).await;
    let body = json!({"cluster": "default", "capacityProviders": ["spot"],
        "defaultCapacityProviderStrategy": []});
    let (status, answer) =
        world.server.call("admin", "PutClusterCapacityProviders", &body.to_string()).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("ResourceInUseException")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_strategy_needs_a_deployment_and_brings_its_own_shares() {
    let world = world(1, 1).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4,
                "launchType": "EC2"}),
        )
        .await;
    world.until("stable", |one| is_stable(one, 4)).await;
    let items = strategy(&[("own", 0, 1), ("spot", 0, 1)]);
    let body = json!({"service": "web", "capacityProviderStrategy": items});
    let (status, answer) = world.server.call("admin", "UpdateService", &body.to_string()).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("InvalidParameterException")));
    let text = answer["message"].as_str().unwrap();
    assert!(text.ends_with("you must force a new deployment."), "{text}");
    let mut body = body;
    body["forceNewDeployment"] = json!(true);
    world.ok("UpdateService", body).await;
    let is_new = |one: &Value| {
        is_stable(one, 4) && !one["deployments"][0]["capacityProviderStrategy"].is_null()
    };
    world.until("moved", is_new).await;
    assert_eq!(shares(&world).await, of(2, 2));
    // The same again, in other words, is no change.
    let body = json!({"service": "web", "capacityProviderStrategy": items});
    let answer = world.ok("UpdateService", body).await;
    assert_eq!(answer["service"]["deployments"].as_array().unwrap().len(), 1);
    // An empty strategy takes the service back to any instance.
    let body = json!({"service": "web", "capacityProviderStrategy": [],
        "forceNewDeployment": true, "taskDefinition": "next"});
    world.ok("UpdateService", body).await;
    let is_back = |one: &Value| is_stable(one, 4) && one["launchType"] == "EC2";
    world.until("back", is_back).await;
    assert_eq!(shares(&world).await.get("none"), Some(&4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_without_instances_is_told_and_waited_for() {
    let world = world(1, 0).await;
    world
        .ok(
            "CreateService",
            json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 4,
                "capacityProviderStrategy": strategy(&[("own", 0, 1), ("spot", 0, 1)])}),
        )
        .await;
    let text = "(service web) was unable to place a task because no container instance met all of \
                its requirements. Reason: No Container Instances were found in your capacity \
                provider.";
    let told = |one: &Value| {
        one["runningCount"] == 2 && messages(one).iter().any(|message| message == text)
    };
    world.until("half of it", told).await;
    assert_eq!(shares(&world).await, of(2, 0));
    world.server.instance_of("default", Some("spot"), 100_000, 100_000).await;
    world.until("stable", |one| is_stable(one, 4)).await;
    assert_eq!(shares(&world).await, of(2, 2));
}
