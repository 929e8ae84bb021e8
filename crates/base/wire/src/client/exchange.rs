//! What carries requests to a server: connections over TCP, or what a simulation gives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Pool;

use crate::tls::Connector;

/// The answer to one request, whatever its status; or why there is none.
pub type Exchanged = Result<Response<Bytes>, NotExchanged>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NotExchanged {
    /// There was no connection: nothing has been done.
    #[error("{0}")]
    Unreached(String),
    /// The connection broke: whether the request arrived is not known.
    #[error("{0}")]
    Broken(String),
}

/// Carries whole requests and answers in the place of a socket.
pub trait Exchange: Send + Sync + 'static {
    /// Brings the request to the server that its URI names, and the whole answer back. The caller
    /// drops the future when its time is over.
    fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Exchanged> + Send>>;
}

#[derive(Clone)]
pub(super) enum Carrier {
    Pool(Box<Pool<Connector, Full<Bytes>>>),
    Given(Arc<dyn Exchange>),
}
