//! The unmodified Rust SDK against the real binary.

use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ecs::types::{ContainerDefinition, KeyValuePair};
use aws_sdk_ecs::{Client, Config};

use crate::harness::Up;

/// A client with the administrator's key; it does not try again.
pub fn client(up: &Up) -> Client {
    let (id, secret) = up.keys();
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(up.endpoint())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(http)
        .build();
    Client::from_conf(config)
}

#[tokio::test]
async fn a_task_goes_its_way_through_the_sdk() {
    let up = Up::start(&["busybox"]);
    let ecs = client(&up);
    let container = ContainerDefinition::builder()
        .name("main")
        .image("busybox")
        .memory(64)
        .stop_timeout(2)
        .set_command(Some(vec!["sleep".into(), "600".into()]))
        .environment(KeyValuePair::builder().name("A").value("b").build())
        .build();
    let registered = ecs
        .register_task_definition()
        .family("sdk")
        .container_definitions(container)
        .send()
        .await
        .unwrap();
    let definition = registered.task_definition().unwrap();
    assert_eq!((definition.family(), definition.revision()), (Some("sdk"), 1));
    let run = ecs.run_task().task_definition("sdk").count(2).send().await.unwrap();
    assert!(run.failures().is_empty());
    let arns: Vec<String> =
        run.tasks().iter().map(|task| task.task_arn().unwrap().to_owned()).collect();
    assert_eq!(arns.len(), 2);
    let listed = ecs.list_tasks().into_paginator().page_size(1).items().send();
    let mut listed: Vec<String> = listed.collect::<Result<_, _>>().await.unwrap();
    listed.sort();
    let mut expected = arns.clone();
    expected.sort();
    assert_eq!(listed, expected);
    for arn in &arns {
        up.await_status(arn, "RUNNING");
        ecs.stop_task().task(arn).send().await.unwrap();
        up.await_status(arn, "STOPPED");
    }

    let error = ecs.describe_tasks().cluster("none").tasks("x").send().await.unwrap_err();
    assert!(error.into_service_error().is_cluster_not_found_exception());
}
