//! Scanning images with the aws CLI: pushed by a client that others wrote, looked up in advisories that
//! the operator supplies.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stage::Sample;
use tempfile::TempDir;

use crate::harness::Up;

const CRITICAL: &str = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H";
const STATUS: &[u8] = b"Package: libssl3\nStatus: install ok installed\nSource: openssl\n\
                        Version: 3.0.11-1~deb12u1\n\nPackage: base-files\n\
                        Status: install ok installed\nVersion: 12.4\n";
const INSTALLED: &[u8] = b"P:musl\nV:1.2.4-r2\nA:x86_64\no:musl\n\nP:ssl_client\nV:1.36.1-r5\n\
                           A:x86_64\no:busybox\n";

fn debian() -> Vec<u8> {
    let release = b"ID=debian\nVERSION_ID=\"12\"\n";
    Sample::new().file("etc/os-release", release).file("var/lib/dpkg/status", STATUS).done()
}

fn alpine() -> Vec<u8> {
    let release = b"ID=alpine\nVERSION_ID=3.19.1\n";
    Sample::new().file("etc/os-release", release).file("lib/apk/db/installed", INSTALLED).done()
}

/// Keeps a blob in an OCI layout; its descriptor.
fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = blobs::Digest::of(bytes).to_string();
    let folder = layout.join("blobs/sha256");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
    json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": bytes.len()})
}

/// An image of one layer, packed with gzip, as an OCI layout.
fn layout(tar: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(tar).unwrap();
    let layer = blob(at, "layer.v1.tar+gzip", &gzip.finish().unwrap());
    let diff = blobs::Digest::of(tar).to_string();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff]}});
    let config = blob(at, "config.v1+json", config.to_string().as_bytes());
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": [layer],
        "mediaType": "application/vnd.oci.image.manifest.v1+json"});
    let manifest = blob(at, "manifest.v1+json", manifest.to_string().as_bytes());
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(at.join("index.json"), index.to_string()).unwrap();
    fs::write(at.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string()).unwrap();
    folder
}

fn push(up: &Up, tar: &[u8], name: &str) {
    let (user, password) = up.keys();
    let host = up.endpoint().trim_start_matches("http://").to_owned();
    let layout = layout(tar);
    let done = Command::new("skopeo")
        .args(["copy", "--dest-tls-verify=false", "--dest-creds", &format!("{user}:{password}")])
        .args([format!("oci:{}", layout.path().display()), format!("docker://{host}/{name}")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn advise(folder: &Path, id: &str, ecosystem: &str, package: &str, fixed: &str) {
    let advisory = json!({
        "id": id, "summary": format!("Something is wrong with {package}."),
        "severity": [{"type": "CVSS_V3", "score": CRITICAL}],
        "affected": [{"package": {"ecosystem": ecosystem, "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]}],
    });
    fs::write(folder.join(format!("{id}.json")), advisory.to_string()).unwrap();
}

/// What `aws ecr OPERATION --repository-name app --image-id imageTag=TAG …` says.
fn ask(up: &Up, operation: &[&str], tag: &str, more: &[&str]) -> Value {
    let image = format!("imageTag={tag}");
    let args = ["--repository-name", "app", "--image-id", &image];
    up.aws(&[&["ecr"], operation, &args, more].concat())
}

fn names(told: &Value) -> Vec<&str> {
    let findings = told["imageScanFindings"]["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["name"].as_str().unwrap()).collect()
}

#[test]
fn images_are_scanned_for_what_the_operator_knows() {
    let advisories = tempfile::tempdir().unwrap();
    advise(advisories.path(), "CVE-2024-1", "Debian:12", "openssl", "3.0.13-1~deb12u1");
    let path = advisories.path().display().to_string();
    let up = Up::server(&["--registry-osv", &path]);
    up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    push(&up, &debian(), "app:debian");
    let started = ask(&up, &["start-image-scan"], "debian", &[]);
    assert_eq!(started["imageScanStatus"]["status"], "IN_PROGRESS", "{started}");
    ask(&up, &["wait", "image-scan-complete"], "debian", &[]);
    let told = ask(&up, &["describe-image-scan-findings"], "debian", &[]);
    assert_eq!(
        told["imageScanFindings"]["findingSeverityCounts"],
        json!({"CRITICAL": 1}),
        "{told}"
    );
    assert_eq!(names(&told), ["CVE-2024-1"]);
    let attributes = &told["imageScanFindings"]["findings"][0]["attributes"];
    assert_eq!(attributes[0], json!({"key": "package_name", "value": "libssl3"}));
    let again = up.try_aws(&[
        "ecr",
        "start-image-scan",
        "--repository-name",
        "app",
        "--image-id",
        "imageTag=debian",
    ]);
    let words = String::from_utf8_lossy(&again.stderr);
    assert!(
        words.contains("LimitExceededException") && words.contains("quota per image"),
        "{words}"
    );
    // On push, with advisories that came while the server runs, in pages.
    let on_push = ["put-image-scanning-configuration", "--repository-name", "app"];
    up.aws(
        &[&["ecr"], &on_push[..], &["--image-scanning-configuration", "scanOnPush=true"]].concat(),
    );
    advise(advisories.path(), "CVE-2024-2", "Alpine:v3.19", "musl", "1.2.5-r0");
    advise(advisories.path(), "CVE-2024-3", "Alpine:v3.19", "busybox", "1.36.1-r6");
    push(&up, &alpine(), "app:alpine");
    ask(&up, &["wait", "image-scan-complete"], "alpine", &[]);
    let told = ask(&up, &["describe-image-scan-findings"], "alpine", &["--page-size", "1"]);
    assert_eq!(names(&told), ["CVE-2024-2", "CVE-2024-3"]);
    let told = up.aws(&["ecr", "describe-images", "--repository-name", "app"]);
    for detail in told["imageDetails"].as_array().unwrap() {
        assert_eq!(detail["imageScanStatus"]["status"], "COMPLETE", "{told}");
        assert!(!detail["imageScanFindingsSummary"]["vulnerabilitySourceUpdatedAt"].is_null());
    }
}

#[test]
fn advisories_that_are_not_there_are_told_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let done = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .args(args)
        .args(["--registry-osv", "/nowhere/at/all"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && words.contains("--registry-osv"), "{words}");
}
