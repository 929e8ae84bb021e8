//! The bodies of responses and of routes' requests.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited, combinators::BoxBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::connections::Exchange;
use super::file::{FileBody, Lane};
use crate::ServiceError;

/// What a body's stream can fail with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body: bytes at hand, a stream, or a part of a file.
#[derive(Debug)]
pub struct Body {
    kind: Kind,
    /// The request that it answers, which is over when the body was handed over.
    _exchange: Option<Arc<Exchange>>,
}

#[derive(Debug)]
enum Kind {
    /// None once it was taken.
    Full(Option<Bytes>),
    Incoming(Incoming),
    Boxed(BoxBody<Bytes, BodyError>),
    File(FileBody),
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self::from(Bytes::new())
    }

    /// A stream of one's own.
    pub fn stream<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BodyError>,
    {
        Kind::Boxed(BoxBody::new(body.map_err(Into::into))).into()
    }

    /// The bytes, if they are all at hand, replaced by what `change` makes of them.
    pub(super) fn map_full(mut self, change: impl FnOnce(Bytes) -> Bytes) -> Self {
        if let Kind::Full(bytes) = &mut self.kind {
            *bytes = bytes.take().map(change);
        }
        self
    }

    /// The same, sent over a lane if it is a part of a file.
    pub(super) fn over(mut self, lane: &Lane) -> Self {
        if let Kind::File(file) = self.kind {
            self.kind = Kind::File(file.over(lane));
        }
        self
    }

    /// The answer to this request.
    pub(super) fn answering(self, exchange: Option<Arc<Exchange>>) -> Self {
        if let Some(exchange) = &exchange {
            exchange.answered();
        }
        Self { _exchange: exchange, ..self }
    }

    /// All its bytes, if they are at most `limit`; else the error that AWS answers with.
    pub async fn collect(self, limit: usize) -> Result<Bytes, ServiceError> {
        if hyper::body::Body::size_hint(&self).lower() > limit as u64 {
            return Err(too_large(limit));
        }
        match Limited::new(self, limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(limit)),
            Err(_) => Err(incomplete()),
        }
    }
}

/// The error of a body that broke off.
pub(super) fn incomplete() -> ServiceError {
    ServiceError::new(
        "IncompleteBody",
        400,
        "The request body ended before the number of bytes that the Content-Length header names.",
    )
}

/// The error of a body over the limit.
pub(super) fn too_large(limit: usize) -> ServiceError {
    ServiceError::new(
        "RequestEntityTooLargeException",
        413,
        format!("The request body is longer than the limit of {limit} bytes."),
    )
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind, _exchange: None }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Kind::Full(Some(bytes).filter(|bytes| !bytes.is_empty())).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(Bytes::from_static(text.as_bytes()))
    }
}

impl From<FileBody> for Body {
    fn from(file: FileBody) -> Self {
        Kind::File(file).into()
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Kind::Incoming(incoming).into()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().kind {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Incoming(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Kind::Boxed(body) => Pin::new(body).poll_frame(cx),
            Kind::File(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Incoming(body) => body.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
            Kind::File(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Incoming(body) => body.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
            Kind::File(body) => body.size_hint(),
        }
    }
}
