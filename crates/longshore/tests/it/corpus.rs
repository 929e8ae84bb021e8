//! Task definitions of public repositories (`tests/corpus`, their sources in `SOURCES.md` there):
//! each registers, comes back as it was registered, and runs where something here can serve it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::Up;

/// The fewest definitions that the corpus may have.
const LEAST: u64 = 64;
/// The fewest that run here.
const LEAST_RUNNING: usize = 60;

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

/// What finds no place on a machine of ours, and how the reason begins. These may also run: what
/// agents can do grows.
const UNPLACED: [(&str, &str); 12] = [
    // The proxy of App Mesh, which AWS has given up, is not built.
    ("app-mesh-on-fargate", "ATTRIBUTE: it has no attribute ecs.capability.aws-appmesh"),
    ("app-mesh-with-firelens", "ATTRIBUTE: it has no attribute ecs.capability.aws-appmesh"),
    ("app-mesh-with-tracing", "ATTRIBUTE: it has no attribute ecs.capability.aws-appmesh"),
    // Instance types, zones, processors and systems that this machine is not or has not.
    ("devices-and-lock", "MemberOf placement constraint unsatisfied."),
    ("instance-type-constraint", "MemberOf placement constraint unsatisfied."),
    ("zone-constraint", "MemberOf placement constraint unsatisfied."),
    ("fargate-arm64", "ATTRIBUTE: its attribute ecs.cpu-architecture is not arm64"),
    ("fargate-windows", "ATTRIBUTE: its attribute ecs.os-type is not windows"),
    // Of several instances in the machine's own network, the first alone has the route that roles in
    // host mode need: another test's, it may be.
    (
        "secrets-in-three-forms",
        "ATTRIBUTE: it has no attribute com.amazonaws.ecs.capability.task-iam-role-network-host",
    ),
    // What RunTask has to say besides.
    ("ebs-at-launch", "The volume 'volume-1' is configured at launch"),
    // A kernel with cgroup v2 has no swappiness for each group.
    ("every-member-on-a-bridge", "ATTRIBUTE: it has no attribute ecs.capability.memory-swappiness"),
    // A log driver that is not built.
    (
        "splunk-logs",
        "ATTRIBUTE: it has no attribute com.amazonaws.ecs.capability.logging-driver.splunk",
    ),
];

/// What is placed and cannot start, on ECS neither, and parts of why.
const ENDED: [(&str, &str); 2] = [
    // A path of Windows, on Linux.
    ("agent-on-windows", "both must be absolute"),
    (
        "secret-with-a-colon-too-many",
        "an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid \
         ARN and try again.",
    ),
];

/// Plays the corpus (`corpus.py` tells how) and gives what it prints.
fn play(up: &Up, scratch: &Path, what: &str) -> Value {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut command = up.with_profile("python3");
    command.arg(tests.join("it/corpus.py")).arg(tests.join("corpus")).arg(scratch);
    let output = command.arg(what).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn texts(value: &Value) -> BTreeMap<&str, &str> {
    let pairs = value.as_object().unwrap().iter();
    pairs.map(|(name, text)| (name.as_str(), text.as_str().unwrap())).collect()
}

/// Whether a table tells this reason of this name.
fn is_told(table: &[(&str, &str)], name: &str, reason: &str) -> bool {
    table.iter().any(|(known, text)| *known == name && reason.contains(text))
}

#[test]
fn definitions_of_public_repositories_register_come_back_as_they_were_and_run() {
    let scratch = tempfile::tempdir().unwrap();
    let objects = scratch.path().join("s3").display().to_string();
    let sizes = ["--instance-cpu", "200000", "--instance-memory", "400000"];
    let flags = ["--account", "123456789012", "--s3-root", &objects];
    // Three GPUs that are none.
    let gpus = ["a", "b", "c"].map(|id| format!("--gpu-device={id}=/dev/null"));
    let gpus = gpus.each_ref().map(String::as_str);
    let up = Up::start_with(&[&flags[..], &sizes, &gpus].concat(), &["busybox"]);
    let told = play(&up, scratch.path(), "run");
    assert!(told["count"].as_u64().unwrap() >= LEAST, "{told}");

    let refused = texts(&told["refused"]);
    let names: Vec<&str> = refused.keys().copied().collect();
    assert_eq!(names, REFUSED.map(|(name, _)| name), "{refused:#?}");
    for (name, text) in REFUSED {
        assert!(refused[name].starts_with(text), "{name}: {}", refused[name]);
    }
    assert_eq!(told["lost"], serde_json::json!({}));

    let mut wrong = texts(&told["unplaced"]);
    wrong.retain(|name, reason| !is_told(&UNPLACED, name, reason));
    let mut ended = texts(&told["ended"]);
    ended.retain(|name, reason| !is_told(&ENDED, name, reason));
    wrong.extend(ended);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(told["running"].as_array().unwrap().len() >= LEAST_RUNNING, "{told:#}");
}
