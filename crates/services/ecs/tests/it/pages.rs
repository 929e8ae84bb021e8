//! Listings walked to their end, as the paginators of SDKs do it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::server::Server;

/// Asks for page after page; gives the items, and how many each page had.
async fn walk(
    server: &Server,
    operation: &str,
    request: Value,
    member: &str,
) -> (Vec<Value>, Vec<usize>) {
    let (mut items, mut sizes, mut request) = (Vec::new(), Vec::new(), request);
    loop {
        let (status, answer) = server.call("admin", operation, &request.to_string()).await;
        assert_eq!(status, 200, "{answer}");
        let page = answer[member].as_array().unwrap();
        sizes.push(page.len());
        items.extend(page.iter().cloned());
        match answer.get("nextToken") {
            Some(token) => request["nextToken"] = token.clone(),
            None => return (items, sizes),
        }
    }
}

/// Nothing is listed twice.
fn distinct(items: &[Value]) -> usize {
    items.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len()
}

#[tokio::test]
async fn clusters_are_listed_page_by_page() {
    let server = Server::start().await;
    for number in 0..205 {
        let body = json!({"clusterName": format!("c{number}")}).to_string();
        assert_eq!(server.call("admin", "CreateCluster", &body).await.0, 200);
    }
    let (items, sizes) = walk(&server, "ListClusters", json!({}), "clusterArns").await;
    assert_eq!((sizes, distinct(&items)), (vec![100, 100, 5], 205));
    let request = json!({"maxResults": 41});
    let (items, sizes) = walk(&server, "ListClusters", request, "clusterArns").await;
    assert_eq!((sizes, distinct(&items)), (vec![41; 5], 205));
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_ended_whatever_comes_and_goes() {
    let server = Server::start().await;
    for name in ["a", "b", "c", "d"] {
        let body = json!({"clusterName": name}).to_string();
        assert_eq!(server.call("admin", "CreateCluster", &body).await.0, 200);
    }
    let first = server.call("admin", "ListClusters", r#"{"maxResults": 2}"#).await.1;
    for (operation, body) in [
        ("DeleteCluster", json!({"cluster": "b"})),
        ("DeleteCluster", json!({"cluster": "c"})),
        ("CreateCluster", json!({"clusterName": "aa"})),
        ("CreateCluster", json!({"clusterName": "ca"})),
    ] {
        assert_eq!(server.call("admin", operation, &body.to_string()).await.0, 200);
    }
    let request = json!({"maxResults": 2, "nextToken": first["nextToken"]});
    let (items, _) = walk(&server, "ListClusters", request, "clusterArns").await;
    let names = items.iter().map(|arn| arn.as_str().unwrap().rsplit_once('/').unwrap().1);
    assert_eq!(names.collect::<Vec<_>>(), ["ca", "d"]);
}

#[tokio::test]
async fn settings_are_listed_page_by_page() {
    let server = Server::start().await;
    for limit in [1, 3, 10] {
        let request = json!({"effectiveSettings": true, "maxResults": limit});
        let (items, sizes) = walk(&server, "ListAccountSettings", request, "settings").await;
        assert_eq!((items.len(), distinct(&items)), (12, 12));
        assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == limit), "{sizes:?}");
    }
}

#[tokio::test]
async fn capacity_providers_are_described_ten_at_a_time() {
    let server = Server::start().await;
    let names: Vec<_> = (0..23).map(|number| format!("p{number}")).collect();
    for name in &names {
        let body = json!({"name": name, "autoScalingGroupProvider": {"autoScalingGroupArn": name}});
        assert_eq!(server.call("admin", "CreateCapacityProvider", &body.to_string()).await.0, 200);
    }
    let operation = "DescribeCapacityProviders";
    let (items, sizes) = walk(&server, operation, json!({}), "capacityProviders").await;
    assert_eq!((sizes, distinct(&items)), (vec![10, 10, 5], 25));
    let (items, sizes) =
        walk(&server, operation, json!({"capacityProviders": names}), "capacityProviders").await;
    assert_eq!((sizes, distinct(&items)), (vec![10, 10, 3], 23));
}

/// The cluster `default` with so many instances, every third of them draining.
async fn instances(count: usize) -> (Server, Vec<String>, Vec<String>) {
    let server = Server::start().await;
    assert_eq!(server.call("admin", "CreateCluster", "{}").await.0, 200);
    let (mut active, mut draining) = (Vec::new(), Vec::new());
    for number in 0..count {
        let body = json!({
            "totalResources": [
                {"name": "CPU", "type": "INTEGER", "integerValue": 4096},
                {"name": "MEMORY", "type": "INTEGER", "integerValue": 4096},
            ],
            "attributes": [{"name": "rack", "value": format!("r{}", number % 2)}],
        });
        let body = body.to_string();
        let (_, answer) = server.call("admin", "RegisterContainerInstance", &body).await;
        let arn = answer["containerInstance"]["containerInstanceArn"].as_str().unwrap().to_owned();
        if number % 3 == 0 {
            let body = json!({"containerInstances": [arn], "status": "DRAINING"}).to_string();
            let answer = server.call("admin", "UpdateContainerInstancesState", &body).await;
            assert_eq!(answer.0, 200, "{}", answer.1);
            draining.push(arn);
        } else {
            active.push(arn);
        }
    }
    (server, active, draining)
}

#[tokio::test]
async fn instances_are_listed_page_by_page_whatever_their_status() {
    let (server, mut active, mut draining) = instances(25).await;
    let mut all = [active.clone(), draining.clone()].concat();
    for arns in [&mut active, &mut draining, &mut all] {
        arns.sort_unstable();
    }
    let operation = "ListContainerInstances";
    for limit in [1, 7, 100] {
        let check = async |status: Option<&str>, expected: &[String]| {
            let mut request = json!({"maxResults": limit});
            if let Some(status) = status {
                request["status"] = status.into();
            }
            let (items, sizes) = walk(&server, operation, request, "containerInstanceArns").await;
            assert_eq!(items, expected, "{status:?}, by {limit}");
            assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == limit), "{sizes:?}");
        };
        check(None, &all).await;
        check(Some("ACTIVE"), &active).await;
        check(Some("DRAINING"), &draining).await;
        check(Some("DEREGISTERING"), &[]).await;
    }
    // A filter leaves pages short of nothing.
    let request = json!({"maxResults": 5, "filter": "attribute:rack == r0"});
    let (items, _) = walk(&server, operation, request, "containerInstanceArns").await;
    assert_eq!((items.len(), distinct(&items)), (13, 13));
}

#[tokio::test]
async fn attributes_are_listed_page_by_page() {
    let (server, ..) = instances(9).await;
    let walk = async |request: Value| walk(&server, "ListAttributes", request, "attributes").await;
    let base = json!({"targetType": "container-instance"});
    let (all, _) = walk(base.clone()).await;
    // The zone, and the rack.
    assert_eq!((all.len(), distinct(&all)), (18, 18));
    for limit in [1, 2, 5, 18] {
        let mut request = base.clone();
        request["maxResults"] = limit.into();
        assert_eq!(walk(request.clone()).await.0, all, "by {limit}");
        request["attributeName"] = "rack".into();
        assert_eq!(walk(request.clone()).await.0.len(), 9);
        request["attributeValue"] = "r1".into();
        assert_eq!(walk(request).await.0.len(), 4);
    }
}

#[tokio::test]
async fn tasks_are_listed_page_by_page() {
    let server = Server::start().await;
    assert_eq!(server.call("admin", "CreateCluster", "{}").await.0, 200);
    let instance = server.instance("default", 4096, 4096).await;
    for family in ["a", "b"] {
        let body = json!({
            "family": family,
            "containerDefinitions": [{"name": "c", "image": "c", "memory": 8}],
        });
        let answer = server.call("admin", "RegisterTaskDefinition", &body.to_string()).await;
        assert_eq!(answer.0, 200);
    }
    let mut stopped = 0;
    for (family, starter) in [("a", "me"), ("a", "you"), ("b", "me")] {
        let body = json!({"taskDefinition": family, "startedBy": starter, "count": 5});
        let (_, answer) = server.call("admin", "RunTask", &body.to_string()).await;
        assert_eq!(answer["tasks"].as_array().unwrap().len(), 5, "{answer}");
        let body = json!({"task": answer["tasks"][0]["taskArn"]}).to_string();
        assert_eq!(server.call("admin", "StopTask", &body).await.0, 200);
        stopped += 1;
    }
    for limit in [1, 4, 100] {
        let check = async |filters: Value, expected: usize| {
            let mut request = filters.clone();
            request["maxResults"] = limit.into();
            let (items, _) = walk(&server, "ListTasks", request, "taskArns").await;
            assert_eq!((items.len(), distinct(&items)), (expected, expected), "{filters}");
        };
        check(json!({}), 12).await;
        check(json!({"desiredStatus": "STOPPED"}), stopped).await;
        check(json!({"desiredStatus": "PENDING"}), 0).await;
        check(json!({"family": "a"}), 8).await;
        check(json!({"family": "a", "desiredStatus": "STOPPED"}), 2).await;
        check(json!({"family": "c"}), 0).await;
        check(json!({"startedBy": "me"}), 8).await;
        check(json!({"startedBy": "me", "desiredStatus": "STOPPED"}), 2).await;
        check(json!({"containerInstance": instance}), 12).await;
        check(json!({"containerInstance": instance, "family": "b"}), 4).await;
        check(json!({"launchType": "EC2", "family": "b"}), 4).await;
        check(json!({"launchType": "FARGATE"}), 0).await;
    }
}
