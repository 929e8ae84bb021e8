//! The plane's own security: TLS from end to end, joining, who may do what, secrets at rest and
//! in logs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{LONGSHORE, Process, Up, eventually};

pub fn longshore(args: &[&str]) -> Output {
    Command::new(LONGSHORE).args(args).output().unwrap()
}

/// What a command says that has to fail.
pub fn refusal(args: &[&str]) -> String {
    let output = longshore(args);
    assert!(!output.status.success(), "longshore {args:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A folder of certificates.
pub fn certificates() -> TempDir {
    let folder = TempDir::new().unwrap();
    let made = longshore(&["init", "--dir", &text(folder.path()), "--server", "plane.test"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    folder
}

/// What curl gets: status and body; status 0 if there was no answer. Signed, if there is a key: for
/// the region that it names, else for the plane's own.
pub fn curl(up: &Up, path: &str, key: Option<&Value>, more: &[&str]) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-s", "-k", "--max-time", "60", "-w", "\n%{http_code}"]);
    if let Some(key) = key {
        let part = |name: &str| key[name].as_str().unwrap();
        let user = format!("{}:{}", part("accessKeyId"), part("secretAccessKey"));
        let region = key["region"].as_str().unwrap_or("us-east-1");
        command.args(["--aws-sigv4", &format!("aws:amz:{region}:ecs"), "--user", &user]);
        if let Some(token) = key["sessionToken"].as_str() {
            command.args(["-H", &format!("x-amz-security-token: {token}")]);
        }
    }
    let output = command.args(more).arg(format!("{}{path}", up.endpoint())).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// Calls an operation of ECS with somebody's key.
pub fn call(up: &Up, key: &Value, operation: &str, input: &Value) -> (u16, String) {
    let target = format!("x-amz-target: AmazonEC2ContainerServiceV20141113.{operation}");
    let body = input.to_string();
    let form = ["-H", "content-type: application/x-amz-json-1.1", "-H", &target, "-d", &body];
    curl(up, "/", Some(key), &form)
}

pub fn node_key(up: &Up, name: &str) -> Value {
    let made = up.cli(&["token", "create", "--as-keys", name, "--output", "json"]);
    serde_json::from_str(&made).unwrap()
}

pub fn token(up: &Up, more: &[&str]) -> String {
    let args = ["token", "create", "--output", "json"];
    let made: Value = serde_json::from_str(&up.cli(&[&args[..], more].concat())).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

fn join(up: &Up, token: &str, name: &str) -> (u16, String) {
    let body = json!({"token": token, "name": name}).to_string();
    curl(up, "/_longshore/join", None, &["-d", &body])
}

/// Clients take `AWS_CA_BUNDLE` before the profile that is written for them, which is told.
fn tells_of_a_variable_that_wins(up: &Up, tls: &TempDir) {
    let ca = tls.path().join("ca.crt");
    for (bundle, is_other) in [(ca.as_path(), false), (Path::new("/etc/other.crt"), true)] {
        let mut profile = Command::new(LONGSHORE);
        profile.arg("profile").env("LONGSHORE_DATA_DIR", up.data()).env("AWS_CA_BUNDLE", bundle);
        profile.env("AWS_CONFIG_FILE", tls.path().join("config"));
        profile.env("AWS_SHARED_CREDENTIALS_FILE", tls.path().join("credentials"));
        let told = String::from_utf8(profile.output().unwrap().stdout).unwrap();
        assert!(told.contains("ca_bundle") || told.contains("(as it is)"), "{told}");
        assert_eq!(told.contains("unset AWS_CA_BUNDLE"), is_other, "{told}");
    }
}

#[test]
fn tls_holds_from_the_cli_to_the_container() {
    let tls = certificates();
    let folder = text(tls.path());
    for (file, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("secrets.key", 0o600)] {
        let found = fs::metadata(tls.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
    let before = fs::read(tls.path().join("server.crt")).unwrap();
    assert!(longshore(&["init", "--dir", &folder]).status.success());
    assert_eq!(fs::read(tls.path().join("server.crt")).unwrap(), before, "what is good stays");

    let mut up = Up::server(&["--tls-dir", &folder, "--tls-client", "required"]);
    assert!(up.endpoint().starts_with("https://"));
    let list = ["ecs", "list-clusters"];
    let ca = tls.path().join("ca.crt");
    let trusting = up.with_profile("aws").args(list).env("AWS_CA_BUNDLE", &ca).output().unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    let mut strange = up.with_profile("aws");
    let strange = strange.args(list).env_remove("AWS_CA_BUNDLE").output().unwrap();
    let told = String::from_utf8_lossy(&strange.stderr).into_owned();
    assert!(!strange.status.success() && told.contains("certificate"), "{told}");
    assert!(up.cli(&["status"]).contains("https://"));
    tells_of_a_variable_that_wins(&up, &tls);

    // A key alone is not enough here, as Amazon's agent would have it.
    let bare = node_key(&up, "bare");
    let (status, told) = call(&up, &bare, "DiscoverPollEndpoint", &json!({}));
    assert_eq!(status, 403, "{told}");
    assert!(told.contains("no certificate of a container instance"), "{told}");

    // A token alone is enough to join, for it names the authority.
    let (endpoint, data) = (up.endpoint(), text(up.data()));
    let other = certificates();
    let joins = ["agent", "--server", &endpoint, "--data-dir", &data, "--name", "web-1"];
    let pinned = token(&up, &[]);
    let wrong_authority = text(&other.path().join("ca.crt"));
    let told = refusal(&[&joins[..], &["--token", &pinned, "--ca", &wrong_authority]].concat());
    assert!(told.contains("certificate"), "{told}");
    let (secret, _) = pinned.split_once('.').unwrap();
    let forged = format!("{secret}.{}", "00".repeat(32));
    let told = refusal(&[&joins[..], &["--token", &forged]].concat());
    assert!(told.contains("certificate"), "{told}");
    let told = refusal(&[&joins[..], &["--token", secret]].concat());
    assert!(told.contains("certificate"), "{told}");
    let plain = endpoint.replace("https", "http");
    let clear = ["agent", "--server", &plain, "--data-dir", &data, "--token", &pinned];
    assert!(refusal(&clear).contains("is for a server with TLS"));

    let _agent = Process::start(&[&joins[..], &["--token", &pinned]].concat(), "Longshore agent");
    up.load("busybox");
    let status = || serde_json::from_str(&up.cli(&["status", "--output", "json"])).unwrap();
    let connected = || {
        let status: Value = status();
        status["containerInstances"][0]["agentConnected"] == json!(true)
    };
    assert!(eventually(connected), "the agent connects over TLS with its certificate");
    let node = up.data().join("node/web-1");
    for file in ["ca.crt", "node.crt", "node.key", "key.json"] {
        let mode = fs::metadata(node.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let definition = text(&up.data().join("task.json"));
    let task = json!({"family": "hello", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"]}]});
    fs::write(&definition, task.to_string()).unwrap();
    let ran = up.cli(&["run", &definition, "--output", "json"]);
    assert!(ran.contains("task/default/"), "{ran}");
    // The key of one instance does not work over another's connection.
    let stolen = fs::read_to_string(node.join("key.json")).unwrap();
    let stolen: Value = serde_json::from_str(&stolen).unwrap();
    let (status, told) = call(&up, &stolen, "DiscoverPollEndpoint", &json!({}));
    assert_eq!(status, 403, "{told}");
}

#[test]
fn beyond_the_machine_there_is_tls_or_a_word_for_it() {
    let data = TempDir::new().unwrap();
    let folder = text(data.path());
    let open = ["server", "--listen", "0.0.0.0:0", "--data-dir", &folder];
    let told = refusal(&open);
    assert!(told.contains("longshore init") && told.contains("--insecure-http"), "{told}");
    let told = refusal(&["server", "--data-dir", &folder, "--tls-client", "required"]);
    assert!(told.contains("--tls-ca"), "{told}");
    let said = [&open[..], &["--insecure-http"]].concat();
    drop(Process::start(&said, "serves at"));
}

#[test]
fn tokens_end_and_are_counted_and_withdrawn() {
    let up = Up::server(&[]);
    let expired = token(&up, &["--life", "0"]);
    let (status, told) = join(&up, &expired, "a");
    assert!(status == 403 && told.contains("expired at"), "{told}");
    let once = token(&up, &["--uses", "1"]);
    assert_eq!(join(&up, &once, "a").0, 200);
    let (status, told) = join(&up, &once, "b");
    assert!(status == 403 && told.contains("used up"), "{told}");
    // Who may join may not take another's place.
    let open = token(&up, &[]);
    let (status, told) = join(&up, &open, "a");
    assert!(status == 409 && told.contains("has joined already"), "{told}");
    assert_eq!(join(&up, &token(&up, &["--name", "a"]), "a").0, 200);
    let listed: Value =
        serde_json::from_str(&up.cli(&["token", "list", "--output", "json"])).unwrap();
    for token in listed["tokens"].as_array().unwrap() {
        up.cli(&["token", "revoke", token["id"].as_str().unwrap()]);
    }
    assert_eq!(join(&up, &open, "c").0, 403);
    assert_eq!(curl(&up, "/_longshore/tokens", None, &[]).0, 400, "unsigned");
}

#[test]
fn nobody_acts_for_an_instance_that_is_not_his() {
    let up = Up::start(&["busybox"]);
    let task = up.run_task(&json!({"family": "sleeper", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"]}]}));
    up.await_status(&task, "RUNNING");
    let instances = up.aws(&["ecs", "list-container-instances"]);
    let instance = instances["containerInstanceArns"][0].clone();
    let arn = up.task(&task)["taskArn"].clone();
    let other = node_key(&up, "other");

    let resources = json!([{"name": "CPU", "type": "INTEGER", "integerValue": 1024},
        {"name": "MEMORY", "type": "INTEGER", "integerValue": 1024}]);
    let crossings = [
        (
            "RegisterContainerInstance",
            json!({"containerInstanceArn": instance, "totalResources": resources}),
        ),
        ("DeregisterContainerInstance", json!({"containerInstance": instance, "force": true})),
        (
            "UpdateContainerInstancesState",
            json!({"containerInstances": [instance], "status": "DRAINING"}),
        ),
        ("SubmitTaskStateChange", json!({"task": arn, "status": "STOPPED"})),
        (
            "SubmitContainerStateChange",
            json!({"task": arn, "containerName": "main", "status": "STOPPED"}),
        ),
        ("RunTask", json!({"taskDefinition": "sleeper"})),
        ("StopTask", json!({"task": arn})),
        ("DescribeTasks", json!({"tasks": [arn]})),
        ("PutAttributes", json!({"attributes": [{"name": "x", "targetId": instance}]})),
        ("RegisterTaskDefinition", json!({"family": "evil", "containerDefinitions": []})),
    ];
    for (operation, input) in &crossings {
        let (status, told) = call(&up, &other, operation, input);
        let is_refused = status >= 400 || told.contains("\"failures\":[{");
        assert!(is_refused, "{operation}: {status} {told}");
    }
    let websocket = [
        "-H",
        "connection: upgrade",
        "-H",
        "upgrade: websocket",
        "-H",
        "sec-websocket-version: 13",
        "-H",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    let query = format!("clusterArn=default&containerInstanceArn={}", instance.as_str().unwrap());
    let query = query.replace(':', "%3A").replace('/', "%2F");
    for path in ["/acs/ws", "/tcs/ws", "/_longshore/node/ws"] {
        let query = match path {
            "/acs/ws" => query.clone(),
            _ => query.replace("containerInstanceArn", "containerInstance"),
        };
        let (status, told) = curl(&up, &format!("{path}?{query}"), Some(&other), &websocket);
        assert!((400..500).contains(&status), "{path}: {status} {told}");
    }
    for path in ["tokens", "why/x", "placements", "tasks/x/logs", "store/export", "metrics"] {
        let (status, told) = curl(&up, &format!("/_longshore/{path}"), Some(&other), &[]);
        assert_eq!(status, 403, "{path}: {told}");
    }
    let task = up.task(&task);
    assert_eq!(
        (&task["lastStatus"], &task["desiredStatus"]),
        (&json!("RUNNING"), &json!("RUNNING"))
    );
    let known = up.aws(&["ecs", "list-container-instances", "--status", "ACTIVE"]);
    assert_eq!(known["containerInstanceArns"], json!([instance]));
}

#[test]
fn a_tasks_credentials_end_with_it() {
    let up = Up::start(&["busybox"]);
    up.role("app", &["*"]);
    let script = "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; \
                  trap 'exit 0' TERM; while true; do sleep 1; done";
    let task = up.run_task(&json!({"family": "role",
        "taskRoleArn": "arn:aws:iam::999999999999:role/app",
        "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 32,
            "command": ["sh", "-c", script]}]}));
    up.await_status(&task, "RUNNING");
    let mut logs = String::new();
    assert!(eventually(|| {
        logs = up.cli(&["logs", &task]);
        logs.contains("SecretAccessKey")
    }));
    let told: Value = serde_json::from_str(logs.lines().next().unwrap()).unwrap();
    let key = json!({"accessKeyId": told["AccessKeyId"], "secretAccessKey": told["SecretAccessKey"],
        "sessionToken": told["Token"]});
    let (status, answer) = call(&up, &key, "ListTasks", &json!({}));
    assert!(
        status == 200 && answer.contains(&task),
        "its own account, whatever the role: {answer}"
    );
    let report = json!({"task": up.task(&task)["taskArn"], "status": "STOPPED"});
    assert_eq!(call(&up, &key, "SubmitTaskStateChange", &report).0, 403);
    assert_eq!(curl(&up, "/_longshore/tokens", Some(&key), &[]).0, 403);
    let mut forged = key.clone();
    let token = told["Token"].as_str().unwrap();
    let swapped = if token.starts_with('e') { 'f' } else { 'e' };
    forged["sessionToken"] = format!("{swapped}{}", &token[1..]).into();
    assert!(call(&up, &forged, "ListTasks", &json!({})).0 >= 400, "a token that was changed");
    up.aws(&["ecs", "stop-task", "--task", &task]);
    up.await_status(&task, "STOPPED");
    let (status, answer) = call(&up, &key, "ListTasks", &json!({}));
    assert!(status >= 400 && answer.contains("xpired"), "{status} {answer}");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let (mut folders, mut all) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => all.push((text(&entry.path()), fs::read(entry.path()).unwrap())),
            }
        }
    }
    all
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[test]
fn no_secret_lies_in_the_store_or_its_backup() {
    let mut up = Up::server(&[]);
    let (key, secret) = up.keys();
    let node = node_key(&up, "web-1");
    let secrets = [secret.as_str(), node["secretAccessKey"].as_str().unwrap()];
    let backup = text(&up.data().join("backup"));
    up.cli(&["store", "export", &backup]);
    up.process().end(Signal::SIGTERM);
    let stored = files(&up.data().join("ledger"));
    assert!(stored.iter().any(|(_, bytes)| has(bytes, &key)), "keys' ids are in the clear");
    for (file, bytes) in stored.iter().chain(&[(backup.clone(), fs::read(&backup).unwrap())]) {
        assert!(secrets.iter().all(|secret| !has(bytes, secret)), "a secret in {file}");
    }
    // Another key opens nothing, and is told so; the right one does, wherever it lies.
    let (own, moved) = (up.data().join("secrets.key"), up.data().join("moved.key"));
    fs::rename(&own, &moved).unwrap();
    let data = text(up.data());
    let start = ["server", "--listen", "127.0.0.1:0", "--data-dir", &data];
    let strange = certificates();
    let other = text(&strange.path().join("secrets.key"));
    let told = refusal(&[&start[..], &["--secrets-key-file", &other]].concat());
    assert!(told.contains("is sealed with the key"), "{told}");
    let right = text(&moved);
    drop(Process::start(&[&start[..], &["--secrets-key-file", &right]].concat(), "serves at"));
    // A new key before the old one: the store is sealed anew, and the old one can go.
    let both =
        format!("{}{}", fs::read_to_string(&other).unwrap(), fs::read_to_string(&moved).unwrap());
    fs::write(up.data().join("both.key"), both).unwrap();
    let keys = text(&up.data().join("both.key"));
    let mut rotated =
        Process::start(&[&start[..], &["--secrets-key-file", &keys]].concat(), "serves at");
    assert!(eventually(|| up.try_cli(&["status"]).status.success()));
    rotated.end(Signal::SIGTERM);
    drop(Process::start(&[&start[..], &["--secrets-key-file", &other]].concat(), "serves at"));
}

#[test]
fn logs_at_their_fullest_hold_no_secret() {
    let tls = certificates();
    let data = TempDir::new().unwrap();
    let (folder, tls) = (text(data.path()), text(tls.path()));
    let log = data.path().join("log");
    let mut child = Command::new(LONGSHORE)
        .args(["up", "--listen", "127.0.0.1:0", "--data-dir", &folder, "--tls-dir", &tls])
        .env("LONGSHORE_LOG", "trace")
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut up = Up::adopt(data);
    assert!(eventually(|| up.data().join("server.json").exists()), "it comes up");
    up.load("busybox");
    let node = node_key(&up, "web-1");
    let token = token(&up, &[]);
    let joined: Value = serde_json::from_str(&join(&up, &token, "web-2").1).unwrap();
    let definition = text(&up.data().join("task.json"));
    let task = json!({"family": "role", "taskRoleArn": "arn:aws:iam::000000000000:role/app",
        "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 32, "command":
        ["sh", "-c", "wget -qO- http://169.254.170.2$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; echo; sleep 600"]}]});
    fs::write(&definition, task.to_string()).unwrap();
    let ran: Value =
        serde_json::from_str(&up.cli(&["run", &definition, "--output", "json"])).unwrap();
    let task = ran["tasks"][0]["taskArn"].as_str().or(ran["taskArn"].as_str()).unwrap().to_owned();
    let mut told = String::new();
    assert!(eventually(|| {
        told = up.cli(&["logs", &task]);
        told.contains("SecretAccessKey")
    }));
    let role: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let (secret_token, _) = token.split_once('.').unwrap();
    let key_file = |name: &str| fs::read_to_string(Path::new(&tls).join(name)).unwrap();
    let (ca_key, seal) = (key_file("ca.key"), key_file("secrets.key"));
    let secrets = [
        &up.keys().1,
        node["secretAccessKey"].as_str().unwrap(),
        joined["secretAccessKey"].as_str().unwrap(),
        role["SecretAccessKey"].as_str().unwrap(),
        role["Token"].as_str().unwrap(),
        secret_token,
        ca_key.lines().nth(1).unwrap(),
        seal.trim(),
    ];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    child.wait().unwrap();
    let log = fs::read(&log).unwrap();
    assert!(has(&log, "TRACE") && has(&log, "RunTask"), "the log is full");
    for (number, secret) in secrets.iter().enumerate() {
        assert!(!has(&log, secret), "secret {number} is in the log");
    }
}
