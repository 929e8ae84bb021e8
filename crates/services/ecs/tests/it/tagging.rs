//! Tags of what tasks run on and from: instances, definitions, tasks.

use serde_json::{Value, json};

use super::server::{ACCOUNT, REGION, Server};

/// Calls an operation that must succeed.
async fn call(server: &Server, operation: &str, body: Value) -> Value {
    let (status, answer) = server.call("admin", operation, &body.to_string()).await;
    assert_eq!(status, 200, "{operation} {body}: {answer}");
    answer
}

/// The code and the text that an operation is refused with.
async fn refusal(server: &Server, operation: &str, body: Value) -> (String, String) {
    let (status, answer) = server.call("admin", operation, &body.to_string()).await;
    assert_eq!(status, 400, "{operation} {body}: {answer}");
    let text = |member: &str| answer[member].as_str().unwrap().to_owned();
    (text("__type"), text("message"))
}

fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

async fn tags_of(server: &Server, arn: &str) -> Value {
    call(server, "ListTagsForResource", json!({"resourceArn": arn})).await["tags"].clone()
}

/// Adds a tag and takes another one away.
async fn retag(server: &Server, arn: &str) {
    let added = tags(&[("b", "2"), ("c", "3")]);
    call(server, "TagResource", json!({"resourceArn": arn, "tags": added})).await;
    assert_eq!(tags_of(server, arn).await, tags(&[("a", "1"), ("b", "2"), ("c", "3")]));
    call(server, "UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "c"]})).await;
    assert_eq!(tags_of(server, arn).await, tags(&[("b", "2")]));
}

async fn world() -> (Server, String) {
    let server = Server::start().await;
    call(&server, "CreateCluster", json!({})).await;
    let instance = server.instance("default", 1024, 1024).await;
    let definition = json!({
        "family": "web",
        "containerDefinitions": [{"name": "a", "image": "a", "memory": 8}],
        "tags": tags(&[("a", "1")]),
    });
    call(&server, "RegisterTaskDefinition", definition).await;
    (server, instance)
}

#[tokio::test]
async fn an_instance_has_tags_until_it_is_deregistered() {
    let (server, instance) = world().await;
    let first = tags(&[("a", "1")]);
    call(&server, "TagResource", json!({"resourceArn": instance, "tags": first})).await;
    retag(&server, &instance).await;
    let request = json!({"containerInstances": [instance], "include": ["TAGS"]});
    let shown = call(&server, "DescribeContainerInstances", request).await;
    assert_eq!(shown["containerInstances"][0]["tags"], tags(&[("b", "2")]));
    call(&server, "DeregisterContainerInstance", json!({"containerInstance": instance})).await;
    let text = "The specified container instance does not exist. Specify a valid container \
                instance ARN and try again.";
    let refused = refusal(&server, "ListTagsForResource", json!({"resourceArn": instance})).await;
    assert_eq!(refused, ("InvalidParameterException".to_owned(), text.to_owned()));
}

#[tokio::test]
async fn a_definition_has_tags_even_when_deregistered() {
    let (server, _) = world().await;
    let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/web:1");
    retag(&server, &arn).await;
    call(&server, "DeregisterTaskDefinition", json!({"taskDefinition": "web:1"})).await;
    let request = json!({"taskDefinition": "web:1", "include": ["TAGS"]});
    let shown = call(&server, "DescribeTaskDefinition", request).await;
    assert_eq!(shown["tags"], tags(&[("b", "2")]));
    assert_eq!(tags_of(&server, &arn).await, tags(&[("b", "2")]));
}

#[tokio::test]
async fn a_task_has_tags_while_it_has_not_stopped() {
    let (server, instance) = world().await;
    let run = json!({"taskDefinition": "web", "tags": tags(&[("a", "1")])});
    let ran = call(&server, "RunTask", run).await;
    let arn = ran["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    retag(&server, &arn).await;
    let request = json!({"tasks": [arn], "include": ["TAGS"]});
    let shown = call(&server, "DescribeTasks", request).await;
    assert_eq!(shown["tasks"][0]["tags"], tags(&[("b", "2")]));
    let gone = json!({"containerInstance": instance, "force": true});
    call(&server, "DeregisterContainerInstance", gone).await;
    let text = "The specified task is stopped. Specify a running task and try again.";
    let refused = refusal(&server, "TagResource", json!({"resourceArn": arn, "tags": []})).await;
    assert_eq!(refused, ("InvalidParameterException".to_owned(), text.to_owned()));
}
