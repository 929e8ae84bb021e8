//! Uploads in all the ways that clients have, and mounts.

use std::sync::Arc;

use ledger::MemoryStore;
use serde_json::json;

use super::world::{Answer, Kept, World, digest, everywhere};

async fn world(kept: Kept) -> World {
    let world = World::keeping(kept).await;
    world.repository("app").await;
    world
}

everywhere! {
    the_apis_way,
    post_then_put,
    streamed_in_one_patch,
    in_parts_that_follow_each_other,
    at_once,
    wrong_digests_are_told_and_nothing_stays,
    cancelled,
    an_upload_is_its_repositorys_alone,
    mounts,
}

async fn begin(world: &World) -> String {
    let answer = world.send("POST", "/v2/app/blobs/uploads/", &[], b"").await;
    assert_eq!((answer.status, answer.header("range")), (202, "0-0"));
    let location = answer.header("location").to_owned();
    assert!(location.ends_with(answer.header("docker-upload-uuid")), "{location}");
    location
}

fn check(answer: &Answer, status: u16, range: &str) {
    assert_eq!((answer.status, answer.header("range")), (status, range));
}

async fn post_then_put(world: World) {
    let location = begin(&world).await;
    let named = digest(b"hello");
    let answer = world.send("PUT", &format!("{location}?digest={named}"), &[], b"hello").await;
    assert_eq!((answer.status, answer.header("docker-content-digest")), (201, named.as_str()));
    assert_eq!(answer.header("location"), format!("/v2/app/blobs/{named}"));
    assert_eq!(world.send("GET", answer.header("location"), &[], b"").await.body, b"hello");
    let again = world.send("PUT", &format!("{location}?digest={named}"), &[], b"hello").await;
    assert_eq!((again.status, again.code()), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
}

async fn streamed_in_one_patch(world: World) {
    let location = begin(&world).await;
    let bytes = vec![7_u8; 2_500_000];
    check(&world.send("PATCH", &location, &[], &bytes).await, 202, "0-2499999");
    let path = format!("{location}?digest={}", digest(&bytes));
    assert_eq!(world.send("PUT", &path, &[], b"").await.status, 201);
}

async fn in_parts_that_follow_each_other(world: World) {
    let location = begin(&world).await;
    let part = async |range: &str, bytes: &[u8]| {
        let (range, length) =
            (format!("content-range: {range}"), format!("content-length: {}", bytes.len()));
        world.send("PATCH", &location, &[&range, &length], bytes).await
    };
    check(&part("0-4", b"hello").await, 202, "0-4");
    let ahead = part("7-9", b"rld").await;
    check(&ahead, 416, "0-4");
    assert_eq!(ahead.header("location"), location, "the upload goes on");
    check(&part("0-4", b"hello").await, 416, "0-4");
    check(&world.send("GET", &location, &[], b"").await, 204, "0-4");
    check(&part("bytes 5-6/*", b", ").await, 202, "0-6");
    assert_eq!(part("7-9", b"w").await.code(), "SIZE_INVALID", "shorter than it says");
    assert_eq!(part("x", b"w").await.code(), "SIZE_INVALID");
    check(&part("7-9", b"wor").await, 202, "0-9");
    let put = format!("{location}?digest={}", digest(b"hello, world"));
    let late = world.send("PUT", &put, &["content-range: 0-1"], b"ld").await;
    check(&late, 416, "0-9");
    assert_eq!(world.send("PUT", &put, &["content-range: 10-11"], b"ld").await.status, 201);
}

async fn at_once(world: World) {
    let path = format!("/v2/app/blobs/uploads/?digest={}", digest(b"hello"));
    for _ in 0..2 {
        let answer = world.send("POST", &path, &[], b"hello").await;
        assert_eq!(answer.status, 201, "twice is no error");
    }
    assert_eq!(world.files().await, 1);
}

async fn wrong_digests_are_told_and_nothing_stays(world: World) {
    let wrong = digest(b"other");
    let refused = async |method: &str, path: String, body: &[u8]| {
        let answer = world.send(method, &path, &[], body).await;
        assert_eq!((answer.status, answer.code()), (400, "DIGEST_INVALID".to_owned()), "{path}");
    };
    refused("POST", format!("/v2/app/blobs/uploads/?digest={wrong}"), b"hello").await;
    refused("POST", "/v2/app/blobs/uploads/?digest=sha256:baddigeststring".to_owned(), b"x").await;
    refused("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5".to_owned(), b"").await;
    let location = begin(&world).await;
    refused("PUT", location.clone(), b"hello").await;
    refused("PUT", format!("{location}?digest=sha1:00"), b"hello").await;
    refused("PUT", format!("{location}?digest={wrong}"), b"hello").await;
    assert_eq!(world.send("GET", &location, &[], b"").await.status, 404, "it is over");
    assert_eq!(world.files().await, 0);
    assert_eq!(world.partial().await, 0);
}

async fn cancelled(world: World) {
    let location = begin(&world).await;
    assert_eq!(world.send("DELETE", &location, &[], b"").await.status, 204);
    for method in ["GET", "PATCH", "DELETE"] {
        let answer = world.send(method, &location, &[], b"").await;
        assert_eq!((answer.status, answer.code()), (404, "BLOB_UPLOAD_UNKNOWN".to_owned()));
    }
}

async fn an_upload_is_its_repositorys_alone(world: World) {
    world.repository("other").await;
    let location = begin(&world).await;
    let elsewhere = location.replace("/app/", "/other/");
    assert_eq!(world.send("PATCH", &elsewhere, &[], b"x").await.status, 404);
    for id in ["..", "x", "../../../etc/passwd", "00000000-0000-4000-8000-000000000000"] {
        let path = format!("/v2/app/blobs/uploads/{id}");
        assert_eq!(world.send("GET", &path, &[], b"").await.status, 404, "{id}");
    }
}

async fn mounts(world: World) {
    world.repository("other").await;
    let named = world.blob("app", b"hello").await;
    let mount = async |query: &str| {
        world.send("POST", &format!("/v2/other/blobs/uploads/?{query}"), &[], b"").await
    };
    for query in [
        format!("mount={named}&from=none"),
        format!("mount={named}&from=../app"),
        format!("mount={}&from=app", digest(b"none")),
        format!("mount={}", digest(b"none")),
    ] {
        assert_eq!(mount(&query).await.status, 202, "{query}: an upload instead");
    }
    world.get("PutAccountSetting", json!({"name": "BLOB_MOUNTING", "value": "DISABLED"})).await;
    assert_eq!(mount(&format!("mount={named}&from=app")).await.status, 202);
    world.get("PutAccountSetting", json!({"name": "BLOB_MOUNTING", "value": "ENABLED"})).await;
    let answer = mount(&format!("mount={named}&from=app")).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (201, format!("/v2/other/blobs/{named}").as_str())
    );
    assert_eq!(world.send("GET", answer.header("location"), &[], b"").await.body, b"hello");
    assert_eq!(mount(&format!("mount={named}")).await.status, 201, "it is here already");
    world.repository("third").await;
    let anywhere = format!("/v2/third/blobs/uploads/?mount={named}");
    assert_eq!(world.send("POST", &anywhere, &[], b"").await.status, 201, "another has it");
    let path = format!("/v2/third/blobs/{named}");
    assert_eq!(world.send("GET", &path, &[], b"").await.body, b"hello");
    assert_eq!(world.files().await, 1, "once on the disk");
}

#[tokio::test]
async fn uploads_outlive_the_process() {
    outlive(Kept::OnDisk).await;
    outlive(Kept::InBucket(bucket::Bucket::in_memory())).await;
}

async fn outlive(kept: Kept) {
    let (folder, store) = (Arc::new(tempfile::TempDir::new().unwrap()), MemoryStore::new());
    let first = World::restarted(folder.clone(), kept.clone(), store.clone()).await;
    first.repository("app").await;
    let location = begin(&first).await;
    first.send("PATCH", &location, &[], b"hello, ").await;
    drop(first);
    let second = World::restarted(folder, kept, store).await;
    check(&second.send("GET", &location, &[], b"").await, 204, "0-6");
    second.send("PATCH", &location, &["content-range: 7-11"], b"world").await;
    let path = format!("{location}?digest={}", digest(b"hello, world"));
    assert_eq!(second.send("PUT", &path, &[], b"").await.status, 201);
}

#[tokio::test]
async fn what_a_node_on_the_machine_has_is_not_kept_twice() {
    use std::os::unix::fs::MetadataExt;
    let world = world(Kept::OnDisk).await;
    let node = blobs::Store::open(world.path().join("images")).unwrap();
    let known = node.put(b"layer").unwrap();
    world.blob("app", b"layer").await;
    let file = world.path().join(format!("registry/sha256/{}", known.hex()));
    let told = std::fs::metadata(&file).unwrap();
    assert_eq!(told.ino(), std::fs::metadata(node.path(&known)).unwrap().ino());
    // Either may let it go.
    node.delete(&known).unwrap();
    assert_eq!(world.send("GET", &format!("/v2/app/blobs/{known}"), &[], b"").await.body, b"layer");
}

async fn the_apis_way(world: World) {
    use data_encoding::BASE64;
    let begun = world.get("InitiateLayerUpload", json!({"repositoryName": "app"})).await;
    let id = begun["uploadId"].as_str().unwrap();
    let part = |first: i64, bytes: &[u8]| {
        json!({"repositoryName": "app", "uploadId": id, "partFirstByte": first,
            "partLastByte": first + bytes.len() as i64 - 1, "layerPartBlob": BASE64.encode(bytes)})
    };
    let complete =
        |digest: &str| json!({"repositoryName": "app", "uploadId": id, "layerDigests": [digest]});
    let empty = world.ask("CompleteLayerUpload", &complete(&digest(b"x")).to_string()).await;
    assert!(empty.1.contains("EmptyUploadException"), "{}", empty.1);
    let told = world.get("UploadLayerPart", part(0, b"hello, ")).await;
    assert_eq!(told["lastByteReceived"], 6);
    let (_, ahead) = world.ask("UploadLayerPart", &part(9, b"x").to_string()).await;
    assert!(
        ahead.contains("InvalidLayerPartException")
            && ahead.contains("\"lastValidByteReceived\":6")
    );
    world.get("UploadLayerPart", part(7, b"world")).await;
    let named = digest(b"hello, world");
    world.get("CompleteLayerUpload", complete(&named)).await;
    let url = world
        .get("GetDownloadUrlForLayer", json!({"repositoryName": "app", "layerDigest": named}))
        .await;
    let url = url["downloadUrl"].as_str().unwrap().to_owned();
    let path = &url[url.find("/v2/").unwrap()..];
    assert_eq!(world.send("GET", path, &[], b"").await.body, b"hello, world");
}
