//! Log drivers with real containers (ECS semantics §3.4, logs reference §1.10): awslogs into
//! CloudWatch Logs, syslog into Debian's rsyslog, FireLens and fluentd into a stand-in that speaks the
//! forward protocol.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::{Up, eventually};

/// A container that runs a shell script, with a log driver.
fn container(name: &str, script: &str, driver: &str, options: Value) -> Value {
    json!({
        "name": name, "image": "busybox", "memory": 64, "stopTimeout": 2,
        "command": ["sh", "-c", script],
        "logConfiguration": {"logDriver": driver, "options": options},
    })
}

fn one(family: &str, container: Value) -> Value {
    json!({"family": family, "containerDefinitions": [container]})
}

fn awslogs(more: Value) -> Value {
    let mut options = json!({
        "awslogs-group": "/ecs/test", "awslogs-region": "us-east-1",
        "awslogs-create-group": "true", "awslogs-stream-prefix": "p",
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

/// All messages of a stream, page by page.
fn messages(up: &Up, stream: &str) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec![
            "logs",
            "get-log-events",
            "--log-group-name",
            "/ecs/test",
            "--log-stream-name",
            stream,
            "--start-from-head",
        ];
        args.extend(token.iter().flat_map(|token| ["--next-token", token.as_str()]));
        let page = up.aws(&args);
        let events = page["events"].as_array().unwrap();
        all.extend(events.iter().map(|event| event["message"].as_str().unwrap().to_owned()));
        let next = page["nextForwardToken"].as_str().unwrap().to_owned();
        if token.replace(next.clone()) == Some(next) {
            return all;
        }
    }
}

#[test]
fn awslogs_keeps_every_line_in_order() {
    let up = Up::start(&["busybox"]);
    let script = "for i in $(seq 1 3000); do echo line $i; done; \
                  head -c 100000 /dev/zero | tr '\\0' x; echo; echo err >&2; exit 3";
    let task = up.run_task(&one("plain", container("main", script, "awslogs", awslogs(json!({})))));
    let stopped = up.await_status(&task, "STOPPED");
    assert_eq!(stopped["containers"][0]["exitCode"], 3);
    let stream = format!("p/main/{task}");
    let mut found = Vec::new();
    assert!(eventually(|| {
        found = messages(&up, &stream);
        found.len() >= 3002
    }));
    assert!(found.contains(&"err".to_owned()));
    found.retain(|line| line != "err");
    let expected: Vec<String> = (1..=3000).map(|number| format!("line {number}")).collect();
    assert_eq!(found[..3000], expected[..]);
    assert_eq!((found.len(), found[3000].len()), (3001, 100_000));
    // So does the tool `awslogs` of PyPI show them.
    let mut awslogs = up.with_profile("awslogs");
    awslogs.args(["get", "/ecs/test", "ALL", "--no-group", "--no-stream", "--filter-pattern"]);
    let output = awslogs.arg("\"line 29\"").output().expect("./x test installs it");
    let shown = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(shown, 111, "{}", String::from_utf8_lossy(&output.stderr));
    // The instance has them too; what was standard error is so here.
    assert!(up.cli(&["logs", &task]).ends_with("x\n"));
}

#[test]
fn awslogs_makes_events_of_several_lines() {
    let up = Up::start(&["busybox"]);
    let script = "printf '2026-01-02 a\\n  at b\\n2026-01-03 c\\n'; printf 'no end'";
    let pattern = awslogs(json!({"awslogs-datetime-format": "%Y-%m-%d", "mode": "non-blocking"}));
    let task = up.run_task(&one("several", container("main", script, "awslogs", pattern)));
    up.await_status(&task, "STOPPED");
    let stream = format!("p/main/{task}");
    // Without blocking the stream is made beside the container.
    let listed = || up.aws(&["logs", "describe-log-streams", "--log-group-name", "/ecs/test"]);
    assert!(eventually(|| up
        .try_aws(&["logs", "describe-log-streams", "--log-group-name", "/ecs/test"])
        .status
        .success()
        && listed()["logStreams"][0]["logStreamName"] == stream));
    assert!(eventually(|| messages(&up, &stream).len() == 2));
    assert_eq!(messages(&up, &stream), ["2026-01-02 a\n  at b", "2026-01-03 c\nno end"]);
}

#[test]
fn awslogs_without_its_group_does_not_start() {
    let up = Up::start(&["busybox"]);
    let mut options = awslogs(json!({}));
    options["awslogs-create-group"] = "false".into();
    options["mode"] = "blocking".into();
    let task = up.run_task(&one("groupless", container("main", "true", "awslogs", options)));
    let stopped = up.await_status(&task, "STOPPED");
    let reason = stopped["containers"][0]["reason"].as_str().unwrap();
    let expected = "CannotStartContainerError: failed to initialize logging driver: failed to \
                    create Cloudwatch log stream: ResourceNotFoundException";
    assert!(reason.starts_with(expected), "{reason}");
}

/// The shortest period that ECS takes is a minute, and so long this test takes.
#[test]
fn a_restarted_container_goes_on_in_its_stream() {
    let up = Up::start(&["busybox"]);
    let script = "n=$(($(cat /n 2>/dev/null || echo 0) + 1)); echo $n > /n; \
                  for i in 1 2 3; do echo run $n line $i; done; \
                  [ $n = 2 ] && exit 5; sleep 61; printf 'no end'; exit 1";
    let mut main = container("main", script, "awslogs", awslogs(json!({"mode": "blocking"})));
    main["restartPolicy"] = json!({"enabled": true, "restartAttemptPeriod": 60});
    let task = up.run_task(&one("again", main));
    let mut last = Value::Null;
    // Longer than others are waited for.
    assert!((0..3).any(|_| eventually(|| {
        last = up.task(&task);
        last["lastStatus"] == "STOPPED"
    })));
    assert_eq!(last["containers"][0]["exitCode"], 5, "{last:#}");
    let (stream, mut found) = (format!("p/main/{task}"), Vec::new());
    let expected = [
        "run 1 line 1",
        "run 1 line 2",
        "run 1 line 3",
        "no end",
        "run 2 line 1",
        "run 2 line 2",
        "run 2 line 3",
    ];
    let is_whole = eventually(|| {
        found = messages(&up, &stream);
        found == expected
    });
    assert!(is_whole, "{found:?}");
}

#[test]
fn no_line_is_lost_when_all_is_killed() {
    let mut up = Up::start(&["busybox"]);
    // It goes on writing while nobody is there, and ends while nobody is there.
    let script = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; \
                  [ -e /shared/go ] || sleep 0.02; done; : > /shared/done; sleep 600";
    let shared = up.data().join("shared");
    fs::create_dir(&shared).unwrap();
    let mut main = container("main", script, "awslogs", awslogs(json!({"mode": "blocking"})));
    main["mountPoints"] = json!([{"sourceVolume": "shared", "containerPath": "/shared"}]);
    let mut definition = one("killed", main);
    definition["volumes"] =
        json!([{"name": "shared", "host": {"sourcePath": shared.display().to_string()}}]);
    let task = up.run_task(&definition);
    up.await_status(&task, "RUNNING");
    let stream = format!("p/main/{task}");
    assert!(eventually(|| !messages(&up, &stream).is_empty()));
    up.process().end(Signal::SIGKILL);
    fs::write(shared.join("go"), "").unwrap();
    assert!(eventually(|| shared.join("done").exists()));
    up.restart();
    let mut found = Vec::new();
    assert!(eventually(|| {
        found = messages(&up, &stream);
        found.last().is_some_and(|line| line == "line 400")
    }));
    // What was on its way when it was killed may have come twice, and nothing else.
    found.dedup();
    let mut numbers: Vec<u32> =
        found.iter().map(|line| line.trim_start_matches("line ").parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
}

#[test]
fn none_keeps_nothing_and_json_file_turns_over() {
    let up = Up::start(&["busybox"]);
    let mut silent = container("silent", "echo hidden", "none", json!({}));
    silent["essential"] = false.into();
    let script = "for i in $(seq 1 100); do echo line $i; done";
    let options = json!({"max-size": "2k", "max-file": "2", "labels": "tier"});
    let mut turning = container("turning", script, "json-file", options);
    turning["dockerLabels"] = json!({"tier": "front"});
    let definition = json!({"family": "files", "containerDefinitions": [silent, turning]});
    let task = up.run_task(&definition);
    let stopped = up.await_status(&task, "STOPPED");
    let log = up.cli(&["logs", &task]);
    assert!(!log.contains("hidden") && log.ends_with("line 100\n") && !log.contains("line 1\n"));
    let containers = stopped["containers"].as_array().unwrap();
    let turning = containers.iter().find(|one| one["name"] == "turning").unwrap();
    let id = turning["runtimeId"].as_str().unwrap();
    let folder = up.data().join("node/instance-1/containers").join(id);
    let text = fs::read_to_string(folder.join("output.json")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["attrs"], json!({"tier": "front"}));
    assert!(folder.join("output.json.1").exists() && !folder.join("output.json.2").exists());
}

/// An rsyslogd that writes what it gets into a file.
struct Rsyslog {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Rsyslog {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let settings = format!(
            "global(workDirectory=\"{0}\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imudp\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             template(name=\"all\" type=\"string\" \
             string=\"%syslogfacility-text% %syslogseverity-text% %programname%:%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{1}\" template=\"all\")\n",
            folder.path().display(),
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

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn syslog_reaches_rsyslog() {
    let (up, server) = (Up::start(&["busybox"]), Rsyslog::start());
    let port = server.port;
    let tcp = json!({
        "syslog-address": format!("tcp://127.0.0.1:{port}"), "tag": "web/{{.Name}}",
        "syslog-facility": "local3", "syslog-format": "rfc5424",
    });
    let udp = json!({"syslog-address": format!("udp://127.0.0.1:{port}"), "tag": "udp"});
    // Neither of the two ends the task while the other has something to say.
    let script = "for i in $(seq 1 500); do echo line $i; done; sleep 1; echo bad >&2; sleep 600";
    let definition = json!({"family": "syslog", "containerDefinitions": [
        container("main", script, "syslog", tcp),
        container("other", "echo by datagram; sleep 600", "syslog", udp),
    ]});
    up.run_task(&definition);
    let mut lines = Vec::new();
    assert!(eventually(|| {
        lines = server.lines();
        lines.len() >= 502
    }));
    assert!(lines.iter().any(|line| line == "daemon info udp: by datagram"), "{lines:#?}");
    let of_main = |line: &&String| line.starts_with("local3 ");
    let texts: Vec<&str> =
        lines.iter().filter(of_main).filter_map(|line| line.split(':').next_back()).collect();
    let bad = lines.iter().find(|line| line.ends_with("bad")).unwrap();
    assert!(bad.starts_with("local3 err web"), "{bad}");
    let expected: Vec<String> = (1..=500).map(|number| format!("line {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
    assert_eq!(texts[..500], expected.iter().map(String::as_str).collect::<Vec<_>>()[..]);
}

/// A router that prints what it gets, one JSON object a line: the tag, and each record.
const ROUTER: &str = include_str!("router.py");

fn router(socket: &str) -> Value {
    json!({
        "name": "router", "image": "python", "memory": 128, "essential": true, "stopTimeout": 5,
        "command": ["python3", "-u", "-c", ROUTER, socket],
    })
}

/// What the router printed, and the configuration that it found.
fn routed(up: &Up, task: &str) -> Vec<Value> {
    let text = up.cli(&["logs", task, "--container", "router"]);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn firelens_routes_to_its_router() {
    let up = Up::start(&["busybox", "python"]);
    let mut router = router("/var/run/fluent.sock");
    router["firelensConfiguration"] =
        json!({"type": "fluentbit", "options": {"enable-ecs-log-metadata": "true"}});
    let options = json!({"Name": "stdout", "exclude-pattern": "secret"});
    let script = "for i in $(seq 1 200); do echo line $i; done; \
                  echo host $FLUENT_HOST port $FLUENT_PORT >&2";
    let app = container("app", script, "awsfirelens", options);
    let definition = json!({"family": "routed", "containerDefinitions": [app, router]});
    let task = up.run_task(&definition);
    up.await_status(&task, "STOPPED");
    let found = routed(&up, &task);
    let configuration = found[0]["configuration"].as_str().unwrap();
    assert!(configuration.contains("Match app-firelens*"), "{configuration}");
    assert!(configuration.contains("Exclude log secret"), "{configuration}");
    assert!(configuration.contains("Record ecs_task_definition routed:1"), "{configuration}");
    let records: Vec<&Value> = found.iter().filter(|one| one["log"].is_string()).collect();
    let tag = format!("app-firelens-{task}");
    assert!(records.iter().all(|one| one["tag"] == *tag && one["container_id"].is_string()));
    let of = |source: &str| -> Vec<&str> {
        let of_source = records.iter().filter(|one| one["source"] == source);
        of_source.map(|one| one["log"].as_str().unwrap()).collect()
    };
    let expected: Vec<String> = (1..=200).map(|number| format!("line {number}")).collect();
    assert_eq!(of("stdout"), expected.iter().map(String::as_str).collect::<Vec<_>>());
    let told = of("stderr");
    assert!(told[0].starts_with("host 1") && told[0].ends_with(" port 24224"), "{told:?}");
}

#[test]
fn fluentd_acknowledges_what_it_took() {
    let up = Up::start(&["busybox", "python"]);
    let sockets = up.data().join("sockets");
    fs::create_dir(&sockets).unwrap();
    let mut router = router("/sockets/s.sock");
    router["mountPoints"] = json!([{"sourceVolume": "sockets", "containerPath": "/sockets"}]);
    let address = format!("unix://{}", Path::new(&sockets).join("s.sock").display());
    let options = json!({
        "fluentd-address": address, "fluentd-async": "true", "fluentd-request-ack": "true",
        "fluentd-sub-second-precision": "true", "tag": "docker.{{.Name}}", "env": "FLAVOUR",
    });
    let script = "for i in $(seq 1 50); do echo line $i; done; sleep 600";
    let mut app = container("app", script, "fluentd", options);
    app["environment"] = json!([{"name": "FLAVOUR", "value": "sweet"}]);
    let definition = json!({"family": "fluentd", "containerDefinitions": [app, router],
        "volumes": [{"name": "sockets", "host": {"sourcePath": sockets.display().to_string()}}]});
    let task = up.run_task(&definition);
    up.await_status(&task, "RUNNING");
    let mut records = Vec::new();
    assert!(eventually(|| {
        records = routed(&up, &task);
        records.iter().filter(|one| one["log"].is_string()).count() >= 50
    }));
    records.retain(|one| one["log"].is_string());
    assert_eq!(records.len(), 50, "each once: it was acknowledged");
    assert!(records.iter().all(|one| one["FLAVOUR"] == "sweet" && one["nanos"].is_number()));
    let tag = records[0]["tag"].as_str().unwrap();
    assert!(tag.starts_with("docker.ecs-fluentd-1-app-"), "{tag}");
}
