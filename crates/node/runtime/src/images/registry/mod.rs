//! The client side of the OCI distribution protocol, as far as pulling needs it.
//!
//! A [`Session`] is one pull's view of one repository: it finds out how the registry wants to be
//! spoken to and remembers the token. Bodies are bounded; digests are checked by the caller that
//! stores them (blobs) or here (manifests).

use blobs::Digest;
use bytes::Bytes;
use distribution::{
    Ask, Asker, Auth, ClientError, Http, Plain, Remote, host_of, is_loopback_host, refused,
};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hyper::body::Incoming;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use distribution::{Authorities, AuthoritiesError};

use super::manifest::{DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST};
use super::{DEFAULT_REGISTRY, ImageError, ImageReference, PullError, RegistryAuth};

/// Where Docker Hub's API is.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";
/// What is malformed if it is.
const ADDRESS: &str = "the registry's address";

/// A client for all registries.
pub(super) struct Registries {
    http: Arc<Http>,
}

/// A manifest or index as it came.
pub(super) struct Fetched {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
    pub(super) content_type: Option<String>,
}

/// A blob on its way.
pub(super) struct BlobBody {
    body: Incoming,
    url: Uri,
    what: String,
    /// The blob's byte that the body begins with.
    pub(super) offset: u64,
}

/// One repository at one registry, for one pull.
pub(super) struct Session {
    registries: Arc<Registries>,
    reference: ImageReference,
    auth: Auth,
    base: String,
    plain: Plain,
    /// Whether the registry is the one that gave the right to pull.
    is_named: bool,
    /// The `Authorization` that worked last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Registries {
    pub(super) fn new(idle_timeout: Duration, authorities: Authorities) -> Self {
        Self { http: Arc::new(Http::new(idle_timeout, authorities)) }
    }

    /// Opens a session with the registry of `reference`.
    pub(super) async fn session(
        self: Arc<Self>,
        reference: &ImageReference,
        auth: &RegistryAuth,
    ) -> Result<Session, PullError> {
        if let RegistryAuth::At { url, username, password } = auth {
            let auth = Auth::Basic { username: username.clone(), password: password.clone() };
            return self.session_at(reference, url, auth);
        }
        let (url, plain) =
            self.place(reference).await.map_err(|error| PullError::of_client(error, reference))?;
        Ok(Session {
            registries: self,
            reference: reference.clone(),
            auth: auth.plain(),
            base: format!("{url}/v2"),
            plain,
            is_named: false,
            authorization: Mutex::new(None),
        })
    }

    /// The repository of `reference` at its registry, for requests that are no pull's.
    pub(super) async fn remote(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
    ) -> Result<Remote, ClientError> {
        let url = match auth {
            RegistryAuth::At { url, .. } => url.clone(),
            _ => self.place(reference).await?.0,
        };
        Remote::new(Arc::clone(&self.http), &url, reference.repository(), auth.plain())
    }

    /// Where the registry of a reference is: scheme, host and port; and whether it may be spoken to
    /// without TLS.
    async fn place(&self, reference: &ImageReference) -> Result<(String, Plain), ClientError> {
        let host = match reference.registry() {
            DEFAULT_REGISTRY => DOCKER_HUB_HOST,
            host => host,
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        Ok(match is_loopback_host(name) {
            true => (format!("{}://{host}", self.local_scheme(host).await?), Plain::ToLoopback),
            false => (format!("https://{host}"), Plain::Never),
        })
    }

    /// A session with the registry at a URL, whatever the reference calls it.
    fn session_at(
        self: Arc<Self>,
        reference: &ImageReference,
        url: &str,
        auth: Auth,
    ) -> Result<Session, PullError> {
        let url = url.trim_end_matches('/');
        let parsed = parse_url(url)?;
        let plain = match parsed.scheme_str() {
            Some("http") => Plain::To(host_of(&parsed)),
            _ => Plain::Never,
        };
        Ok(Session {
            registries: self,
            reference: reference.clone(),
            auth,
            base: format!("{url}/v2"),
            plain,
            is_named: true,
            authorization: Mutex::new(None),
        })
    }

    /// Whether a registry on loopback speaks plain HTTP: asked that way first, as most do.
    async fn local_scheme(&self, host: &str) -> Result<&'static str, ClientError> {
        let url = format!("http://{host}/v2/");
        let url = url.parse().map_err(|_| ClientError::Malformed {
            what: ADDRESS.to_owned(),
            problem: url.clone(),
        })?;
        match self.http.send(Ask::get(url, Plain::ToLoopback, "its API version")).await {
            // What TLS servers answer, if at all.
            Ok(response) if response.status() == StatusCode::BAD_REQUEST => Ok("https"),
            Ok(_) => Ok("http"),
            // Somebody is there, but hangs up on plain HTTP.
            Err(ClientError::Unreachable { cause, .. })
                if !cause.contains("os error") || cause.contains("os error 104") =>
            {
                Ok("https")
            }
            Err(error) => Err(error),
        }
    }
}

fn parse_url(text: &str) -> Result<Uri, PullError> {
    text.parse().map_err(|_| PullError::Image(ImageError::malformed(ADDRESS, text)))
}

impl Session {
    /// Fetches the manifest or index of a tag or digest.
    pub(super) async fn manifest(&self, key: &str) -> Result<Fetched, PullError> {
        let accept = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].join(", ");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(&accept).expect("media types are ASCII"));
        let path = format!("{}/manifests/{key}", self.reference.repository());
        let what = format!("manifest {}:{key}", self.reference.familiar_name());
        let (response, ask) = self.get(&path, headers, &what).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => {
                let message = self.registries.http.words(response, &ask).await;
                return Err(PullError::NotFound { reference: self.reference.clone(), message });
            }
            _ => return Err(self.error(response, &ask).await),
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|text| text.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let http = &self.registries.http;
        let body = response.into_body();
        let bytes = http.body(body, &ask.url, "the image manifest", MANIFEST_BYTES_MAX).await;
        let bytes = bytes.map_err(|error| self.told(error))?;
        let digest = Digest::of(&bytes);
        let expected = key.parse::<Digest>().ok().filter(|expected| *expected != digest);
        match expected {
            None => Ok(Fetched { bytes, digest, content_type }),
            Some(expected) => {
                let registry = host_of(&ask.url);
                Err(PullError::Digest { registry, what: "manifest", expected, actual: digest })
            }
        }
    }

    /// Begins to fetch a blob from byte `offset`; the registry may begin at 0 all the same.
    pub(super) async fn blob(&self, digest: &Digest, offset: u64) -> Result<BlobBody, PullError> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = format!("bytes={offset}-");
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are ASCII"));
        }
        let path = format!("{}/blobs/{digest}", self.reference.repository());
        let what = format!("blob {digest} of {}", self.reference.familiar_name());
        let (response, ask) = self.get(&path, headers, &what).await?;
        let offset = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get(CONTENT_RANGE);
                let start = range.and_then(|range| range_start(range.to_str().ok()?));
                start.filter(|start| *start <= offset).ok_or_else(|| {
                    let why = "it sent another range than was asked for";
                    self.told(refused(&ask, response.status(), why))
                })?
            }
            // Nothing is there any more: all of it came before.
            StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => 0,
            _ => return Err(self.error(response, &ask).await),
        };
        let is_unsatisfiable = response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if is_unsatisfiable {
            return Box::pin(self.blob(digest, 0)).await;
        }
        Ok(BlobBody { body: response.into_body(), url: ask.url, what, offset })
    }

    /// The next bytes of a blob; `None` at its end.
    pub(super) async fn piece(&self, blob: &mut BlobBody) -> Result<Option<Bytes>, PullError> {
        let piece = self.registries.http.piece(&mut blob.body, &blob.url, &blob.what).await;
        piece.map_err(|error| self.told(error))
    }

    /// Whether the registry is the one that gave the right to pull.
    pub(super) fn is_named(&self) -> bool {
        self.is_named
    }

    /// Where the repository is, for messages.
    pub(super) fn registry(&self) -> &str {
        self.reference.registry()
    }

    /// Asks, authenticating if the registry wants it.
    async fn get(
        &self,
        path: &str,
        headers: HeaderMap,
        what: &str,
    ) -> Result<(Response<Incoming>, Ask), PullError> {
        let mut ask = {
            let url = parse_url(&format!("{}/{path}", self.base))?;
            Ask::get(url, self.plain.clone(), what)
        };
        ask.headers = headers;
        for is_retry in [false, true] {
            let known = || self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
            let authorization = known().clone();
            match authorization {
                Some(value) => ask.headers.insert(AUTHORIZATION, value),
                None => ask.headers.remove(AUTHORIZATION),
            };
            let response = self.registries.http.send(ask.clone()).await;
            let response = response.map_err(|error| self.told(error))?;
            if response.status() != StatusCode::UNAUTHORIZED || is_retry {
                return Ok((response, ask));
            }
            let challenges = distribution::challenges(response.headers());
            let scope = format!("repository:{}:pull", self.reference.repository());
            let asker = Asker { auth: &self.auth, plain: &self.plain, scope: &scope };
            let answer = distribution::answer(&self.registries.http, &asker, &challenges).await;
            match answer.map_err(|error| self.told(error))? {
                Some(authorization) => *known() = Some(authorization),
                None => return Ok((response, ask)),
            }
        }
        unreachable!("the second round always returns")
    }

    /// What a registry's refusal means.
    async fn error(&self, response: Response<Incoming>, ask: &Ask) -> PullError {
        self.told(self.registries.http.refusal(response, ask).await)
    }

    /// What went wrong with a registry, as trouble with this image.
    fn told(&self, error: ClientError) -> PullError {
        PullError::of_client(error, &self.reference)
    }
}

/// The first byte of `bytes a-b/size`.
fn range_start(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}
