//! What an event's target says in its EcsParameters is what its tasks are run with.

use std::time::Duration;

use events::{Delivery, shapes};
use serde_json::{Value, json};
use terms::Timestamp;
use wire::document::Document;
use wire::value::Enumeration;

use super::server::Server;

/// A delivery whose tasks get `payload` as overrides.
fn delivery(parameters: shapes::EcsParameters, payload: &str) -> Delivery {
    let at = Timestamp::from_millis(0);
    let target = shapes::Target {
        id: "1".to_owned(),
        arn: "arn:aws:ecs:us-east-1:123456789012:cluster/default".to_owned(),
        ecs_parameters: Some(parameters),
        ..Default::default()
    };
    Delivery {
        event_id: "0a1b2c3d-0000-4000-8000-000000000002".to_owned(),
        payload: payload.to_owned(),
        target: Document::new(target),
        rule_arn: "arn:aws:events:us-east-1:123456789012:rule/hourly".to_owned(),
        rule_name: "hourly".to_owned(),
        time: at,
        created_at: at,
        next_at: at + Duration::from_secs(1),
        attempts: 0,
    }
}

/// An instance with these attributes that tasks of the `awsvpc` mode can be on.
async fn instance(server: &Server, attributes: &[(&str, &str)]) -> String {
    let named = attributes.iter().map(|(name, value)| json!({"name": name, "value": value}));
    let able = [
        "ecs.capability.task-eni",
        "ecs.capability.execute-command",
        "com.amazonaws.ecs.capability.task-iam-role",
        "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    ];
    let able = able.iter().map(|name| json!({"name": name}));
    let body = json!({
        "totalResources": [
            {"name": "CPU", "type": "INTEGER", "integerValue": 1024},
            {"name": "MEMORY", "type": "INTEGER", "integerValue": 4000},
        ],
        "attributes": named.chain(able).collect::<Vec<_>>(),
    });
    let (_, answer) = server.call("admin", "RegisterContainerInstance", &body.to_string()).await;
    let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
    server.connect(&arn).await;
    arn
}

async fn ok(server: &Server, operation: &str, body: Value) -> Value {
    let (status, answer) = server.call("admin", operation, &body.to_string()).await;
    assert_eq!(status, 200, "{operation}: {answer}");
    answer
}

/// The tasks that a delivery ran.
async fn tasks(server: &Server) -> Vec<Value> {
    let listed = ok(server, "ListTasks", json!({"startedBy": "events-rule/hourly"})).await;
    let body = json!({"tasks": listed["taskArns"], "include": ["TAGS"]});
    let mut described = ok(server, "DescribeTasks", body).await;
    described["tasks"].take().as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tags_groups_constraints_and_overrides_reach_the_task() {
    let server = Server::start().await;
    ok(&server, "CreateCluster", json!({})).await;
    let definition = json!({"family": "web", "containerDefinitions": [
        {"name": "main", "image": "app", "memory": 100, "cpu": 10}],
        "taskRoleArn": "arn:aws:iam::123456789012:role/job",
        "tags": [{"key": "of", "value": "definition"}]});
    ok(&server, "RegisterTaskDefinition", definition).await;
    instance(&server, &[("tier", "tin")]).await;
    let gold = instance(&server, &[("tier", "gold")]).await;
    let tag = shapes::Tag { key: "of".to_owned(), value: "rule".to_owned() };
    let constraint = shapes::PlacementConstraint {
        expression: Some("attribute:tier == gold".to_owned()),
        type_: shapes::PlacementConstraintType::parse("memberOf"),
    };
    let strategy = shapes::PlacementStrategy {
        field: Some("memory".to_owned()),
        type_: shapes::PlacementStrategyType::parse("binpack"),
    };
    let parameters = shapes::EcsParameters {
        task_definition_arn: "web".to_owned(),
        task_count: Some(2),
        group: Some("night".to_owned()),
        launch_type: shapes::LaunchType::parse("EC2"),
        enable_ecs_managed_tags: Some(true),
        enable_execute_command: Some(true),
        propagate_tags: shapes::PropagateTags::parse("TASK_DEFINITION"),
        placement_constraints: Some(vec![constraint]),
        placement_strategy: Some(vec![strategy]),
        reference_id: Some("r-1".to_owned()),
        tags: Some(vec![tag]),
        ..Default::default()
    };
    let payload = json!({"containerOverrides": [{"name": "main", "command": ["report"]}]});
    let target = server.ecs.event_target();
    let delivery = delivery(parameters, &payload.to_string());
    target.deliver(&[delivery]).await.remove(0).unwrap();
    let tasks = tasks(&server).await;
    assert_eq!(tasks.len(), 2, "{tasks:#?}");
    for task in tasks {
        assert_eq!(task["containerInstanceArn"], *gold);
        assert_eq!((&task["group"], &task["launchType"]), (&json!("night"), &json!("EC2")));
        assert_eq!(task["enableExecuteCommand"], true);
        let overrides = &task["overrides"]["containerOverrides"][0];
        assert_eq!(overrides["command"], json!(["report"]), "{task:#}");
        // What the rule says of a tag comes before what the definition does.
        let tags = task["tags"].as_array().unwrap();
        let value = |key: &str| tags.iter().find(|tag| tag["key"] == key).map(|tag| &tag["value"]);
        assert_eq!(value("of"), Some(&json!("rule")), "{tags:#?}");
        assert_eq!(value("aws:ecs:clusterName"), Some(&json!("default")), "{tags:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_and_capacity_providers_reach_the_task() {
    let server = Server::start().await;
    ok(&server, "CreateCluster", json!({})).await;
    let group =
        json!({"name": "spot", "autoScalingGroupProvider": {"autoScalingGroupArn": "spot"}});
    ok(&server, "CreateCapacityProvider", group).await;
    let body = json!({"cluster": "default", "capacityProviders": ["spot"],
        "defaultCapacityProviderStrategy": []});
    ok(&server, "PutClusterCapacityProviders", body).await;
    let definition = json!({"family": "web", "networkMode": "awsvpc", "containerDefinitions": [
        {"name": "main", "image": "app", "memory": 100, "cpu": 10}]});
    ok(&server, "RegisterTaskDefinition", definition).await;
    instance(&server, &[]).await;
    let spot = instance(&server, &[("longshore.capacity-provider", "spot")]).await;
    // One of this account and region (the golden conversation has it, too).
    let subnet = "subnet-6fc8e45e81b0af4ef".to_owned();
    let awsvpc = shapes::AwsVpcConfiguration {
        assign_public_ip: shapes::AssignPublicIp::parse("DISABLED"),
        security_groups: None,
        subnets: vec![subnet.clone()],
    };
    let item = shapes::CapacityProviderStrategyItem {
        base: Some(1),
        capacity_provider: "spot".to_owned(),
        weight: Some(1),
    };
    let parameters = shapes::EcsParameters {
        task_definition_arn: "web".to_owned(),
        capacity_provider_strategy: Some(vec![item]),
        network_configuration: Some(shapes::NetworkConfiguration {
            awsvpc_configuration: Some(awsvpc),
        }),
        ..Default::default()
    };
    // A payload that is no override is none of the task's business.
    let delivery = delivery(parameters, r#"{"source": "aws.ecs"}"#);
    server.ecs.event_target().deliver(&[delivery]).await.remove(0).unwrap();
    let tasks = tasks(&server).await;
    let [task] = &tasks[..] else { panic!("{tasks:#?}") };
    assert_eq!(task["containerInstanceArn"], *spot);
    assert_eq!(task["capacityProviderName"], "spot");
    let details = task["attachments"][0]["details"].as_array().unwrap();
    let is_in = |one: &Value| one["name"] == "subnetId" && one["value"] == *subnet;
    assert!(details.iter().any(is_in), "{task:#}");
}
