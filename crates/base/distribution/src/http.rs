//! HTTP for registries: HTTPS with certificates of authorities that the system trusts or
//! that are named, plain HTTP to loopback only.

use std::error::Error;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::{Authorities, ClientError};

const AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));
const REDIRECTS_MAX: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

type SecureClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The largest error body that is looked at.
const ERROR_BODY_BYTES_MAX: u64 = 64 * 1024;
/// How much of a registry's words goes into our errors.
const MESSAGE_CHARS_MAX: usize = 300;

/// A client for all registries; keeps connections.
pub struct Http {
    plain: Client<HttpConnector, Full<Bytes>>,
    /// Made at first use: reading the certificates takes some milliseconds.
    secure: OnceLock<Result<SecureClient, String>>,
    authorities: Authorities,
    idle_timeout: Duration,
}

/// Who may be spoken to without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Nobody.
    Never,
    /// This machine: the registry itself is there.
    ToLoopback,
    /// This host and port, which was named with its scheme.
    To(String),
}

impl Plain {
    fn allows(&self, url: &Uri) -> bool {
        match self {
            Self::Never => false,
            Self::ToLoopback => is_loopback(url),
            Self::To(host) => host_of(url) == *host,
        }
    }
}

/// What is to be sent.
#[derive(Clone)]
pub struct Ask {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Uri,
    /// With what said beside it.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Whether plain HTTP may be used.
    pub plain: Plain,
    /// For messages.
    pub what: String,
}

impl Ask {
    /// A GET without anything.
    pub fn get(url: Uri, plain: Plain, what: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            plain,
            what: what.into(),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    connector
}

fn secure_client(authorities: &Authorities) -> Result<SecureClient, String> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(authorities.client_config()?);
    let connector = builder.https_only().enable_http1().wrap_connector(connector());
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl Http {
    /// A client that waits `idle_timeout` at most for the next byte, and trusts these authorities
    /// besides the system's.
    pub fn new(idle_timeout: Duration, authorities: Authorities) -> Self {
        let plain = Client::builder(TokioExecutor::new()).build(connector());
        Self { plain, secure: OnceLock::new(), authorities, idle_timeout }
    }

    /// Sends, and follows redirects. Credentials go to the first host only.
    ///
    /// # Errors
    /// If nobody answers, or plain HTTP would be needed where it is not allowed.
    pub async fn send(&self, mut ask: Ask) -> Result<Response<Incoming>, ClientError> {
        ask.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for _ in 0..REDIRECTS_MAX {
            let response = self.send_once(&ask).await?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let location = response.headers().get(LOCATION).filter(|_| is_redirect);
            let Some(location) = location else { return Ok(response) };
            let target = location.to_str().ok().and_then(|location| resolve(&ask.url, location));
            let target = target.ok_or_else(|| {
                refused(&ask, response.status(), "it redirects to an address that is none")
            })?;
            if target.scheme() != ask.url.scheme() || target.authority() != ask.url.authority() {
                ask.headers.remove(AUTHORIZATION);
            }
            ask.url = target;
        }
        Err(refused(&ask, StatusCode::LOOP_DETECTED, "too many redirects"))
    }

    /// Sends to this address and no other: a redirect is the answer.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn send_to(&self, mut ask: Ask) -> Result<Response<Incoming>, ClientError> {
        ask.headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        self.send_once(&ask).await
    }

    async fn send_once(&self, ask: &Ask) -> Result<Response<Incoming>, ClientError> {
        let is_plain = ask.url.scheme_str() != Some("https");
        if is_plain && !ask.plain.allows(&ask.url) {
            return Err(ClientError::Insecure { url: ask.url.to_string() });
        }
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.url.clone();
        *request.headers_mut() = ask.headers.clone();
        let answer = match is_plain {
            true => self.plain.request(request),
            false => {
                let client = self.secure.get_or_init(|| secure_client(&self.authorities));
                client.as_ref().map_err(|cause| unreachable(&ask.url, cause))?.request(request)
            }
        };
        match tokio::time::timeout(self.idle_timeout, answer).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(&ask.url, &innermost(&error))),
            Err(_) => Err(self.silent(&ask.url, &ask.what)),
        }
    }

    /// The next piece of a body; `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks or nothing comes for too long.
    pub async fn piece(
        &self,
        body: &mut Incoming,
        url: &Uri,
        what: &str,
    ) -> Result<Option<Bytes>, ClientError> {
        loop {
            match tokio::time::timeout(self.idle_timeout, body.frame()).await {
                Err(_) => return Err(self.silent(url, what)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(unreachable(url, &innermost(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// A whole body of at most `limit_bytes`.
    ///
    /// # Errors
    /// As [`Http::piece`], and if there is more.
    pub async fn body(
        &self,
        mut body: Incoming,
        url: &Uri,
        what: &str,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(&mut body, url, what).await? {
            if bytes.len() as u64 + piece.len() as u64 > limit_bytes {
                return Err(ClientError::TooLarge { what: what.to_owned(), limit_bytes });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// What a registry's refusal means.
    pub async fn refusal(&self, response: Response<Incoming>, ask: &Ask) -> ClientError {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after_seconds =
            retry_after.and_then(|text| text.to_str().ok()?.trim().parse().ok());
        let message = self.words(response, ask).await;
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ClientError::Denied { message },
            StatusCode::TOO_MANY_REQUESTS => {
                ClientError::Throttled { registry: host_of(&ask.url), message, retry_after_seconds }
            }
            status => refused(ask, status, &message),
        }
    }

    /// A registry's words, as Docker shows them: `denied: requested access … is denied`.
    pub async fn words(&self, response: Response<Incoming>, ask: &Ask) -> String {
        let status = response.status();
        let body = response.into_body();
        let bytes = self.body(body, &ask.url, "an error", ERROR_BODY_BYTES_MAX).await;
        words(&bytes.unwrap_or_default(), status)
    }

    fn silent(&self, url: &Uri, what: &str) -> ClientError {
        let seconds = self.idle_timeout.as_secs();
        ClientError::Silent { registry: host_of(url), what: what.to_owned(), seconds }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A stranger's words as they may be shown: on one line, and not for ever (300 characters).
pub fn readable(text: &str) -> String {
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MESSAGE_CHARS_MAX).collect()
}

/// The text of an error body; without one, the status's.
pub(crate) fn words(body: &[u8], status: StatusCode) -> String {
    if let Ok(ErrorBody { errors }) = serde_json::from_slice(body)
        && let Some(first) = errors.first()
    {
        let code = first.code.to_lowercase().replace('_', " ");
        return match (code.is_empty(), first.message.is_empty()) {
            (_, true) => readable(&code),
            (true, false) => readable(&first.message),
            (false, false) => readable(&format!("{code}: {}", first.message)),
        };
    }
    match std::str::from_utf8(body) {
        Ok(text) if !text.trim().is_empty() && !text.contains('<') => readable(text),
        _ => status.canonical_reason().unwrap_or("no reason given").to_lowercase(),
    }
}

/// A URL's host and port.
pub fn host_of(url: &Uri) -> String {
    url.authority().map(|authority| authority.to_string()).unwrap_or_default()
}

pub(crate) fn unreachable(url: &Uri, cause: &str) -> ClientError {
    let (registry, cause) = (host_of(url), cause.to_owned());
    // rustls's words.
    match cause.starts_with("invalid peer certificate") {
        true => ClientError::Untrusted { registry, cause },
        false => ClientError::Unreachable { registry, cause },
    }
}

/// The error that a registry's answer with this status is.
pub fn refused(ask: &Ask, status: StatusCode, message: &str) -> ClientError {
    ClientError::Refused {
        registry: host_of(&ask.url),
        status: status.as_u16(),
        what: ask.what.clone(),
        message: message.to_owned(),
    }
}

/// Whether a URL's host is this machine, by its own words: names are not looked up.
fn is_loopback(url: &Uri) -> bool {
    url.host().is_some_and(is_loopback_host)
}

/// `localhost`, 127.0.0.0/8, `[::1]`.
pub fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The innermost cause: the outer ones only say that something failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Where a `Location` leads from `base`.
pub(crate) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return location.parse().ok();
    }
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    if location.starts_with("//") {
        return format!("{scheme}:{location}").parse().ok();
    }
    let path = match location.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => {
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{}/{location}", folder.trim_start_matches('/'))
        }
    };
    format!("{scheme}://{authority}/{path}").parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn locations_are_resolved() {
        let check = |location: &str, expected: &str| {
            let base: Uri = "https://r.example:5000/v2/a/blobs/x?y".parse().unwrap();
            assert_eq!(resolve(&base, location).unwrap().to_string(), expected, "{location}");
        };
        check("https://s3.example/b?c=d", "https://s3.example/b?c=d");
        check("/v2/z", "https://r.example:5000/v2/z");
        check("//cdn.example/z", "https://cdn.example/z");
        check("other", "https://r.example:5000/v2/a/blobs/other");
    }

    #[test]
    fn loopback_is_told_by_its_name() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example", "127.0.0.1.example", "[::2]", "0.0.0.0"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
