//! What nobody honest sends: each has an error of its own, and nothing of it stays.

use serde_json::{Value, json};

use super::world::{OCI_INDEX, OCI_MANIFEST, World, digest};

async fn put(world: &World, reference: &str, bytes: &[u8], kind: &str) -> (u16, String, Value) {
    let kind = format!("content-type: {kind}");
    let path = format!("/v2/app/manifests/{reference}");
    let answer = world.send("PUT", &path, &[&kind], bytes).await;
    (answer.status, answer.code(), answer.json())
}

#[tokio::test]
async fn manifests_that_cannot_be_kept() {
    let world = World::open().await;
    world.repository("app").await;
    let good = world.manifest("app", b"one").await;
    let check = async |what: &str, bytes: Vec<u8>, kind: &str, status: u16, code: &str| {
        let told = put(&world, "v1", &bytes, kind).await;
        assert_eq!((told.0, told.1.as_str()), (status, code), "{what}: {}", told.2);
    };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        manifest.to_string().into_bytes()
    };
    let invalid = "MANIFEST_INVALID";
    check("no JSON", b"{".to_vec(), OCI_MANIFEST, 400, invalid).await;
    check("another type", changed(&|_| ()), OCI_INDEX, 400, invalid).await;
    check(
        "no known type",
        changed(&|m| m["mediaType"] = json!("text/plain")),
        "text/plain",
        400,
        invalid,
    )
    .await;
    let both = changed(&|m| m["manifests"] = json!([]));
    check("both kinds", both, OCI_MANIFEST, 400, invalid).await;
    let depth = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    check("deep", depth.into_bytes(), OCI_INDEX, 400, invalid).await;
    let mut large = changed(&|_| ());
    large.resize(4_194_305, b' ');
    check("large", large, OCI_MANIFEST, 413, invalid).await;
    let descriptor = good["layers"][0].clone();
    let many = changed(&|m| m["layers"] = json!(vec![descriptor.clone(); 1_001]));
    check("many", many, OCI_MANIFEST, 400, invalid).await;
    let draft = "application/vnd.oci.artifact.manifest.v1+json";
    let artifact = changed(&|m| m["mediaType"] = json!(draft));
    check("a draft", artifact, draft, 405, "UNSUPPORTED").await;
    let absent = changed(&|m| m["layers"][0]["digest"] = json!(digest(b"absent")));
    check("absent layer", absent, OCI_MANIFEST, 400, "MANIFEST_BLOB_UNKNOWN").await;
    let length = changed(&|m| m["layers"][0]["size"] = json!(4));
    check("wrong length", length, OCI_MANIFEST, 400, "SIZE_INVALID").await;
    let climbing = changed(&|m| m["layers"][0]["digest"] = json!("sha256:../../../etc/passwd"));
    check("a path", climbing, OCI_MANIFEST, 400, invalid).await;
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": digest(b"absent"), "size": 1}]});
    check("absent child", index.to_string().into_bytes(), OCI_INDEX, 400, "MANIFEST_BLOB_UNKNOWN")
        .await;
    let text = changed(&|_| ());
    let told = put(&world, &digest(b"other"), &text, OCI_MANIFEST).await;
    assert_eq!((told.0, told.1.as_str()), (400, "DIGEST_INVALID"), "another digest");
    let listed = world.get("ListImages", json!({"repositoryName": "app"})).await;
    assert_eq!(listed["imageIds"], json!([]), "nothing stayed");
}

#[tokio::test]
async fn an_index_in_an_index_ten_thousand_deep_costs_nothing() {
    let world = World::open().await;
    world.repository("app").await;
    let mut inner = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    let depth = 300;
    for _ in 0..depth {
        let text = inner.to_string();
        let named = world.put("app", None, &inner, OCI_INDEX).await;
        inner = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_INDEX, "digest": named, "size": text.len()}]});
    }
    world.put("app", Some("deep"), &inner, OCI_INDEX).await;
    world.ecr.sweep().await;
    let answer = world.send("GET", "/v2/app/manifests/deep", &[], b"").await;
    assert_eq!(answer.body, inner.to_string().into_bytes());
}

#[tokio::test]
async fn paths_lead_nowhere() {
    let world = World::open().await;
    world.repository("app").await;
    for path in [
        "/v2/../app/tags/list",
        "/v2/%2e%2e/app/tags/list",
        "/v2/app/../../x/manifests/v1",
        "/v2/app/manifests/..%2f..%2fv1",
        "/v2/app/blobs/sha256:%2e%2e%2fx",
        "/v2/app/blobs/../x",
        "/v2/APP/tags/list",
        "/v2/a%00b/tags/list",
    ] {
        let status = world.send("GET", path, &[], b"").await.status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
}
