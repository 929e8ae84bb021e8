//! The way to Longshore's API: requests go on to the server as they came.
//!
//! The `Host` header stays what the task wrote, since its signature covers it.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use wire::Servers;
use wire::tls::{Connector, TlsClient};

use super::{Answer, Request, routes};

/// The server must be reached within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections to the server are kept this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that concern one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("te"),
];

/// Hands requests on to one server; when it cannot be reached, to the next one of the list.
pub(crate) struct Forwarder {
    servers: Servers,
    client: Client<Connector, hyper::body::Incoming>,
}

impl Forwarder {
    /// A forwarder to `server` (`http://HOST:PORT` or `https://…`), whom `tls` is to trust.
    pub(crate) fn new(server: &str, tls: Option<&TlsClient>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(tls.cloned().unwrap_or_else(|| TlsClient::of(server)).connector(connector));
        Self { servers: Servers::of(server), client }
    }

    /// The server's answer to a request.
    pub(crate) async fn forward(self: Arc<Self>, mut request: Request) -> Answer {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let server = self.servers.current().to_owned();
        let Ok(uri) = format!("{server}{path}").parse::<Uri>() else {
            return failed(&server, "the request's path is no URL");
        };
        *request.uri_mut() = uri;
        strip(request.headers_mut());
        match self.client.request(request).await {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                strip(&mut parts.headers);
                let body = body.map_err(|error| error.into()).boxed();
                http::Response::from_parts(parts, body)
            }
            Err(error) => {
                self.servers.failed(&server);
                failed(&server, &error.to_string())
            }
        }
    }
}

fn failed(server: &str, cause: &str) -> Answer {
    let message = format!("Longshore's server at {server} cannot be reached: {cause}");
    let body = serde_json::json!({ "__type": "ServiceUnavailable", "message": message });
    routes::respond(StatusCode::BAD_GATEWAY, "application/x-amz-json-1.1", body.to_string())
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
