//! Task definitions of public repositories (`tests/corpus`, their sources in `SOURCES.md` there):
//! each registers, comes back as it was registered, and runs where something here can serve it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::Up;

/// The fewest definitions that the corpus may have.
const LEAST: u64 = 64;

/// What is refused, by ECS too, and the words that we refuse it with (their beginning). What starts
/// with `Parameter validation` is refused by AWS's own clients before it is sent.
const REFUSED: [(&str, &str); 15] = [
    (
        "awsvpc-other-host-port",
        "ClientException: When networkMode=awsvpc, the host ports and container ports in port \
         mappings must match.",
    ),
    (
        "efs-access-point",
        "ClientException: When using an EFS access point, the root directory must either be set \
         to \"/\" or be omitted.",
    ),
    ("elastic-inference", "ClientException: Unsupported field 'inferenceAccelerators'."),
    (
        "fargate-logs-without-prefix",
        "ClientException: Fargate requires log configuration options to include \
         awslogs-stream-prefix to support log driver awslogs.",
    ),
    (
        "fargate-long-start-timeout",
        "ClientException: Tasks using the Fargate launch type must have a container start timeout",
    ),
    ("fargate-reservation-only", NO_EXECUTION_ROLE),
    ("fargate-two-ports", NO_EXECUTION_ROLE),
    (
        "firelens-ports-as-object",
        "Parameter validation failed: Invalid type for parameter \
         containerDefinitions[1].portMappings",
    ),
    (
        "fluentd-router-on-fargate",
        "ClientException: Fargate launch type does not support FirelensConfiguration config file \
         from 's3'",
    ),
    ("fsx-for-windows", "ClientException: Unknown volume 'missing'."),
    ("link-to-nothing", "ClientException: Invalid 'links' setting. Unknown container: 'missing'."),
    (
        "member-that-is-none",
        "Parameter validation failed: Unknown parameter in containerDefinitions[0]: \"devices\"",
    ),
    (
        "network-mode-default",
        "InvalidParameterException: 1 validation error detected: Value 'default' at 'networkMode' \
         failed to satisfy constraint",
    ),
    ("proxy-without-container", "ClientException: Proxy container [missing] does not exist."),
    ("registered-with-status", "ClientException: Proxy container [missing] does not exist."),
];
const NO_EXECUTION_ROLE: &str = "ClientException: Fargate requires task definition to have \
                                 execution role ARN to support log driver awslogs.";

/// Plays the corpus (`corpus.py` tells how) and gives what it prints.
fn play(up: &Up, what: &str) -> Value {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let scratch = tempfile::tempdir().unwrap();
    let mut command = up.with_profile("python3");
    command.arg(tests.join("it/corpus.py")).arg(tests.join("corpus")).arg(scratch.path());
    let output = command.arg(what).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts(value: &Value) -> BTreeMap<&str, &str> {
    let pairs = value.as_object().unwrap().iter();
    pairs.map(|(name, text)| (name.as_str(), text.as_str().unwrap())).collect()
}

#[test]
fn definitions_of_public_repositories_register_and_come_back_as_they_were() {
    let up = Up::server(&["--account", "123456789012"]);
    let told = play(&up, "register");
    assert!(told["count"].as_u64().unwrap() >= LEAST, "{told}");
    let refused = texts(&told["refused"]);
    let names: Vec<&str> = refused.keys().copied().collect();
    assert_eq!(names, REFUSED.map(|(name, _)| name), "{refused:#?}");
    for (name, text) in REFUSED {
        assert!(refused[name].starts_with(text), "{name}: {}", refused[name]);
    }
    assert_eq!(told["lost"], serde_json::json!({}));
}
