//! The calling half against the edge.

use std::sync::Arc;

use shapes_ecs::operations::{DescribeTasks, RunTask};
use shapes_ecs::{DescribeTasksRequest, RunTaskRequest};
use wire::client::{Client, ClientError};
use wire::{Body, Route, RouteAuth};

use crate::stage::{KEY, NOW, Server, Stopped, builder, credentials, ecs_service, serve};

fn client(server: &Server, key: Option<&str>) -> Client {
    let endpoint = format!("http://{}/", server.address);
    let credentials = key.map(|key| credentials(key, None));
    Client::new(&endpoint, credentials, "us-east-1".parse().unwrap(), Arc::new(Stopped(NOW)))
}

async fn server() -> Server {
    let lines = Route::new("/lines", RouteAuth::Signed("ecs"), |request| async move {
        http::Response::new(Body::from(request.query("text").unwrap_or_default()))
    });
    let mirror = Route::new("/mirror", RouteAuth::Signed("ecs"), |request| async move {
        http::Response::new(request.body)
    });
    serve(builder().service(ecs_service()).route(lines).route(mirror).build()).await
}

#[tokio::test]
async fn calls_are_answered() {
    let server = server().await;
    let client = client(&server, Some(KEY));
    let tasks = vec!["one".to_owned()];
    let answer = client
        .call::<DescribeTasks>(DescribeTasksRequest { tasks, ..Default::default() })
        .await
        .unwrap();
    let failures = answer.failures.unwrap();
    assert_eq!(failures[0].arn.as_deref(), Some("one"));
    // The endpoint as the client addressed it.
    assert_eq!(failures[0].detail.as_deref(), Some(client.endpoint()));
}

#[tokio::test]
async fn refusals_are_told_by_code() {
    let server = server().await;
    let check = async |key, cluster: &str, expected: &str| {
        let cluster = Some(cluster.to_owned());
        let input = DescribeTasksRequest { cluster, ..Default::default() };
        let error = client(&server, key).call::<DescribeTasks>(input).await.unwrap_err();
        assert_eq!(error.code(), Some(expected), "{error}");
        assert!(!error.is_transient());
    };
    check(Some(KEY), "missing", "ClusterNotFoundException").await;
    check(Some("AKIAINACTIVE"), "a", "UnrecognizedClientException").await;
    check(None, "a", "MissingAuthenticationTokenException").await;
    let input = RunTaskRequest {
        launch_type: Some(shapes_ecs::LaunchType::Ec2),
        tags: Some(vec![shapes_ecs::Tag { key: Some(String::new()), value: None }]),
        ..Default::default()
    };
    let error = client(&server, Some(KEY)).call::<RunTask>(input).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterException"));
}

#[tokio::test]
async fn paths_of_ours_are_reached() {
    let server = server().await;
    let client = client(&server, Some(KEY));
    let json = serde_json::json!({"a": [1, "ü"]});
    assert_eq!(client.post("/mirror", &json).await.unwrap(), json);
    let mut lines = client.lines("/lines?text=one%0Atwo%0A%0Alast").await.unwrap();
    let mut read = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        read.push(line);
    }
    assert_eq!(read, ["one", "two", "", "last"]);
    let error = client.get("/lines?text=no+JSON").await.unwrap_err();
    assert!(matches!(error, ClientError::Answer { .. }), "{error}");
    let error = client.get("/nowhere").await.unwrap_err();
    assert_eq!(error.code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn servers_that_are_away_are_named() {
    let server = server().await;
    let client = client(&server, Some(KEY));
    server.shutdown.cancel();
    server.served.await.unwrap().unwrap();
    let error = client.get("/lines").await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot call http://{}", server.address));
    assert!(error.is_transient());
}
