//! A registry on a socket that the tests make: what it has, how it wants to be logged in to, what it was
//! asked, and when it breaks off or is away.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::world::{OCI_MANIFEST, digest};

/// How it wants to be logged in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Nobody,
    Basic,
    Bearer,
    /// As ECR has it: with a token that its API gives.
    Ecr,
}

pub const USER: &str = "robot";
pub const PASSWORD: &str = "its password";
const TOKEN: &str = "a-token";
/// Tokens of its API are good for so long, as ECR's are.
pub const HOURS: u64 = 12;

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

struct Inner {
    login: Login,
    at: SocketAddr,
    manifests: Mutex<BTreeMap<String, (String, Vec<u8>)>>,
    blobs: Mutex<BTreeMap<String, Vec<u8>>>,
    referrers: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    /// Each request, as `GET /v2/…`.
    asked: Mutex<Vec<String>>,
    /// The number of the token that its API gives now, and when that ends in seconds of Unix time.
    token: Mutex<(u64, u64)>,
    /// Whether every request is answered with 503.
    is_away: Mutex<bool>,
    /// Permits for the second half of each blob; closed: no need for one.
    gate: Semaphore,
    /// After so many bytes the first answer with a blob breaks off.
    breaks_after: Mutex<Option<usize>>,
}

#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

impl Upstream {
    pub async fn start(login: Login) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let gate = Semaphore::new(0);
        gate.close();
        let upstream = Self::with(login, listener.local_addr().unwrap(), gate);
        upstream.serve(listener);
        upstream
    }

    /// One that sends the second half of a blob only after [`Upstream::open`].
    pub async fn held() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let upstream = Self::with(Login::Nobody, at, Semaphore::new(0));
        upstream.serve(listener);
        upstream
    }

    fn with(login: Login, at: SocketAddr, gate: Semaphore) -> Self {
        let (manifests, blobs, asked) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (is_away, breaks_after) = (Mutex::new(false), Mutex::new(None));
        let (referrers, token) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner {
            login,
            at,
            manifests,
            blobs,
            referrers,
            asked,
            token,
            is_away,
            gate,
            breaks_after,
        }))
    }

    fn serve(&self, listener: TcpListener) {
        let this = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                let service = service_fn(move |request| {
                    let this = this.clone();
                    async move { Ok::<_, Infallible>(this.answer(&request)) }
                });
                let io = TokioIo::new(stream);
                let serving =
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
    }

    /// As a rule's `upstreamRegistryUrl`.
    pub fn url(&self) -> String {
        self.0.at.to_string()
    }

    pub fn open(&self) {
        self.0.gate.close();
    }

    pub fn go_away(&self, is_away: bool) {
        *self.0.is_away.lock() = is_away;
    }

    pub fn break_once_after(&self, bytes: usize) {
        *self.0.breaks_after.lock() = Some(bytes);
    }

    /// Tokens that its API gave are good no more; the next one ends then.
    pub fn next_token(&self, ends_at: u64) {
        let mut token = self.0.token.lock();
        *token = (token.0 + 1, ends_at);
    }

    /// What it was asked that contains this.
    pub fn asked(&self, part: &str) -> usize {
        self.0.asked.lock().iter().filter(|line| line.contains(part)).count()
    }

    pub fn put_blob(&self, bytes: &[u8]) -> String {
        let named = digest(bytes);
        self.0.blobs.lock().insert(named.clone(), bytes.to_vec());
        named
    }

    /// A blob under a digest that is not its own.
    pub fn put_wrong_blob(&self, named: &str, bytes: &[u8]) {
        self.0.blobs.lock().insert(named.to_owned(), bytes.to_vec());
    }

    /// An image of one layer under a tag; its manifest's digest.
    pub fn put_image(&self, name: &str, tag: &str, layer: &[u8]) -> String {
        let (config, blob) = (self.put_blob(b"{}"), self.put_blob(layer));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob,
                "size": layer.len()}],
        });
        self.put_manifest(name, tag, OCI_MANIFEST, &manifest)
    }

    pub fn put_manifest(&self, name: &str, tag: &str, kind: &str, manifest: &Value) -> String {
        let bytes = manifest.to_string().into_bytes();
        let named = digest(&bytes);
        for reference in [tag, &named] {
            let at = format!("{name}/manifests/{reference}");
            self.0.manifests.lock().insert(at, (kind.to_owned(), bytes.clone()));
        }
        named
    }

    /// What refers to a manifest, in pages: all but the first are asked for with `last=NUMBER`.
    pub fn put_referrers(&self, name: &str, subject: &str, pages: &[Value]) {
        let pages = pages.iter().map(|page| page.to_string().into_bytes()).collect();
        self.0.referrers.lock().insert(format!("{name}/referrers/{subject}"), pages);
    }

    /// The length of a manifest that it has.
    pub fn manifest_bytes(&self, name: &str, reference: &str) -> usize {
        self.0.manifests.lock()[&format!("{name}/manifests/{reference}")].1.len()
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        self.0.asked.lock().push(format!("{method} {path}"));
        if *self.0.is_away.lock() {
            return plain(StatusCode::SERVICE_UNAVAILABLE, &[], b"away");
        }
        let said = request.headers().get("authorization").and_then(|text| text.to_str().ok());
        if path == "/" {
            return self.api(request);
        }
        let basic = format!("Basic {}", BASE64.encode(format!("{USER}:{PASSWORD}").as_bytes()));
        if path == "/token" {
            return match said == Some(basic.as_str()) {
                true => plain(
                    StatusCode::OK,
                    &[("content-type", "application/json")],
                    json!({"token": TOKEN}).to_string().as_bytes(),
                ),
                false => plain(StatusCode::UNAUTHORIZED, &[], b"who are you"),
            };
        }
        let (wanted, challenge) = match self.0.login {
            Login::Nobody => (None, String::new()),
            Login::Basic => (Some(basic), "Basic realm=\"upstream\"".to_owned()),
            Login::Ecr => {
                let token = BASE64.encode(format!("AWS:{}", self.0.token.lock().0).as_bytes());
                (Some(format!("Basic {token}")), "Basic realm=\"upstream\"".to_owned())
            }
            Login::Bearer => (
                Some(format!("Bearer {TOKEN}")),
                format!("Bearer realm=\"http://{}/token\",service=\"upstream\"", self.0.at),
            ),
        };
        if wanted.is_some_and(|wanted| said != Some(wanted.as_str())) {
            let headers = [("www-authenticate", challenge.as_str())];
            return plain(StatusCode::UNAUTHORIZED, &headers, b"log in");
        }
        self.content(request, &method, path.trim_start_matches("/v2/"))
    }

    /// ECR's API and that of STS, for keys that are named in the request: whether they sign right is seen
    /// with a server that checks it.
    fn api(&self, request: &Request<Incoming>) -> Answer {
        let header =
            |name: &str| request.headers().get(name).map_or("", |text| text.to_str().unwrap());
        let signed =
            header("authorization").split(['=', '/']).nth(1).unwrap_or_default().to_owned();
        let target = header("x-amz-target").rsplit('.').next().unwrap_or_default();
        let operation = if target.is_empty() { "AssumeRole" } else { target };
        self.0
            .asked
            .lock()
            .push(format!("{operation} {signed} {}", header("x-amz-security-token")));
        if signed == USER && operation == "AssumeRole" {
            let keys = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>session\
                        </AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
                        </SessionToken></Credentials></AssumeRoleResult></AssumeRoleResponse>";
            return plain(StatusCode::OK, &[], keys.as_bytes());
        }
        if ![USER, "session"].contains(&signed.as_str()) {
            let text = json!({"__type": "UnrecognizedClientException", "message": "no such key"});
            return plain(StatusCode::BAD_REQUEST, &[], text.to_string().as_bytes());
        }
        let (number, ends_at) = *self.0.token.lock();
        let token = BASE64.encode(format!("AWS:{number}").as_bytes());
        let told =
            json!({"authorizationData": [{"authorizationToken": token, "expiresAt": ends_at}]});
        plain(StatusCode::OK, &[], told.to_string().as_bytes())
    }

    fn content(&self, request: &Request<Incoming>, method: &Method, path: &str) -> Answer {
        let is_head = *method == Method::HEAD;
        if path.is_empty() {
            return plain(StatusCode::OK, &[], b"{}");
        }
        if let Some((kind, bytes)) = self.0.manifests.lock().get(path).cloned() {
            let (named, length) = (digest(&bytes), bytes.len().to_string());
            let headers = [
                ("content-type", kind.as_str()),
                ("docker-content-digest", named.as_str()),
                ("content-length", length.as_str()),
            ];
            return plain(StatusCode::OK, &headers, if is_head { &[] } else { &bytes[..] });
        }
        if let Some(pages) = self.0.referrers.lock().get(path) {
            let number = request.uri().query().and_then(|text| text.strip_prefix("last="));
            let number = number.map_or(0, |text| text.parse::<usize>().unwrap());
            let next = format!("</v2/{path}?last={}>; rel=\"next\"", number + 1);
            let link = (number + 1 < pages.len()).then_some(("link", next.as_str()));
            let kind = ("content-type", "application/vnd.oci.image.index.v1+json");
            let headers: Vec<_> = [kind].into_iter().chain(link).collect();
            return plain(StatusCode::OK, &headers, &pages[number]);
        }
        let blob = path.rsplit_once("/blobs/").map(|(_, named)| named);
        let blob = blob.and_then(|named| self.0.blobs.lock().get(named).cloned());
        let Some(bytes) = blob else {
            let text = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "no such"}]});
            return plain(StatusCode::NOT_FOUND, &[], text.to_string().as_bytes());
        };
        let range = request.headers().get("range").and_then(|text| text.to_str().ok());
        let from =
            range.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        self.blob(bytes, from.unwrap_or(0))
    }

    /// A blob in two halves, the second when the gate lets it; broken off where that is wished.
    fn blob(&self, bytes: Vec<u8>, from: usize) -> Answer {
        let total = bytes.len();
        let bytes = Bytes::from(bytes).slice(from..);
        let length = bytes.len();
        let broken = {
            let mut wish = self.0.breaks_after.lock();
            if wish.is_some_and(|after| after < length) { wish.take() } else { None }
        };
        let this = Arc::clone(&self.0);
        let half = length / 2;
        let parts = vec![bytes.slice(..half), bytes.slice(half..)];
        let stream =
            futures_util::stream::iter(parts.into_iter().enumerate()).then(move |(n, part)| {
                let this = Arc::clone(&this);
                async move {
                    if n == 1 {
                        // Closed means open: no permit is needed any more.
                        drop(this.gate.acquire().await);
                    }
                    match broken {
                        Some(after) if n * half + part.len() > after => {
                            Err(std::io::Error::other("broken off"))
                        }
                        _ => Ok(Frame::data(part)),
                    }
                }
            });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(Box::pin(stream))));
        let headers = response.headers_mut();
        headers.insert("content-length", length.into());
        if from > 0 {
            let range = format!("bytes {from}-{}/{total}", total - 1);
            headers.insert("content-range", range.parse().unwrap());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

fn plain(status: StatusCode, headers: &[(&'static str, &str)], body: &[u8]) -> Answer {
    let body = Full::new(Bytes::copy_from_slice(body)).map_err(|never| match never {});
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = status;
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}
