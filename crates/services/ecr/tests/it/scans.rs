//! Scans of images: on push and when asked, with advisories that change, across a restart.

use std::fs;
use std::sync::Arc;

use ecr::Challenge;
use ledger::MemoryStore;
use serde_json::{Value, json};
use stage::Sample;
use tempfile::TempDir;

use super::world::{Kept, OCI_INDEX, OCI_MANIFEST, World};

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";

/// An Alpine with so many packages `p0`, `p1`, …, all in version 1.0.
fn alpine(packages: usize) -> Vec<u8> {
    let packages: String = (0..packages).map(|n| format!("P:p{n}\nV:1.0\n\n")).collect();
    let layer = Sample::new().file("etc/os-release", b"ID=alpine\nVERSION_ID=3.19.1\n");
    layer.file("lib/apk/db/installed", packages.as_bytes()).done()
}

fn advise(folder: &TempDir, id: &str, package: &str) {
    let text = json!({
        "id": id, "summary": "Something is wrong.", "severity": [{"type": "CVSS_V3", "score": CRITICAL}],
        "references": [{"type": "ADVISORY", "url": format!("https://advisories.test/{id}")}],
        "affected": [{"package": {"ecosystem": "Alpine:v3.19", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]}],
    });
    fs::create_dir_all(folder.path().join("osv")).unwrap();
    fs::write(folder.path().join(format!("osv/{id}.json")), text.to_string()).unwrap();
}

fn on(folder: &Arc<TempDir>, store: &MemoryStore) -> impl Future<Output = World> {
    World::on(Arc::clone(folder), store.clone(), true, Challenge::Basic)
}

/// A world with an advisory about `p0`.
async fn world() -> World {
    let folder = Arc::new(TempDir::new().unwrap());
    advise(&folder, "CVE-2024-1", "p0");
    let world = on(&folder, &MemoryStore::new()).await;
    world.repository("app").await;
    world
}

fn image(tag: &str) -> Value {
    json!({"repositoryName": "app", "imageId": {"imageTag": tag}})
}

async fn status(world: &World, tag: &str) -> String {
    let told = world.get("DescribeImageScanFindings", image(tag)).await;
    told["imageScanStatus"]["status"].as_str().unwrap().to_owned()
}

async fn refused(world: &World, operation: &str, input: &Value) -> String {
    let (status, body) = world.ask(operation, &input.to_string()).await;
    assert_eq!(status, 400, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    told["__type"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_asked_for_is_found() {
    let world = world().await;
    let digest = world.image("app", Some("v1"), &alpine(3)).await;
    let findings = refused(&world, "DescribeImageScanFindings", &image("v1")).await;
    assert_eq!(findings, "ScanNotFoundException");
    let started = world.get("StartImageScan", image("v1")).await;
    assert_eq!(started["imageScanStatus"], json!({"status": "IN_PROGRESS"}));
    assert_eq!(started["imageId"], json!({"imageDigest": digest, "imageTag": "v1"}));
    let told = world.get("DescribeImageScanFindings", image("v1")).await;
    assert_eq!(told["imageScanStatus"]["status"], "IN_PROGRESS");
    assert!(told.get("imageScanFindings").is_none(), "{told}");
    world.ecr.scan().await;
    let told = world.get("DescribeImageScanFindings", image("v1")).await;
    assert_eq!(
        told["imageScanStatus"],
        json!({"status": "COMPLETE", "description": "The scan was completed successfully."})
    );
    let found = &told["imageScanFindings"];
    assert_eq!(found["findingSeverityCounts"], json!({"CRITICAL": 1}));
    assert!(
        found["vulnerabilitySourceUpdatedAt"].is_number()
            && found["imageScanCompletedAt"].is_number()
    );
    assert_eq!(
        found["findings"],
        json!([{
            "name": "CVE-2024-1", "description": "Something is wrong.", "severity": "CRITICAL",
            "uri": "https://advisories.test/CVE-2024-1",
            "attributes": [
                {"key": "package_name", "value": "p0"}, {"key": "package_version", "value": "1.0"},
                {"key": "fixed_in_version", "value": "1.1"}, {"key": "CVSS3_VECTOR", "value": CRITICAL},
                {"key": "CVSS3_SCORE", "value": "9.8"},
            ],
        }])
    );
    let detail = world.get("DescribeImages", json!({"repositoryName": "app"})).await;
    let detail = &detail["imageDetails"][0];
    assert_eq!(detail["imageScanStatus"]["status"], "COMPLETE");
    assert_eq!(detail["imageScanFindingsSummary"]["findingSeverityCounts"], json!({"CRITICAL": 1}));
}

#[tokio::test]
async fn an_image_is_scanned_once_a_day_with_the_newest_advisories() {
    let world = world().await;
    world.image("app", Some("v1"), &alpine(3)).await;
    world.get("StartImageScan", image("v1")).await;
    assert_eq!(refused(&world, "StartImageScan", &image("v1")).await, "LimitExceededException");
    world.ecr.scan().await;
    assert_eq!(refused(&world, "StartImageScan", &image("v1")).await, "LimitExceededException");
    world.wait(24);
    advise(&world.folder, "CVE-2024-2", "p1");
    world.get("StartImageScan", image("v1")).await;
    world.ecr.scan().await;
    let told = world.get("DescribeImageScanFindings", image("v1")).await;
    assert_eq!(told["imageScanFindings"]["findingSeverityCounts"], json!({"CRITICAL": 2}));
}

#[tokio::test]
async fn findings_come_in_pages_and_go_with_their_image() {
    let world = world().await;
    for package in 1..30 {
        advise(&world.folder, &format!("CVE-2025-{package}"), &format!("p{package}"));
    }
    world.image("app", Some("v1"), &alpine(30)).await;
    world.get("StartImageScan", image("v1")).await;
    world.ecr.scan().await;
    // What was found is kept as long as its image is.
    world.wait(48);
    world.ecr.sweep().await;
    let (mut names, mut token) = (std::collections::BTreeSet::new(), Value::Null);
    for page in 0.. {
        let mut input = image("v1");
        input["maxResults"] = json!(8);
        if !token.is_null() {
            input["nextToken"] = token;
        }
        let told = world.get("DescribeImageScanFindings", input).await;
        let findings = told["imageScanFindings"]["findings"].as_array().unwrap();
        names.extend(findings.iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        token = told["nextToken"].clone();
        assert_eq!(
            (findings.len(), token.is_null()),
            if page < 3 { (8, false) } else { (6, true) }
        );
        if token.is_null() {
            break;
        }
    }
    assert_eq!(names.len(), 30);
    let gone = json!({"repositoryName": "app", "imageIds": [{"imageTag": "v1"}]});
    world.get("BatchDeleteImage", gone).await;
    world.wait(48);
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 0);
    world.image("app", Some("v1"), &alpine(30)).await;
    let findings = refused(&world, "DescribeImageScanFindings", &image("v1")).await;
    assert_eq!(findings, "ScanNotFoundException", "the scan went with its image");
    world.get("StartImageScan", image("v1")).await;
    world.get("DeleteRepository", json!({"repositoryName": "app", "force": true})).await;
    world.ecr.scan().await;
}

#[tokio::test]
async fn pushes_are_scanned_where_it_is_said() {
    let world = world().await;
    world.image("app", Some("v1"), &alpine(1)).await;
    world.ecr.scan().await;
    assert_eq!(
        refused(&world, "DescribeImageScanFindings", &image("v1")).await,
        "ScanNotFoundException"
    );
    let on_push =
        json!({"repositoryName": "app", "imageScanningConfiguration": {"scanOnPush": true}});
    world.get("PutImageScanningConfiguration", on_push).await;
    world.image("app", Some("v2"), &alpine(2)).await;
    assert_eq!(status(&world, "v2").await, "IN_PROGRESS");
    world.ecr.scan().await;
    assert_eq!(status(&world, "v2").await, "COMPLETE");
    // The same image once more is no news.
    world.image("app", Some("v2"), &alpine(2)).await;
    assert_eq!(status(&world, "v2").await, "COMPLETE");
    world.wait(25);
    world.image("app", Some("v2"), &alpine(2)).await;
    assert_eq!(status(&world, "v2").await, "IN_PROGRESS");
    // A rule of the registry, by a part of the name.
    let rules = json!([{"scanFrequency": "SCAN_ON_PUSH",
        "repositoryFilters": [{"filter": "prod", "filterType": "WILDCARD"}]}]);
    let rules = json!({"scanType": "BASIC", "rules": rules});
    world.get("PutRegistryScanningConfiguration", rules).await;
    for (name, expected) in [("team/prod-1", 200), ("test", 400)] {
        world.repository(name).await;
        world.image(name, Some("v1"), &alpine(1)).await;
        let input = json!({"repositoryName": name, "imageId": {"imageTag": "v1"}}).to_string();
        assert_eq!(world.ask("DescribeImageScanFindings", &input).await.0, expected, "{name}");
    }
    let asked = json!({"repositoryNames": ["team/prod-1", "test", "app"]});
    let told = world.get("BatchGetRepositoryScanningConfiguration", asked).await;
    let frequencies: Vec<_> = told["scanningConfigurations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["scanFrequency"].as_str().unwrap())
        .collect();
    assert_eq!(frequencies, ["SCAN_ON_PUSH", "MANUAL", "SCAN_ON_PUSH"]);
}

#[tokio::test]
async fn a_scan_survives_a_restart() {
    let (folder, store) = (Arc::new(TempDir::new().unwrap()), MemoryStore::new());
    advise(&folder, "CVE-2024-1", "p0");
    let before = on(&folder, &store).await;
    before.repository("app").await;
    before.image("app", Some("v1"), &alpine(1)).await;
    before.get("StartImageScan", image("v1")).await;
    drop(before);
    let after = on(&folder, &store).await;
    assert_eq!(status(&after, "v1").await, "IN_PROGRESS");
    after.ecr.scan().await;
    assert_eq!(status(&after, "v1").await, "COMPLETE");
}

#[tokio::test]
async fn what_cannot_be_scanned_is_told() {
    let world = world().await;
    let check = async |tag: &str, layer: &[u8], expected: [&str; 2]| {
        world.image("app", Some(tag), layer).await;
        world.get("StartImageScan", image(tag)).await;
        world.ecr.scan().await;
        let told = world.get("DescribeImageScanFindings", image(tag)).await;
        let status = &told["imageScanStatus"];
        assert_eq!(status["status"], expected[0], "{told}");
        assert!(status["description"].as_str().unwrap().contains(expected[1]), "{told}");
        assert!(told.get("imageScanFindings").is_none());
        // It counts for nothing.
        world.get("StartImageScan", image(tag)).await;
        world.ecr.scan().await;
    };
    check("text", b"no tar", ["FAILED", "it is no tar"]).await;
    let escaping = Sample::new().file("../victim", b"x").done();
    check("escaping", &escaping, ["FAILED", "has '..' in its name"]).await;
    check("empty", &Sample::new().done(), ["UNSUPPORTED_IMAGE", "No packages"]).await;
    let other = Sample::new().file("etc/os-release", b"ID=alpine\nVERSION_ID=3.1\n");
    let other = other.file("lib/apk/db/installed", b"P:p0\nV:1.0\n").done();
    check("other", &other, ["UNSUPPORTED_IMAGE", "no advisories about Alpine:v3.1."]).await;
    fs::remove_dir_all(world.path().join("osv")).unwrap();
    check("without", &alpine(2), ["FINDINGS_UNAVAILABLE", "cannot be read"]).await;
}

#[tokio::test]
async fn layers_in_a_bucket_are_read_too() {
    let folder = Arc::new(TempDir::new().unwrap());
    advise(&folder, "CVE-2024-1", "p0");
    let kept = Kept::InBucket(bucket::Bucket::in_memory());
    let world = World::restarted(folder, kept, MemoryStore::new()).await;
    world.repository("app").await;
    world.image("app", Some("v1"), &alpine(1)).await;
    world.get("StartImageScan", image("v1")).await;
    world.ecr.scan().await;
    assert_eq!(status(&world, "v1").await, "COMPLETE");
    world.ecr.sweep().await;
    let told = world.get("DescribeImageScanFindings", image("v1")).await;
    assert_eq!(told["imageScanFindings"]["findings"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(world.files().await, 4, "what was found is kept beside the image");
    world.get("DeleteRepository", json!({"repositoryName": "app", "force": true})).await;
    world.ecr.sweep().await;
    assert_eq!(world.files().await, 0);
}

#[tokio::test]
async fn without_advisories_nothing_is_said() {
    let world = World::open().await;
    world.repository("app").await;
    world.image("app", Some("v1"), &alpine(1)).await;
    world.get("StartImageScan", image("v1")).await;
    world.ecr.scan().await;
    let told = world.get("DescribeImageScanFindings", image("v1")).await;
    assert_eq!(told["imageScanStatus"]["status"], "FINDINGS_UNAVAILABLE");
    let why = told["imageScanStatus"]["description"].as_str().unwrap();
    assert!(why.contains("--registry-osv") && told.get("imageScanFindings").is_none(), "{told}");
}

#[tokio::test]
async fn what_has_no_files_is_refused() {
    let world = world().await;
    let none = refused(&world, "StartImageScan", &image("none")).await;
    assert_eq!(none, "ImageNotFoundException");
    let elsewhere = json!({"repositoryName": "none", "imageId": {"imageTag": "v1"}});
    let none = refused(&world, "StartImageScan", &elsewhere).await;
    assert_eq!(none, "RepositoryNotFoundException");
    let digest = world.image("app", Some("v1"), &alpine(1)).await;
    let size = world.manifest("app", &alpine(1)).await.to_string().len();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [{"mediaType": OCI_MANIFEST, "digest": digest, "size": size}]});
    world.put("app", Some("all"), &index, OCI_INDEX).await;
    let index = refused(&world, "StartImageScan", &image("all")).await;
    assert_eq!(index, "UnsupportedImageTypeException");
    let archive = json!({"repositoryName": "app", "imageId": {"imageTag": "v1"},
        "targetStorageClass": "ARCHIVE"});
    world.get("UpdateImageStorageClass", archive).await;
    let archived = refused(&world, "StartImageScan", &image("v1")).await;
    assert_eq!(archived, "ImageArchivedException");
    // An attestation has layers, of JSON.
    let mut attestation = world.manifest("app", b"{\"a\": 1}").await;
    attestation["layers"][0]["mediaType"] = json!("application/vnd.in-toto+json");
    world.put("app", Some("told"), &attestation, OCI_MANIFEST).await;
    world.get("StartImageScan", image("told")).await;
    world.ecr.scan().await;
    assert_eq!(status(&world, "told").await, "UNSUPPORTED_IMAGE");
}

#[tokio::test]
async fn what_is_watched_is_scanned_anew_when_there_is_news() {
    let world = world().await;
    world.image("app", Some("v1"), &alpine(3)).await;
    let rules = json!([{"scanFrequency": "CONTINUOUS_SCAN",
        "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}]);
    let rules = json!({"scanType": "ENHANCED", "rules": rules});
    world.get("PutRegistryScanningConfiguration", rules).await;
    // What was pushed before, too.
    world.ecr.scan().await;
    let counts = async |tag: &str| {
        let told = world.get("DescribeImageScanFindings", image(tag)).await;
        told["imageScanFindings"]["findingSeverityCounts"].clone()
    };
    let completed = async || {
        let told = world.get("DescribeImageScanFindings", image("v1")).await;
        told["imageScanFindings"]["imageScanCompletedAt"].clone()
    };
    assert_eq!(counts("v1").await, json!({"CRITICAL": 1}));
    let first = completed().await;
    world.wait(48);
    world.ecr.scan().await;
    assert_eq!(completed().await, first, "there is no news");
    advise(&world.folder, "CVE-2024-2", "p1");
    world.image("app", Some("v2"), &alpine(1)).await;
    world.ecr.scan().await;
    assert_eq!(counts("v1").await, json!({"CRITICAL": 2}));
    assert_eq!(counts("v2").await, json!({"CRITICAL": 1}));
}
