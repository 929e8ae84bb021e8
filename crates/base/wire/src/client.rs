//! The calling half: signed calls to a Longshore (or AWS) endpoint, over connections kept alive.
//! Retries are the caller's business.

mod exchange;
mod lines;
mod query;

pub use lines::Lines;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value as Json;
use terms::{Clock, Region};
use tokio::net::TcpStream;

use crate::check::Check;
use crate::protocol::{JsonReader, JsonWriter};
use crate::sigv4::{Credentials, Signer, sign};
use crate::tls::{Connector, Stream, TlsClient};
use crate::value::Value;
use crate::{Malformed, Operation, Servers, ServiceModel};

use exchange::Carrier;
pub use exchange::{Exchange, Exchanged, NotExchanged};

/// A connection must stand after this long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole call ends after this long, unless the caller ends it before.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Larger answers are refused, in bytes.
const ANSWER_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with an error.
    #[error("{code}: {message}")]
    Service {
        /// The code, such as `ClusterNotFoundException`.
        code: String,
        /// The HTTP status.
        status: u16,
        /// The text for people.
        message: String,
        /// The whole body, if it was JSON.
        body: Option<Json>,
    },
    /// The server could not be reached, or the connection broke.
    #[error("cannot call {endpoint}")]
    Transport {
        /// The endpoint that was called.
        endpoint: String,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The call took too long.
    #[error("{endpoint} did not answer within {seconds} seconds")]
    Timeout {
        /// The endpoint that was called.
        endpoint: String,
        /// The limit.
        seconds: u64,
    },
    /// The answer was not what the protocol asks for.
    #[error("{endpoint} answered with something else than expected: {reason}")]
    Answer {
        /// The endpoint that was called.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The endpoint or path is no URL.
    #[error("'{0}' is not a URL of the form http://HOST:PORT")]
    Endpoint(String),
}

impl ClientError {
    /// The code of a server's error.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Service { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later: connection trouble, throttling, a server's fault.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Timeout { .. } => true,
            Self::Service { status, code, .. } => {
                (*status >= 500 && *status != 501) || *status == 429 || code.contains("Throttl")
            }
            Self::Answer { .. } | Self::Endpoint(_) => false,
        }
    }
}

/// A caller of one endpoint with one key pair. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    servers: Servers,
    region: Region,
    credentials: Option<Credentials>,
    clock: Arc<dyn Clock>,
    carrier: Carrier,
    tls: TlsClient,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint()).finish_non_exhaustive()
    }
}

impl Client {
    /// A caller of `endpoint` (`http://HOST:PORT` or `https://…`; several of one control plane with
    /// commas between, of which the next is called when one cannot be reached), signing with `credentials` for
    /// `region`. Without credentials the calls are unsigned. Servers' certificates must be of an
    /// authority that this machine trusts; [`Client::with_tls`] changes that.
    pub fn new(
        endpoint: &str,
        credentials: Option<Credentials>,
        region: Region,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let servers = Servers::of(endpoint);
        let tls = TlsClient::of(endpoint);
        let carrier = Carrier::Pool(Box::new(pool(&tls)));
        Self { servers, region, credentials, clock, carrier, tls, timeout: CALL_TIMEOUT }
    }

    /// The same caller with requests that go through `exchange` instead of a socket: for
    /// simulation, and for tests that answer in memory. [`Client::lines`] does not work with it.
    #[must_use]
    pub fn with_exchange(mut self, exchange: Arc<dyn Exchange>) -> Self {
        self.carrier = Carrier::Given(exchange);
        self
    }

    /// The same caller trusting and showing what `tls` says, over connections of its own.
    #[must_use]
    pub fn with_tls(mut self, tls: TlsClient) -> Self {
        self.carrier = Carrier::Pool(Box::new(pool(&tls)));
        self.tls = tls;
        self
    }

    /// A connection to the endpoint outside of the kept ones: for websockets.
    ///
    /// # Errors
    /// If the endpoint is no URL, it cannot be reached within ten seconds (and as many for TLS),
    /// or its certificate is not trusted.
    pub async fn dial(&self) -> std::io::Result<Stream> {
        let uri: Uri = self.endpoint().parse().map_err(std::io::Error::other)?;
        let host = uri.host().ok_or_else(|| std::io::Error::other("the endpoint has no host"))?;
        let is_tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = within(TcpStream::connect((bare, port))).await?;
        let _ = stream.set_nodelay(true);
        match is_tls {
            true => within(self.tls.connect(host, stream)).await,
            false => Ok(Stream::Plain(stream)),
        }
    }

    /// The same caller with another limit for a whole call. The default is 60 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The endpoint, without a slash at its end; of several, the one that is called next.
    pub fn endpoint(&self) -> &str {
        self.servers.current()
    }

    /// All endpoints.
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The same caller, over the same connections, of another endpoint alone.
    #[must_use]
    pub fn at(&self, endpoint: &str) -> Self {
        Self { servers: Servers::of(endpoint), ..self.clone() }
    }

    /// The same caller, over the same connections, with another key pair and for another region.
    #[must_use]
    pub fn signing_as(&self, credentials: Credentials, region: Region) -> Self {
        Self { credentials: Some(credentials), region, ..self.clone() }
    }

    /// Calls an operation of a service that speaks AWS JSON.
    pub async fn call<O: Operation>(&self, input: O::Input) -> Result<O::Output, ClientError> {
        let mut writer = JsonWriter::with_capacity(1024);
        input.write(&mut writer, O::INPUT);
        let content_type = if O::SERVICE.protocols.contains(&crate::Protocol::AwsJson10) {
            "application/x-amz-json-1.0"
        } else {
            "application/x-amz-json-1.1"
        };
        let target = format!("{}.{}", O::SERVICE.target_prefix, O::NAME);
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (HeaderName::from_static("x-amz-target"), self.header(&target)?),
        ];
        let body = writer.finish();
        let answer = self.send(Method::POST, "/", &headers, body, O::SERVICE.name).await?;
        let body = success(answer)?;
        let mut output = None;
        let mut check = Check::lenient();
        JsonReader::read_document(&body, &mut check, &mut |reader| {
            output = O::Output::read(reader, O::OUTPUT)?;
            Ok(())
        })
        .map_err(|Malformed { message }| self.unexpected(message))?;
        output.ok_or_else(|| self.unexpected("null".to_owned()))
    }

    /// Calls an operation by its name with a JSON document as the protocol has it, for callers
    /// that pass documents on as they are.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn invoke(
        &self,
        service: &ServiceModel,
        operation: &str,
        input: &Json,
    ) -> Result<Json, ClientError> {
        let target = self.header(&format!("{}.{operation}", service.target_prefix))?;
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1")),
            (HeaderName::from_static("x-amz-target"), target),
        ];
        let body = Bytes::from(input.to_string());
        self.json(self.send(Method::POST, "/", &headers, body, service.name).await?)
    }

    /// GETs a path of ours whose answer comes line by line, possibly without an end.
    ///
    /// # Errors
    /// As [`Client::get`]; the limit of time holds for the answer's head only.
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let url = self.endpoint().to_owned();
        let request = self.at(&url).request(Method::GET, path, &[], Bytes::new(), "ecs")?;
        let Carrier::Pool(pool) = &self.carrier else {
            return Err(self.transport("answers come whole over this carrier"));
        };
        let head = tokio::time::timeout(self.timeout, pool.request(request)).await;
        let answer = head.map_err(|_| self.timed_out())?.map_err(|error| {
            self.servers.failed(&url);
            self.transport_of(&url, error).1
        })?;
        let (parts, body) = answer.into_parts();
        if parts.status.is_success() {
            return Ok(Lines { client: self.clone(), body, read: Vec::new() });
        }
        let body = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
        let body = body.map_err(|source| self.transport(source))?.to_bytes();
        Err(service_error(parts.status, &body))
    }

    /// GETs JSON from a path of ours, such as `/_longshore/why?task=…`; signed for `ecs`.
    pub async fn get(&self, path: &str) -> Result<Json, ClientError> {
        self.json(self.send(Method::GET, path, &[], Bytes::new(), "ecs").await?)
    }

    /// POSTs JSON to a path of ours, such as `/_longshore/join`; signed for `ecs`.
    pub async fn post(&self, path: &str, body: &Json) -> Result<Json, ClientError> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let body = Bytes::from(body.to_string());
        self.json(self.send(Method::POST, path, &headers, body, "ecs").await?)
    }

    /// Sends one request, signed for `service` if there are credentials, and gives the whole
    /// answer, whatever its status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        service: &str,
    ) -> Result<Response<Bytes>, ClientError> {
        let mut tries = self.servers.count();
        let exchange = async {
            let (answer, url) = loop {
                let (method, body) = (method.clone(), body.clone());
                let url = self.endpoint().to_owned();
                let request = self.at(&url).request(method, path, headers, body, service)?;
                tries -= 1;
                match self.carry(&url, request).await {
                    Ok(answer) => break (answer, url),
                    Err((is_unreached, failure)) => {
                        self.servers.failed(&url);
                        // Without a connection nothing was done, so the next may be asked.
                        if !is_unreached || tries == 0 {
                            return Err(failure);
                        }
                    }
                }
            };
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                self.servers.failed(&url);
            }
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_LIMIT_BYTES).collect().await;
            let body = body.map_err(|source| self.transport(source))?.to_bytes();
            Ok(Response::from_parts(parts, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The answer's head, its body still to come; or the failure, and whether there was no
    /// connection.
    async fn carry(
        &self,
        url: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Either<Incoming, Full<Bytes>>>, (bool, ClientError)> {
        match &self.carrier {
            Carrier::Pool(pool) => {
                let answer = pool.request(request).await;
                let answer = answer.map_err(|error| self.transport_of(url, error))?;
                Ok(answer.map(Either::Left))
            }
            Carrier::Given(exchange) => match exchange.exchange(request).await {
                Ok(answer) => Ok(answer.map(|bytes| Either::Right(Full::new(bytes)))),
                Err(error) => {
                    let is_unreached = matches!(error, NotExchanged::Unreached(_));
                    let endpoint = url.to_owned();
                    let failure = ClientError::Transport { endpoint, source: error.into() };
                    Err((is_unreached, failure))
                }
            },
        }
    }

    /// A request to `path`, signed for `service` if there are credentials. For websockets: the
    /// request's URI and headers are what the upgrade must carry.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        service: &str,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let url = format!("{}{path}", self.endpoint());
        let uri: Uri = url.parse().map_err(|_| ClientError::Endpoint(url.clone()))?;
        let authority = uri.authority().map(|authority| authority.as_str().to_owned());
        let authority = authority.ok_or(ClientError::Endpoint(url))?;
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        request.headers_mut().insert(http::header::HOST, self.header(&authority)?);
        for (name, value) in headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        let (mut parts, ()) = request.into_parts();
        if let Some(credentials) = &self.credentials {
            let (region, now) = (self.region.as_str(), self.clock.now());
            sign(&mut parts, &body, &Signer { credentials, region, service, now });
        }
        Ok(Request::from_parts(parts, Full::new(body)))
    }

    fn json(&self, answer: Response<Bytes>) -> Result<Json, ClientError> {
        let body = success(answer)?;
        if body.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&body).map_err(|error| self.unexpected(error.to_string()))
    }

    fn header(&self, text: &str) -> Result<HeaderValue, ClientError> {
        HeaderValue::from_str(text).map_err(|_| ClientError::Endpoint(text.to_owned()))
    }

    /// The failure at `url`, and whether there was no connection.
    fn transport_of(
        &self,
        url: &str,
        error: hyper_util::client::legacy::Error,
    ) -> (bool, ClientError) {
        let is_unreached = error.is_connect();
        let (endpoint, source) = (url.to_owned(), error.into());
        (is_unreached, ClientError::Transport { endpoint, source })
    }

    fn transport(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        ClientError::Transport { endpoint: self.endpoint().to_owned(), source: source.into() }
    }

    fn timed_out(&self) -> ClientError {
        let (endpoint, seconds) = (self.endpoint().to_owned(), self.timeout.as_secs());
        ClientError::Timeout { endpoint, seconds }
    }

    fn unexpected(&self, reason: String) -> ClientError {
        ClientError::Answer { endpoint: self.endpoint().to_owned(), reason }
    }
}

/// Connections that are kept for the next call.
fn pool(tls: &TlsClient) -> Pool<Connector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    Pool::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build(tls.connector(connector))
}

async fn within<T>(step: impl Future<Output = std::io::Result<T>>) -> std::io::Result<T> {
    let done = tokio::time::timeout(CONNECT_TIMEOUT, step).await;
    done.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// The body of a good answer; the error of a bad one.
fn success(answer: Response<Bytes>) -> Result<Bytes, ClientError> {
    let (parts, body) = answer.into_parts();
    if parts.status.is_success() {
        return Ok(body);
    }
    Err(service_error(parts.status, &body))
}

/// The error that a body carries: `__type` (or `code`) and `message`.
fn service_error(status: StatusCode, body: &[u8]) -> ClientError {
    let json: Option<Json> = serde_json::from_slice(body).ok();
    let text = |names: &[&str]| {
        let object = json.as_ref()?;
        names.iter().find_map(|name| object.get(name)?.as_str())
    };
    let code = text(&["__type", "code", "Code"]).unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = if code.is_empty() { status.canonical_reason().unwrap_or("Error") } else { code };
    let message = text(&["message", "Message"]).unwrap_or_default().to_owned();
    ClientError::Service { code: code.to_owned(), status: status.as_u16(), message, body: json }
}
