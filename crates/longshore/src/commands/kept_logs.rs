//! The output of a task whose instance is away or gone, from the log groups that its containers'
//! `awslogs` driver wrote to.

use anyhow::{Result, anyhow};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Value, json};
use terms::Timestamp;
use wire::client::Client;

use crate::api::{ecs, list, short, task, text};

/// What stands before an operation's name in a request's target.
const TARGET: &str = "Logs_20140328";
/// Pages of one stream that are read.
const PAGES_MAX: usize = 1_000;

/// The lines of a task, `{"container", "time", "stream", "text"}` as from its instance, the oldest
/// first; none if nothing of it is kept.
///
/// # Errors
/// If no cluster knows the task, or a call fails.
pub async fn lines(client: &Client, id: &str, container: Option<&str>) -> Result<Vec<String>> {
    let (arn, definition) = definition(client, id).await?;
    let mut lines = Vec::new();
    let containers = definition["containerDefinitions"].as_array().into_iter().flatten();
    for one in containers.filter(|one| container.is_none_or(|name| text(one, "name") == name)) {
        let log = &one["logConfiguration"];
        if text(log, "logDriver") != "awslogs" {
            continue;
        }
        let (name, options) = (text(one, "name"), &log["options"]);
        let stream = match text(options, "awslogs-stream-prefix") {
            "" => continue,
            prefix => format!("{prefix}/{name}/{}", short(&arn)),
        };
        for (at, message) in stream_of(client, text(options, "awslogs-group"), &stream).await? {
            let time = Timestamp::from_millis(at).to_string();
            let line = json!({"container": name, "time": time, "stream": "stdout",
                              "text": format!("{message}\n")});
            lines.push((at, line.to_string()));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// The task's ARN and its definition.
async fn definition(client: &Client, id: &str) -> Result<(String, Value)> {
    for cluster in list(client, "ListClusters", json!({}), "clusterArns").await? {
        let Ok(found) = task(client, cluster.as_str().unwrap_or_default(), id).await else {
            continue;
        };
        let input = json!({"taskDefinition": text(&found, "taskDefinitionArn")});
        let mut answer = ecs(client, "DescribeTaskDefinition", &input).await?;
        return Ok((text(&found, "taskArn").to_owned(), answer["taskDefinition"].take()));
    }
    Err(anyhow!("no cluster has a task {id}"))
}

/// The events of a stream; none if there is no such stream.
async fn stream_of(client: &Client, group: &str, stream: &str) -> Result<Vec<(i64, String)>> {
    let mut input = json!({"logGroupName": group, "logStreamName": stream, "startFromHead": true});
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
            (
                HeaderName::from_static("x-amz-target"),
                HeaderValue::from_str(&format!("{TARGET}.GetLogEvents"))?,
            ),
        ];
        let body = input.to_string().into();
        let answer = client.send(Method::POST, "/", &headers, body, "logs").await?;
        let is_there = answer.status().is_success();
        let page: Value = serde_json::from_slice(answer.body())?;
        if !is_there {
            if text(&page, "__type").ends_with("ResourceNotFoundException") {
                break;
            }
            return Err(anyhow!("{}: {}", text(&page, "__type"), text(&page, "message")));
        }
        let found = page["events"].as_array().into_iter().flatten();
        events.extend(found.map(|event| {
            (event["timestamp"].as_i64().unwrap_or_default(), text(event, "message").to_owned())
        }));
        let next = text(&page, "nextForwardToken").to_owned();
        if next.is_empty() || input["nextToken"] == next.as_str() {
            break;
        }
        input["nextToken"] = next.into();
    }
    Ok(events)
}
