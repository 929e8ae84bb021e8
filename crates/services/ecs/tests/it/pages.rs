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
