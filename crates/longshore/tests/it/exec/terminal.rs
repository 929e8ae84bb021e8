//! `longshore exec` at a terminal, as a person has it.

use super::{reachable, sleeper};
use crate::harness::{LONGSHORE, Up};

#[test]
fn a_terminal_is_raw_while_the_session_lasts_and_then_as_before() {
    let up = Up::start(&["busybox"]);
    let task = reachable(&up, &sleeper("typed"));
    let mut python = std::process::Command::new("python3");
    python.args(["-c", include_str!("terminal.py"), LONGSHORE, "exec", &task]);
    let output = python.env("LONGSHORE_DATA_DIR", up.data()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}
