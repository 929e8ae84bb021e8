//! ECS Exec with real containers: `longshore exec`, and a client of the tests' own that speaks the
//! plugin's framing.

mod client;
mod logs;
mod terminal;

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use self::client::Client;
use crate::apart::Apart;
use crate::harness::{LONGSHORE, Up, eventually};

/// How the plugin names its version.
const PLUGIN: &str = "1.2.0.0";

/// A task that sleeps, and that can be reached.
fn sleeper(family: &str) -> Value {
    json!({
        "family": family, "taskRoleArn": "arn:aws:iam::000000000000:role/exec",
        "containerDefinitions": [{
            "name": "main", "image": "busybox", "memory": 64, "user": "nobody", "stopTimeout": 2,
            "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"],
            "environment": [{"name": "GREETING", "value": "hello"}],
        }],
    })
}

/// Runs such a task to RUNNING.
fn reachable(up: &Up, definition: &Value) -> String {
    let text = definition.to_string();
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &text]);
    let family = definition["family"].as_str().unwrap();
    let run = up.aws(&["ecs", "run-task", "--task-definition", family, "--enable-execute-command"]);
    assert_eq!(run["failures"], json!([]), "{run}");
    let arn = run["tasks"][0]["taskArn"].as_str().unwrap();
    assert_eq!(run["tasks"][0]["containers"][0]["managedAgents"][0]["lastStatus"], "PENDING");
    let id = arn.rsplit('/').next().unwrap().to_owned();
    up.await_status(&id, "RUNNING");
    id
}

/// `longshore exec` with this input.
fn exec(up: &Up, task: &str, words: &[&str], input: &[u8]) -> (Vec<u8>, Option<i32>) {
    let mut command = Command::new(LONGSHORE);
    command.args(["exec", task, "--"]).args(words).env("LONGSHORE_DATA_DIR", up.data());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        // A command that ends early reads no more.
        let _ = stdin.write_all(&input);
    });
    let mut output = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
    let status = child.wait().unwrap();
    writing.join().unwrap();
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.is_empty(), "{words:?}: {told}");
    (output, status.code())
}

fn text((output, code): (Vec<u8>, Option<i32>)) -> (String, Option<i32>) {
    (String::from_utf8(output).unwrap().replace("\r\n", "\n"), code)
}

#[test]
fn a_command_runs_in_the_container_as_root_at_a_terminal() {
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("reached"));
    let described = up.task(&task);
    let agent = &described["containers"][0]["managedAgents"][0];
    assert_eq!(
        (&agent["name"], &agent["lastStatus"]),
        (&json!("ExecuteCommandAgent"), &json!("RUNNING"))
    );
    assert_eq!(described["enableExecuteCommand"], true);
    let script = "id -u; echo $GREETING $TERM; tty; stty size; hostname; exit 7";
    let (output, code) = text(exec(&up, &task, &["sh", "-c", script], b""));
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[..4], ["0", "hello xterm-256color", "/dev/pts/0", "100 300"], "{output}");
    assert_eq!(code, Some(7));
    // What is typed reaches the command, and its end is an end.
    let (output, code) = text(exec(&up, &task, &["cat"], b"typed\n"));
    assert!(output.ends_with("typed\n"), "{output:?}");
    assert_eq!(code, Some(0));
    let (output, code) = text(exec(&up, &task, &["nonesuch"], b""));
    assert!(output.contains("\"nonesuch\": executable file not found"), "{output}");
    assert_eq!(code, Some(127));
    // The container is as it was.
    assert_eq!(up.task(&task)["lastStatus"], "RUNNING");
}

#[test]
fn a_task_without_it_is_not_reached() {
    let up = Up::start(&["busybox"]);
    let roleless = json!({"family": "roleless", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 64, "command": ["sleep", "1000"]}]});
    let task = up.run_task(&roleless);
    up.await_status(&task, "RUNNING");
    let refused = |args: &[&str], words: &str| {
        let output = up.try_aws(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(words), "{args:?}: {told}");
    };
    let run = ["ecs", "run-task", "--task-definition", "roleless", "--enable-execute-command"];
    refused(&run, "a valid task role is not being used");
    let ours = up.try_cli(&["exec", &task]);
    let told = String::from_utf8_lossy(&ours.stderr).into_owned();
    assert!(told.contains("execute command was not enabled"), "{told}");
    assert!(eventually(|| up.task(&task)["lastStatus"] == "RUNNING"));
}

/// A session by ExecuteCommand.
fn session(up: &Up, task: &str, command: &str) -> Value {
    // Not by the CLI's own command of that name, which starts the plugin.
    let script = "import boto3, json, sys; print(json.dumps(boto3.client('ecs').execute_command(\
        task=sys.argv[1], command=sys.argv[2], interactive=True)['session']))";
    let output = up.with_profile("python3").args(["-c", script, task, command]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn resume(up: &Up, session: &Value) -> Value {
    up.aws(&["ssm", "resume-session", "--session-id", session["sessionId"].as_str().unwrap()])
}

#[test]
fn a_session_is_resized_interrupted_and_resumed() {
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("resumed"));
    let first = session(&up, &task, "/bin/sh");
    let mut client = Client::open(&first, PLUGIN);
    client.until("# ");
    client.type_in(b"stty size\r");
    client.until("40 120\r\n");
    client.resize(99, 33);
    client.type_in(b"stty size\r");
    client.until("33 99\r\n");
    // What is interrupted says itself that it began: before that, Ctrl-C is the shell's own.
    client.type_in(b"sh -c 'echo begun; exec sleep 1000'\r");
    client.until("\r\nbegun\r\n");
    client.type_in(b"\x03");
    client.type_in(b"kept=yes; echo ready\r");
    client.until("\r\nready\r\n");
    // The command goes on writing while nobody is there.
    client.type_in(b"for i in $(seq 1 20000); do echo line $i; done; echo all\r");
    client.until("line 100\r\n");
    client.cut();
    let again = resume(&up, &first);
    assert_ne!(again["TokenValue"], first["tokenValue"]);
    client.connect(&again);
    let lines = client.until("\r\nall\r\n");
    let expected: Vec<String> = (101..=20000).map(|number| format!("line {number}")).collect();
    assert_eq!(lines.split("\r\n").collect::<Vec<_>>(), expected);
    // A token opens once.
    let mut thief = Client::open(&again, PLUGIN);
    assert!(eventually(|| !thief.step()));
    client.type_in(b"echo still $kept; exit 5\r");
    client.until("still yes\r\n");
    client.end();
    assert_eq!(client.code, None, "the plugin would print it");
    let over = resume(&up, &first);
    assert_eq!(over.get("TokenValue"), None, "{over}");
}

#[test]
fn a_session_goes_on_after_its_server_was_killed() {
    let mut apart = Apart::start(&["busybox"]);
    let task = reachable(&apart.up, &sleeper("lasting"));
    let first = session(&apart.up, &task, "/bin/sh");
    let mut client = Client::open(&first, PLUGIN);
    client.until("# ");
    client.type_in(b"kept=yes; echo ready\r");
    client.until("\r\nready\r\n");
    apart.kill_server();
    assert!(eventually(|| !client.step()), "the connection is gone");
    client.connect(&resume(&apart.up, &first));
    client.type_in(b"echo still $kept; exit\r");
    client.until("still yes\r\n");
    client.end();
}

#[test]
fn a_session_ends_when_it_is_terminated_and_with_its_container() {
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("ended"));
    let first = session(&up, &task, "/bin/sh");
    let mut client = Client::open(&first, PLUGIN);
    client.until("# ");
    up.aws(&["ssm", "terminate-session", "--session-id", first["sessionId"].as_str().unwrap()]);
    client.end();
    let mut client = Client::open(&session(&up, &task, "/bin/sh"), PLUGIN);
    client.until("# ");
    up.aws(&["ecs", "stop-task", "--task", &task]);
    client.end();
    up.await_status(&task, "STOPPED");
    let agent = &up.task(&task)["containers"][0]["managedAgents"][0];
    assert_eq!(agent["lastStatus"], "STOPPED");
}

#[test]
fn streams_of_100_mb_go_both_ways_at_once() {
    const BYTES: usize = 100 * 1024 * 1024;
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("streamed"));
    let script = format!("sh -c 'stty raw -echo; echo go; exec head -c {BYTES}'");
    let mut client = Client::open(&session(&up, &task, &script), "longshore/test");
    client.until("go\n");
    let line: Vec<u8> = (0..64 * 1024).map(|index: usize| (index * 31 % 251) as u8).collect();
    let (mut typed, mut came) = (0, 0);
    while came < BYTES {
        if typed < BYTES {
            let from = typed % line.len();
            let part = &line[from..line.len().min(from + 16 * 1024)];
            let part = &part[..part.len().min(BYTES - typed)];
            client.type_in(part);
            typed += part.len();
        } else {
            assert!(client.step() || client.is_over);
        }
        let seen = std::mem::take(&mut client.seen);
        for (offset, byte) in seen.iter().enumerate() {
            assert_eq!(*byte, line[(came + offset) % line.len()], "byte {}", came + offset);
        }
        came += seen.len();
    }
    client.end();
    assert_eq!(client.code.as_deref(), Some("0"));
}
