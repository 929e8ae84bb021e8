//! What carries a client's requests: connections over TCP, or what a simulation gives.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Pool;

use crate::tls::Connector;

/// The answer to one request, whatever its status; or why there is none.
pub type Exchanged = Result<Response<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

/// Carries whole requests and answers in the place of a socket.
pub trait Exchange: Send + Sync + 'static {
    /// Brings the signed request to its endpoint, and the whole answer back. An error is what a
    /// broken connection is: whether the request arrived is not known. The caller drops the future
    /// when its time is over.
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
