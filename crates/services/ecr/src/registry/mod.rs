//! The registry: OCI distribution 1.1 under `/v2` (reference: registry semantics §2 to §9).
//!
//! - [`target`]: what a path means; no text from a client is used before it has passed there.
//! - [`access`]: who calls, and what they may do.
//! - One file a subject: blobs, uploads, manifests, lists (tags, catalog, referrers), tokens.

mod access;
mod blobs;
mod lists;
mod manifests;
mod pieces;
mod range;
mod refusal;
mod sharing;
mod target;
mod through;
mod token;
mod uploads;

use std::sync::Arc;

use ::http::header::{ALLOW, HeaderName, HeaderValue};
use ::http::request::Parts;
use ::http::{HeaderMap, Method, Response, StatusCode};
use wire::{Body, Route, RouteAuth, RouteRequest};

use self::access::Session;
use self::refusal::{Refusal, Words};
use self::target::Target;
use crate::Inner;
use crate::depot::Depot;

pub use self::access::Challenge;
pub(crate) use self::access::registry_url;
pub(crate) use self::token::{download_url, login};
pub(crate) use self::uploads::LAYER_BYTES_MAX;

/// What old clients look for.
static API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
static NO_SNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
/// The digest of what is answered.
static CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

type Answer = Result<Response<Body>, Refusal>;

/// The registry's paths.
pub(crate) fn routes(inner: &Arc<Inner>) -> Vec<Route> {
    let (inner, asked) = (Arc::clone(inner), Arc::clone(inner));
    let handler = move |request: RouteRequest| {
        let inner = Arc::clone(&inner);
        async move {
            let mut response = match serve(&inner, request).await {
                Ok(response) => response,
                Err(refusal) => refusal.into_response(),
            };
            mark(&mut response);
            response
        }
    };
    let need = move |parts: &Parts| sharing::need(&asked, parts);
    vec![Route::new("/v2", RouteAuth::Handler, handler).shared(need, sharing::refuse)]
}

/// Puts on an answer what every answer of a registry has.
fn mark(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(API_VERSION.clone(), HeaderValue::from_static("registry/2.0"));
    headers.insert(NO_SNIFF.clone(), HeaderValue::from_static("nosniff"));
}

/// A request whose caller is known.
struct Request<'a> {
    inner: &'a Arc<Inner>,
    depot: &'a Depot,
    session: Session,
    request: RouteRequest,
}

async fn serve(inner: &Arc<Inner>, mut request: RouteRequest) -> Answer {
    let Some(depot) = &inner.setup.depot else {
        return Err(Refusal::new(Words::Unsupported, NO_DEPOT));
    };
    let path = path_of(&request.parts);
    if path == token::PATH {
        return token::serve(inner, request).await;
    }
    let target = Target::parse(&path);
    let session = match token::of_download(inner, &request, &target) {
        Some(session) => session,
        None => access::authenticate(inner, &request)?,
    };
    let body = std::mem::replace(&mut request.body, Body::empty());
    let request = Request { inner, depot, session, request };
    request.route(target?, body).await
}

/// The path, decoded.
fn path_of(parts: &Parts) -> String {
    let path = percent_encoding::percent_decode_str(parts.uri.path());
    path.decode_utf8_lossy().into_owned()
}

/// Why a server without a depot refuses.
const NO_DEPOT: &str = "this server has no storage for images: with several servers over one store, \
     the registry needs a bucket that they share (--registry-store s3://…); see docs/guides/registry.md";

impl Request<'_> {
    fn method(&self) -> &Method {
        &self.request.parts.method
    }

    fn headers(&self) -> &HeaderMap {
        &self.request.parts.headers
    }

    fn query(&self, name: &str) -> Option<String> {
        self.request.query(name)
    }

    /// All values of a parameter of the query string.
    fn queries(&self, name: &str) -> Vec<String> {
        let query = self.request.parts.uri.query().unwrap_or_default();
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
        };
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).filter_map(|(_, value)| decode(value)).collect()
    }

    async fn route(&self, target: Target, body: Body) -> Answer {
        let method = self.method().as_str();
        match (method, &target) {
            ("GET" | "HEAD", Target::Base) => Ok(json(StatusCode::OK, "{}".to_owned())),
            ("GET" | "HEAD", Target::Extensions) => {
                Ok(json(StatusCode::OK, r#"{"extensions":[]}"#.to_owned()))
            }
            ("GET" | "HEAD", Target::Catalog) => self.catalog(),
            ("GET" | "HEAD", Target::Tags(name)) => self.tags(name),
            ("GET" | "HEAD", Target::Referrers(name, digest)) => self.referrers(name, digest).await,
            ("GET" | "HEAD", Target::Blob(name, digest)) => self.get_blob(name, digest).await,
            ("DELETE", Target::Blob(name, digest)) => self.delete_blob(name, digest).await,
            ("POST", Target::Uploads(name)) => self.begin_upload(name, body).await,
            ("PATCH", Target::Upload(name, id)) => self.add_to_upload(name, id, body).await,
            ("PUT", Target::Upload(name, id)) => self.end_upload(name, id, body).await,
            ("GET", Target::Upload(name, id)) => self.show_upload(name, id).await,
            ("DELETE", Target::Upload(name, id)) => self.cancel_upload(name, id).await,
            ("GET" | "HEAD", Target::Manifest(name, named)) => self.get_manifest(name, named).await,
            ("PUT", Target::Manifest(name, named)) => self.put_manifest(name, named, body).await,
            ("DELETE", Target::Manifest(name, named)) => self.delete_manifest(name, named).await,
            _ => {
                let text = format!("{method} is not supported here");
                let allow = HeaderValue::from_static(target.methods());
                Err(Refusal::new(Words::Unsupported, text).header(ALLOW, allow))
            }
        }
    }

    /// The answer with a status and headers, and nothing else.
    fn bare(status: StatusCode) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    }
}

/// A small answer in JSON.
fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(::http::header::CONTENT_TYPE, json);
    response
}

/// A header's value out of parts that were checked.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
