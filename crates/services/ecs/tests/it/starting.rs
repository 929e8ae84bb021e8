//! What starts a deployment, and what does not (ECS semantics §7.10).

use serde_json::{Value, json};

use super::server::{ACCOUNT, REGION, Server};

async fn ok(server: &Server, operation: &str, body: Value) -> Value {
    let (status, answer) = server.call("admin", operation, &body.to_string()).await;
    assert_eq!(status, 200, "{operation} {body}: {answer}");
    answer
}

/// A server whose services stay as their operations leave them, with the service `web` and a
/// second one, `wide`, with interfaces.
async fn server() -> Server {
    let server = Server::start_at_rest().await;
    ok(&server, "CreateCluster", json!({})).await;
    for (family, mode) in [("web", "bridge"), ("next", "bridge"), ("wide", "awsvpc")] {
        let containers = json!([{"name": "web", "image": "web", "memory": 16}]);
        let body = json!({"family": family, "networkMode": mode,
            "containerDefinitions": containers});
        ok(&server, "RegisterTaskDefinition", body).await;
    }
    let body = json!({"serviceName": "web", "taskDefinition": "web", "desiredCount": 2});
    ok(&server, "CreateService", body).await;
    server
}

/// The default subnet of a zone.
fn subnet(zone: &str) -> String {
    let scope = vpc::Scope { account: ACCOUNT.parse().unwrap(), region: REGION.parse().unwrap() };
    vpc::default_subnet(&scope, zone).unwrap().id
}

/// How many deployments there have been.
async fn deployments(server: &Server, service: &str) -> usize {
    let answer = ok(server, "ListServiceDeployments", json!({"service": service})).await;
    answer["serviceDeployments"].as_array().unwrap().len()
}

#[tokio::test]
async fn each_member_of_update_service() {
    let server = server().await;
    let mut count = 1;
    for (starts, members) in [
        // What starts one, when it is different.
        (true, json!({"taskDefinition": "next"})),
        (false, json!({"taskDefinition": "next"})),
        (false, json!({"taskDefinition": "next:1"})),
        (true, json!({"forceNewDeployment": true})),
        (true, json!({"forceNewDeployment": true, "desiredCount": 2})),
        // What does not.
        (false, json!({})),
        (false, json!({"forceNewDeployment": false})),
        (false, json!({"desiredCount": 3})),
        (
            false,
            json!({"deploymentConfiguration": {"maximumPercent": 150,
            "minimumHealthyPercent": 50}}),
        ),
        (
            false,
            json!({"deploymentConfiguration": {"deploymentCircuitBreaker":
            {"enable": true, "rollback": true}}}),
        ),
        (
            false,
            json!({"deploymentConfiguration": {"alarms":
            {"alarmNames": ["errors"], "enable": true, "rollback": true}}}),
        ),
        (false, json!({"capacityProviderStrategy": []})),
        (false, json!({"placementConstraints": [{"type": "distinctInstance"}]})),
        (false, json!({"placementConstraints": []})),
        (
            false,
            json!({"placementStrategy": [{"type": "spread",
            "field": "attribute:ecs.availability-zone"}]}),
        ),
        (false, json!({"placementStrategy": []})),
        (false, json!({"availabilityZoneRebalancing": "DISABLED"})),
        (false, json!({"availabilityZoneRebalancing": "ENABLED"})),
        (false, json!({"healthCheckGracePeriodSeconds": 30})),
        (false, json!({"enableExecuteCommand": false})),
        (false, json!({"enableECSManagedTags": true})),
        (false, json!({"propagateTags": "SERVICE"})),
        (false, json!({"loadBalancers": [], "serviceRegistries": []})),
        (false, json!({"serviceConnectConfiguration": {"enabled": false}})),
        (false, json!({"volumeConfigurations": []})),
    ] {
        let mut body = members.clone();
        body["service"] = json!("web");
        ok(&server, "UpdateService", body).await;
        count += usize::from(starts);
        assert_eq!(deployments(&server, "web").await, count, "{members}");
    }
}

#[tokio::test]
async fn a_network_that_is_another_starts_one() {
    let server = server().await;
    let cluster = "default";
    let subnets = |names: &[&str]| {
        json!({"awsvpcConfiguration": {"subnets": names, "securityGroups": [],
            "assignPublicIp": "DISABLED"}})
    };
    let (a, b) = (subnet("us-east-1a"), subnet("us-east-1b"));
    let body = json!({"serviceName": "wide", "cluster": cluster, "taskDefinition": "wide",
        "desiredCount": 1, "networkConfiguration": subnets(&[&a])});
    ok(&server, "CreateService", body).await;
    let mut count = 1;
    for (starts, network) in
        [(false, subnets(&[&a])), (true, subnets(&[&a, &b])), (false, subnets(&[&a, &b]))]
    {
        let body = json!({"service": "wide", "networkConfiguration": network});
        ok(&server, "UpdateService", body).await;
        count += usize::from(starts);
        assert_eq!(deployments(&server, "wide").await, count, "{network}");
    }
}

#[tokio::test]
async fn what_stays_out_of_a_request_stays_and_an_empty_list_removes() {
    let server = server().await;
    let constraint = json!([{"type": "distinctInstance"}]);
    let body = json!({"service": "web", "placementConstraints": constraint,
        "healthCheckGracePeriodSeconds": 30, "propagateTags": "SERVICE"});
    ok(&server, "UpdateService", body).await;
    let kept = ok(&server, "UpdateService", json!({"service": "web", "desiredCount": 5})).await;
    let kept = &kept["service"];
    assert_eq!(kept["placementConstraints"], constraint);
    assert_eq!(
        (&kept["healthCheckGracePeriodSeconds"], &kept["propagateTags"]),
        (&json!(30), &json!("SERVICE"))
    );
    let body = json!({"service": "web", "placementConstraints": []});
    let removed = ok(&server, "UpdateService", body).await;
    assert_eq!(removed["service"]["placementConstraints"], json!([]));
}
