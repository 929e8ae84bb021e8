//! The loaders in a small form: that they come to an end and count right. Nothing is timed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The server beside this test's own program; built if nobody has yet.
fn longshore() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_longshore-bench")).with_file_name("longshore");
    if !program.exists() {
        let cargo = std::env::var_os("CARGO").expect("tests are run by cargo");
        let built = Command::new(cargo).args(["build", "--package", "longshore"]).status();
        assert!(built.expect("cargo starts").success());
    }
    program
}

/// Runs a benchmark and gives its figures.
fn run(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_longshore-bench"))
        .args(arguments)
        .arg("--longshore")
        .arg(longshore())
        .arg("--work")
        .arg(folder.path().join("work"))
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the benchmark starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    let text = std::fs::read_to_string(json).expect("the figures");
    serde_json::from_str(&text).expect("JSON")
}

/// The figure whose name begins so.
fn figure(figures: &Value, name: &str) -> f64 {
    let all = figures["figures"].as_array().expect("a list of figures");
    let found = all.iter().find(|one| one["what"].as_str().is_some_and(|w| w.starts_with(name)));
    found.unwrap_or_else(|| panic!("no {name} in {figures:#}"))["value"].as_f64().expect("a number")
}

#[test]
fn a_small_fleet_reports_and_nothing_breaks() {
    let figures = run(&[
        "fleet",
        "--agents",
        "50",
        "--tasks",
        "1000",
        "--seconds",
        "3",
        "--changes",
        "20",
        "--processes",
        "2",
    ]);
    assert_eq!(figure(&figures, "channels that broke"), 0.0);
    assert!(figure(&figures, "state changes meanwhile") > 0.0);
    assert!(figure(&figures, "    what it was told") >= 0.0);
}

#[test]
fn tasks_that_were_made_are_there_after_a_start() {
    let figures = run(&[
        "coldstart",
        "--tasks",
        "1000",
        "--instances",
        "20",
        "--starts",
        "1",
        "--processes",
        "2",
    ]);
    assert!(figure(&figures, "    a task") > 0.0);
    assert!(figure(&figures, "cold start: exec to a DescribeTasks") > 0.0);
}

#[test]
fn writes_are_counted() {
    let figures = run(&["writes", "--seconds", "1", "--callers", "16", "--rows", "1000"]);
    assert!(figure(&figures, "transactions, 16 callers") > 0.0);
}

#[test]
fn services_are_made_changed_and_found_again() {
    let few = ["services-scale", "--few", "2", "--many", "6", "--tasks", "2", "--agents", "5"];
    let short = ["--changes", "4", "--seconds", "1", "--starts", "1", "--processes", "1"];
    let figures = run(&[&few[..], &short].concat());
    assert!(figure(&figures, "one task more or less, among 6") > 0.0);
    assert!(figure(&figures, "start: all services looked at") >= 0.0);
}

#[test]
fn services_with_containers_are_made_repaired_and_rolled() {
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/images/out/busybox.tar");
    let image = image.display().to_string();
    let small = ["services", "--no-swarm", "--tasks", "3", "--rounds", "1", "--kills", "1"];
    let figures = run(&[&small[..], &["--image", &image]].concat());
    assert!(figure(&figures, "longshore: create a service of 3") > 0.0);
    assert!(figure(&figures, "longshore: replace a killed task") > 0.0);
}
