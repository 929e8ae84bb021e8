//! A registry in this process, which can be told to misbehave.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use blobs::Digest;
use runtime::images::ImageReference;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::made::{Made, OCI_MANIFEST};

/// How the registry wants its callers to prove themselves.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Auth {
    #[default]
    Anonymous,
    /// As `user`, `secret`.
    Basic,
    /// With a token from `/token`, which anonymous callers get as well.
    Bearer,
    /// With a token from `/token`, for `user`, `secret` only.
    PrivateBearer,
}

/// What goes wrong with one answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Another status, with a header line and a body.
    Status(u16, &'static str, &'static str),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The body's last byte is another one.
    Corrupt,
    /// More bytes come than there should be.
    Excess,
    /// The range is not looked at.
    NoRange,
    /// Another place.
    Redirect(String),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    auth: Auth,
    /// Of the addresses that it gives out itself.
    scheme: &'static str,
    /// By path.
    answers: HashMap<String, (String, Vec<u8>)>,
    /// By path, used up one by one.
    faults: HashMap<String, VecDeque<Fault>>,
    seen: Vec<Seen>,
}

#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Blobs are sent only with a permit.
    gate: Arc<Semaphore>,
}

impl Registry {
    pub(crate) async fn start(auth: Auth) -> Self {
        Self::listen(auth, None).await
    }

    /// A registry that speaks TLS and nothing else.
    pub(crate) async fn start_secure(auth: Auth, tls: TlsAcceptor) -> Self {
        Self::listen(auth, Some(tls)).await
    }

    async fn listen(auth: Auth, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(Mutex::new(State { auth, scheme, ..State::default() }));
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let registry = Self { address: listener.local_addr().unwrap(), state, gate };
        let serving = registry.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (registry, tls) = (serving.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => registry.serve(stream).await,
                        // Who does not speak TLS is hung up on.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                registry.serve(stream).await;
                            }
                        }
                    }
                });
            }
        });
        registry
    }

    pub(crate) fn reference(&self, name: &str) -> ImageReference {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    /// Offers an image as `name`, with its tag.
    pub(crate) fn push(&self, name: &str, image: &Made) {
        let (repository, tag) = name.split_once(':').unwrap();
        for key in [tag.to_owned(), image.digest().to_string()] {
            self.put(&format!("/v2/{repository}/manifests/{key}"), OCI_MANIFEST, &image.manifest);
        }
        for blob in image.layers.iter().chain([&image.config]) {
            self.put(&blob_path(repository, blob), "application/octet-stream", blob);
        }
    }

    pub(crate) fn put(&self, path: &str, content_type: &str, body: &[u8]) {
        let answer = (content_type.to_owned(), body.to_vec());
        self.state.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// The next answer to `path` goes wrong; asked for again, the one after it.
    pub(crate) fn fail(&self, path: &str, fault: Fault) {
        self.state.lock().unwrap().faults.entry(path.to_owned()).or_default().push_back(fault);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.split('?').next() == Some(path)).count()
    }

    /// Holds back all blobs until [`Registry::open_gate`].
    pub(crate) fn close_gate(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(crate) fn open_gate(&self) {
        self.gate.add_permits(1_000_000);
    }

    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: HashMap<_, _> =
            pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let seen = Seen { path, headers };
        self.state.lock().unwrap().seen.push(seen.clone());
        if seen.path.contains("/blobs/") {
            let _permit = self.gate.acquire().await.unwrap();
        }
        let bytes = self.answer(&seen);
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
    }

    /// The bytes that answer a request.
    fn answer(&self, seen: &Seen) -> Vec<u8> {
        let mut state = self.state.lock().unwrap();
        let path = seen.path.split('?').next().unwrap().to_owned();
        let authorization = seen.headers.get("authorization").map(String::as_str);
        let basic = format!("Basic {}", BASE64_STANDARD.encode("user:secret"));
        if path == "/token" {
            return match state.auth == Auth::Bearer || authorization == Some(&basic) {
                true => response(200, "", br#"{"token":"good"}"#),
                false => response(401, "", br#"{"details":"incorrect username or password"}"#),
            };
        }
        let challenge = match state.auth {
            Auth::Basic if authorization != Some(&basic) => "Basic realm=\"here\"".to_owned(),
            Auth::Bearer | Auth::PrivateBearer if authorization != Some("Bearer good") => {
                format!("Bearer realm=\"{}://{}/token\",service=\"me\"", state.scheme, self.address)
            }
            _ => String::new(),
        };
        if !challenge.is_empty() {
            let body =
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
            return response(401, &format!("WWW-Authenticate: {challenge}\r\n"), body);
        }
        let fault = state.faults.get_mut(&path).and_then(VecDeque::pop_front);
        let Some((content_type, body)) = state.answers.get(&path) else {
            let body = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            return match path.as_str() {
                "/v2/" => response(200, "", b"{}"),
                _ => response(404, "", body),
            };
        };
        let content_type = format!("Content-Type: {content_type}\r\n");
        let range = seen.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
        let start = range.and_then(|range| range.strip_suffix('-')?.parse::<usize>().ok());
        let whole = match start.filter(|_| !matches!(fault, Some(Fault::NoRange))) {
            Some(start) if start >= body.len() => response(416, "", b""),
            Some(start) => {
                let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
                response(206, &format!("{content_type}Content-Range: {range}\r\n"), &body[start..])
            }
            None => response(200, &content_type, body),
        };
        spoil(whole, fault, body)
    }
}

fn spoil(mut whole: Vec<u8>, fault: Option<Fault>, body: &[u8]) -> Vec<u8> {
    let head = whole.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    match fault {
        None | Some(Fault::NoRange) => whole,
        Some(Fault::Status(status, header, body)) => response(status, header, body.as_bytes()),
        Some(Fault::Redirect(to)) => response(307, &format!("Location: {to}\r\n"), b""),
        Some(Fault::Cut(length)) => {
            whole.truncate(head + length);
            whole
        }
        Some(Fault::Corrupt) => {
            *whole.last_mut().unwrap() ^= 1;
            whole
        }
        Some(Fault::Excess) => response(200, "", &[body, &[0; 100]].concat()),
    }
}

pub(crate) fn blob_path(repository: &str, blob: &[u8]) -> String {
    format!("/v2/{repository}/blobs/{}", Digest::of(blob))
}

fn response(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}
