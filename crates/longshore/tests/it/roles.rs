//! Roles and commands as processes: who starts them, who reads them, what they leave.

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{LONGSHORE, PATIENCE, Process, Up, eventually, pid_of};

/// Runs a command whose output nobody reads.
fn unread(up: &Up, args: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(LONGSHORE);
    command.args(args).env("LONGSHORE_DATA_DIR", up.data());
    command.stdout(writer).output().unwrap()
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let data = TempDir::new().unwrap();
    let folder = data.path().display().to_string();
    // What serves goes on, for it is not about what it says.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut server = Command::new(LONGSHORE);
    server.args(["server", "--listen", "127.0.0.1:0", "--data-dir", &folder]);
    let mut server = server.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    let up = Up::adopt(data);
    assert!(eventually(|| up.try_cli(&["status"]).status.success()), "it serves");
    let tls = TempDir::new().unwrap();
    let tls = tls.path().display().to_string();
    for args in [
        &["init", "--dir", &tls, "--server", "plane.test"][..],
        &["token", "create"],
        &["token", "list"],
        &["status"],
        &["status", "--output", "json"],
        &["config", "show"],
        &["version", "--formats"],
        &["completions", "bash"],
        &["store", "check"],
        &["plan", "run-task", "--help"],
        &["down", "--data-dir", "/nonesuch/longshore"],
    ] {
        let output = unread(&up, args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && told.is_empty(), "{args:?}: {} {told}", output.status);
    }
    // All of it was done before anything was said.
    assert!(std::path::Path::new(&tls).join("server.crt").exists());
    kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
}

/// The next word of a role to systemd with this line.
fn await_word(socket: &UnixDatagram, line: &str) -> String {
    loop {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).unwrap_or_else(|_| panic!("nobody says {line}"));
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if told.lines().any(|one| one == line) {
            return told;
        }
    }
}

#[test]
fn systemd_is_told_of_readiness_life_and_end() {
    let data = TempDir::new().unwrap();
    let socket = data.path().join("notify");
    let heard = UnixDatagram::bind(&socket).unwrap();
    heard.set_read_timeout(Some(PATIENCE)).unwrap();
    let folder = data.path().display().to_string();
    let args = ["server", "--listen", "127.0.0.1:0", "--data-dir", &folder];
    let socket = socket.display().to_string();
    let env = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "100000")];
    let mut server = Process::start_with(&args, &env, "serves at");
    let ready = await_word(&heard, "READY=1");
    let up = Up::adopt(data);
    assert!(ready.contains(&format!("STATUS=Longshore serves at {}", up.endpoint())), "{ready}");
    await_word(&heard, "WATCHDOG=1");
    // What the unit's reload sends: there is no certificate to read again, and nothing ends.
    server.signal(Signal::SIGHUP);
    up.cli(&["status"]);
    await_word(&heard, "WATCHDOG=1");
    server.signal(Signal::SIGTERM);
    await_word(&heard, "STOPPING=1");
    assert_eq!(server.end(Signal::SIGCONT), Some(0));
}

#[test]
fn tasks_that_are_kept_go_on_over_an_orderly_restart() {
    let mut up = Up::start_with(&["--keep-tasks"], &["busybox"]);
    let task = up.run_task(&json!({"family": "kept", "containerDefinitions": [
        {"name": "main", "image": "busybox", "memory": 32, "command": ["sleep", "600"]}]}));
    let before = up.await_status(&task, "RUNNING");
    let id = before["containers"][0]["runtimeId"].as_str().unwrap().to_owned();
    let pid = pid_of(&up, "instance-1", &id);
    assert_eq!(up.process().end(Signal::SIGTERM), Some(0));
    let mut name = String::new();
    let mut file = std::fs::File::open(format!("/proc/{pid}/comm")).expect("the container goes on");
    file.read_to_string(&mut name).unwrap();
    assert_eq!(name, "sleep\n");
    up.restart();
    let after = up.await_status(&task, "RUNNING");
    assert_eq!(
        (after["containers"][0]["runtimeId"].as_str(), after["version"].as_i64()),
        (Some(id.as_str()), before["version"].as_i64())
    );
    up.process().end(Signal::SIGTERM);
    up.cli(&["down"]);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "'down' ends it");
}
