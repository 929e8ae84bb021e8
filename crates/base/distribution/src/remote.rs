//! One repository at one registry.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LINK, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::http::{Ask, Http, Plain, host_of, refused};
use crate::token::{self, Asker, Auth};
use crate::{Challenge, ClientError};

/// The types of manifests that are asked for.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";
/// The digest that a registry says an answer has.
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One repository at one registry: remembers how the registry wants to be spoken to.
pub struct Remote {
    pub(crate) http: Arc<Http>,
    base: Uri,
    name: String,
    auth: Auth,
    plain: Plain,
    actions: &'static str,
    said: HeaderMap,
    /// The `Authorization` that worked last.
    authorization: Mutex<Option<HeaderValue>>,
}

/// A manifest or index as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its type, without parameters.
    pub content_type: Option<String>,
    /// Its digest, as the registry says.
    pub digest: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// As it came.
    pub bytes: Vec<u8>,
    /// The query of the next one; none on the last.
    pub next: Option<String>,
}

/// A blob on its way.
pub struct RemoteBlob {
    body: Incoming,
    url: Uri,
    what: String,
    /// The blob's byte that the body begins with.
    pub offset: u64,
    /// The blob's length, if the registry says.
    pub size_bytes: Option<u64>,
}

impl Remote {
    /// The repository `name` at the registry of this URL: scheme, host and port. Without TLS only that
    /// host is spoken to, and only if the scheme says so.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(http: Arc<Http>, url: &str, name: &str, auth: Auth) -> Result<Self, ClientError> {
        let malformed = || ClientError::malformed("the registry's address", url);
        let base: Uri = url.trim_end_matches('/').parse().map_err(|_| malformed())?;
        let plain = match base.scheme_str() {
            Some("http") => Plain::To(host_of(&base)),
            Some("https") => Plain::Never,
            _ => return Err(malformed()),
        };
        Ok(Self {
            http,
            base,
            name: name.to_owned(),
            auth,
            plain,
            actions: "pull",
            said: HeaderMap::new(),
            authorization: Mutex::new(None),
        })
    }

    /// The same, to push to.
    #[must_use]
    pub fn to_push(mut self) -> Self {
        self.actions = "pull,push";
        self
    }

    /// The same, to push to, with a header beside each request.
    #[must_use]
    pub fn pushing(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.said.insert(name, value);
        self.to_push()
    }

    /// The registry's host.
    pub fn registry(&self) -> String {
        host_of(&self.base)
    }

    /// The manifest or index of a tag or digest, of at most `limit_bytes`; none if there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn manifest(
        &self,
        reference: &str,
        limit_bytes: u64,
    ) -> Result<Option<Fetched>, ClientError> {
        let (response, ask) = self.ask_for(Method::GET, reference).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.http.refusal(response, &ask).await),
        }
        let headers = response.headers();
        let content_type = text(headers, &CONTENT_TYPE);
        let content_type = content_type.and_then(|text| text.split(';').next().map(str::to_owned));
        let digest = text(headers, &CONTENT_DIGEST);
        let (body, what) = (response.into_body(), "the manifest");
        let bytes = self.http.body(body, &ask.url, what, limit_bytes).await?;
        Ok(Some(Fetched { bytes, content_type, digest }))
    }

    /// The digest of a tag, as the registry says; none if it has no such tag, or does not say.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn digest(&self, tag: &str) -> Result<Option<String>, ClientError> {
        let (response, ask) = self.ask_for(Method::HEAD, tag).await?;
        match response.status() {
            StatusCode::OK => Ok(text(response.headers(), &CONTENT_DIGEST)),
            // Those who do not know HEAD are asked again, with GET.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(None),
            _ => Err(self.http.refusal(response, &ask).await),
        }
    }

    async fn ask_for(
        &self,
        method: Method,
        reference: &str,
    ) -> Result<(Response<Incoming>, Ask), ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let what = format!("manifest {}:{reference}", self.name);
        let url = self.url(&format!("manifests/{reference}"))?;
        self.ask(method, url, headers, Bytes::new(), &what).await
    }

    /// Begins to fetch a blob from byte `offset`; the registry may begin at 0 all the same. None if it
    /// has no such blob.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn blob(&self, digest: &str, offset: u64) -> Result<Option<RemoteBlob>, ClientError> {
        let mut headers = HeaderMap::new();
        if offset > 0 {
            let range = format!("bytes={offset}-");
            headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are ASCII"));
        }
        let what = format!("blob {digest} of {}", self.name);
        let url = self.url(&format!("blobs/{digest}"))?;
        let (response, ask) = self.ask(Method::GET, url, headers, Bytes::new(), &what).await?;
        let length = text(response.headers(), &CONTENT_LENGTH);
        let length = length.and_then(|length| length.parse::<u64>().ok());
        let (offset, size_bytes) = match response.status() {
            StatusCode::OK => (0, length),
            StatusCode::PARTIAL_CONTENT => {
                let range = text(response.headers(), &CONTENT_RANGE);
                let start = range.as_deref().and_then(range_start);
                let start = start.filter(|start| *start <= offset).ok_or_else(|| {
                    refused(&ask, response.status(), "it sent another range than was asked for")
                })?;
                (start, length.map(|length| length.saturating_add(start)))
            }
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.http.refusal(response, &ask).await),
        };
        let (body, url) = (response.into_body(), ask.url);
        Ok(Some(RemoteBlob { body, url, what, offset, size_bytes }))
    }

    /// The next bytes of a blob; `None` at its end.
    ///
    /// # Errors
    /// If the connection breaks, or nothing comes for too long.
    pub async fn piece(&self, blob: &mut RemoteBlob) -> Result<Option<Bytes>, ClientError> {
        self.http.piece(&mut blob.body, &blob.url, &blob.what).await
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn has_blob(&self, digest: &str) -> Result<bool, ClientError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let what = format!("blob {digest} of {}", self.name);
        let (response, ask) =
            self.ask(Method::HEAD, url, HeaderMap::new(), Bytes::new(), &what).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(self.http.refusal(response, &ask).await),
        }
    }

    /// One page of what refers to a manifest, of at most `limit_bytes`, as an index; none if the registry
    /// has no such list. The first page is asked for with nothing, each next one with what
    /// [`Page::next`] says.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn referrers(
        &self,
        digest: &str,
        next: Option<&str>,
        limit_bytes: u64,
    ) -> Result<Option<Page>, ClientError> {
        let query = next.map(|next| format!("?{next}")).unwrap_or_default();
        let url = self.url(&format!("referrers/{digest}{query}"))?;
        let what = format!("what refers to {digest} in {}", self.name);
        let (response, ask) =
            self.ask(Method::GET, url, HeaderMap::new(), Bytes::new(), &what).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
            _ => return Err(self.http.refusal(response, &ask).await),
        }
        let next = text(response.headers(), &LINK);
        let next = next.as_deref().and_then(next_query);
        let body = response.into_body();
        let bytes = self.http.body(body, &ask.url, "the list", limit_bytes).await?;
        Ok(Some(Page { bytes, next }))
    }

    /// Whether the registry lets these credentials in.
    ///
    /// # Errors
    /// Why not.
    pub async fn knock(&self) -> Result<(), ClientError> {
        let url = self.join("/v2/")?;
        let what = "its API version";
        let (response, ask) =
            self.ask(Method::GET, url, HeaderMap::new(), Bytes::new(), what).await?;
        match response.status() {
            StatusCode::OK => Ok(()),
            _ => Err(self.http.refusal(response, &ask).await),
        }
    }

    /// A URL of this repository.
    pub(crate) fn url(&self, rest: &str) -> Result<Uri, ClientError> {
        self.join(&format!("/v2/{}/{rest}", self.name))
    }

    fn join(&self, path: &str) -> Result<Uri, ClientError> {
        let (scheme, host) = (self.base.scheme_str().unwrap_or("https"), host_of(&self.base));
        let before = self.base.path().trim_end_matches('/');
        let url = format!("{scheme}://{host}{before}{path}");
        url.parse().map_err(|_| ClientError::malformed("the registry's address", &url))
    }

    /// Asks, authenticating if the registry wants it.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: Uri,
        headers: HeaderMap,
        body: Bytes,
        what: &str,
    ) -> Result<(Response<Incoming>, Ask), ClientError> {
        let mut ask = Ask::get(url, self.plain.clone(), what);
        ask.method = method;
        ask.headers = headers;
        ask.headers.extend(self.said.clone());
        ask.body = body;
        for is_retry in [false, true] {
            let known = self.authorization.lock().clone();
            // An upload's address may be another host's, where the registry's credentials have no place.
            let is_ours = ask.url.authority() == self.base.authority();
            match known.filter(|_| is_ours) {
                Some(value) => ask.headers.insert(AUTHORIZATION, value),
                None => ask.headers.remove(AUTHORIZATION),
            };
            let response = self.http.send(ask.clone()).await?;
            if response.status() != StatusCode::UNAUTHORIZED || is_retry || !is_ours {
                return Ok((response, ask));
            }
            let challenges = token::challenges(response.headers());
            self.check_realms(&challenges)?;
            let scope = format!("repository:{}:{}", self.name, self.actions);
            let asker = Asker { auth: &self.auth, plain: &self.plain, scope: &scope };
            match token::answer(&self.http, &asker, &challenges).await? {
                Some(authorization) => *self.authorization.lock() = Some(authorization),
                None => return Ok((response, ask)),
            }
        }
        unreachable!("the second round always returns")
    }

    /// Refuses to take credentials to a token service that is none of the registry's.
    fn check_realms(&self, challenges: &[Challenge]) -> Result<(), ClientError> {
        if self.auth == Auth::Anonymous {
            return Ok(());
        }
        let host = self.base.host().unwrap_or_default();
        for challenge in challenges {
            let Challenge::Bearer { realm, .. } = challenge else { continue };
            let named = realm.parse::<Uri>().ok();
            let named = named.as_ref().and_then(Uri::host).unwrap_or_default();
            if !is_beside(host, named) {
                let message = format!(
                    "its token service is at '{named}', which is neither {host} nor beside it; \
                     credentials are not sent there"
                );
                return Err(ClientError::Denied { message });
            }
        }
        Ok(())
    }
}

/// Whether a token service's host may have a registry's credentials: it is the registry's own, or of
/// the same domain, as `auth.docker.io` is beside `registry-1.docker.io`.
fn is_beside(registry: &str, service: &str) -> bool {
    let is_under = |domain: &str| {
        service == domain || service.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    let is_address = registry.starts_with('[') || registry.parse::<std::net::IpAddr>().is_ok();
    if registry == service || is_address {
        return registry == service;
    }
    let parent = registry.split_once('.').map_or("", |(_, parent)| parent);
    is_under(registry) || (parent.contains('.') && is_under(parent))
}

/// A header as a text.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The first byte of `bytes a-b/size`.
fn range_start(text: &str) -> Option<u64> {
    text.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// The query of `<PATH?QUERY>; rel="next"`. Its path is not looked at: it is the same list.
fn next_query(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next =
        parameters.split(';').any(|one| matches!(one.trim(), "rel=\"next\"" | "rel=next"));
    let (_, query) = target.split_once('?').filter(|_| is_next)?;
    Some(query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_tell_the_next_page() {
        let check = |link: &str, expected: Option<&str>| {
            assert_eq!(next_query(link).as_deref(), expected, "{link}");
        };
        check("</v2/a/referrers/x?last=b&n=5>; rel=\"next\"", Some("last=b&n=5"));
        check("<https://h/v2/a/referrers/x?last=b>; title=t; rel=next", Some("last=b"));
        check("</v2/a/referrers/x?last=b>; rel=\"prev\"", None);
        check("</v2/a/referrers/x>; rel=\"next\"", None);
        check("nonsense", None);
    }

    #[test]
    fn credentials_stay_beside_their_registry() {
        for (registry, service) in [
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("quay.io", "quay.io"),
            ("quay.io", "auth.quay.io"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
        ] {
            assert!(is_beside(registry, service), "{registry} {service}");
        }
        for (registry, service) in [
            ("quay.io", "evil.io"),
            ("registry.gitlab.com", "evilgitlab.com"),
            ("registry.gitlab.com", "gitlab.com.evil.test"),
            ("127.0.0.1", "127.0.0.2"),
            ("10.0.0.1", "9.0.0.1"),
            ("ghcr.io", ""),
        ] {
            assert!(!is_beside(registry, service), "{registry} {service}");
        }
    }
}
