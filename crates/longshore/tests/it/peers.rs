//! Nodes that start the same image: layers go from node to node, over TLS, and few come from the
//! registry.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Process, Up, eventually, example_image};
use crate::many::instances;
use crate::security::{certificates, longshore, refusal, text};

const NODES: usize = 5;

/// A registry of one image, which counts what it is asked for.
struct Registry {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
    layers: Vec<String>,
    _folder: TempDir,
}

impl Registry {
    /// Serves the image of an OCI archive as `app:v1`.
    fn of(archive: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let out = Command::new("tar").args(["-xf", archive, "-C"]).arg(folder.path()).status();
        assert!(out.unwrap().success());
        let blobs = folder.path().join("blobs/sha256");
        let read =
            |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let of = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            digest.trim_start_matches("sha256:").to_owned()
        };
        let index = read(folder.path().join("index.json"));
        let manifest = of(&index["manifests"][0]);
        let layers = read(blobs.join(&manifest))["layers"].clone();
        let layers = layers.as_array().unwrap().iter().map(of).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, blobs, manifest) = (Arc::clone(&seen), blobs.clone(), manifest.clone());
                std::thread::spawn(move || answer(stream, &seen, &blobs, &manifest));
            }
        });
        Self { address, asked, layers, _folder: folder }
    }

    /// How often a path that ends so was asked for.
    fn count(&self, end: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, count)| count).sum()
    }
}

fn answer(
    mut stream: TcpStream,
    seen: &Mutex<BTreeMap<String, usize>>,
    blobs: &std::path::Path,
    manifest: &str,
) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    *seen.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    let (kind, file) = match path.rsplit_once('/') {
        Some((_, "v1")) => ("application/vnd.oci.image.manifest.v1+json", manifest),
        Some((_, digest)) => ("application/octet-stream", digest.trim_start_matches("sha256:")),
        None => return,
    };
    let (status, body) = match (path, fs::read(blobs.join(file))) {
        ("/v2/", _) => (200, Vec::new()),
        (_, Ok(body)) => (200, body),
        (_, Err(_)) => (404, Vec::new()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body);
}

/// A node on a data folder of its own, as on another machine.
struct Node {
    folder: TempDir,
    agent: Option<Process>,
}

impl Node {
    fn start(up: &Up, token: &str, number: usize) -> Self {
        let folder = TempDir::new().unwrap();
        let (endpoint, data) = (up.endpoint(), text(folder.path()));
        let (name, rack) = (format!("peer-{number}"), format!("rack=r{number}"));
        let args = ["agent", "--server", &endpoint, "--token", token, "--data-dir", &data];
        let more = ["--name", &name, "--attribute", &rack, "--instance-memory", "512"];
        let peers = ["--peer-listen", "127.0.0.1:0", "--peer-rate", "50"];
        let agent = Process::start(&[&args[..], &more, &peers].concat(), "Longshore agent");
        Self { folder, agent: Some(agent) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.agent = None;
        longshore(&["down", "--data-dir", &text(self.folder.path())]);
    }
}

#[test]
fn nodes_hand_layers_to_each_other() {
    let registry = Registry::of(&example_image("busybox"));
    let tls = certificates();
    let up = Up::server(&["--tls-dir", &text(tls.path())]);
    let made: Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let token = made["token"].as_str().unwrap();
    let _nodes: Vec<_> = (0..NODES).map(|number| Node::start(&up, token, number)).collect();
    let connected = || {
        let there = instances(&up);
        there.iter().filter(|instance| instance["agentConnected"] == true).count() == NODES
    };
    assert!(eventually(connected), "the agents do not connect");
    let definition = json!({
        "family": "same", "networkMode": "none",
        "placementConstraints": [],
        "containerDefinitions": [{"name": "main", "memory": 32,
            "image": format!("{}/app:v1", registry.address),
            "command": ["sh", "-c", "exit 7"]}],
    });
    let input = definition.to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &input]);
    let count = NODES.to_string();
    let run = ["ecs", "run-task", "--task-definition", "same", "--count", &count];
    let apart = ["--placement-constraints", "type=distinctInstance"];
    let answer = up.aws(&[&run[..], &apart].concat());
    assert_eq!(answer["failures"], json!([]), "{answer}");
    for task in answer["tasks"].as_array().unwrap() {
        let task = up.await_status(task["taskArn"].as_str().unwrap(), "STOPPED");
        assert_eq!(task["containers"][0]["exitCode"], 7, "{task:#}");
    }
    // All asked whether they may have the image, and not all for its layers: three, where none of the others was
    // too busy to answer.
    assert_eq!(registry.count("/manifests/v1"), NODES);
    for layer in &registry.layers {
        let count = registry.count(layer);
        assert!((1..NODES).contains(&count), "{count} nodes fetched {layer} from the registry");
    }
}

#[test]
fn nothing_is_handed_out_in_the_clear_unasked() {
    let up = Up::server(&[]);
    let made: Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let token = made["token"].as_str().unwrap();
    let folder = TempDir::new().unwrap();
    let (endpoint, data) = (up.endpoint(), text(folder.path()));
    let args = ["agent", "--server", &endpoint, "--token", token, "--data-dir", &data];
    let told = refusal(&[&args[..], &["--name", "a", "--peer-listen", "0.0.0.0:0"]].concat());
    assert!(told.contains("over TLS only") && told.contains("--peer-insecure-http"), "{told}");
    let told = refusal(&[&args[..], &["--peer-rate", "5"]].concat());
    assert!(told.contains("--peer-listen"), "{told}");
}
