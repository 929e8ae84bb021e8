//! The registry with a client that others wrote, and a task that runs what was pushed.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::json;

use crate::harness::{Up, example_image, piped};
use crate::security::{certificates, text};

/// Copies with skopeo; panics with its words if it fails.
pub fn skopeo(args: &[&str]) {
    let done = Command::new("skopeo").args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_node_trusts_its_own_servers_registry() {
    let tls = certificates();
    let up = Up::start_with(&["--tls-dir", &text(tls.path())], &[]);
    let made = up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let uri = made["repository"]["repositoryUri"].as_str().unwrap();
    let (user, password) = up.keys();
    let image = format!("oci-archive:{}", example_image("busybox"));
    let (target, login) = (format!("docker://{uri}:v1"), format!("{user}:{password}"));
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &login, &image, &target]);
    let definition = json!({
        "family": "trusted", "networkMode": "host",
        "containerDefinitions": [{"name": "main", "memory": 32,
            "image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v1",
            "command": ["sh", "-c", "exit 7"]}],
    });
    let id = up.run_task(&definition);
    let task = up.await_status(&id, "STOPPED");
    assert_eq!(task["containers"][0]["exitCode"], 7, "{task}");
}

#[test]
fn what_is_pushed_runs() {
    let up = Up::start(&[]);
    let made = up.aws(&["ecr", "create-repository", "--repository-name", "team/app"]);
    let uri = made["repository"]["repositoryUri"].as_str().unwrap();
    let (host, _) = uri.split_once('/').unwrap();
    let token = up.aws(&["ecr", "get-authorization-token"]);
    let token = token["authorizationData"][0]["authorizationToken"].as_str().unwrap();
    let login = piped("base64", &["-d"], token);
    let image = format!("oci-archive:{}", example_image("busybox"));
    let target = format!("docker://{uri}:v1");
    let refused = Command::new("skopeo")
        .args(["copy", "--dest-no-creds", "--dest-tls-verify=false", &image, &target])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "nobody pushes who has not logged in");
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &login, &image, &target]);
    let told = up.aws(&["ecr", "describe-images", "--repository-name", "team/app"]);
    let digest = told["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    for image in [
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/app:v1".to_owned(),
        format!("{host}/team/app@{digest}"),
    ] {
        let definition = json!({
            "family": "pushed", "networkMode": "host",
            "containerDefinitions": [{"name": "main", "image": image, "memory": 32,
                "command": ["sh", "-c", "exit 7"]}],
        });
        let id = up.run_task(&definition);
        let task = up.await_status(&id, "STOPPED");
        assert_eq!(task["containers"][0]["exitCode"], 7, "{task}");
        assert_eq!(task["containers"][0]["imageDigest"], digest.as_str());
    }
    // Once on the disk.
    let folder = up.data().join("registry/sha256");
    let mut shared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let node = up.data().join("images/blobs/sha256").join(entry.file_name());
        let is_one =
            std::fs::metadata(node).is_ok_and(|told| told.ino() == entry.metadata().unwrap().ino());
        shared += usize::from(is_one);
    }
    assert!(shared >= 2, "configuration and layer");
}
