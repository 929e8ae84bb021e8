//! What is pushed here and goes to another registry.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ecr::{Challenge, Destination};
use ledger::MemoryStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;
use wire::Secret;

use super::world::{KEY, Kept, OCI_INDEX, OCI_MANIFEST, SECRET, World, digest};

const REGION: &str = "eu-west-1";

fn destination(at: SocketAddr, password: &str) -> Vec<Destination> {
    vec![Destination {
        registry: "123456789012".parse().unwrap(),
        region: REGION.parse().unwrap(),
        url: format!("http://{at}"),
        username: KEY.to_owned(),
        password: Secret::new(password),
    }]
}

/// An address at which nobody listens, for as long as this is held.
fn nobody() -> TcpSocket {
    let held = TcpSocket::new_v4().unwrap();
    held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    held
}

async fn replicate_all(world: &World, filters: Value) {
    let mut rule = json!({"destinations": [{"region": REGION, "registryId": "123456789012"}]});
    if !filters.is_null() {
        rule["repositoryFilters"] = filters;
    }
    let input = json!({"replicationConfiguration": {"rules": [rule]}});
    let told = world.get("PutReplicationConfiguration", input.clone()).await;
    assert_eq!(told, input);
    let told = world.get("DescribeRegistry", json!({})).await;
    assert_eq!(told["replicationConfiguration"], input["replicationConfiguration"]);
}

/// How far an image is: status and code of the only place.
async fn status(world: &World, name: &str, tag: &str) -> (String, Value) {
    let input = json!({"repositoryName": name, "imageId": {"imageTag": tag}});
    let told = world.get("DescribeImageReplicationStatus", input).await;
    let only = &told["replicationStatuses"][0];
    (only["status"].as_str().unwrap_or("none").to_owned(), only["failureCode"].clone())
}

fn complete() -> (String, Value) {
    ("COMPLETE".to_owned(), Value::Null)
}

#[tokio::test]
async fn a_push_goes_to_the_other_registry() {
    let there = World::open().await;
    let here = World::with(destination(there.serve().await, SECRET)).await;
    here.repository("team/app").await;
    here.repository("other").await;
    here.image("team/app", Some("before"), b"before").await;
    replicate_all(&here, json!([{"filter": "team/", "filterType": "PREFIX_MATCH"}])).await;
    let layer = vec![3_u8; 9 * 1024 * 1024];
    let one = here.image("team/app", Some("one"), &layer).await;
    let bytes = here.send("GET", "/v2/team/app/manifests/one", &[], b"").await.body;
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": one, "size": bytes.len()}]});
    let named = here.put("team/app", Some("all"), &index, OCI_INDEX).await;
    here.image("other", Some("v1"), b"other").await;
    assert_eq!(status(&here, "team/app", "all").await.0, "IN_PROGRESS");
    here.ecr.replicate().await;
    for tag in ["one", "all"] {
        assert_eq!(status(&here, "team/app", tag).await, complete(), "{tag}");
    }
    for (name, tag) in [("team/app", "before"), ("other", "v1")] {
        assert_eq!(status(&here, name, tag).await.0, "none", "{name}:{tag}");
    }
    let answer = there.send("GET", "/v2/team/app/manifests/all", &[], b"").await;
    assert_eq!(answer.header("docker-content-digest"), named);
    let tags = there.send("GET", "/v2/team/app/tags/list", &[], b"").await.json();
    assert_eq!(tags["tags"], json!(["all", "one"]));
    let path = format!("/v2/team/app/blobs/{}", digest(&layer));
    assert!(there.send("GET", &path, &[], b"").await.body == layer);
    assert_eq!(there.send("GET", "/v2/other/tags/list", &[], b"").await.code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn a_replica_goes_no_further() {
    let last = World::open().await;
    let middle = World::with(destination(last.serve().await, SECRET)).await;
    replicate_all(&middle, Value::Null).await;
    let first = World::with(destination(middle.serve().await, SECRET)).await;
    replicate_all(&first, Value::Null).await;
    first.repository("app").await;
    first.image("app", Some("v1"), b"layer").await;
    first.ecr.replicate().await;
    middle.ecr.replicate().await;
    assert_eq!(status(&first, "app", "v1").await, complete());
    assert_eq!(status(&middle, "app", "v1").await.0, "none");
    assert_eq!(last.send("GET", "/v2/app/tags/list", &[], b"").await.code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn what_was_to_go_goes_after_a_restart() {
    let nobody = nobody();
    let away = nobody.local_addr().unwrap();
    let (folder, store) = (Arc::new(TempDir::new().unwrap()), MemoryStore::new());
    let made = async |at: SocketAddr| {
        let (folder, store) = ((Arc::clone(&folder), Kept::OnDisk), store.clone());
        World::made(folder, store, true, Challenge::Basic, destination(at, SECRET)).await
    };
    {
        let here = made(away).await;
        replicate_all(&here, Value::Null).await;
        here.repository("app").await;
        here.image("app", Some("v1"), b"layer").await;
        here.ecr.replicate().await;
        assert_eq!(status(&here, "app", "v1").await.0, "IN_PROGRESS", "it is tried again");
    }
    let there = World::open().await;
    let here = made(there.serve().await).await;
    here.wait(1);
    here.ecr.replicate().await;
    assert_eq!(status(&here, "app", "v1").await, complete());
    assert_eq!(there.send("GET", "/v2/app/manifests/v1", &[], b"").await.status, 200);
}

#[tokio::test]
async fn what_never_works_fails() {
    let there = World::closed(Challenge::Bearer).await;
    let here = World::with(destination(there.serve().await, "wrong")).await;
    replicate_all(&here, Value::Null).await;
    here.repository("app").await;
    here.image("app", Some("v1"), b"layer").await;
    here.ecr.replicate().await;
    let failed = ("FAILED".to_owned(), json!("AccessDenied"));
    assert_eq!(status(&here, "app", "v1").await, failed);
    let nobody = nobody();
    let away = nobody.local_addr().unwrap();
    let here = World::with(destination(away, SECRET)).await;
    replicate_all(&here, Value::Null).await;
    here.repository("app").await;
    here.image("app", Some("v1"), b"layer").await;
    for _ in 0..11 {
        assert_eq!(status(&here, "app", "v1").await.0, "IN_PROGRESS");
        here.ecr.replicate().await;
        here.wait(1);
    }
    let failed = ("FAILED".to_owned(), json!("DestinationUnreachable"));
    assert_eq!(status(&here, "app", "v1").await, failed);
    here.get(
        "BatchDeleteImage",
        json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]}),
    )
    .await;
    here.image("app", Some("v1"), b"layer").await;
    assert_eq!(status(&here, "app", "v1").await.0, "IN_PROGRESS", "a push begins anew");
}

#[tokio::test]
async fn tags_that_may_not_move_there_stay() {
    let there = World::open().await;
    let input = json!({"prefix": "app", "appliedFor": ["REPLICATION"],
        "imageTagMutability": "IMMUTABLE"});
    there.get("CreateRepositoryCreationTemplate", input).await;
    let here = World::with(destination(there.serve().await, SECRET)).await;
    replicate_all(&here, Value::Null).await;
    here.repository("app").await;
    let old = here.image("app", Some("v1"), b"old").await;
    here.ecr.replicate().await;
    let new = here.image("app", Some("v1"), b"new").await;
    here.ecr.replicate().await;
    assert_eq!(status(&here, "app", "v1").await, complete());
    let tagged = there.send("GET", "/v2/app/manifests/v1", &[], b"").await;
    assert_eq!(tagged.header("docker-content-digest"), old);
    let path = format!("/v2/app/manifests/{new}");
    assert_eq!(there.send("GET", &path, &[], b"").await.status, 200, "it came without the tag");
}

#[tokio::test]
async fn a_closed_registry_lets_replicas_in_by_their_key() {
    let there = World::closed(Challenge::Basic).await;
    let here = World::with(destination(there.serve().await, SECRET)).await;
    replicate_all(&here, Value::Null).await;
    here.repository("app").await;
    here.image("app", Some("v1"), b"layer").await;
    here.ecr.replicate().await;
    assert_eq!(status(&here, "app", "v1").await, complete());
}
