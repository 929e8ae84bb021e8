//! Backups: of a running server, checked, brought into another folder, and asked what would be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{LONGSHORE, Process, Up};

fn longshore(args: &[&str]) -> Output {
    Command::new(LONGSHORE).args(args).output().unwrap()
}

fn json_of(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"))
}

fn definition() -> String {
    json!([{"name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "600"]}])
        .to_string()
}

#[test]
fn a_running_server_is_backed_up_and_restored_elsewhere() {
    let mut up = Up::start_with(&["--instances", "3"], &["busybox"]);
    up.aws(&["ecs", "create-cluster", "--cluster-name", "shop"]);
    let task = up.run_task(&json!({
        "family": "sleeper", "containerDefinitions": serde_json::from_str::<Value>(&definition()).unwrap(),
    }));
    up.await_status(&task, "RUNNING");

    let folder = TempDir::new().unwrap();
    let backup = folder.path().join("backup.longshore").display().to_string();
    let told = up.cli(&["store", "export", &backup, "--output", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["contents"]["tables"]["ecs.tasks"]["rows"], 1, "{told}");
    assert_eq!(told["header"]["source"], "a running server");
    let mode = fs::metadata(&backup).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let check = longshore(&["store", "check", &backup, "--output", "json"]);
    assert_eq!((check.status.code(), &json_of(&check)["ok"]), (Some(0), &json!(true)));
    let running = up.try_cli(&["store", "check"]);
    let words = String::from_utf8_lossy(&running.stdout);
    assert!(running.status.success() && words.contains("Everything is in order."), "{words}");
    // With its keys at hand sealed rows are looked into as well.
    assert!(!words.contains("only counted"), "{words}");
    assert!(json_of(&check)["sealedRowsNotRead"].as_u64() > Some(0), "a file has no key by it");
    let key = up.data().join("secrets.key").display().to_string();
    let keyed = ["store", "check", &backup, "--secrets-key-file", &key, "--output", "json"];
    let told = json_of(&longshore(&keyed));
    assert_eq!((&told["sealedRowsNotRead"], &told["ok"]), (&json!(0), &json!(true)), "{told}");

    // What would be, asked of the file.
    let snapshot = ["--snapshot", &backup, "--output", "json"];
    let failover =
        |zone| longshore(&[&["plan", "failover", "--zone", zone], &snapshot[..]].concat());
    let zone = up.task(&task)["availabilityZone"].as_str().unwrap().to_owned();
    let plan = failover(&zone);
    let told = json_of(&plan);
    assert_eq!(
        (plan.status.code(), &told["tasks"], &told["placed"]),
        (Some(0), &json!(1), &json!(1))
    );
    assert_ne!(told["moves"][0]["toZone"], zone.as_str());
    let big = ["plan", "run-task", "--task-definition", "sleeper", "--memory", "90000000"];
    let plan = longshore(&[&big[..], &snapshot].concat());
    let told = json_of(&plan);
    assert_eq!((plan.status.code(), &told["placed"]), (Some(3), &json!(0)), "{told}");
    assert_eq!(told["shortage"]["reasons"][0]["reason"], "RESOURCE:MEMORY");
    let add = ["--add-instances", "1:4096x99000000@b"];
    let plan = longshore(&[&big[..], &snapshot, &add].concat());
    assert_eq!((plan.status.code(), &json_of(&plan)["fits"]), (Some(0), &json!(true)));
    let drawn = longshore(&["plan", "failover", "--zone", "a", "--snapshot", &backup]);
    let drawn = String::from_utf8_lossy(&drawn.stdout);
    assert!(drawn.contains("Without zone us-east-1a") && drawn.contains('█'), "{drawn}");

    // Brought into a folder of its own, and into the one that it came from.
    let keys = up.keys();
    let data = TempDir::new().unwrap();
    let path = data.path().display().to_string();
    let import = longshore(&["store", "import", &backup, "--data-dir", &path]);
    assert!(import.status.success(), "{}", String::from_utf8_lossy(&import.stderr));
    let again = longshore(&["store", "import", &backup, "--data-dir", &path]);
    let refusal = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && refusal.contains("--replace"), "{refusal}");
    let in_use = up.try_cli(&["store", "import", &backup, "--replace"]);
    let refusal = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert!(!in_use.status.success() && refusal.contains("is in use by process"), "{refusal}");
    copy_secrets(up.data(), data.path());
    up.process().end(Signal::SIGTERM);
    let server =
        Process::start(&["server", "--listen", "127.0.0.1:0", "--data-dir", &path], "serves at");
    let restored = Up::adopt(data);
    assert_eq!(restored.keys(), keys);
    let clusters = restored.aws(&["ecs", "list-clusters"]);
    assert_eq!(clusters["clusterArns"].as_array().unwrap().len(), 2, "{clusters}");
    assert_eq!(restored.task(&task)["taskDefinitionArn"], up_arn("sleeper:1"));
    drop(server);
}

/// The key that secrets are sealed with is not in a backup: it is carried over by hand.
fn copy_secrets(from: &std::path::Path, to: &std::path::Path) {
    let key = from.join("secrets.key");
    if key.exists() {
        fs::copy(key, to.join("secrets.key")).unwrap();
    }
}

fn up_arn(definition: &str) -> String {
    format!("arn:aws:ecs:us-east-1:000000000000:task-definition/{definition}")
}

#[test]
fn only_operators_may_take_a_backup_and_only_of_a_store() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    let none = longshore(&["store", "export", "/tmp/never", "--data-dir", &path]);
    let refusal = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(!none.status.success() && refusal.contains("there is no store in"), "{refusal}");
    let data = TempDir::new().unwrap();
    let path = data.path().display().to_string();
    let server =
        Process::start(&["server", "--listen", "127.0.0.1:0", "--data-dir", &path], "serves at");
    let served = Up::adopt(data);
    let made = served.cli(&["token", "create", "--as-keys", "web-1", "--output", "json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let asked = format!("{}/_longshore/store/export", served.endpoint());
    let key = |name: &str| made[name].as_str().unwrap().to_owned();
    let user = format!("{}:{}", key("accessKeyId"), key("secretAccessKey"));
    let sign =
        ["--aws-sigv4", "aws:amz:us-east-1:ecs", "--user", &user, "-s", "-w", "%{http_code}"];
    let answer = Command::new("curl").args(sign).arg(asked).output().unwrap();
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert!(answer.ends_with("403") && answer.contains("only operators may"), "{answer}");
    drop(server);
}

#[test]
fn what_older_programs_wrote_is_read() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures");
    let formats = json_of(&longshore(&["version", "--formats", "--output", "json"]));
    let known = formats["records"].as_object().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for entry in fs::read_dir(fixtures).unwrap() {
        let file = entry.unwrap().path().display().to_string();
        let folder = TempDir::new().unwrap();
        let path = folder.path().display().to_string();
        let what = if file.ends_with(".tar.gz") {
            let unpack = Command::new("tar").args(["-xzf", &file, "-C", &path]).status();
            assert!(unpack.unwrap().success());
            vec!["--data-dir", &path]
        } else {
            vec![file.as_str()]
        };
        let check = longshore(&[&["store", "check", "--output", "json"], &what[..]].concat());
        let told = json_of(&check);
        assert_eq!(check.status.code(), Some(0), "{file}: {told:#}");
        for (table, versions) in told["recordVersions"].as_object().unwrap() {
            let versions = versions.as_object().unwrap().keys();
            seen.extend(versions.map(|version| (table.clone(), version.clone())));
        }
    }
    // Each table's first version is in a fixture; who raises one adds a fixture.
    for (table, newest) in known.iter().filter(|(table, _)| !UNSEEN.contains(&table.as_str())) {
        for version in 1..=newest.as_u64().unwrap() {
            let is_seen = seen.contains(&(table.clone(), version.to_string()));
            assert!(is_seen, "no fixture has a row of {table} in version {version}");
        }
    }
}

/// Tables that came after the last fixture was made.
const UNSEEN: &[&str] = &[
    "acm.certificates",
    "acm.keys",
    "ecr.cache_rules",
    "ecr.cached_tags",
    "ecr.images",
    "ecr.layers",
    "ecr.objects",
    "ecr.previews",
    "ecr.pulls",
    "ecr.registries",
    "ecr.replications",
    "ecr.repositories",
    "ecr.scans",
    "ecr.seal",
    "ecr.tags",
    "ecr.templates",
    "ecr.uploads",
    "ecs.exec_sessions",
    "ecs.fargate_days",
    "ecs.fargate_usage",
    "ecs.releases",
    "elbv2.health",
    "elbv2.listeners",
    "elbv2.load_balancers",
    "elbv2.rules",
    "elbv2.target_groups",
    "elbv2.targets",
    "iam.entities",
    "iam.generation",
    "iam.gone_roles",
    "iam.instance_profiles",
    "iam.oidc_providers",
    "iam.policies",
    "longshore.servers",
    "secretsmanager.secrets",
    "secretsmanager.versions",
    "ssm.parameter_versions",
    "ssm.parameters",
    "vpc.security_groups",
    "vpc.subnets",
    "vpc.vpcs",
];

#[test]
fn words_are_completed_and_the_manual_is_written() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c")] {
        let script = longshore(&["completions", shell]);
        let script = String::from_utf8_lossy(&script.stdout).into_owned();
        assert!(script.contains(part) && script.contains("failover"), "{shell}");
    }
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    assert!(longshore(&["man", &path]).status.success());
    let page = fs::read_to_string(folder.path().join("longshore-plan-failover.1")).unwrap();
    assert!(page.contains("longshore plan failover \\-\\-zone a"), "{page}");
    assert!(folder.path().join("longshore.1").exists());
}

#[test]
fn a_store_moves_to_etcd_and_back() {
    let etcd = Etcd::start();
    let data = TempDir::new().unwrap();
    let path = data.path().display().to_string();
    let server = || {
        let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &path];
        Process::start(&args, "serves at")
    };
    let first = server();
    let served = Up::adopt(data_of(&path));
    served.aws(&["ecs", "create-cluster", "--cluster-name", "shop"]);
    drop(first);
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let tell = |args: &[&str]| {
        let output = longshore(&[&["store"], args, &["--output", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        json_of(&output)
    };
    let out = tell(&["export", &file("a"), "--data-dir", &path]);
    tell(&["import", &file("a"), "--store", &etcd.url]);
    let there = tell(&["check", "--store", &etcd.url]);
    assert_eq!((&there["tables"], &there["ok"]), (&out["contents"]["tables"], &json!(true)));
    let back = tell(&["export", &file("b"), "--store", &etcd.url]);
    assert_eq!(back["contents"], out["contents"]);
    let refused = longshore(&["store", "import", &file("a"), "--store", &etcd.url]);
    let refusal = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && refusal.contains("--replace"), "{refusal}");
    tell(&["import", &file("b"), "--replace", "--data-dir", &path]);
    drop(served);
}

/// A folder that another value owns; it is not deleted when this one is dropped.
fn data_of(path: &str) -> TempDir {
    let link = TempDir::new().unwrap();
    for name in ["server.json", "credentials"] {
        fs::copy(format!("{path}/{name}"), link.path().join(name)).unwrap();
    }
    link
}

/// Debian's etcd, alone.
struct Etcd {
    process: std::process::Child,
    url: String,
    _data: TempDir,
}

impl Etcd {
    fn start() -> Self {
        let data = TempDir::new().unwrap();
        let port = || {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            socket.local_addr().unwrap().port()
        };
        let (client, peer) = (port(), port());
        let client_url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(data.path())
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}"), "--log-level", "error"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("etcd is installed: ./x test does it");
        let answers = || crate::harness::fetch(&format!("{client_url}/health")).is_some();
        assert!(crate::harness::eventually(answers), "etcd does not answer");
        Self { process, url: format!("etcd://127.0.0.1:{client}"), _data: data }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
