//! Certificates that are renewed while everything runs.

use std::fs;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Process, Up, eventually};
use crate::security::{certificates, curl, longshore, text, token};

/// The certificate that a server shows in a new connection, as PEM.
fn shown(up: &Up) -> String {
    let url = format!("{}/_longshore/readyz", up.endpoint());
    let mut command = Command::new("curl");
    command.args(["-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{certs}", &url]);
    first(&String::from_utf8(command.output().unwrap().stdout).unwrap())
}

/// The first certificate of a text, without what line ends it has.
fn first(pem: &str) -> String {
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let from = pem.find(begin).unwrap_or_else(|| panic!("no certificate in {pem:?}"));
    let to = pem[from..].find(end).expect("it ends");
    pem[from + begin.len()..from + to].split_whitespace().collect()
}

#[test]
fn a_servers_renewed_certificate_is_shown_without_a_restart() {
    let tls = certificates();
    let (folder, file) = (text(tls.path()), tls.path().join("server.crt"));
    let mut up = Up::server(&["--tls-dir", &folder]);
    let before = shown(&up);
    assert_eq!(before, first(&fs::read_to_string(&file).unwrap()));
    let renewed = longshore(&["init", "--dir", &folder, "--renew"]);
    assert!(renewed.status.success(), "{renewed:?}");
    let good = fs::read_to_string(&file).unwrap();
    assert_ne!(before, first(&good));
    up.process().signal(Signal::SIGHUP);
    assert!(eventually(|| shown(&up) == first(&good)), "the new one is not shown");
    let list = ["ecs", "list-clusters"];
    let mut aws = up.with_profile("aws");
    let trusting = aws.args(list).env("AWS_CA_BUNDLE", tls.path().join("ca.crt")).output().unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));

    // What cannot be used changes nothing, and what comes after it counts again.
    fs::write(&file, "no certificate").unwrap();
    up.process().signal(Signal::SIGHUP);
    assert_eq!(shown(&up), first(&good));
    fs::write(&file, &good).unwrap();
    assert!(longshore(&["init", "--dir", &folder, "--renew"]).status.success());
    let newest = first(&fs::read_to_string(&file).unwrap());
    up.process().signal(Signal::SIGHUP);
    assert!(eventually(|| shown(&up) == newest), "the newest is not shown");
}

/// Long enough for a machine with much to do to ask for the next: that is wanted after a third.
const LIFE: &str = "60s";

#[test]
fn an_agents_certificate_is_renewed_before_it_ends() {
    let tls = certificates();
    let folder = text(tls.path());
    let flags =
        ["--tls-dir", &folder, "--tls-client", "required", "--agent-certificate-life", LIFE];
    let mut up = Up::server(&flags);
    let (endpoint, data, token) = (up.endpoint(), text(up.data()), token(&up, &[]));
    let joins = ["agent", "--server", &endpoint, "--data-dir", &data, "--name", "web-1"];
    let _agent = Process::start(&[&joins[..], &["--token", &token]].concat(), "Longshore agent");
    up.load("busybox");
    let node = up.data().join("node/web-1");
    let (certificate, key) = (node.join("node.crt"), node.join("node.key"));
    let old = up.data().join("old");
    fs::create_dir(&old).unwrap();
    fs::copy(&certificate, old.join("crt")).unwrap();
    fs::copy(&key, old.join("key")).unwrap();
    let stored: Value = serde_json::from_slice(&fs::read(node.join("key.json")).unwrap()).unwrap();
    let (old_certificate, old_key) = (text(&old.join("crt")), text(&old.join("key")));
    let discover = |certificate: &str, key: &str| {
        let target = "x-amz-target: AmazonEC2ContainerServiceV20141113.DiscoverPollEndpoint";
        let form = ["-H", "content-type: application/x-amz-json-1.1", "-H", target, "-d", "{}"];
        let shown = ["--cert", certificate, "--key", key];
        curl(&up, "/", Some(&stored), &[&form[..], &shown].concat()).0
    };
    assert_eq!(discover(&old_certificate, &old_key), 200);
    // The first one ends: who still shows it gets no connection.
    assert!(eventually(|| discover(&old_certificate, &old_key) == 0), "it does not end");
    assert_ne!(fs::read(&certificate).unwrap(), fs::read(&old_certificate).unwrap());
    assert_eq!(discover(&text(&certificate), &text(&key)), 200);

    // A server that is started again gets new connections: the agent comes back, and its tasks run.
    let address = endpoint.trim_start_matches("https://").to_owned();
    up.process().end(Signal::SIGKILL);
    let again = ["server", "--listen", &address, "--data-dir", &data];
    let _server = Process::start(&[&again[..], &flags].concat(), "serves at");
    let connected = || {
        let status = up.try_cli(&["status", "--output", "json"]).stdout;
        let status: Value = serde_json::from_slice(&status).unwrap_or_default();
        status["containerInstances"][0]["agentConnected"] == json!(true)
    };
    assert!(eventually(connected), "the agent does not come back");
    let definition = text(&up.data().join("task.json"));
    let task = json!({"family": "short", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"]}]});
    fs::write(&definition, task.to_string()).unwrap();
    let ran = up.cli(&["run", &definition, "--output", "json"]);
    assert!(ran.contains("task/default/"), "{ran}");
}
