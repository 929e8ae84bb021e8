//! Sending a request on to another server as it came: the signature covers the host that the
//! client called and the headers that it chose, so nothing of that is touched.

use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Body;
use super::gate::{Asking, Sent, Unavailable};
use super::shares::{Shares, client_of};
use crate::client::{Exchange, NotExchanged};
use crate::tls::{Connector, FORWARDED_IDENTITY, Identity, TlsClient};
use crate::{Protocol, ServiceError};

/// Another server is reached within this time, or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// It answers within this time after it got the last of the request. What an operation may take is far
/// below.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that leads no more may still answer what it has finished, for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Connections that wait for their next request are closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many connections may wait for their next request.
const IDLE_MAX: usize = 256;
/// How many requests may be on their way to other servers at once.
const UNDER_WAY_MAX: usize = 2_048;

/// Names the servers that a request came through, the first one first. Not signed: a client that
/// sets it harms itself alone.
static HOPS: HeaderName = HeaderName::from_static("x-longshore-through");

/// Marks a refusal of a server that has done nothing, because it leads no more: the one that sent
/// the request there looks again for who leads.
pub(super) static ELSEWHERE: HeaderName = HeaderName::from_static("x-longshore-elsewhere");

/// Headers of one connection, not of the request (RFC 9110 §7.6.1).
const OF_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// Marks an answer that another server made: it has its request id and date already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed;

/// Why a request that was sent on has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection, so nothing has been done.
    Unreachable(String),
    /// Too many are on their way.
    Crowded,
    /// The connection broke, or time ran out: whether it was carried out is not known.
    Lost(String),
}

impl Failure {
    pub(super) fn in_protocol(&self, protocol: Protocol) -> ServiceError {
        match self {
            Self::Unreachable(_) | Self::Crowded => {
                let message = match self {
                    Self::Crowded => "Too many requests wait for the leading server; try again.",
                    _ => "The leading server cannot be reached; try again.",
                };
                let retry_after = Duration::from_secs(1);
                Unavailable { message: message.to_owned(), retry_after }.in_protocol(protocol)
            }
            Self::Lost(error) => {
                tracing::warn!(error, "the leading server went away before it answered");
                let code = if protocol.is_form() { "InternalFailure" } else { "ServerException" };
                let message = "The leading server went away before it answered; whether the \
                               request was carried out is not known.";
                ServiceError::new(code, 500, message)
            }
        }
    }
}

/// Sends requests on.
pub(super) struct Relay {
    carrier: Carrier,
    under_way: Shares,
}

enum Carrier {
    /// Connections that are kept.
    Pool(Box<Pool<Connector, Body>>),
    Given(Arc<dyn Exchange>),
}

impl Relay {
    pub(super) fn new(tls: &TlsClient) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(tls.connector(connector));
        Self::over(Carrier::Pool(Box::new(pool)))
    }

    pub(super) fn through(exchange: Arc<dyn Exchange>) -> Self {
        Self::over(Carrier::Given(exchange))
    }

    fn over(carrier: Carrier) -> Self {
        Self { carrier, under_way: Shares::new(UNDER_WAY_MAX) }
    }

    /// The other server's answer, waited for until a moment after `end`. A websocket goes on
    /// through this server until `end`.
    pub(super) async fn send(
        &self,
        url: &str,
        end: CancellationToken,
        name: &str,
        asking: &mut Asking<'_>,
    ) -> Result<Response<Body>, Failure> {
        let client = client_of(asking.parts, asking.source);
        let _share = self.under_way.take(client).ok_or(Failure::Crowded)?;
        let (request, body) = (request(url, name, asking.parts)?, asking.body);
        // What only reads, or opens a channel, may be asked again.
        let lost = match asking.parts.method {
            Method::GET | Method::HEAD => Failure::Unreachable,
            _ => Failure::Lost,
        };
        let answer = tokio::select! {
            biased;
            answer = self.carry(request, body) => answer,
            why = patience(&end, body) => return Err(lost(why.to_owned())),
        };
        let mut answer = answer.map_err(|error| match (error, body) {
            // It cannot be sent from its beginning again.
            (NotExchanged::Unreached(why), Sent::Stream(lent)) if lent.is_touched() => lost(why),
            (NotExchanged::Unreached(why), _) => Failure::Unreachable(why),
            (NotExchanged::Broken(why), _) => lost(why),
        })?;
        if answer.headers().contains_key(&ELSEWHERE) {
            return Err(Failure::Unreachable("it leads no more".to_owned()));
        }
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(upgrade) = asking.upgrade.take()
        {
            let theirs = hyper::upgrade::on(&mut answer);
            tokio::spawn(tunnel(upgrade, theirs, end));
            let (mut parts, _) = answer.into_parts();
            parts.extensions.insert(Relayed);
            return Ok(Response::from_parts(parts, Body::empty()));
        }
        let (mut parts, body) = answer.into_parts();
        OF_CONNECTION.iter().for_each(|name| drop(parts.headers.remove(name)));
        parts.version = Version::HTTP_11;
        parts.extensions.insert(Relayed);
        Ok(Response::from_parts(parts, body))
    }

    async fn carry(
        &self,
        request: Request<()>,
        body: Sent<'_>,
    ) -> Result<Response<Body>, NotExchanged> {
        let answer = match (&self.carrier, body) {
            (Carrier::Pool(pool), body) => {
                let body = match body {
                    Sent::Whole(bytes) => Body::from(bytes.clone()),
                    Sent::Stream(lent) => lent.to_send(),
                };
                pool.request(request.map(|()| body)).await
            }
            (Carrier::Given(exchange), Sent::Whole(bytes)) => {
                let request = request.map(|()| Full::new(bytes.clone()));
                return Ok(exchange.exchange(request).await?.map(Body::from));
            }
            (Carrier::Given(_), Sent::Stream(_)) => {
                let why = "streams are not carried by what was given";
                return Err(NotExchanged::Unreached(why.to_owned()));
            }
        };
        match answer {
            Ok(answer) => Ok(answer.map(Body::from)),
            Err(error) if error.is_connect() => {
                Err(NotExchanged::Unreached(terms::with_causes(&error)))
            }
            Err(error) => Err(NotExchanged::Broken(terms::with_causes(&error))),
        }
    }
}

/// Runs out when an answer is waited for no longer, and says why: after its time, or a moment after
/// its server leads no more. One that hangs, or is cut off, would hold the request for all its time.
async fn patience(end: &CancellationToken, body: Sent<'_>) -> &'static str {
    let late = async {
        let mut until = Instant::now() + ANSWER_TIMEOUT;
        loop {
            tokio::time::sleep_until(until).await;
            let moved = match body {
                Sent::Stream(lent) => lent.moved_at() + ANSWER_TIMEOUT,
                Sent::Whole(_) => until,
            };
            if moved <= until {
                return;
            }
            until = moved;
        }
    };
    tokio::select! {
        biased;
        () = end.cancelled() => {
            tokio::time::sleep(LAST_WORDS).await;
            "it leads no more, and has not answered"
        }
        () = late => "no answer in time",
    }
}

/// The servers that a request came through.
pub(super) fn hops(headers: &HeaderMap) -> Vec<&str> {
    let text = headers.get(&HOPS).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The request as it came, with one more hop.
fn request(url: &str, name: &str, parts: &Parts) -> Result<Request<()>, Failure> {
    let unreachable = |what: &dyn std::fmt::Display| Failure::Unreachable(what.to_string());
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("{}{path}", url.trim_end_matches('/'));
    let uri: Uri = uri.parse().map_err(|error| unreachable(&error))?;
    let is_upgrade = parts.headers.contains_key(header::UPGRADE);
    let mut request = Request::new(());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in &parts.headers {
        let is_kept = is_upgrade && [header::CONNECTION, header::UPGRADE].contains(name);
        if is_kept || !OF_CONNECTION.contains(name) {
            headers.append(name.clone(), value.clone());
        }
    }
    // HTTP/2 names the host in the URI; the signature covers it under this name.
    if !headers.contains_key(header::HOST)
        && let Some(authority) = parts.uri.authority()
    {
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|error| unreachable(&error))?;
        headers.insert(header::HOST, host);
    }
    let mut through = hops(&parts.headers);
    through.push(name);
    let through = HeaderValue::from_str(&through.join(",")).map_err(|error| unreachable(&error))?;
    headers.insert(HOPS.clone(), through);
    if let Some(identity) = Identity::of(parts).and_then(Identity::header) {
        headers.insert(FORWARDED_IDENTITY.clone(), identity);
    }
    Ok(request)
}

/// Carries bytes both ways until one side ends, or `end`.
async fn tunnel(ours: OnUpgrade, theirs: OnUpgrade, end: CancellationToken) {
    let carried = async {
        let (ours, theirs) = tokio::try_join!(ours, theirs)?;
        let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
        // An end without a close frame: agents come back at once (agent-protocol §2.3).
        let carried = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await;
        if let Err(error) = carried {
            tracing::debug!(%error, "a tunnel to the leading server broke");
        }
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        biased;
        () = end.cancelled() => {}
        carried = carried => if let Err(error) = carried {
            tracing::debug!(%error, "a tunnel to the leading server came to nothing");
        },
    }
}
