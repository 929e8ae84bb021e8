//! An edge with a known clock, known keys and a few operations, and clients of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value as Json;
use shapes_ecs::operations as ecs;
use shapes_sts::operations as sts;
use terms::{Clock, IdSource, Region, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wire::sigv4::{Credentials, Signer, sign};
use wire::{
    Authenticator, Caller, CallerKind, CredentialLookup, Edge, EdgeBuilder, Secret, Service,
};

/// 2026-01-02T03:04:05Z.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);
pub const KEY: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub const TOKEN: &str = "the/session+token==";
pub const ECS: &str = "AmazonEC2ContainerServiceV20141113";
/// The request id of an edge's first answer.
pub const FIRST_ID: &str = "00000000-0000-4000-8000-000000000001";

pub struct Stopped(pub Timestamp);
impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

#[derive(Default)]
pub struct Counted(AtomicU64);
impl IdSource for Counted {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes()
    }
}

/// `AKIDEXAMPLE` may sign; `ASIATOKEN` with its token; the others are there to be refused.
pub struct Keys;
impl Authenticator for Keys {
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        scope_region: &Region,
        _: Timestamp,
    ) -> CredentialLookup {
        match (access_key_id, session_token) {
            ("AKIAINACTIVE", _) => return CredentialLookup::Inactive,
            ("ASIAEXPIRED", _) => return CredentialLookup::Expired,
            (KEY, None) | ("ASIATOKEN", Some(TOKEN)) => {}
            (KEY | "ASIATOKEN", _) => return CredentialLookup::TokenMismatch,
            _ => return CredentialLookup::Unknown,
        }
        let caller = Caller {
            account: "123456789012".parse().unwrap(),
            region: scope_region.clone(),
            arn: "arn:aws:iam::123456789012:user/alice".to_owned(),
            user_id: "AIDAEXAMPLE".to_owned(),
            access_key_id: access_key_id.to_owned(),
            kind: CallerKind::Operator,
        };
        CredentialLookup::Found { secret: Secret::new(SECRET), caller: Arc::new(caller) }
    }
}

pub fn ecs_service() -> Service {
    Service::new(&shapes_ecs::SERVICE)
        .on::<ecs::ListClusters, _, _>(|_, _| async {
            let cluster_arns =
                Some(vec!["arn:aws:ecs:us-east-1:123456789012:cluster/default".to_owned()]);
            Ok(shapes_ecs::ListClustersResponse { cluster_arns, ..Default::default() })
        })
        .on::<ecs::DescribeTasks, _, _>(|context, input| async move {
            if input.cluster.as_deref() == Some("missing") {
                return Err(shapes_ecs::errors::CLUSTER_NOT_FOUND.with("Cluster not found."));
            }
            let failures = input.tasks.into_iter().map(|task| shapes_ecs::Failure {
                arn: Some(task),
                reason: Some("MISSING".to_owned()),
                detail: Some(context.endpoint.clone()),
            });
            Ok(shapes_ecs::DescribeTasksResponse {
                failures: Some(failures.collect()),
                ..Default::default()
            })
        })
        .on::<ecs::RunTask, _, _>(|_, _| async { Ok(shapes_ecs::RunTaskResponse::default()) })
        .on::<ecs::RegisterTaskDefinition, _, _>(|_, _| async {
            Ok(shapes_ecs::RegisterTaskDefinitionResponse::default())
        })
}

pub fn sts_service() -> Service {
    Service::new(&shapes_sts::SERVICE).on::<sts::GetCallerIdentity, _, _>(|context, _| async move {
        Ok(shapes_sts::GetCallerIdentityResponse {
            account: Some(context.caller.account.to_string()),
            arn: Some(context.caller.arn.clone()),
            user_id: Some(context.caller.user_id.clone()),
        })
    })
}

pub fn builder() -> EdgeBuilder {
    Edge::builder(Arc::new(Keys), Arc::new(Stopped(NOW)), Arc::new(Counted::default()))
}

pub fn edge() -> Edge {
    builder().service(ecs_service()).service(sts_service()).build()
}

pub fn credentials(key: &str, token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: key.to_owned(),
        secret: Secret::new(SECRET),
        session_token: token.map(str::to_owned),
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Status, code and message of an error in JSON or XML.
    #[track_caller]
    pub fn error(&self) -> (u16, String, String) {
        let status = self.status.as_u16();
        if let Ok(json) = serde_json::from_slice::<Json>(&self.body) {
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            return (status, text("__type"), text("message"));
        }
        let part = |name: &str| {
            let (open, close) = (format!("<{name}>"), format!("</{name}>"));
            let (_, rest) = self.text().split_once(&open).expect("the element is there");
            rest.split_once(&close).unwrap().0.to_owned()
        };
        (status, part("Code"), part("Message"))
    }
}

/// What every answer of the edge carries.
#[track_caller]
pub fn assert_marked(answer: &Answer) {
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let id = header("x-amzn-requestid").expect("a request id");
    assert!(id.parse::<terms::Uuid>().is_ok(), "{id}");
    assert_eq!(header("date"), Some("Fri, 02 Jan 2026 03:04:05 GMT"));
    let content_type = header("content-type").expect("a content type");
    let known = ["application/x-amz-json-1.0", "application/x-amz-json-1.1", "text/xml"];
    assert!(known.contains(&content_type), "{content_type}");
}

/// A request that is not signed yet.
pub fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// An unsigned call of an ECS operation.
pub fn ecs_call(operation: &str) -> Parts {
    let target = format!("{ECS}.{operation}");
    let json = "application/x-amz-json-1.1";
    request("POST", "/", &[("x-amz-target", &target), ("content-type", json)])
}

/// An unsigned call of an STS action, to be sent with [`IDENTITY`].
pub fn sts_call() -> Parts {
    request("POST", "/", &[("content-type", "application/x-www-form-urlencoded; charset=utf-8")])
}

pub const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

pub fn signed(mut parts: Parts, body: &str, service: &str) -> Parts {
    let credentials = credentials(KEY, None);
    let signer = Signer { credentials: &credentials, region: "us-east-1", service, now: NOW };
    sign(&mut parts, body.as_bytes(), &signer);
    parts
}

/// Sends a request to an edge in memory.
pub async fn send(edge: &Edge, parts: Parts, body: &str) -> Answer {
    let body = wire::Body::from(body.to_owned());
    let response = edge.handle(Request::from_parts(parts, body), None).await;
    let (parts, body) = response.into_parts();
    let body = body.collect(64 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

/// A signed call of ECS in memory.
pub async fn call(operation: &str, body: &str) -> Answer {
    send(&edge(), signed(ecs_call(operation), body, "ecs"), body).await
}

/// An edge behind a socket.
pub struct Server {
    pub address: std::net::SocketAddr,
    pub shutdown: CancellationToken,
    pub served: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub async fn serve(edge: Edge) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(edge.serve(listener, shutdown.clone()));
    Server { address, shutdown, served }
}

/// A client that speaks bytes.
pub struct Wire {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub async fn to(server: &Server) -> Self {
        Self { stream: TcpStream::connect(server.address).await.unwrap(), read: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends a request in HTTP/1.1.
    pub async fn send(&mut self, parts: &Parts, body: &str) {
        self.write(Self::text(parts, body)).await;
    }

    /// A request in HTTP/1.1.
    pub fn text(parts: &Parts, body: &str) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri);
        for (name, value) in &parts.headers {
            text += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        if parts.method == Method::POST {
            text += &format!("content-length: {}\r\n", body.len());
        }
        text + "\r\n" + body
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None => assert!(self.fill().await, "closed: {:?}", self.read),
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.to_str().unwrap().parse().unwrap());
        while self.read.len() < length {
            assert!(self.fill().await, "closed in a body");
        }
        let body = self.read.drain(..length).collect::<Vec<u8>>().into();
        Answer { status, headers, body }
    }

    /// Exactly so many bytes that are no answer.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.fill().await, "closed");
        }
        self.read.drain(..count).collect()
    }

    /// Everything until the server closes the connection, however it does.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.fill().await {}
        self.read
    }

    async fn fill(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.read).await, Ok(1..))
    }
}
