//! What is particular to bytes in a bucket: parts, what dead servers leave, and whose the bucket is.

use std::sync::Arc;

use bucket::{Bucket, BucketError};
use bytes::Bytes;
use ecr::{Misplaced, Tables};
use ledger::{Ledger, MemoryStore, Schema, SecretsKeys};
use stage::{CountedIds, HeldClock};
use tempfile::TempDir;

use super::world::{Kept, OCI_MANIFEST, World, depot, digest};

/// More than two parts.
const LARGE_BYTES: usize = 15 * 1024 * 1024;

async fn world(bucket: &Bucket) -> World {
    let world = World::keeping(Kept::InBucket(bucket.clone())).await;
    world.repository("app").await;
    world
}

/// Bytes that do not repeat soon.
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(|_| next()).collect()
}

async fn begin(world: &World) -> String {
    let answer = world.send("POST", "/v2/app/blobs/uploads/", &[], b"").await;
    answer.header("location").to_owned()
}

/// The names in a folder of the bucket.
async fn names(bucket: &Bucket, folder: &str) -> Vec<String> {
    let mut names = Vec::new();
    bucket.each(folder, |name| names.push(name.to_owned())).await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn a_large_layer_comes_in_any_cuts_on_any_server() {
    let (bucket, store) = (Bucket::in_memory(), MemoryStore::new());
    let folder = Arc::new(TempDir::new().unwrap());
    let whole = bytes(LARGE_BYTES);
    // Cuts before, at and after the ends of parts, and one over several.
    let cuts = [0, 10, 6 << 20, (6 << 20) + 1, LARGE_BYTES];
    let mut location = String::new();
    for (number, cut) in cuts.windows(2).enumerate() {
        // Each part goes to a server that knows nothing of the ones before.
        let kept = Kept::InBucket(bucket.clone());
        let world = World::restarted(folder.clone(), kept, store.clone()).await;
        if number == 0 {
            world.repository("app").await;
            location = begin(&world).await;
        }
        let range = format!("content-range: {}-{}", cut[0], cut[1] - 1);
        let sent = world.send("PATCH", &location, &[&range], &whole[cut[0]..cut[1]]).await;
        assert_eq!(
            (sent.status, sent.header("range")),
            (202, format!("0-{}", cut[1] - 1).as_str())
        );
        assert!(names(&bucket, "blobs").await.is_empty(), "nothing is there before all is");
    }
    let world = World::restarted(folder, Kept::InBucket(bucket.clone()), store).await;
    let shown = world.send("GET", &location, &[], b"").await;
    assert_eq!(shown.header("range"), format!("0-{}", LARGE_BYTES - 1));
    let named = digest(&whole);
    let put = world.send("PUT", &format!("{location}?digest={named}"), &[], b"").await;
    assert_eq!(put.status, 201);
    let path = format!("/v2/app/blobs/{named}");
    assert!(world.send("GET", &path, &[], b"").await.body == whole);
    // Over the end of a part.
    let (first, last) = ((6 << 20) - 3, (6 << 20) + 3);
    let part = world.send("GET", &path, &[&format!("range: bytes={first}-{last}")], b"").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &whole[first..=last]));
    assert_eq!(names(&bucket, "uploads").await, [""; 0], "nothing is left of the upload");
    assert_eq!(names(&bucket, "blobs").await.len(), 1);
}

#[tokio::test]
async fn wrong_and_cancelled_large_uploads_leave_nothing() {
    let bucket = Bucket::in_memory();
    let world = world(&bucket).await;
    let whole = bytes(LARGE_BYTES);
    let location = begin(&world).await;
    let put = format!("{location}?digest={}", digest(b"other"));
    assert_eq!(world.send("PUT", &put, &[], &whole).await.code(), "DIGEST_INVALID");
    let location = begin(&world).await;
    world.send("PATCH", &location, &[], &whole).await;
    assert_eq!(names(&bucket, "uploads").await.len(), 1);
    assert_eq!(world.send("DELETE", &location, &[], b"").await.status, 204);
    for folder in ["blobs", "uploads"] {
        assert!(names(&bucket, folder).await.is_empty(), "{folder}");
    }
}

#[tokio::test]
async fn the_same_bytes_lie_there_once_and_anew_after_they_went() {
    let bucket = Bucket::in_memory();
    let world = world(&bucket).await;
    world.repository("other").await;
    world.image("app", Some("v1"), b"layer").await;
    let first = names(&bucket, "blobs").await;
    world.image("other", Some("v1"), b"layer").await;
    assert_eq!(names(&bucket, "blobs").await, first);
    for name in ["app", "other"] {
        let input = serde_json::json!({"repositoryName": name, "force": true});
        world.get("DeleteRepository", input).await;
    }
    world.ecr.sweep().await;
    assert!(names(&bucket, "blobs").await.is_empty());
    world.repository("app").await;
    world.image("app", Some("v1"), b"layer").await;
    let again = names(&bucket, "blobs").await;
    // Whoever deletes one of the first now harms nobody.
    assert!(again.len() == 3 && again.iter().all(|name| !first.contains(name)), "{again:?}");
}

#[tokio::test]
async fn what_a_dead_server_left_goes_after_a_day() {
    let bucket = Bucket::in_memory();
    let world = world(&bucket).await;
    world.image("app", Some("v1"), b"layer").await;
    let location = begin(&world).await;
    world.send("PATCH", &location, &[], b"hello").await;
    let kept = names(&bucket, "blobs").await;
    for key in ["blobs/left", "uploads/left"] {
        bucket.put(key, Bytes::from_static(b"left")).await.unwrap();
    }
    world.ecr.sweep().await;
    world.wait(23);
    world.send("PATCH", &location, &[], b", ").await;
    world.ecr.sweep().await;
    assert_eq!(names(&bucket, "blobs").await.len(), kept.len() + 1, "it may be named yet");
    world.wait(2);
    world.ecr.sweep().await;
    assert_eq!(names(&bucket, "blobs").await, kept);
    assert_eq!(names(&bucket, "uploads").await.len(), 1, "somebody adds to that one");
    world.wait(25);
    world.ecr.sweep().await;
    assert!(names(&bucket, "uploads").await.is_empty());
    assert_eq!(world.send("GET", &location, &[], b"").await.status, 404);
    assert_eq!(names(&bucket, "blobs").await, kept);
}

#[tokio::test]
async fn nothing_goes_from_a_bucket_that_is_anothers() {
    let bucket = Bucket::in_memory();
    bucket.own("another installation").await.unwrap();
    let world = world(&bucket).await;
    bucket.put("blobs/theirs", Bytes::from_static(b"theirs")).await.unwrap();
    for _ in 0..2 {
        world.ecr.sweep().await;
        world.wait(30);
    }
    assert_eq!(names(&bucket, "blobs").await, ["theirs"]);
    let refused = bucket.own("this installation").await.unwrap_err();
    assert!(
        matches!(refused, BucketError::Foreign { owner, .. } if owner == "another installation")
    );
}

#[tokio::test]
async fn what_is_refused_leaves_no_object() {
    let bucket = Bucket::in_memory();
    let world = world(&bucket).await;
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/x", "digest": digest(b"none"), "size": 4}, "layers": [],
    });
    let kind = format!("content-type: {OCI_MANIFEST}");
    let bytes = manifest.to_string();
    let answer = world.send("PUT", "/v2/app/manifests/v1", &[&kind], bytes.as_bytes()).await;
    assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
    assert!(names(&bucket, "blobs").await.is_empty());
}

/// What a server is told that starts on this ledger with a store of this kind.
fn started(folder: &TempDir, kept: &Kept, store: &MemoryStore) -> Result<(), Misplaced> {
    let mut schema = Schema::new();
    let tables = Tables::declare(&mut schema);
    secrets::Tables::declare(&mut schema);
    schema.seal_secrets(Arc::new(SecretsKeys::new(&[[7_u8; 32]]).unwrap()));
    let (clock, ids) = (Arc::new(HeldClock::default()), Arc::new(CountedIds::from(1)));
    let ledger = Ledger::open(schema, Box::new(store.clone()), clock, ids).unwrap();
    depot(folder, kept, &ledger, tables).0.check(&ledger, &tables)
}

#[tokio::test]
async fn images_in_the_other_kind_of_store_are_not_lost_sight_of() {
    let kinds = || [Kept::OnDisk, Kept::InBucket(Bucket::in_memory())];
    for (kept, other, why) in [
        (kinds()[0].clone(), kinds()[1].clone(), Misplaced::OnDisk),
        (kinds()[1].clone(), kinds()[0].clone(), Misplaced::InBucket),
    ] {
        let (folder, store) = (Arc::new(TempDir::new().unwrap()), MemoryStore::new());
        assert_eq!(started(&folder, &kept, &store), Ok(()), "nothing is anywhere yet");
        assert_eq!(started(&folder, &other, &store), Ok(()), "nor there");
        let world = World::restarted(folder.clone(), kept.clone(), store.clone()).await;
        world.repository("app").await;
        world.image("app", Some("v1"), b"a layer").await;
        drop(world);
        assert_eq!(started(&folder, &kept, &store), Ok(()));
        assert_eq!(started(&folder, &other, &store), Err(why));
        assert!(why.to_string().contains("--registry-store"), "{why}");
    }
}
