//! Two servers: what one pulls through from the other, and what it replicates to it; with a client that
//! others wrote.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Up, eventually, example_image};

/// Copies with skopeo; panics with its words if it fails.
fn copy(up: &Up, pushes: bool, source: &str, target: &str) {
    let (user, password) = up.keys();
    let end = if pushes { "dest" } else { "src" };
    let done = Command::new("skopeo")
        .args(["copy", &format!("--{end}-tls-verify=false"), &format!("--{end}-creds")])
        .args([&format!("{user}:{password}"), source, target])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn host(up: &Up) -> String {
    up.endpoint().trim_start_matches("http://").to_owned()
}

/// Calls the second server, which is in a region of its own.
fn aws_there(there: &Up, args: &[&str]) -> Value {
    there.aws(&[&["--region", "eu-west-1"], args].concat())
}

fn digest(told: &Value) -> Value {
    told["imageDetails"][0]["imageDigest"].clone()
}

#[test]
fn images_go_from_one_server_to_another() {
    let there = Up::server(&["--region", "eu-west-1"]);
    let (user, password) = there.keys();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("destinations.toml");
    let entry = format!(
        "[[destination]]\nregistry = \"000000000000\"\nregion = \"eu-west-1\"\nurl = \"{}\"\n\
         access_key_id = \"{user}\"\nsecret_access_key = \"{password}\"\n",
        there.endpoint()
    );
    fs::write(&file, entry).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let here = Up::server(&["--registry-destinations", file.to_str().unwrap()]);
    let rules = json!({"rules": [{
        "destinations": [{"region": "eu-west-1", "registryId": "000000000000"}],
        "repositoryFilters": [{"filter": "team/", "filterType": "PREFIX_MATCH"}]}]});
    let rules = rules.to_string();
    here.aws(&["ecr", "put-replication-configuration", "--replication-configuration", &rules]);
    here.aws(&["ecr", "create-repository", "--repository-name", "team/app"]);
    let image = format!("oci-archive:{}", example_image("busybox"));
    copy(&here, true, &image, &format!("docker://{}/team/app:v1", host(&here)));
    let ask = ["ecr", "describe-image-replication-status", "--repository-name", "team/app"];
    let ask = [&ask[..], &["--image-id", "imageTag=v1"]].concat();
    let is_complete = || here.aws(&ask)["replicationStatuses"][0]["status"] == "COMPLETE";
    assert!(eventually(is_complete), "{}", here.aws(&ask));
    let images = ["ecr", "describe-images", "--repository-name", "team/app"];
    let named = digest(&here.aws(&images));
    assert_eq!(digest(&aws_there(&there, &images)), named);
    comes_through(&here, &there, &named);
}

/// What the first server has is pulled from the other.
fn comes_through(upstream: &Up, here: &Up, named: &Value) {
    let (username, access_token) = upstream.keys();
    let text = json!({"username": username, "accessToken": access_token}).to_string();
    let name = "ecr-pullthroughcache/first";
    let args = ["secretsmanager", "create-secret", "--name", name, "--secret-string", &text];
    let secret = aws_there(here, &args);
    let rule = ["ecr", "create-pull-through-cache-rule", "--ecr-repository-prefix", "first"];
    let url = host(upstream);
    let more =
        ["--upstream-registry-url", &url, "--credential-arn", secret["ARN"].as_str().unwrap()];
    aws_there(here, &[&rule[..], &more].concat());
    let check = ["ecr", "validate-pull-through-cache-rule", "--ecr-repository-prefix", "first"];
    assert_eq!(aws_there(here, &check)["isValid"], true);
    let (folder, source) = (tempfile::tempdir().unwrap(), host(here));
    let target = format!("dir:{}", folder.path().join("image").display());
    copy(here, false, &format!("docker://{source}/first/team/app:v1"), &target);
    let ask = ["ecr", "describe-images", "--repository-name", "first/team/app"];
    let is_kept = || digest(&aws_there(here, &ask)) == *named;
    assert!(eventually(is_kept), "{}", aws_there(here, &ask));
}

/// As with AWS's ECR: a key takes a role, which asks for a token; and images keep the name that they have
/// there.
#[test]
fn a_task_runs_an_image_that_another_ecr_has() {
    let upstream = Up::server(&[]);
    upstream.aws(&["ecr", "create-repository", "--repository-name", "team/app"]);
    let image = format!("oci-archive:{}", example_image("busybox"));
    copy(&upstream, true, &image, &format!("docker://{}/team/app:v1", host(&upstream)));
    let rights = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];
    let role = upstream.role("pulls", &rights);

    let here = Up::start(&[]);
    let (username, access_token) = upstream.keys();
    let text = json!({"username": username, "accessToken": access_token}).to_string();
    let name = "ecr-pullthroughcache/aws";
    let secret = ["secretsmanager", "create-secret", "--name", name, "--secret-string", &text];
    let secret = here.aws(&secret);
    let rule = ["ecr", "create-pull-through-cache-rule", "--ecr-repository-prefix", "ROOT"];
    let (url, arn) = (host(&upstream), secret["ARN"].as_str().unwrap());
    let more = ["--upstream-registry", "ecr", "--upstream-registry-url", &url];
    let login = ["--credential-arn", arn, "--custom-role-arn", &role];
    here.aws(&[&rule[..], &more, &login].concat());
    let check = ["ecr", "validate-pull-through-cache-rule", "--ecr-repository-prefix", "ROOT"];
    let refused = here.aws(&check);
    assert_eq!(refused["isValid"], false, "the role trusts tasks alone: {refused}");
    assert!(refused["failure"].as_str().unwrap().contains("AccessDenied"), "{refused}");

    let trust = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow",
        "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}});
    let update = ["iam", "update-assume-role-policy", "--role-name", "pulls", "--policy-document"];
    let updated = upstream.try_aws(&[&update[..], &[&trust.to_string()]].concat());
    assert!(updated.status.success(), "{}", String::from_utf8_lossy(&updated.stderr));
    let valid = here.aws(&check);
    assert_eq!(valid["isValid"], true, "{valid}");
    let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/team/app:v1";
    let task = here.run_task(&json!({"family": "app", "containerDefinitions": [{
        "name": "main", "image": image, "memory": 32, "command": ["true"]}]}));
    let stopped = here.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 0, "{stopped:#}");
}
