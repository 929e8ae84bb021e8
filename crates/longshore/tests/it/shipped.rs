//! More of what becomes of containers' output: version 2 of the CLI, syslog with TLS, patterns of
//! several lines, compressed files, routers whose configuration lies in S3.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Up, eventually};

/// How long a line may take to come.
const PATIENCE: Duration = Duration::from_secs(180);
/// Version 2 of the CLI, Debian's package: the one of PyPI is version 1.
const CLI_2: &str = "/usr/bin/aws";

fn one(family: &str, script: &str, driver: &str, options: &Value) -> Value {
    json!({"family": family, "containerDefinitions": [{
        "name": "main", "image": "busybox", "memory": 32, "stopTimeout": 2,
        "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": driver, "options": options},
    }]})
}

fn awslogs(more: &Value) -> Value {
    let mut options = json!({
        "awslogs-group": "/ecs/shipped", "awslogs-region": "us-east-1",
        "awslogs-create-group": "true", "awslogs-stream-prefix": "p", "mode": "blocking",
    });
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

/// A program that goes on by itself, and the lines that it writes.
struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("./x test installs it");
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        Self { child, lines }
    }

    fn await_line(&self, part: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("'{part}' is not shown"));
            if line.contains(part) {
                return;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn version_2_of_the_cli_follows_a_containers_output() {
    let up = Up::start(&["busybox"]);
    let shared = tempfile::tempdir().unwrap();
    let script = "echo before; until [ -e /shared/go ]; do sleep 0.1; done; echo after; sleep 600";
    let mut definition = one("followed", script, "awslogs", &awslogs(&json!({})));
    definition["volumes"] = json!([{"name": "shared", "host": {"sourcePath": shared.path()}}]);
    definition["containerDefinitions"][0]["mountPoints"] =
        json!([{"sourceVolume": "shared", "containerPath": "/shared"}]);
    let task = up.run_task(&definition);
    let endpoint = up.endpoint();
    let mut version = up.with_profile(CLI_2);
    let said = version.arg("--version").output().expect("./x test installs it").stdout;
    assert!(said.starts_with(b"aws-cli/2."), "{}", String::from_utf8_lossy(&said));
    up.await_status(&task, "RUNNING");
    let mut tail = up.with_profile(CLI_2);
    tail.args(["--endpoint-url", &endpoint, "logs", "tail", "/ecs/shipped", "--follow"]);
    tail.args(["--since", "10m", "--format", "detailed"]);
    let tail = Follower::start(tail);
    tail.await_line("before");
    fs::write(shared.path().join("go"), "").unwrap();
    tail.await_line(&format!("p/main/{task} after"));
}

#[test]
fn awslogs_begins_an_event_where_its_pattern_says() {
    let up = Up::start(&["busybox"]);
    let script = "printf 'INFO a\n  at b\n  at c\nWARN d\n'; printf 'INFO e\n'";
    let pattern = awslogs(&json!({"awslogs-multiline-pattern": "^(INFO|WARN)"}));
    let task = up.run_task(&one("pattern", script, "awslogs", &pattern));
    up.await_status(&task, "STOPPED");
    let mut found = Vec::new();
    let is_there = eventually(|| {
        let args = ["logs", "filter-log-events", "--log-group-name", "/ecs/shipped"];
        let events = up.aws(&args)["events"].as_array().unwrap().clone();
        found = events.iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
        found.len() == 3
    });
    assert!(is_there, "{found:?}");
    assert_eq!(found, ["INFO a\n  at b\n  at c", "WARN d", "INFO e"]);
}

/// A certificate of an authority of its own, for 127.0.0.1, as PEM: authority, certificate, key.
fn certificate() -> [String; 3] {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certified = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    [certified.pem(), signed.pem(), key.serialize_pem()]
}

/// An rsyslogd that takes TLS alone and writes what it gets into a file.
struct Rsyslog {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Rsyslog {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for (name, pem) in ["ca.pem", "cert.pem", "key.pem"].iter().zip(certificate()) {
            fs::write(folder.path().join(name), pem).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "global(workDirectory=\"{0}\" defaultNetstreamDriver=\"gtls\" \
             defaultNetstreamDriverCAFile=\"{1}\" defaultNetstreamDriverCertFile=\"{2}\" \
             defaultNetstreamDriverKeyFile=\"{3}\")\n\
             module(load=\"imtcp\" streamDriver.name=\"gtls\" streamDriver.mode=\"1\" \
             streamDriver.authMode=\"anon\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             template(name=\"all\" type=\"string\" string=\"%programname%:%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{4}\" template=\"all\")\n",
            folder.path().display(),
            path("ca.pem"),
            path("cert.pem"),
            path("key.pem"),
            path("out"),
        );
        fs::write(folder.path().join("rsyslog.conf"), settings).unwrap();
        let child = Command::new("rsyslogd")
            .args(["-n", "-f", &path("rsyslog.conf"), "-i", &path("pid")])
            .stdin(Stdio::null())
            .spawn()
            .expect("rsyslog is installed: ./x test does it");
        let one = Self { child, folder, port };
        let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(eventually(listens), "rsyslogd does not listen");
        one
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn syslog_with_tls_trusts_whom_it_is_told_to() {
    let (up, server) = (Up::start(&["busybox"]), Rsyslog::start());
    let options = |more: &Value| {
        let address = format!("tcp+tls://127.0.0.1:{}", server.port);
        let mut options = json!({"syslog-address": address, "tag": "app", "mode": "blocking"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let run = |family: &str, said: &str, more: &Value| {
        let script = format!("echo {said}");
        let task = up.run_task(&one(family, &script, "syslog", &options(more)));
        up.await_status(&task, "STOPPED")["containers"][0].clone()
    };
    let authority = json!({"syslog-tls-ca-cert": server.file("ca.pem")});
    assert_eq!(run("trusted", "trusting", &authority)["exitCode"], 0);
    assert!(eventually(|| server.text().contains("app: trusting")), "{}", server.text());
    let anyone = json!({"syslog-tls-skip-verify": "true"});
    assert_eq!(run("anyone", "careless", &anyone)["exitCode"], 0);
    assert!(eventually(|| server.text().contains("app: careless")), "{}", server.text());
    // The machine's own authorities do not know it.
    let ended = run("unknown", "nobody", &json!({}));
    let reason = ended["reason"].as_str().unwrap();
    let begins = "CannotStartContainerError: failed to initialize logging driver: ";
    assert!(reason.starts_with(begins) && reason.contains("certificate"), "{reason}");
    // Nor for the forward protocol, whatever the mode.
    let address = format!("tls://127.0.0.1:{}", server.port);
    let options = json!({"fluentd-address": address, "mode": "non-blocking"});
    let task = up.run_task(&one("forward", "echo nobody", "fluentd", &options));
    let ended = up.await_status(&task, "STOPPED")["containers"][0].clone();
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.starts_with(begins) && reason.contains("certificate"), "{reason}");
}

/// The folder of a container of the first instance.
fn folder_of(up: &Up, stopped: &Value) -> std::path::PathBuf {
    let id = stopped["containers"][0]["runtimeId"].as_str().unwrap();
    up.data().join("node/instance-1/containers").join(id)
}

#[test]
fn older_files_of_json_file_are_compressed_and_read() {
    let up = Up::start(&["busybox"]);
    let options = json!({"max-size": "4k", "max-file": "50", "compress": "true"});
    let script = "for i in $(seq 1 500); do echo line $i; done";
    let task = up.run_task(&one("compressed", script, "json-file", &options));
    let stopped = up.await_status(&task, "STOPPED");
    let folder = folder_of(&up, &stopped);
    let is_there = |name: &str| folder.join(name).exists();
    assert!(
        is_there("output.json") && is_there("output.json.1.gz") && is_there("output.json.2.gz")
    );
    assert!(!is_there("output.json.1"));
    let expected: String = (1..=500).map(|number| format!("line {number}\n")).collect();
    assert_eq!(up.cli(&["logs", &task]), expected);
}

#[test]
fn a_router_includes_its_configuration_from_s3() {
    let objects = tempfile::tempdir().unwrap();
    let flag = objects.path().display().to_string();
    let up = Up::start_with(&["--s3-root", &flag], &["busybox"]);
    fs::create_dir_all(objects.path().join("bucket/routers")).unwrap();
    let text = "[FILTER]\n    Name grep\n";
    fs::write(objects.path().join("bucket/routers/extra.conf"), text).unwrap();
    let definition = |object: &str| {
        let script = "cat /fluent-bit/etc/external.conf; \
                      grep -c '@INCLUDE /fluent-bit/etc/external.conf' /fluent-bit/etc/fluent-bit.conf";
        let mut definition = one("from-s3", script, "json-file", &json!({}));
        definition["containerDefinitions"][0]["firelensConfiguration"] = json!({
            "type": "fluentbit",
            "options": {"config-file-type": "s3", "config-file-value": object},
        });
        let app = json!({
            "name": "app", "image": "busybox", "memory": 32, "essential": false,
            "command": ["true"], "logConfiguration": {"logDriver": "awsfirelens"},
        });
        definition["containerDefinitions"].as_array_mut().unwrap().push(app);
        definition["executionRoleArn"] = json!("arn:aws:iam::000000000000:role/execution");
        definition
    };
    let task = up.run_task(&definition("arn:aws:s3:::bucket/routers/extra.conf"));
    up.await_status(&task, "STOPPED");
    assert_eq!(up.cli(&["logs", "--container", "main", &task]), format!("{text}1\n"));

    let task = up.run_task(&definition("arn:aws:s3:::bucket/routers/missing.conf"));
    let stopped = up.await_status(&task, "STOPPED");
    let reason = stopped["stoppedReason"].as_str().unwrap();
    let expected = "ResourceInitializationError: unable to generate firelens config file: unable \
                    to download s3 config routers/missing.conf from bucket bucket: ";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(Path::new(&flag).exists());
}
