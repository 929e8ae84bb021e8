//! A container instance without containers: it registers, opens ACS and acknowledges what comes,
//! so that tasks can be placed on it and stay as they are.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use wire::client::Client;

use crate::longshore::ecs;

/// The instance; it leaves when dropped.
#[derive(Debug)]
pub struct StubAgent(JoinHandle<Result<()>>);

impl StubAgent {
    /// Registers an instance in the default cluster and returns when the server counts it as
    /// connected.
    pub async fn join(client: &Client, port: u16) -> Result<Self> {
        Self::join_with(client, port, 1 << 20, 1 << 20).await
    }

    /// As [`StubAgent::join`], with so many CPU units and MiB.
    pub async fn join_with(client: &Client, port: u16, cpu: u32, memory: u32) -> Result<Self> {
        let resource = |name: &str, units: u32| json!({"name": name, "type": "INTEGER", "integerValue": units});
        let ports = |name: &str| json!({"name": name, "type": "STRINGSET", "stringSetValue": []});
        let attributes = [
            "com.amazonaws.ecs.capability.docker-remote-api.1.17",
            "com.amazonaws.ecs.capability.docker-remote-api.1.18",
            "com.amazonaws.ecs.capability.docker-remote-api.1.21",
        ];
        let attributes: Vec<_> = attributes.iter().map(|name| json!({"name": name})).collect();
        let input = json!({
            "cluster": "default",
            "totalResources": [
                resource("CPU", cpu), resource("MEMORY", memory), ports("PORTS"), ports("PORTS_UDP"),
            ],
            "attributes": attributes,
        });
        let answer = ecs(client, "RegisterContainerInstance", input).await?;
        let arn = &answer["containerInstance"]["containerInstanceArn"];
        let arn = arn.as_str().context("the registered instance has an ARN")?.to_owned();
        let agent = Self(tokio::spawn(acknowledge(open(client, port, &arn).await?, arn.clone())));
        loop {
            let input = json!({"containerInstances": [arn]});
            let answer = ecs(client, "DescribeContainerInstances", input).await?;
            if answer["containerInstances"][0]["agentConnected"] == true {
                return Ok(agent);
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for StubAgent {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Socket = tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>;

async fn open(client: &Client, port: u16, instance: &str) -> Result<Socket> {
    let path = format!(
        "/acs/ws?agentHash=bench&agentVersion=1.105.1&clusterArn=default&containerInstanceArn={instance}\
         &dockerVersion=bench&protocolVersion=2&seqNum=1&sendCredentials=false"
    );
    let headers = [
        (http::header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (http::header::UPGRADE, HeaderValue::from_static("websocket")),
        (HeaderName::from_static("sec-websocket-version"), HeaderValue::from_static("13")),
        (
            HeaderName::from_static("sec-websocket-key"),
            HeaderValue::from_static("bG9uZ3Nob3JlLWJlbmNoIQ=="),
        ),
    ];
    let mut request = client.request(Method::GET, &path, &headers, Default::default(), "ecs")?;
    *request.uri_mut() = format!("ws://127.0.0.1:{port}{path}").parse()?;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (socket, _) = client_async(request.map(|_| ()), stream).await.context("opening ACS")?;
    Ok(socket)
}

async fn acknowledge(mut socket: Socket, instance: String) -> Result<()> {
    while let Some(frame) = socket.next().await {
        let Message::Text(text) = frame? else { continue };
        let frame: Value = serde_json::from_str(&text)?;
        let id = &frame["message"]["messageId"];
        let answer = match frame["type"].as_str() {
            Some("HeartbeatMessage") => {
                json!({"type": "HeartbeatAckRequest", "message": {"messageId": id}})
            }
            Some("PayloadMessage" | "TaskManifestMessage") => json!({
                "type": "AckRequest",
                "message": {"cluster": "default", "containerInstance": instance, "messageId": id},
            }),
            _ => continue,
        };
        socket.send(Message::text(answer.to_string())).await?;
    }
    Ok(())
}
