//! Deployments that go wrong, with real containers: what comes of them, and how `longshore deploy`
//! tells it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{LONGSHORE, Up, eventually};
use crate::watched::{Watched, checked, says, script, well_behaved};

/// Flags that keep pauses between failed starts short.
const BRISK: [&str; 4] = ["--throttle-first-seconds", "0.05", "--throttle-longest-seconds", "0.1"];

fn up(settle_seconds: &str) -> Up {
    Up::start_with(&[&BRISK[..], &["--settle-seconds", settle_seconds]].concat(), &["busybox"])
}

/// `longshore deploy` of a definition that was registered.
fn deploy(up: &Up, service: &str, more: &[&str]) -> Command {
    let mut command = Command::new(LONGSHORE);
    command.args(["deploy", service, "--output", "json"]).args(more);
    command.env("LONGSHORE_DATA_DIR", up.data());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// How it ended: its code, and what it printed.
fn told(output: &Output) -> (Option<i32>, Value) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said = serde_json::from_slice(&output.stdout);
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {output:?} {stderr}")))
}

/// Deploys a definition and expects the end.
fn ends(up: &Up, service: &str, definition: &str, code: i32, outcome: &str) -> Value {
    let output = deploy(up, service, &["--task-definition", definition]).output().unwrap();
    let (ended, said) = told(&output);
    assert_eq!((ended, &said["outcome"]), (Some(code), &json!(outcome)), "{said:#}");
    said
}

/// Whether one of the causes of a deployment's end, as `deploy` tells them, has these words.
fn has_cause(said: &Value, words: &str) -> bool {
    let causes = said["tasksStopped"].as_array().unwrap().iter();
    causes.filter_map(Value::as_str).any(|cause| cause.contains(words))
}

/// The address of a registry that has nothing. It ends with the tests' process.
fn empty_registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            drop(stream.read(&mut request));
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            let head =
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close";
            let length = body.len();
            drop(write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}"));
        }
    });
    address.to_string()
}

#[test]
fn a_bad_image_and_a_crash_at_start_are_rolled_back() {
    let up = up("3");
    let ecs = Watched::of(&up);
    let good = ecs.register(&well_behaved("web"));
    // As many as the breaker needs: one round of failures ends a deployment.
    ecs.create("web", &good, 3, Some(true));
    let before = ecs.running("web");

    let mut missing = well_behaved("web");
    missing["containerDefinitions"][0]["image"] = format!("{}/none:1", empty_registry()).into();
    let crashing = script("web", "exit 7");
    for (bad, cause) in [(missing, "CannotPull"), (crashing, "7")] {
        let bad = ecs.register(&bad);
        let said = ends(&up, "web", &bad, 3, "ROLLED_BACK");
        assert!(has_cause(&said, cause), "{said:#}");
        let service = ecs.await_steady("web", &good, 3);
        let id = service["deployments"][0]["id"].as_str().unwrap();
        let lines = says(&service);
        let has = |part: &str| lines.iter().any(|line| line.contains(part));
        assert!(has("deployment failed: tasks failed to start."), "{lines:#?}");
        assert!(has(&format!("rolling back to deployment {id}.")), "{lines:#?}");
        assert_eq!(ecs.running("web"), before, "what ran well goes on");
    }
    let listed = ecs.call("ListServiceDeployments", json!({"service": "web"}));
    let listed = listed["serviceDeployments"].as_array().unwrap();
    let states: Vec<_> = listed.iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(states, ["ROLLBACK_SUCCESSFUL", "ROLLBACK_SUCCESSFUL", "SUCCESSFUL"]);
}

#[test]
fn a_crash_at_start_is_rolled_back_where_nothing_settles() {
    let up = up("0");
    let ecs = Watched::of(&up);
    let good = ecs.register(&well_behaved("web"));
    ecs.create("web", &good, 2, Some(true));
    let before = ecs.running("web");
    // It does run, for half a second.
    let crashing = ecs.register(&script("web", "sleep 0.5; exit 7"));
    let said = ends(&up, "web", &crashing, 3, "ROLLED_BACK");
    assert!(has_cause(&said, "7"), "{said:#}");
    ecs.await_steady("web", &good, 2);
    assert_eq!(ecs.running("web"), before, "what ran well goes on");
}

#[test]
fn a_crash_after_five_seconds_fails_what_is_not_to_roll_back() {
    // Much longer than five seconds: whoever lives that long is healthy.
    let up = up("20");
    let ecs = Watched::of(&up);
    let good = ecs.register(&well_behaved("web"));
    ecs.create("web", &good, 3, Some(false));
    let before = ecs.running("web");
    let crashing = ecs.register(&script("web", "sleep 5; exit 9"));
    let said = ends(&up, "web", &crashing, 3, "FAILED");
    assert!(has_cause(&said, "9"), "{said:#}");
    let service = ecs.until("web", "no task but the old ones", |service| {
        service["runningCount"] == 3 && service["pendingCount"] == 0
    });
    let primary = &service["deployments"][0];
    assert_eq!(primary["taskDefinition"], crashing.as_str(), "nothing was taken back");
    assert_eq!(primary["rolloutState"], "FAILED");
    assert_eq!(ecs.running("web"), before);
    // Who is told to goes back by hand.
    ecs.update("web", &good);
    ecs.await_steady("web", &good, 3);
}

#[test]
fn a_failing_health_check_is_rolled_back() {
    let up = up("0");
    let ecs = Watched::of(&up);
    let good = ecs.register(&well_behaved("web"));
    ecs.create("web", &good, 2, Some(true));
    let before = ecs.running("web");
    let sick = ecs.register(&checked(well_behaved("web"), "exit 1"));
    ends(&up, "web", &sick, 3, "ROLLED_BACK");
    ecs.await_steady("web", &good, 2);
    assert_eq!(ecs.running("web"), before);
    let stopped = ecs.tasks("web", "STOPPED");
    let failed = |task: &&Value| task["stoppedReason"] == "Task failed container health checks";
    assert!(stopped.iter().filter(failed).count() >= 3, "{stopped:#?}");

    // One that passes is let through.
    let well = ecs.register(&checked(well_behaved("web"), "exit 0"));
    ends(&up, "web", &well, 0, "SUCCEEDED");
    let tasks = ecs.tasks("web", "RUNNING");
    assert!(tasks.iter().all(|task| task["healthStatus"] == "HEALTHY"), "{tasks:#?}");
}

#[test]
fn tasks_that_stop_slowly_hold_nothing_up() {
    let up = up("0");
    let ecs = Watched::of(&up);
    let mut patient = script("patient", "trap 'sleep 2; exit 0' TERM; sleep 600 & wait");
    patient["containerDefinitions"][0]["stopTimeout"] = 30.into();
    let stubborn = script("stubborn", "trap '' TERM; while :; do sleep 1; done");
    for (name, definition, exit_code) in [("patient", patient, 0), ("stubborn", stubborn, 137)] {
        let old = ecs.register(&definition);
        ecs.create(name, &old, 2, None);
        let new = ecs.register(&well_behaved(name));
        ecs.update(name, &new);
        let is_over = |service: &Value| {
            assert!(service["runningCount"].as_u64() >= Some(2), "too few: {service:#}");
            service["deployments"].as_array().unwrap().len() == 1
                && service["deployments"][0]["rolloutState"] == "COMPLETED"
                && service["runningCount"] == 2
        };
        ecs.until(name, "one deployment", is_over);
        up.aws(&["ecs", "wait", "services-stable", "--services", name]);
        let mut stopped = Vec::new();
        let all_stopped = eventually(|| {
            stopped = ecs.tasks(name, "STOPPED");
            stopped.iter().all(|task| task["lastStatus"] == "STOPPED")
        });
        assert!(all_stopped && stopped.len() == 2, "{stopped:#?}");
        for task in &stopped {
            assert_eq!(task["containers"][0]["exitCode"], exit_code, "{task:#}");
            assert_eq!(task["stopCode"], "ServiceSchedulerInitiated");
            let reason = task["stoppedReason"].as_str().unwrap();
            assert!(reason.starts_with("Scaling activity initiated by (deployment ecs-svc/"));
        }
        up.aws(&["ecs", "delete-service", "--service", name, "--force"]);
        ecs.until(name, "an end", |service| service["status"] == "INACTIVE");
        up.aws(&["ecs", "wait", "services-inactive", "--services", name]);
    }
}

/// A deployment that is followed by a process of its own.
struct Followed(Child);

impl Followed {
    /// Begins one whose tasks never become healthy, and waits until it is the service's.
    fn begin(up: &Up, ecs: &Watched, definition: &str) -> Self {
        let child = deploy(up, "web", &["--task-definition", definition]).spawn().unwrap();
        ecs.until("web", "the deployment", |service| service["taskDefinition"] == definition);
        Self(child)
    }

    fn end(self) -> (Option<i32>, Value) {
        told(&self.0.wait_with_output().unwrap())
    }
}

#[test]
fn deploy_ends_with_a_code_that_says_how() {
    let up = up("0");
    let ecs = Watched::of(&up);
    let good = ecs.register(&well_behaved("web"));
    ecs.create("web", &good, 1, None);
    let output = deploy(&up, "none", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    // An image of another name, and the same once more.
    up.cli(&["deploy", "web", "--image", "main=busybox:latest"]);
    let said = up.cli(&["deploy", "web", "--output", "json", "--wait-for", "steady"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["outcome"], "SUCCEEDED");

    // Neither healthy nor sick for five minutes.
    let mut coming = checked(well_behaved("web"), "exit 1");
    coming["containerDefinitions"][0]["healthCheck"]["startPeriod"] = 300.into();
    let coming = ecs.register(&coming);
    let late = ["--task-definition", &coming, "--timeout", "1"];
    let (code, said) = told(&deploy(&up, "web", &late).output().unwrap());
    assert_eq!((code, &said["outcome"]), (Some(5), &json!("STILL_IN_PROGRESS")));
    ecs.update("web", &good);
    ecs.await_steady("web", &good, 1);

    let followed = Followed::begin(&up, &ecs, &coming);
    let arn = ecs.service("web")["currentServiceDeployment"].take();
    let stop = json!({"serviceDeploymentArn": arn, "stopType": "ABORT"});
    ecs.call("StopServiceDeployment", stop);
    let (code, said) = followed.end();
    assert_eq!((code, &said["outcome"]), (Some(4), &json!("STOPPED")), "{said:#}");
    ecs.update("web", &good);
    ecs.await_steady("web", &good, 1);

    let followed = Followed::begin(&up, &ecs, &coming);
    ecs.update("web", &good);
    let (code, said) = followed.end();
    assert_eq!((code, &said["outcome"]), (Some(4), &json!("REPLACED")), "{said:#}");
    ecs.await_steady("web", &good, 1);

    let followed = Followed::begin(&up, &ecs, &coming);
    let pid = Pid::from_raw(i32::try_from(followed.0.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let (code, said) = followed.end();
    assert_eq!((code, &said["outcome"]), (Some(130), &json!("NOT_FOLLOWED")), "{said:#}");
    assert_eq!(ecs.service("web")["taskDefinition"], coming.as_str(), "it goes on");
}
