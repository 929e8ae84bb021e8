//! What the edge costs a request on one core: resolve, verify, decode, a handler that has its
//! answer ready, encode. `cargo run --release -p wire --example edge_cost [REQUESTS]`
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::Request;
use shapes_ecs::operations::{DescribeTasks, RegisterTaskDefinition};
use terms::{Clock, IdSource, Region, Timestamp};
use wire::sigv4::{Credentials, Signer, sign};
use wire::{Authenticator, Body, Caller, CallerKind, CredentialLookup, Edge, Secret, Service};

const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

struct Stopped;
impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct Counted(AtomicU64);
impl IdSource for Counted {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }
}

struct OneKey(Secret, Arc<Caller>);
impl Authenticator for OneKey {
    fn find(&self, _: &str, _: Option<&str>, _: &Region, _: Timestamp) -> CredentialLookup {
        CredentialLookup::Found { secret: self.0.clone(), caller: Arc::clone(&self.1) }
    }
}

fn edge() -> Edge {
    let caller = Caller {
        account: "123456789012".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        arn: "arn:aws:iam::123456789012:root".to_owned(),
        user_id: "123456789012".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        kind: CallerKind::Operator,
    };
    let service = Service::new(&shapes_ecs::SERVICE)
        .on::<DescribeTasks, _, _>(|_, input| async move {
            let tasks = input.tasks.into_iter().map(task).collect();
            Ok(shapes_ecs::DescribeTasksResponse { tasks: Some(tasks), ..Default::default() })
        })
        .on::<RegisterTaskDefinition, _, _>(|_, input| async move {
            let definition = shapes_ecs::TaskDefinition {
                container_definitions: Some(input.container_definitions),
                family: Some(input.family),
                revision: Some(1),
                ..Default::default()
            };
            Ok(shapes_ecs::RegisterTaskDefinitionResponse {
                task_definition: Some(definition),
                ..Default::default()
            })
        });
    let keys = OneKey(Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), Arc::new(caller));
    Edge::builder(Arc::new(keys), Arc::new(Stopped), Arc::new(Counted(AtomicU64::new(1))))
        .service(service)
        .build()
}

/// A task as `DescribeTasks` tells of it, of common size.
fn task(arn: String) -> shapes_ecs::Task {
    let text = |text: &str| Some(text.to_owned());
    let container = shapes_ecs::Container {
        container_arn: text(
            "arn:aws:ecs:us-east-1:123456789012:container/default/0123456789abcdef0123456789abcdef/01234567-89ab-cdef-0123-456789abcdef",
        ),
        task_arn: Some(arn.clone()),
        name: text("web"),
        image: text("nginx:1.27"),
        last_status: text("RUNNING"),
        cpu: text("256"),
        memory: text("512"),
        network_bindings: Some(vec![shapes_ecs::NetworkBinding {
            bind_ip: text("0.0.0.0"),
            container_port: Some(80),
            host_port: Some(32_768),
            protocol: Some(shapes_ecs::TransportProtocol::Tcp),
            ..Default::default()
        }]),
        network_interfaces: Some(Vec::new()),
        ..Default::default()
    };
    shapes_ecs::Task {
        task_arn: Some(arn),
        cluster_arn: text("arn:aws:ecs:us-east-1:123456789012:cluster/default"),
        container_instance_arn: text(
            "arn:aws:ecs:us-east-1:123456789012:container-instance/default/0123456789abcdef0123456789abcdef",
        ),
        task_definition_arn: text("arn:aws:ecs:us-east-1:123456789012:task-definition/web:1"),
        containers: Some(vec![container]),
        last_status: text("RUNNING"),
        desired_status: text("RUNNING"),
        cpu: text("256"),
        memory: text("512"),
        group: text("family:web"),
        version: Some(3),
        created_at: Some(NOW),
        started_at: Some(NOW),
        pull_started_at: Some(NOW),
        pull_stopped_at: Some(NOW),
        attachments: Some(Vec::new()),
        tags: Some(Vec::new()),
        ..Default::default()
    }
}

fn main() {
    let requests = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let arns = |count: usize| {
        let arn = |n| format!("\"arn:aws:ecs:us-east-1:123456789012:task/default/{n:032x}\"");
        let arns: Vec<_> = (0..count).map(arn).collect();
        format!("{{\"cluster\":\"default\",\"tasks\":[{}]}}", arns.join(","))
    };
    let definition = r#"{"family":"web","containerDefinitions":[{"name":"web","image":"nginx:1.27","cpu":256,"memory":512,"essential":true,"portMappings":[{"containerPort":80,"hostPort":0,"protocol":"tcp"}],"environment":[{"name":"MODE","value":"production"},{"name":"LEVEL","value":"info"}]}],"tags":[{"key":"team","value":"web"}]}"#;
    measure(&runtime, "DescribeTasks of one task", "DescribeTasks", &arns(1), requests);
    measure(&runtime, "DescribeTasks of five tasks", "DescribeTasks", &arns(5), requests);
    measure(&runtime, "RegisterTaskDefinition", "RegisterTaskDefinition", definition, requests);
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    title: &str,
    operation: &str,
    body: &str,
    requests: u32,
) {
    let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
    let request = Request::builder()
        .method("POST")
        .uri("/")
        .header("host", "127.0.0.1:4566")
        .header("content-type", "application/x-amz-json-1.1")
        .header("user-agent", "aws-sdk-rust/1.3.9 os/linux lang/rust/1.95.0")
        .header("x-amz-user-agent", "aws-sdk-rust/1.3.9 ua/2.1 api/ecs/1.90.0 os/linux")
        .header("amz-sdk-invocation-id", "01234567-89ab-cdef-0123-456789abcdef")
        .header("x-amz-target", target);
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: None,
    };
    let signer =
        Signer { credentials: &credentials, region: "us-east-1", service: "ecs", now: NOW };
    sign(&mut parts, body.as_bytes(), &signer);
    let edge = edge();
    let body = bytes::Bytes::copy_from_slice(body.as_bytes());
    runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..requests {
            let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
            let answer = edge.handle(request, None).await;
            assert_eq!(answer.status(), 200);
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(requests);
        println!("{title}: {micros:.1} us a request, {:.0} a second", 1e6 / micros);
    });
}
