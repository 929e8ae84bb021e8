//! Seeing inside: metrics, traces, logs, history, the bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

use crate::harness::{LONGSHORE, Up, eventually, fetch, piped};

/// What nobody but the container may see.
const PLANTED: &str = "planted-hunter2-4711";

fn sleeper(family: &str) -> Value {
    json!({
        "family": family,
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "600"],
            "stopTimeout": 2, "environment": [{"name": "DATABASE_PASSWORD", "value": PLANTED}],
        }],
    })
}

fn metrics(up: &Up) -> String {
    let text = fs::read(up.data().join("server.json")).unwrap();
    let running: Value = serde_json::from_slice(&text).unwrap();
    fetch(running["metrics"].as_str().unwrap()).unwrap()
}

/// The samples' families by name, as Prometheus' text format 0.0.4 has them; fails on what is not
/// in that format.
fn families(text: &str) -> BTreeMap<String, String> {
    let mut types = BTreeMap::new();
    let mut samples = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "{name} is there twice"
            );
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        assert!(!line.starts_with('#'), "{line}");
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(series.to_owned()), "{series} is there twice");
        let name = series.split('{').next().unwrap();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let is_histogram = |base| types.get(base).is_some_and(|kind: &String| kind == "histogram");
        let known = types.contains_key(name) || base.is_some_and(is_histogram);
        assert!(known, "{line} has no type");
    }
    types
}

/// Every expression of a dashboard, with values for its variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let inner: Vec<&Value> = match dashboard {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let own = dashboard["expr"].as_str().map(|text| {
        text.replace("$__rate_interval", "5m").replace("$job", ".*").replace("$instance", ".*")
    });
    own.into_iter().chain(inner.into_iter().flat_map(expressions)).collect()
}

#[test]
fn prometheus_reads_rules_and_dashboard() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
    piped("promtool", &["check", "rules", &format!("{root}/prometheus/longshore.rules.yml")], "");
    let dashboard = fs::read_to_string(format!("{root}/grafana/longshore.json")).unwrap();
    let asked = expressions(&serde_json::from_str(&dashboard).unwrap());
    assert!(asked.len() > 20, "{}", asked.len());
    let record = |(number, expr)| json!({"record": format!("dashboard:{number}"), "expr": expr});
    let rules: Vec<Value> = asked.iter().enumerate().map(record).collect();
    // JSON is YAML.
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), groups).unwrap();
    piped("promtool", &["check", "rules", &file.path().display().to_string()], "");
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_word(c));
    let ours = words.filter(|word| word.starts_with("longshore_") || word.starts_with("process_"));
    let ends = ["_bucket", "_sum", "_count"];
    let base =
        |word: &str| ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned();
    ours.map(base).collect()
}

#[test]
fn what_is_counted_can_be_read_and_is_what_the_dashboard_asks_for() {
    let up = Up::start_with(&["--metrics-listen", "127.0.0.1:0"], &["busybox"]);
    let task = up.run_task(&sleeper("counted"));
    up.await_status(&task, "RUNNING");
    up.try_cli(&["why", "0123"]);
    let text = metrics(&up);
    piped("promtool", &["check", "metrics"], &text);
    let mut known: BTreeSet<String> = families(&text).into_keys().collect();
    let has = |start: &str| {
        assert!(text.lines().any(|line| line.starts_with(start)), "no {start} in\n{text}");
    };
    has(r#"longshore_edge_requests_total{service="ecs",operation="RunTask",code="OK"} 1"#);
    has(r#"longshore_edge_request_seconds_count{service="ecs",operation="RunTask"} 1"#);
    has(r#"longshore_agent_steps_total{step="start",outcome="ok"} 1"#);
    has("longshore_ecs_tasks_placed_total 1");
    has("longshore_ecs_task_start_seconds_count 1");
    has(r#"longshore_ledger_rows{table="ecs.tasks"} 1"#);
    has("longshore_ledger_leads 1");
    has("process_resident_memory_bytes ");
    let counts = || {
        let text = metrics(&up);
        text.contains(r#"longshore_ecs_tasks{cluster="default",status="RUNNING"} 1"#)
            && text.contains(r#"longshore_ecs_instances{cluster="default",status="ACTIVE"} 1"#)
    };
    assert!(eventually(counts), "{}", metrics(&up));

    known.extend(meters::names().iter().map(|(name, _)| name.clone()));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    for file in ["deploy/grafana/longshore.json", "deploy/prometheus/longshore.rules.yml"] {
        let asked = named(&fs::read_to_string(format!("{root}{file}")).unwrap());
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(asked.len() > 10 && unknown.is_empty(), "{file} asks for {unknown:?}");
    }
    let guide = named(&fs::read_to_string(format!("{root}docs/guides/observing.md")).unwrap());
    let untold: Vec<_> = known.difference(&guide).collect();
    assert!(untold.is_empty(), "docs/guides/observing.md does not tell of {untold:?}");
}

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = spans.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || while collect(&stream, &kept).is_some() {});
            }
        });
        Self { url, spans }
    }

    fn of_trace(&self, trace: &[u8]) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        spans.iter().filter(|span| span.trace_id == trace).cloned().collect()
    }
}

/// Reads one request of a connection, and answers it.
fn collect(mut stream: &TcpStream, kept: &Mutex<Vec<Span>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    while line.trim_end() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = ExportTraceServiceRequest::decode(&*body).ok()?;
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    kept.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(answer.as_bytes()).ok()
}

#[test]
fn a_task_is_followed_from_the_edge_to_running() {
    let collector = Collector::start();
    let up = Up::start_with(&["--otlp-endpoint", &collector.url], &["busybox"]);
    let task = up.run_task(&sleeper("traced"));
    up.await_status(&task, "RUNNING");
    let trace = u128::from_str_radix(&task, 16).unwrap().to_be_bytes();
    let wanted = [
        "ecs.RunTask",
        "transaction",
        "plan",
        "commit",
        "payload",
        "journal",
        "prepare",
        "pull",
        "create",
        "network",
        "snapshot",
        "start",
        "report",
        "ecs.SubmitTaskStateChange",
        "RUNNING",
    ];
    let names = || -> BTreeSet<String> {
        collector.of_trace(&trace).into_iter().map(|span| span.name).collect()
    };
    // What is in one span may come with two sendings.
    let is_whole = || {
        let spans = collector.of_trace(&trace);
        let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        let hangs =
            |span: &Span| span.parent_span_id.is_empty() || ids.contains(&span.parent_span_id);
        wanted.iter().all(|name| names().contains(*name)) && spans.iter().all(hangs)
    };
    assert!(eventually(is_whole), "{:?}", names());

    is_a_tree(&collector.of_trace(&trace));
    links_to_its_client(&up, &collector);
}

/// Whether everything hangs where it should, from the edge on.
fn is_a_tree(spans: &[Span]) {
    let roots: Vec<_> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    let [root] = &roots[..] else { panic!("several roots: {roots:#?}") };
    assert_eq!(root.name, "ecs.RunTask");
    let above = |span: &Span| spans.iter().find(|other| other.span_id == span.parent_span_id);
    for span in spans {
        if span.span_id != root.span_id {
            assert!(above(span).is_some(), "{} hangs in the air", span.name);
        }
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    let is_under = |name: &str, parent: &str| {
        let span = spans.iter().find(|span| span.name == name).unwrap();
        assert_eq!(above(span).unwrap().name, parent, "{name}");
    };
    is_under("plan", "transaction");
    is_under("network", "create");
    for name in ["payload", "journal", "pull", "create", "start", "report", "RUNNING"] {
        is_under(name, "ecs.RunTask");
    }
}

/// A client's own trace is linked to, also by a request that is refused.
fn links_to_its_client(up: &Up, collector: &Collector) {
    let host = up.endpoint().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&host).unwrap();
    let client = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let target = "AmazonEC2ContainerServiceV20141113.ListClusters";
    write!(
        stream,
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: {target}\r\ntraceparent: {client}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    .unwrap();
    let is_linked = || {
        let spans = collector.spans.lock().unwrap();
        spans.iter().any(|span| {
            let linked = span.links.first().map(|link| link.span_id.clone());
            span.name == "ecs.ListClusters"
                && linked == Some(0xb7ad_6b71_6920_3331_u64.to_be_bytes().into())
        })
    };
    assert!(eventually(is_linked));
}

#[test]
fn what_happened_is_told_with_its_cause_and_outlives_a_kill() {
    let mut up = Up::start(&["busybox"]);
    let task = up.run_task(&sleeper("remembered"));
    up.await_status(&task, "RUNNING");
    let history = |up: &Up, resource: &str| -> Vec<Value> {
        let output = up.try_cli(&["history", resource, "--output", "json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        told["entries"].as_array().cloned().unwrap_or_default()
    };
    let has = |up: &Up, resource: &str, what: &str, text: &str| {
        let all = history(up, resource);
        all.into_iter()
            .find(|entry| entry["what"] == what && entry["text"].as_str().unwrap().contains(text))
    };
    assert!(eventually(|| has(&up, &task, "status", "→ RUNNING").is_some()));
    let created = has(&up, &task[..8], "created", "remembered:1").unwrap();
    assert_eq!(created["request"]["operation"], "ecs:RunTask");
    assert!(created["request"]["id"].as_str().unwrap().len() == 36, "{created}");
    let running = has(&up, &task, "status", "→ RUNNING").unwrap();
    assert_eq!(running["request"]["operation"], "ecs:SubmitTaskStateChange");

    up.process().end(Signal::SIGKILL);
    up.restart();
    up.aws(&["ecs", "stop-task", "--task", &task, "--reason", "seen enough"]);
    up.await_status(&task, "STOPPED");
    assert!(eventually(|| has(&up, &task, "status", "→ STOPPED").is_some()));
    assert!(has(&up, &task, "created", "remembered:1").is_some(), "the kill took it");
    let asked = has(&up, &task, "desired", "seen enough").unwrap();
    assert_eq!(asked["request"]["operation"], "ecs:StopTask");

    let lines = up.cli(&["history", &task[..8]]);
    assert!(
        lines.contains("ago)") && lines.contains("RunTask by") && !lines.contains('\x1b'),
        "{lines}"
    );
    let cluster = history(&up, "default");
    assert!(cluster.iter().any(|entry| entry["what"] == "created"), "{cluster:?}");
    assert!(cluster.iter().any(|entry| entry["what"] == "instance"), "{cluster:?}");
    let output = up.try_cli(&["history", "nonesuch"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is kept of 'nonesuch'"));
}

#[test]
fn the_bundle_and_the_logs_hold_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().display().to_string();
    let mut server = Command::new(LONGSHORE)
        .args(["server", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir", &folder])
        .env("LONGSHORE_LOG", "debug,hyper=info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let stderr = server.stderr.take().unwrap();
    let logs = std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).collect::<Vec<_>>()
    });
    let up = Up::adopt(data);
    let definition = sleeper("secretive").to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &definition]);
    let token: Value =
        serde_json::from_str(&up.cli(&["token", "create", "--output", "json"])).unwrap();
    let token = token["token"].as_str().unwrap().to_owned();
    let (_, secret) = up.keys();

    let file = up.data().join("bundle.tar.gz");
    let out = file.display().to_string();
    let told: Value =
        serde_json::from_str(&up.cli(&["debug", "bundle", "--out", &out, "--output", "json"]))
            .unwrap();
    for name in [
        "version.json",
        "config.json",
        "ledger.json",
        "metrics.txt",
        "logs.txt",
        "threads.json",
        "runtime.json",
        "doctor.json",
        "agents.json",
    ] {
        assert!(told["contents"][name].as_u64().is_some(), "no {name} in {told}");
    }
    let unpacked = Command::new("tar").args(["-xzOf", &out]).output().unwrap();
    let bundle = String::from_utf8_lossy(&unpacked.stdout).into_owned();
    assert!(bundle.contains("longshore_edge_requests_total"), "{bundle}");

    nix::sys::signal::kill(nix::unistd::Pid::from_raw(server.id() as i32), Signal::SIGTERM)
        .unwrap();
    server.wait().unwrap();
    let logs = logs.join().unwrap();
    for line in logs.iter().filter(|line| !line.starts_with("longshore: ")) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    let is_call = |line: &&String| {
        line.contains("answered")
            && line.contains("RegisterTaskDefinition")
            && line.contains("request_id")
    };
    assert!(logs.iter().any(|line| is_call(&line)), "{logs:#?}");
    for planted in [PLANTED, &token, &secret] {
        assert!(!bundle.contains(planted), "{planted} is in the bundle");
        assert!(!logs.iter().any(|line| line.contains(planted)), "{planted} is in the logs");
    }
}
