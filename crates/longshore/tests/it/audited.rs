//! Who did what: the trail, its explanations, logging in, and a server without a root key.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::harness::{LONGSHORE, Up, eventually};
use nix::sys::signal::Signal;

/// A user with these policies, as a profile of shared files in the data folder.
fn user(up: &Up, name: &str, policy: &Value) {
    up.aws(&["iam", "create-user", "--user-name", name]);
    let document = policy.to_string();
    let put = ["iam", "put-user-policy", "--user-name", name, "--policy-name", "own"];
    assert!(up.try_aws(&[&put[..], &["--policy-document", &document]].concat()).status.success());
    let key = up.aws(&["iam", "create-access-key", "--user-name", name])["AccessKey"].clone();
    let text = |member: &str| key[member].as_str().unwrap().to_owned();
    let section = format!(
        "[{name}]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        text("AccessKeyId"),
        text("SecretAccessKey")
    );
    append(up, "people", &section);
    let profile =
        format!("[profile {name}]\nendpoint_url = {}\nregion = us-east-1\n", up.endpoint());
    append(up, "config", &profile);
}

fn append(up: &Up, file: &str, text: &str) {
    let path = up.data().join(file);
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(&path, before + text).unwrap();
}

/// A program of somebody who has a profile in those files.
fn by(up: &Up, program: &str, profile: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("AWS_SHARED_CREDENTIALS_FILE", up.data().join("people"))
        .env("AWS_CONFIG_FILE", up.data().join("config"))
        .env("AWS_ENDPOINT_URL", up.endpoint())
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("LONGSHORE_DATA_DIR", up.data());
    match program {
        "aws" => command.env("AWS_PROFILE", profile),
        _ => command.args(["--profile", profile]),
    };
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn allow(actions: &Value) -> Value {
    json!({ "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": actions, "Resource": "*" } })
}

#[test]
fn calls_are_remembered_and_refusals_explained() {
    let up = Up::server(&[]);
    user(&up, "ada", &allow(&json!(["ecs:List*"])));
    assert!(by(&up, "aws", "ada", &["ecs", "list-clusters"]).status.success());
    let refused = by(&up, "aws", "ada", &["ecs", "delete-cluster", "--cluster", "default"]);
    assert!(said(&refused).contains("AccessDeniedException"), "{}", said(&refused));
    let secret = ["secretsmanager", "create-secret", "--name", "app/db"];
    up.aws(&[&secret[..], &["--secret-string", "hush-hush"]].concat());

    let mut lines = String::new();
    assert!(eventually(|| {
        lines = up.cli(&["audit", "--who", "ada"]);
        lines.contains("ecs:DeleteCluster")
    }));
    let denied = up.cli(&["audit", "--denied", "--output", "json"]);
    let denied: Value = serde_json::from_str(&denied).unwrap();
    let record = &denied["Records"][0];
    assert_eq!(record["eventName"], "DeleteCluster");
    assert_eq!(record["requestParameters"], json!({ "cluster": "default" }));
    assert_eq!(record["additionalEventData"]["decision"], "implicitDeny");
    let id = record["requestID"].as_str().unwrap();
    let why = up.cli(&["why-denied", id]);
    let cluster = "arn:aws:ecs:us-east-1:000000000000:cluster/default";
    for part in [
        "ecs:DeleteCluster by user/ada",
        "because no identity-based policy allows the ecs:DeleteCluster action",
        &format!("ecs:cluster = {cluster}"),
        "Policies that were asked: own",
        &format!("\"Action\": \"ecs:DeleteCluster\", \"Resource\": \"{cluster}\""),
    ] {
        assert!(why.contains(part), "{part}: {why}");
    }
    let asked = ["why-denied", "--principal", "user/ada", "--action", "ecs:ListClusters"];
    let why = up.cli(&asked);
    assert!(why.contains("user/ada may perform ecs:ListClusters on *"), "{why}");
    assert!(why.contains("ALLOW by own, statement 1"), "{why}");

    // As CloudTrail's clients ask.
    let key = "AttributeKey=EventName,AttributeValue=DeleteCluster";
    let events = up.aws(&["cloudtrail", "lookup-events", "--lookup-attributes", key]);
    assert_eq!(events["Events"][0]["Username"], "ada", "{events:#}");
    // Ada may not look, and policies say who may look at the server's own paths.
    assert!(!by(&up, "aws", "ada", &["cloudtrail", "lookup-events"]).status.success());
    assert!(!by(&up, LONGSHORE, "ada", &["audit"]).status.success());
    user(&up, "eve", &allow(&json!(["longshore:Audit*"])));
    let looks = by(&up, LONGSHORE, "eve", &["audit", "verify"]);
    assert!(said(&looks).starts_with("The chain holds"), "{}", said(&looks));
    assert!(!by(&up, LONGSHORE, "eve", &["token", "create"]).status.success());

    // No secret is in it, and nothing can be taken out of it.
    let folder = up.data().join("audit");
    let file = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("app/db") && !text.contains("hush-hush"));
    let (_, administrator) = up.keys();
    assert!(!text.contains(&administrator));
    let copy = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let name = file.file_name().unwrap();
    let without = [&lines[..2], &lines[3..]].concat().concat();
    fs::write(copy.path().join(name), without).unwrap();
    let broken = up.try_cli(&["audit", "verify", "--folder", copy.path().to_str().unwrap()]);
    assert!(said(&broken).contains("line 3: it has the number"), "{}", said(&broken));
}

#[test]
fn credentials_of_a_login_end_by_themselves() {
    let up = Up::server(&[]);
    user(&up, "ada", &allow(&json!(["ecs:*", "iam:*", "ecr:*"])));
    let login = by(&up, LONGSHORE, "ada", &["login", "--hours", "2"]);
    assert!(login.status.success(), "{}", said(&login));
    let session = "longshore-session";
    assert!(by(&up, "aws", session, &["ecs", "list-clusters"]).status.success());
    let who = said(&by(&up, "aws", session, &["sts", "get-caller-identity"]));
    assert!(who.contains("arn:aws:iam::000000000000:user/ada"), "{who}");
    // As on AWS: not IAM. In a role, that as well.
    let iam = said(&by(&up, "aws", session, &["iam", "list-users"]));
    assert!(iam.contains("InvalidClientTokenId"), "{iam}");
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::000000000000:user/ada" }, "Action": "sts:AssumeRole" } })
    .to_string();
    let create = ["iam", "create-role", "--role-name", "admin", "--assume-role-policy-document"];
    up.aws(&[&create[..], &[&trust]].concat());
    let attach = ["iam", "attach-role-policy", "--role-name", "admin", "--policy-arn"];
    let all = "arn:aws:iam::aws:policy/AdministratorAccess";
    assert!(up.try_aws(&[&attach[..], &[all]].concat()).status.success());
    let login = by(&up, LONGSHORE, "ada", &["login", "--role", "admin", "--to", "as-admin"]);
    assert!(login.status.success(), "{}", said(&login));
    assert!(by(&up, "aws", "as-admin", &["iam", "list-users"]).status.success());
    // Our own commands take them, too; and the registry gives passwords for them.
    let tokens = by(&up, LONGSHORE, "as-admin", &["token", "list"]);
    assert!(tokens.status.success(), "{}", said(&tokens));
    let password = by(&up, "aws", "as-admin", &["ecr", "get-login-password"]);
    assert!(password.status.success(), "{}", said(&password));
    let printed = by(&up, LONGSHORE, "ada", &["login", "--credential-process"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed["Version"], 1);
    assert!(printed["AccessKeyId"].as_str().unwrap().starts_with("ASIA"), "{printed}");
}

#[test]
fn a_server_without_a_root_key_goes_on_and_its_machine_makes_a_new_one() {
    let mut up = Up::start(&[]);
    user(&up, "ada", &allow(&json!(["*"])));
    let (root, _) = up.keys();
    let listed = up.aws(&["iam", "list-access-keys"]);
    assert_eq!(listed["AccessKeyMetadata"][0]["AccessKeyId"], root.as_str());
    let delete = ["iam", "delete-access-key", "--access-key-id", &root];
    assert!(up.try_aws(&delete).status.success());
    assert!(!up.try_aws(&["ecs", "list-clusters"]).status.success(), "the key is gone");
    up.process().end(Signal::SIGTERM);
    up.restart();
    assert!(!up.data().join("credentials").exists(), "no start makes another");
    let config = format!("[profile ada]\nendpoint_url = {}\nregion = us-east-1\n", up.endpoint());
    fs::write(up.data().join("config"), config).unwrap();
    let status = by(&up, LONGSHORE, "ada", &["status"]);
    assert!(status.status.success(), "{}", said(&status));
    assert!(by(&up, LONGSHORE, "ada", &["audit"]).status.success());
    assert!(by(&up, "aws", "ada", &["iam", "list-users"]).status.success());
    // Whoever has the machine gets in again.
    let told = up.cli(&["recover"]);
    assert!(told.contains("Restart the server"), "{told}");
    up.process().end(Signal::SIGTERM);
    up.restart();
    assert_ne!(up.keys().0, root);
    up.aws(&["iam", "list-users"]);
    let once = up.keys();
    up.process().end(Signal::SIGTERM);
    up.restart();
    assert_eq!(up.keys(), once, "a wish is granted once");
}
