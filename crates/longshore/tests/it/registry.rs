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

#[test]
fn what_a_node_has_is_pushed() {
    let up = Up::start(&["busybox"]);
    let made = up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let uri = made["repository"]["repositoryUri"].as_str().unwrap();
    let told = up.cli(&["image", "push", "busybox", "--to", &format!("{uri}:v1")]);
    let images = up.aws(&["ecr", "describe-images", "--repository-name", "app"]);
    let digest = images["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    assert_eq!(told.trim_end(), format!("pushed {uri}:v1 {digest}"));
    assert_eq!(images["imageDetails"][0]["imageTags"], json!(["v1"]));
    // By ECR's name for it, too; and what is there already is not sent again.
    let of_ecr = "000000000000.dkr.ecr.us-east-1.amazonaws.com/app:v2";
    up.cli(&["image", "push", "busybox", "--to", of_ecr]);
    let told = up.cli(&["image", "pull", of_ecr]);
    assert_eq!(told.trim_end(), format!("pulled {of_ecr} {digest}"));
    // Who has nothing to do with the server is told how to be somebody.
    let elsewhere = tempfile::tempdir().unwrap();
    let folder = elsewhere.path().to_str().unwrap();
    let refused = up.try_cli(&["image", "pull", &format!("{uri}:v1"), "--data-dir", folder]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("--registry-auth"), "{told}");
    let nowhere = uri.replace("/app", "/nowhere");
    for (image, to, why) in [
        ("busybox", nowhere.as_str(), "The repository with name 'nowhere' does not exist"),
        ("nothing", uri, "there is no image docker.io/library/nothing:latest"),
    ] {
        let refused = up.try_cli(&["image", "push", image, "--to", to]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(why), "{told}");
    }
}

/// Whether skopeo may; its words if not.
fn tried(args: &[&str]) -> Result<(), String> {
    let done = Command::new("skopeo").args(args).output().unwrap();
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

fn of_resource(effect: &str, user: &str, actions: &[&str]) -> String {
    let statement = json!({ "Effect": effect, "Principal": { "AWS": user }, "Action": actions });
    json!({ "Version": "2012-10-17", "Statement": statement }).to_string()
}

#[test]
fn policies_of_repositories_hold_for_their_clients() {
    let up = Up::server(&[]);
    let made = up.aws(&["ecr", "create-repository", "--repository-name", "app"]);
    let uri = made["repository"]["repositoryUri"].as_str().unwrap();
    let (key, secret) = up.keys();
    let image = format!("oci-archive:{}", example_image("busybox"));
    let (there, to) = (format!("docker://{uri}:v1"), format!("docker://{uri}:v2"));
    let login = format!("{key}:{secret}");
    skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &login, &image, &there]);
    let made = up.aws(&["iam", "create-user", "--user-name", "ada"]);
    let ada = made["User"]["Arn"].as_str().unwrap();
    let made = up.aws(&["iam", "create-access-key", "--user-name", "ada"]);
    let key = |member: &str| made["AccessKey"][member].as_str().unwrap();
    let login = format!("{}:{}", key("AccessKeyId"), key("SecretAccessKey"));
    let pull = || {
        let folder = tempfile::tempdir().unwrap();
        let into = format!("dir:{}", folder.path().display());
        tried(&["copy", "--src-tls-verify=false", "--src-creds", &login, &there, &into])
    };
    let push = || tried(&["copy", "--dest-tls-verify=false", "--dest-creds", &login, &image, &to]);
    let set = |text: &str| {
        let set = ["ecr", "set-repository-policy", "--repository-name", "app", "--policy-text"];
        up.aws(&[&set[..], &[text]].concat());
    };
    let refused = pull().unwrap_err();
    let because = "no identity-based policy allows the ecr:BatchGetImage action";
    assert!(refused.contains(because), "{refused}");

    // She has no policy of her own: the repository's lets her pull, and nothing else.
    let pulling = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    set(&of_resource("Allow", ada, &pulling));
    pull().unwrap();
    // Skopeo looks for the layers first, and says no more of why it may not.
    let refused = push().unwrap_err();
    assert!(refused.contains("403 (Forbidden)"), "{refused}");

    // The registry's counts for each repository; the repository's own denial stays one.
    let put = |text: &str| up.aws(&["ecr", "put-registry-policy", "--policy-text", text]);
    put(&of_resource("Allow", ada, &["ecr:*"]));
    push().unwrap();
    set(&of_resource("Deny", ada, &["ecr:BatchGetImage"]));
    let refused = pull().unwrap_err();
    let because = "with an explicit deny in a resource-based policy";
    assert!(refused.contains(because), "{refused}");
    put(&of_resource("Deny", ada, &["ecr:PutImage"]));
    set(&of_resource("Allow", ada, &["ecr:*"]));
    pull().unwrap();
    let refused = push().unwrap_err();
    assert!(refused.contains(because) && refused.contains("ecr:PutImage"), "{refused}");
}
