//! Every row of agent protocol §1.6 that a definition can need, and whole definitions as ECS
//! answered with.

use super::*;
use crate::model::parse_json;

fn needs(json: &str) -> (Vec<String>, Vec<String>) {
    let request: shapes::RegisterTaskDefinitionRequest = parse_json(json);
    let checked = super::super::rules::check(&request);
    let checked = checked.unwrap_or_else(|error| panic!("{json}: {error}"));
    let all = attributes(&request, checked.network_mode, checked.cpu);
    let word = |(name, value): &(String, Option<String>)| match value {
        Some(value) => format!("{name}={value}"),
        None => name.clone(),
    };
    let all: Vec<_> = all.iter().map(|pair| (is_shown(&pair.0), word(pair))).collect();
    let of = |shown| all.iter().filter(move |(is, _)| *is == shown).map(|(_, word)| word.clone());
    (of(true).collect(), of(false).collect())
}

/// A definition with these members, and a container `c` with those.
fn definition(task: &str, container: &str) -> String {
    let comma = |text: &str| if text.is_empty() { String::new() } else { format!(", {text}") };
    format!(
        r#"{{"family": "f", "containerDefinitions": [{{"name": "c", "image": "i", "memory": 64{}}}]{}}}"#,
        comma(container),
        comma(task),
    )
}

/// `C.` and `E.` stand for the old and the new prefix, `D.` for versions of Docker's API.
fn full(short: &str) -> String {
    match short.split_once('.') {
        Some(("C", rest)) => format!("{OLD}.{rest}"),
        Some(("D", rest)) => format!("{OLD}.docker-remote-api.{rest}"),
        Some(("E", rest)) => format!("{NEW}.{rest}"),
        _ => short.to_owned(),
    }
}

#[track_caller]
fn check(task: &str, container: &str, expected: &[&str]) {
    let json = definition(task, container);
    let mut expected: Vec<_> = expected.iter().map(|short| full(short)).collect();
    expected.sort();
    assert_eq!(needs(&json).0, expected, "{json}");
}

const ROLE: &str = r#""executionRoleArn": "arn:aws:iam::123456789012:role/e""#;
const TASK_ROLE: &str = r#""taskRoleArn": "arn:aws:iam::123456789012:role/t""#;

#[test]
fn what_containers_need() {
    check("", "", &[]);
    check("", r#""privileged": true"#, &["C.privileged-container"]);
    check("", r#""privileged": false"#, &[]);
    check("", r#""memoryReservation": 32"#, &["D.1.21"]);
    check("", r#""ulimits": [{"name": "nofile", "softLimit": 1, "hardLimit": 1}]"#, &["D.1.18"]);
    check("", r#""dockerLabels": {"a": "b"}"#, &["D.1.18"]);
    let control = r#""systemControls": [{"namespace": "net.core.somaxconn", "value": "1"}]"#;
    check("", control, &["D.1.24"]);
    check("", r#""linuxParameters": {"initProcessEnabled": true}"#, &["D.1.25"]);
    check("", r#""linuxParameters": {"sharedMemorySize": 64}"#, &["D.1.22"]);
    check("", r#""linuxParameters": {"tmpfs": [{"containerPath": "/t", "size": 1}]}"#, &["D.1.22"]);
    let health = |more: &str| format!(r#""healthCheck": {{"command": ["CMD", "true"]{more}}}"#);
    check("", &health(""), &["E.container-health-check", "D.1.24"]);
    check("", &health(r#", "startPeriod": 10"#), &["E.container-health-check", "D.1.29"]);
    check("", r#""startTimeout": 5"#, &["E.container-ordering"]);
    check("", r#""stopTimeout": 5"#, &["E.container-ordering"]);
    check("", r#""restartPolicy": {"enabled": true}"#, &["E.container-restart-policy"]);
    check("", r#""restartPolicy": {"enabled": false}"#, &[]);
    let range = r#""portMappings": [{"containerPortRange": "1-2"}]"#;
    check("", range, &["E.network.container-port-range"]);
    let files = r#""environmentFiles": [{"type": "s3", "value": "arn:aws:s3:::b/a.env"}]"#;
    check("", files, &["E.env-files.s3"]);
    let registry = r#""repositoryCredentials": {"credentialsParameter": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}"#;
    check("", registry, &["E.private-registry-authentication.secretsmanager"]);
    check("", r#""dockerSecurityOptions": ["label:type:t"]"#, &["C.selinux"]);
    check("", r#""dockerSecurityOptions": ["apparmor:p"]"#, &["C.apparmor"]);
    check("", r#""credentialSpecs": ["credentialspec:arn:x"]"#, &["E.gmsa"]);
    check("", r#""credentialSpecs": ["credentialspecdomainless:arn:x"]"#, &["E.gmsa-domainless"]);
    check("", r#""resourceRequirements": [{"type": "GPU", "value": "1"}]"#, &[]);
}

#[test]
fn what_images_and_secrets_need() {
    let image = |image: &str| {
        format!(
            r#"{{"family": "f", "memory": "64", {ROLE}, "containerDefinitions": [{{"name": "c", "image": "{image}"}}]}}"#
        )
    };
    let ecr = image("123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1");
    let expected = [full("C.ecr-auth"), full("E.execution-role-ecr-pull")];
    assert_eq!(needs(&ecr).0, expected);
    let china = image("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a:1");
    assert_eq!(needs(&china).0, expected);
    assert_eq!(needs(&ecr.replace(&format!("{ROLE}, "), "")).0, [full("C.ecr-auth")]);
    assert!(needs(&image("public.ecr.aws/docker/library/busybox:latest")).0.is_empty());
    let secret = |from: &str| format!(r#""secrets": [{{"name": "S", "valueFrom": "{from}"}}]"#);
    let asm = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s";
    check(ROLE, &secret(asm), &["E.secrets.asm.environment-variables"]);
    check(ROLE, &secret("p"), &["E.secrets.ssm.environment-variables"]);
    let ssm = "arn:aws:ssm:us-east-1:123456789012:parameter/p";
    check(ROLE, &secret(ssm), &["E.secrets.ssm.environment-variables"]);
}

#[test]
fn what_logs_need() {
    let logs = |driver: &str, options: &str| {
        format!(r#""logConfiguration": {{"logDriver": "{driver}", "options": {{{options}}}}}"#)
    };
    let awslogs = r#""awslogs-group": "g", "awslogs-region": "us-east-1""#;
    check("", &logs("json-file", ""), &["C.logging-driver.json-file", "D.1.18"]);
    check("", &logs("syslog", ""), &["C.logging-driver.syslog", "D.1.18"]);
    check("", &logs("journald", ""), &["C.logging-driver.journald", "D.1.19"]);
    check("", &logs("fluentd", ""), &["C.logging-driver.fluentd", "D.1.20"]);
    let gelf = logs("gelf", r#""gelf-address": "udp://here""#);
    check("", &gelf, &["C.logging-driver.gelf", "D.1.20"]);
    let splunk = logs("splunk", r#""splunk-url": "u", "splunk-token": "t""#);
    check("", &splunk, &["C.logging-driver.splunk", "D.1.22"]);
    check("", &logs("awslogs", awslogs), &["C.logging-driver.awslogs", "D.1.19"]);
    let expected = ["C.logging-driver.awslogs", "E.execution-role-awslogs", "D.1.19"];
    check(ROLE, &logs("awslogs", awslogs), &expected);
    let mode = format!(r#"{awslogs}, "mode": "non-blocking""#);
    check("", &logs("awslogs", &mode), &["C.logging-driver.awslogs", "D.1.19", "D.1.28"]);
    let group = format!(r#"{awslogs}, "awslogs-create-group": "true""#);
    check("", &logs("awslogs", &group), &["C.logging-driver.awslogs", "D.1.19", "D.1.29"]);
    let secret = r#""logConfiguration": {"logDriver": "splunk", "options": {"splunk-url": "u"}, "secretOptions": [{"name": "splunk-token", "valueFrom": "p"}]}"#;
    let expected = ["C.logging-driver.splunk", "D.1.22", "E.secrets.ssm.bootstrap.log-driver"];
    check(ROLE, secret, &expected);
}

#[test]
fn what_firelens_needs() {
    let both = |kind: &str, router: &str, options: &str| {
        format!(
            r#"{{"family": "f", "containerDefinitions": [
            {{"name": "a", "image": "a", "memory": 8, "logConfiguration": {{"logDriver": "awsfirelens", "options": {{{options}}}}}}},
            {{"name": "r", "image": "r", "memory": 8{router}, "firelensConfiguration": {{"type": "{kind}"}}}}]}}"#
        )
    };
    let check = |json: String, expected: &[&str]| {
        let expected: Vec<_> = expected.iter().map(|short| full(short)).collect();
        assert_eq!(needs(&json).0, expected, "{json}");
    };
    let driver = "C.logging-driver.awsfirelens";
    check(both("fluentbit", "", ""), &[driver, "E.firelens.fluentbit"]);
    check(both("fluentd", r#", "user": "0""#, ""), &[driver, "E.firelens.fluentd"]);
    let expected = [driver, "E.firelens.fluentd", "E.firelens.non-root-user"];
    check(both("fluentd", r#", "user": "1000:0""#, ""), &expected);
    let limit = "E.logging-driver.awsfirelens.log-driver-buffer-limit";
    let expected = [driver, "E.firelens.fluentd", limit];
    check(both("fluentd", "", r#""log-driver-buffer-limit": "1""#), &expected);
    let with = |options: &str| {
        both("fluentd", "", "")
            .replace(r#""fluentd"}"#, &format!(r#""fluentd", "options": {{{options}}}}}"#))
    };
    let file = with(r#""config-file-type": "file", "config-file-value": "/f""#);
    check(file, &[driver, "E.firelens.fluentd", "E.firelens.options.config.file"]);
    let s3 = with(r#""config-file-type": "s3", "config-file-value": "arn:aws:s3:::b/f""#);
    check(s3, &[driver, "E.firelens.fluentd", "E.firelens.options.config.s3"]);
}

#[test]
fn what_tasks_need() {
    check(TASK_ROLE, "", &["C.task-iam-role"]);
    let host = format!(r#""networkMode": "host", {TASK_ROLE}"#);
    check(&host, "", &["C.task-iam-role", "C.task-iam-role-network-host"]);
    check(r#""networkMode": "awsvpc""#, "", &["E.task-eni", "D.1.18"]);
    check(r#""pidMode": "task""#, "", &["E.pid-ipc-namespace-sharing"]);
    check(r#""ipcMode": "none""#, "", &["E.pid-ipc-namespace-sharing"]);
    check(r#""enableFaultInjection": true"#, "", &["E.fault-injection"]);
    check(r#""cpu": "10 vCPU""#, "", &[]);
    check(r#""cpu": "16 vCPU""#, "", &["E.increased-task-cpu-limit"]);
    let proxy = r#""networkMode": "awsvpc", "proxyConfiguration": {"containerName": "c", "properties": [
        {"name": "ProxyIngressPort", "value": "1"}, {"name": "ProxyEgressPort", "value": "2"},
        {"name": "AppPorts", "value": "3"}, {"name": "IgnoredUID", "value": "4"}]}"#;
    check(proxy, "", &["E.aws-appmesh", "E.task-eni", "D.1.18"]);
}

#[test]
fn what_volumes_need() {
    let volume = |kind: &str| format!(r#""volumes": [{{"name": "v"{kind}}}]"#);
    check(&volume(""), "", &[]);
    check(&volume(r#", "host": {"sourcePath": "/s"}"#), "", &[]);
    let docker = volume(r#", "dockerVolumeConfiguration": {"driver": "rexray/ebs:latest"}"#);
    check(&docker, "", &["E.docker-plugin.rexray/ebs.latest", "D.1.25"]);
    check(
        &volume(r#", "dockerVolumeConfiguration": {}"#),
        "",
        &["E.docker-plugin.local", "D.1.25"],
    );
    let efs = volume(r#", "efsVolumeConfiguration": {"fileSystemId": "fs-1"}"#);
    check(&efs, "", &["E.efs", "E.efsAuth", "D.1.25"]);
    let files = volume(
        r#", "s3filesVolumeConfiguration": {"fileSystemArn": "arn:aws:s3files:us-east-1:123456789012:file-system/fs"}"#,
    );
    check(&files, "", &["E.storage.s3-files"]);
    check(&volume(r#", "configuredAtLaunch": true"#), "", &["E.storage.ebs-task-volume-attach"]);
    let fsx = volume(
        r#", "fsxWindowsFileServerVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "d", "authorizationConfig": {"credentialsParameter": "p", "domain": "d"}}"#,
    );
    check(&fsx, "", &["E.fsxWindowsFileServer"]);
}

#[test]
fn what_is_asked_without_being_said() {
    let unsaid = |task: &str| needs(&definition(task, "")).1;
    assert!(unsaid("").is_empty());
    assert_eq!(unsaid(r#""cpu": "256""#), [full("E.task-cpu-mem-limit")]);
    assert_eq!(unsaid(r#""memory": "256""#), [full("E.task-cpu-mem-limit")]);
    let arm =
        r#""runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"}"#;
    assert_eq!(unsaid(arm), ["ecs.cpu-architecture=arm64", "ecs.os-type=linux"]);
    let windows = r#""runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}"#;
    assert_eq!(unsaid(windows), ["ecs.os-type=windows"]);
    // Without swap it means nothing.
    let of_container = |container: &str| needs(&definition("", container)).1;
    let swap = |swap: u32| {
        of_container(&format!(r#""linuxParameters": {{"maxSwap": {swap}, "swappiness": 10}}"#))
    };
    assert_eq!((swap(64), swap(0)), (vec![SWAPPINESS_CAPABILITY.to_owned()], vec![]));
    let share = r#""resourceRequirements": [{"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 512}}}]"#;
    assert_eq!(of_container(share), [SHARED_GPU]);
    let managed = r#""networkMode": "host", "requiresCompatibilities": ["MANAGED_INSTANCES"]"#;
    let sandbox = r#""trustedExecutionConfiguration": {"isolationMode": "ISOLATED_SANDBOX"}"#;
    assert_eq!(unsaid(&format!("{managed}, {sandbox}")), [CONFIDENTIAL]);
    let neuron = r#""resourceRequirements": [{"type": "NeuronDevice", "value": "ALL"}]"#;
    assert_eq!(needs(&definition(managed, neuron)).1, [NEURON]);
}

/// A web application on Fargate, its log router, a file system and a role: what ECS listed for
/// definitions of these members.
#[test]
fn whole_definitions() {
    let json = format!(
        r#"{{"family": "f", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "1024", "memory": "2048", {ROLE}, {TASK_ROLE},
        "volumes": [{{"name": "v", "efsVolumeConfiguration": {{"fileSystemId": "fs-1", "rootDirectory": "/"}}}}],
        "containerDefinitions": [
         {{"name": "web", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:latest", "dockerLabels": {{"env": "dev"}},
          "portMappings": [{{"name": "web-8080-tcp", "containerPort": 8080, "appProtocol": "http"}}],
          "healthCheck": {{"command": ["CMD-SHELL", "true"], "startPeriod": 10}}, "logConfiguration": {{"logDriver": "awsfirelens"}}}},
         {{"name": "router", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/bit:stable", "memoryReservation": 50, "user": "0",
          "firelensConfiguration": {{"type": "fluentbit", "options": {{"config-file-type": "file", "config-file-value": "/parse.conf"}}}},
          "logConfiguration": {{"logDriver": "awslogs", "options": {{"awslogs-create-group": "true", "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}}}}}}]}}"#
    );
    let mut expected: Vec<_> = [
        "E.execution-role-awslogs",
        "C.ecr-auth",
        "E.firelens.options.config.file",
        "D.1.21",
        "C.logging-driver.awsfirelens",
        "C.task-iam-role",
        "E.container-health-check",
        "E.execution-role-ecr-pull",
        "D.1.18",
        "E.task-eni",
        "D.1.29",
        "C.logging-driver.awslogs",
        "D.1.19",
        "E.firelens.fluentbit",
        "E.efs",
        "E.efsAuth",
        "D.1.25",
    ]
    .map(full)
    .into();
    expected.sort();
    assert_eq!(needs(&json).0, expected);
}
