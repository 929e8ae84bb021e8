//! What simulated agents send, as Amazon's agent writes it (agent-protocol §1, §3, §4).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The most tasks that one publish request holds.
const TASKS_PER_REQUEST: usize = 10;

/// The block of header lines before each telemetry frame.
const HEADERS: &str = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260629/\
us-east-1/ecs/aws4_request, SignedHeaders=host;x-amz-date, Signature=\
0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
Host: 127.0.0.1:4566\r\nX-Amz-Date: 20260629T191544Z\r\n\r\n";

/// One container's metrics after its name: all sets that a bridge task has.
const METRICS: &str = r#""cpuStatsSet":{"max":3.174835205078125,"min":0.2173614501953125,"sampleCount":20,"sum":14.912384033203125},"memoryStatsSet":{"max":33,"min":31,"sampleCount":20,"sum":640},"networkStatsSet":{"rxBytes":{"max":90042,"min":1042,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":812345},"rxBytesPerSecond":{"max":90042.5,"min":1042.25,"sampleCount":19,"sum":812345.75},"rxDropped":{"max":0,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":0},"rxErrors":{"max":0,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":0},"rxPackets":{"max":93,"min":4,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":812},"txBytes":{"max":45021,"min":512,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":402345},"txBytesPerSecond":{"max":45021.5,"min":512.25,"sampleCount":19,"sum":402345.75},"txDropped":{"max":0,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":0},"txErrors":{"max":0,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":0},"txPackets":{"max":81,"min":3,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":702}},"restartStatsSet":{"restartCount":0},"storageStatsSet":{"readSizeBytes":{"max":4096,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":8192},"writeSizeBytes":{"max":8192,"min":0,"overflowMax":0,"overflowMin":0,"overflowSum":0,"sampleCount":19,"sum":65536}}"#;

/// The digest of the image that all tasks run.
const IMAGE_DIGEST: &str =
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What a registering agent says it can.
const CAPABILITIES: [&str; 30] = [
    "ecs.capability.secrets.asm.environment-variables",
    "ecs.capability.branch-cni-plugin-version",
    "ecs.capability.execution-role-awslogs",
    "ecs.capability.aws-appmesh",
    "ecs.capability.ecr-endpoint",
    "ecs.capability.secrets.asm.bootstrap.log-driver",
    "ecs.capability.task-eia.optimized-cpu",
    "ecs.capability.secrets.ssm.environment-variables",
    "ecs.capability.env-files.s3",
    "ecs.capability.private-registry-authentication.secretsmanager",
    "ecs.capability.task-cpu-mem-limit",
    "ecs.capability.container-health-check",
    "ecs.capability.container-ordering",
    "ecs.capability.firelens.fluentbit",
    "ecs.capability.pid-ipc-namespace-sharing",
    "com.amazonaws.ecs.capability.docker-remote-api.1.17",
    "com.amazonaws.ecs.capability.docker-remote-api.1.18",
    "com.amazonaws.ecs.capability.docker-remote-api.1.19",
    "com.amazonaws.ecs.capability.docker-remote-api.1.20",
    "com.amazonaws.ecs.capability.docker-remote-api.1.21",
    "com.amazonaws.ecs.capability.docker-remote-api.1.22",
    "com.amazonaws.ecs.capability.docker-remote-api.1.24",
    "com.amazonaws.ecs.capability.docker-remote-api.1.25",
    "com.amazonaws.ecs.capability.docker-remote-api.1.29",
    "com.amazonaws.ecs.capability.docker-remote-api.1.44",
    "com.amazonaws.ecs.capability.logging-driver.json-file",
    "com.amazonaws.ecs.capability.logging-driver.none",
    "com.amazonaws.ecs.capability.privileged-container",
    "com.amazonaws.ecs.capability.task-iam-role",
    "com.amazonaws.ecs.capability.ecr-auth",
];

/// RegisterContainerInstance of the fleet's instance `number`.
pub fn registration(number: u32, memory_mib: u32) -> Value {
    let resource =
        |name: &str, units: u32| json!({"name": name, "type": "INTEGER", "integerValue": units});
    let ports = |name: &str, taken: &[&str]| json!({"name": name, "type": "STRINGSET", "stringSetValue": taken});
    let zone = ["a", "b", "c"][number as usize % 3];
    let mut attributes: Vec<_> = CAPABILITIES.iter().map(|name| json!({"name": name})).collect();
    attributes.extend([
        json!({"name": "ecs.os-type", "value": "linux"}),
        json!({"name": "ecs.os-family", "value": "LINUX"}),
        json!({"name": "ecs.cpu-architecture", "value": "x86_64"}),
        json!({"name": "ecs.instance-type", "value": "m7.4xlarge"}),
        json!({"name": "ecs.availability-zone", "value": format!("us-east-1{zone}")}),
    ]);
    json!({
        "cluster": "default",
        "totalResources": [
            resource("CPU", 1 << 20), resource("MEMORY", memory_mib),
            ports("PORTS", &["22", "2375", "2376", "51678", "51679"]), ports("PORTS_UDP", &[]),
        ],
        "attributes": attributes,
    })
}

/// The task definition that all tasks of the fleet have: one container with a health check.
pub fn definition(task_mib: u32) -> Value {
    json!({
        "family": "fleet",
        "containerDefinitions": [{
            "name": "main", "image": "registry.example.com/web:1.27", "memory": task_mib, "cpu": 128,
            "healthCheck": {"command": ["CMD-SHELL", "true"]},
            "portMappings": [{"containerPort": 80, "hostPort": 0}],
            "environment": [{"name": "MODE", "value": "bench"}],
        }],
    })
}

/// A task came to run.
pub fn running(arn: &str) -> Value {
    let id = arn.rsplit('/').next().unwrap_or_default();
    json!({
        "cluster": "default", "task": arn, "status": "RUNNING",
        "containers": [{
            "containerName": "main", "status": "RUNNING", "runtimeId": format!("{id}{id}"),
            "imageDigest": IMAGE_DIGEST,
            "networkBindings": [
                {"bindIP": "0.0.0.0", "containerPort": 80, "hostPort": 49153, "protocol": "tcp"},
            ],
        }],
        "pullStartedAt": seconds(), "pullStoppedAt": seconds(),
    })
}

/// A task has ended.
pub fn stopped(arn: &str) -> Value {
    json!({
        "cluster": "default", "task": arn, "status": "STOPPED",
        "containers": [{"containerName": "main", "status": "STOPPED", "exitCode": 0}],
        "executionStoppedAt": seconds(),
    })
}

/// The telemetry of one round: metrics and health by tens of tasks, and the instance's own state
/// if it was checked since the last.
pub fn round(instance: &str, tasks: &[Arc<str>], is_checked: bool) -> Vec<String> {
    let now = seconds();
    let id = format!("{:016x}-{}", (now * 1e3) as u64, &instance[instance.len() - 8..]);
    let metadata = |last: bool| {
        format!(
            r#""metadata":{{"cluster":"default","containerInstance":"{instance}","fin":{last},"messageId":"{id}""#
        )
    };
    let mut frames = Vec::with_capacity(tasks.len() / 5 + 2);
    if tasks.is_empty() {
        let metadata = metadata(true);
        frames.push(format!(
            r#"{HEADERS}{{"type":"PublishMetricsRequest","message":{{{metadata},"idle":true}},"timestamp":{now}}}}}"#
        ));
    }
    let count = tasks.len().div_ceil(TASKS_PER_REQUEST);
    for (number, part) in tasks.chunks(TASKS_PER_REQUEST).enumerate() {
        let metadata = metadata(number + 1 == count);
        let each = |arn: &Arc<str>| {
            format!(
                r#"{{"containerMetrics":[{{"containerName":"main",{METRICS}}}],"taskArn":"{arn}","taskDefinitionFamily":"fleet","taskDefinitionVersion":"1"}}"#
            )
        };
        let body = part.iter().map(each).collect::<Vec<_>>().join(",");
        frames.push(format!(
            r#"{HEADERS}{{"type":"PublishMetricsRequest","message":{{{metadata},"idle":false}},"taskMetrics":[{body}],"timestamp":{now}}}}}"#
        ));
    }
    for (number, part) in tasks.chunks(TASKS_PER_REQUEST).enumerate() {
        let metadata = metadata(number + 1 == count);
        let each = |arn: &Arc<str>| {
            format!(
                r#"{{"containers":[{{"containerName":"main","healthStatus":"HEALTHY","statusSince":{now}}}],"taskArn":"{arn}","taskDefinitionFamily":"fleet","taskDefinitionVersion":"1"}}"#
            )
        };
        let body = part.iter().map(each).collect::<Vec<_>>().join(",");
        frames.push(format!(
            r#"{HEADERS}{{"type":"PublishHealthRequest","message":{{{metadata}}},"tasks":[{body}],"timestamp":{now}}}}}"#
        ));
    }
    if is_checked {
        frames.push(format!(
            r#"{HEADERS}{{"type":"PublishInstanceStatusRequest","message":{{"metadata":{{"cluster":"default","containerInstance":"{instance}","requestId":"{id}"}},"statuses":[{{"lastStatusChange":{now},"lastUpdated":{now},"status":"OK","type":"ContainerRuntime"}}],"timestamp":{now}}}}}"#
        ));
    }
    frames
}

/// Epoch seconds with milliseconds, as agents write times.
#[allow(clippy::disallowed_methods, reason = "the agents' own clock")]
fn seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::tcs::AgentMessage;

    use super::*;

    #[test]
    fn a_round_is_what_the_server_reads() {
        let arn =
            "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef";
        let tasks: Vec<Arc<str>> = vec![arn.into(); 12];
        let read = |tasks: &[Arc<str>]| -> Vec<AgentMessage> {
            let frames = round("arn:instance", tasks, true);
            frames.iter().map(|frame| AgentMessage::decode_frame(frame).unwrap()).collect()
        };
        let full = read(&tasks);
        let metrics = |message: &AgentMessage| match message {
            AgentMessage::Metrics(metrics) => {
                let sets = metrics.task_metrics.iter().flat_map(|task| &task.container_metrics);
                assert!(sets.clone().all(|set| {
                    let counted = set.network_stats_set.is_some_and(|n| n.rx_bytes.sum == 812_345);
                    counted && set.cpu_stats_set.is_some() && set.storage_stats_set.is_some()
                }));
                (metrics.task_metrics.len(), metrics.metadata.fin)
            }
            _ => panic!("metrics come first"),
        };
        assert_eq!(full.len(), 5);
        assert_eq!(metrics(&full[0]), (10, Some(false)));
        assert_eq!(metrics(&full[1]), (2, Some(true)));
        assert!(matches!(&full[3], AgentMessage::Health(health) if health.tasks.len() == 2));
        assert!(matches!(&full[4], AgentMessage::InstanceStatus(_)));
        let idle = read(&[]);
        assert!(matches!(&idle[0], AgentMessage::Metrics(m) if m.metadata.idle == Some(true)));
    }
}
