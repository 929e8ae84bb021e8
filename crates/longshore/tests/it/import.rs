//! `longshore import`: what it writes registers here, and runs.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{LONGSHORE, Up};

/// The inputs of the unit tests: one of each kind, with all that they can say.
fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/commands/import/goldens")
}

fn register(up: &Up, file: &Path) -> Value {
    let argument = format!("file://{}", file.display());
    up.aws(&["ecs", "register-task-definition", "--cli-input-json", &argument])
}

#[test]
fn everything_that_is_imported_registers() {
    let up = Up::start(&[]);
    let names = ["shop", "everything", "host", "anchors", "docker", "described"];
    for name in names {
        // The definition as the unit tests hold it: made without files of this machine.
        let answer = register(&up, &goldens().join(format!("{name}.json")));
        assert_eq!(answer["taskDefinition"]["status"], "ACTIVE", "{name}");
    }
    // What was registered can be described, imported, and registered again.
    let family =
        ["ecs", "describe-task-definition", "--task-definition", "shop", "--include", "TAGS"];
    let described = up.aws(&family);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("again.json");
    fs::write(&file, import_text(&described.to_string())).unwrap();
    let again = register(&up, &file);
    let without = |definition: &Value| {
        let mut definition = definition["taskDefinition"].clone();
        for changed in ["taskDefinitionArn", "revision", "registeredAt"] {
            definition.as_object_mut().unwrap().remove(changed);
        }
        definition
    };
    assert_eq!(without(&described), without(&again));
}

/// The standard output of `longshore import -`.
fn import_text(text: &str) -> String {
    let mut command = Command::new(LONGSHORE);
    command.args(["import", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_compose_file_runs() {
    let up = Up::start(&["nginx"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    let text = "name: greeter\nservices:\n  web:\n    image: nginx:${NGINX_TAG}\n    \
                ports: [\"80\"]\n    mem_limit: 64m\n    build: .\n";
    fs::write(&file, text).unwrap();
    fs::write(folder.path().join(".env"), "NGINX_TAG=latest\n").unwrap();
    let notes = folder.path().join("notes.txt");
    let (file, notes) = (file.display().to_string(), notes.display().to_string());
    let definition = up.cli(&["import", &file, "--notes", &notes]);
    assert!(
        fs::read_to_string(&notes).unwrap().starts_with("services.web.build: nothing is built")
    );
    let task = folder.path().join("task.json");
    fs::write(&task, definition).unwrap();
    let run = up.cli(&["run", &task.display().to_string(), "--output", "json"]);
    let run: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(run["lastStatus"], "RUNNING");
    assert!(run["taskDefinitionArn"].as_str().unwrap().contains("task-definition/greeter:"));
}

#[test]
fn what_cannot_be_imported_is_told_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yaml");
    fs::write(&file, "services:\n  web:\n    image: x\n    ports: [\"x\"]\n").unwrap();
    let output = Command::new(LONGSHORE).arg("import").arg(&file).output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("services.web.ports[0] (line 4): 'x' is not of the form"), "{error}");
}
