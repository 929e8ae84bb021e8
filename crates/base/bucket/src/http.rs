//! How requests go out: with the HTTP and TLS that all else here uses.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use distribution::Authorities;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Sockets;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};

use crate::content::ContentBody;

/// A connection is there within this time, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request is sent and answered within this time: a part over a slow line, or the joining of many.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that wait for their next request are closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What a connection reads ahead of who wants it, in bytes: many objects may be read slowly at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// The client that requests of one bucket go through.
#[derive(Clone, Debug)]
pub(crate) struct Carrier(Client<HttpsConnector<Sockets>, Sent>);

/// What is sent: of the library's requests, and of our own.
pub(crate) enum Sent {
    Whole(HttpRequestBody),
    Content(ContentBody),
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Broken(#[from] hyper_util::client::legacy::Error),
    /// Time ran out.
    #[error(transparent)]
    Late(#[from] Late),
}

/// Time ran out.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} seconds", ANSWER_TIMEOUT.as_secs())]
pub(crate) struct Late;

impl Carrier {
    /// One that trusts the system's authorities and these, and sends without TLS only if `is_plain`.
    ///
    /// # Errors
    /// If the system has no certificates.
    pub(crate) fn new(authorities: &Authorities, is_plain: bool) -> Result<Self, String> {
        let mut sockets = Sockets::new();
        sockets.set_connect_timeout(Some(CONNECT_TIMEOUT));
        sockets.set_nodelay(true);
        sockets.enforce_http(false);
        let builder = HttpsConnectorBuilder::new().with_tls_config(authorities.client_config()?);
        let builder = if is_plain { builder.https_or_http() } else { builder.https_only() };
        let connector = builder.enable_http1().wrap_connector(sockets);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(BUFFER_BYTES)
            .build(connector);
        Ok(Self(client))
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(
        &self,
        request: Request<Sent>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, self.0.request(request)).await;
        Ok(answer.map_err(|_| Late)??)
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Content(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Content(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Content(body) => body.size_hint(),
        }
    }
}

impl HttpConnector for Carrier {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Carrier {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = match self.send(request.map(Sent::Whole)).await {
            Ok(answer) => answer,
            Err(Unanswered::Broken(error)) => {
                let kind = match error.is_connect() {
                    true => HttpErrorKind::Connect,
                    false => HttpErrorKind::Interrupted,
                };
                return Err(HttpError::new(kind, error));
            }
            Err(Unanswered::Late(late)) => {
                return Err(HttpError::new(HttpErrorKind::Timeout, late));
            }
        };
        let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(broken))))
    }
}
