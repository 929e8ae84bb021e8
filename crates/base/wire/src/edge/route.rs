//! Paths that are no AWS operation: websockets and everything under `/_longshore/`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use terms::{Timestamp, Uuid};

use super::{Body, Need, Priority};
use crate::{Caller, ServiceError};

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteAuth {
    /// Anyone. The body is read whole before the handler is called, as of signed ones.
    Unsigned,
    /// Requests signed for this service, such as `ecs`. The body is signed, so it is read whole
    /// before the handler is called; at most [`super::BODY_LIMIT_BYTES`].
    Signed(&'static str),
    /// Whom the handler lets: it is called before anything of the body is read, and finds out who
    /// calls. It may take as long as it likes, so it sees to it itself that a body moves and that
    /// strangers are refused at once; it holds no seat meanwhile. Answered by the server that is asked
    /// ([`Route::here`]), or where [`Route::shared`] says; a body that goes on to another server does so
    /// as it comes.
    Handler,
}

/// A request to a route.
#[derive(Debug)]
pub struct RouteRequest {
    /// Method, URI and headers.
    pub parts: Parts,
    /// The body.
    pub body: Body,
    /// Who calls; `None` on unsigned routes.
    pub caller: Option<Arc<Caller>>,
    /// The connection, if the client asked for an upgrade: await it after the response with
    /// status 101 was returned, in a task of its own.
    pub upgrade: Option<OnUpgrade>,
    /// The client's address, if it came over a socket.
    pub source: Option<SocketAddr>,
    /// The id of the request.
    pub request_id: Uuid,
    /// When the request came in.
    pub now: Timestamp,
    /// The base URL as the client addressed us; see [`crate::Context::endpoint`].
    pub endpoint: String,
}

impl RouteRequest {
    /// The path after the route's prefix; begins with a slash or is empty.
    pub fn rest<'a>(&'a self, prefix: &str) -> &'a str {
        self.parts.uri.path().strip_prefix(prefix).unwrap_or_default()
    }

    /// The decoded value of a parameter of the query string.
    pub fn query(&self, name: &str) -> Option<String> {
        let form = crate::protocol::Form::parse(self.parts.uri.query()?.as_bytes()).ok()?;
        form.get(name).map(str::to_owned)
    }
}

pub(super) type RouteFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(RouteRequest) -> RouteFuture + Send + Sync>;

type Refuse = Arc<dyn Fn(&ServiceError) -> Response<Body> + Send + Sync>;

/// How several servers share a route whose handler reads bodies.
#[derive(Clone)]
pub(super) struct Sharing {
    pub(super) need: Arc<dyn Fn(&Parts) -> Need + Send + Sync>,
    pub(super) refuse: Refuse,
}

/// A path prefix with its handler. The longest prefix that fits wins; a prefix ends at a slash or
/// at the end of the path, so `/acs/ws` does not take `/acs/wsx`.
#[derive(Clone)]
pub struct Route {
    pub(super) prefix: &'static str,
    pub(super) auth: RouteAuth,
    pub(super) need: Need,
    pub(super) sharing: Option<Sharing>,
    pub(super) handler: Handler,
    pub(super) priority: Option<Priority>,
}

impl Route {
    /// The paths under `prefix` (which begins with a slash and has none at its end) answered by
    /// `handler`, on the leading server if several serve together: see [`Route::reads`] and
    /// [`Route::here`].
    pub fn new<F, A>(prefix: &'static str, auth: RouteAuth, handler: F) -> Self
    where
        F: Fn(RouteRequest) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        assert!(prefix.starts_with('/') && !prefix.ends_with('/'), "'{prefix}' is no path prefix");
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        Self { prefix, auth, need: Need::Lead, sharing: None, handler, priority: None }
    }

    /// The same route answered by any server, once it has seen all that was acknowledged before:
    /// it reads the ledger's state and nothing else.
    #[must_use]
    pub fn reads(mut self) -> Self {
        self.need = Need::View;
        self
    }

    /// The same route answered by the server that is asked, whatever it knows: it tells of that
    /// server.
    #[must_use]
    pub fn here(mut self) -> Self {
        self.need = Need::Nothing;
        self
    }

    /// The same route, of [`RouteAuth::Handler`], with requests answered by the server that `need` asks
    /// for, told from their heads. What nobody can answer now is told in the form that `refuse` gives it.
    #[must_use]
    pub fn shared(
        mut self,
        need: impl Fn(&Parts) -> Need + Send + Sync + 'static,
        refuse: impl Fn(&ServiceError) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        assert!(self.auth == RouteAuth::Handler, "other routes' needs do not differ");
        self.need = Need::Nothing;
        self.sharing = Some(Sharing { need: Arc::new(need), refuse: Arc::new(refuse) });
        self
    }

    /// The same route with a class of its own. Without one, requests are of their caller's class,
    /// and unsigned ones of [`Priority::Agents`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Whether this route takes the path.
    pub(super) fn takes(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("prefix", &self.prefix)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
