//! Which server answers a request, when several serve one ledger: asked before authentication,
//! because a key may be newer than what this server has seen.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lent::Lent;
use super::relay::{self, Failure};
use super::{Body, Inner};
use crate::{Protocol, ServiceError};

/// How long a request may be held in all until it is known who leads. Shorter than the least
/// time-out of the SDKs, longer than a usual change of the leader.
const HOLD_MAX: Duration = Duration::from_secs(3);
/// The pause before a request is sent on a third time, or more often, within [`HOLD_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
/// Through how many servers a request may come. A leader that has just changed costs one more.
const HOPS_MAX: usize = 3;

/// What a request needs of the server that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is answered where it arrives.
    Nothing,
    /// A view of the state that holds all that was acknowledged before the request came.
    View,
    /// The leading server: it writes, or asks for what the leader alone has in memory.
    Lead,
}

/// A request at the gate.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What it needs.
    pub need: Need,
    /// The names of the servers that it came through.
    pub through: &'a [&'a str],
    /// The URL of a server that was said to lead and could not be reached.
    pub unreachable: Option<&'a str>,
    /// Until when it may be held.
    pub until: Instant,
}

/// Where a request is answered.
#[derive(Clone, Debug)]
pub enum Passage {
    /// Here, and now.
    Here,
    /// By the server at this URL. What stays open after its answer (a websocket) ends when `end`
    /// is cancelled.
    Onward {
        /// `http://HOST:PORT` or `https://…`.
        url: String,
        /// When that server leads no more, or this one ends.
        end: CancellationToken,
    },
    /// Nowhere at the moment: 503.
    Shut(Unavailable),
}

/// Why nobody answers now, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// For people.
    pub message: String,
    /// For `Retry-After`, in whole seconds.
    pub retry_after: Duration,
}

/// Says where requests are answered. One that leads alone needs none.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// This server's name: differs from that of every other that serves the same ledger.
    fn name(&self) -> &str;

    /// What a call of an operation needs. `input` is its undecoded body.
    fn need_of(&self, _service: &str, operation: &str, _input: &[u8]) -> Need {
        need_by_name(operation)
    }

    /// Where the request is answered; may hold it until [`Ask::until`].
    async fn pass(&self, ask: Ask<'_>) -> Passage;
}

/// What AWS's names of operations tell: those that begin with `Describe`, `List`, `Get`,
/// `BatchGet` or `Discover` read.
pub fn need_by_name(operation: &str) -> Need {
    const READS: [&str; 5] = ["Describe", "List", "Get", "BatchGet", "Discover"];
    match READS.iter().any(|prefix| operation.starts_with(prefix)) {
        true => Need::View,
        false => Need::Lead,
    }
}

impl Unavailable {
    /// The error in a protocol's words (AWS: common errors; for ECS's agents `ServerException`,
    /// which they try again).
    pub fn in_protocol(&self, protocol: Protocol) -> ServiceError {
        let code = match protocol {
            Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor => "ServerException",
            Protocol::AwsQuery => "ServiceUnavailable",
            Protocol::Ec2Query => "Unavailable",
        };
        let error = ServiceError::new(code, 503, self.message.clone());
        ServiceError { is_elsewhere: true, ..error.retry_after(self.retry_after) }
    }
}

/// What came of a request at the gate.
pub(super) enum Gated {
    /// Answer it here; with the client's connection, if it was given.
    Here(Option<OnUpgrade>),
    /// Another server has answered.
    Answered(Response<Body>),
    /// Nobody will now.
    Refused(ServiceError),
}

/// The body of a request that is sent on.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    /// All of it is here.
    Whole(&'a Bytes),
    /// It goes on as it comes.
    Stream(&'a Lent),
}

/// A request as it is sent on.
pub(super) struct Asking<'a> {
    pub(super) need: Need,
    pub(super) parts: &'a Parts,
    pub(super) body: Sent<'a>,
    /// The client's address.
    pub(super) source: Option<SocketAddr>,
    /// The client's connection, if it asks for an upgrade.
    pub(super) upgrade: Option<OnUpgrade>,
    pub(super) protocol: Protocol,
}

impl Inner {
    /// Finds out where the request is answered, and has it answered there if that is not here.
    pub(super) async fn gate(&self, mut asking: Asking<'_>) -> Gated {
        let Some((gate, relay)) = &self.gate else { return Gated::Here(asking.upgrade) };
        if asking.need == Need::Nothing {
            return Gated::Here(asking.upgrade);
        }
        let through = relay::hops(&asking.parts.headers);
        let shut = |message: &str, protocol| {
            let message = message.to_owned();
            let error = Unavailable { message, retry_after: Duration::from_secs(1) };
            Gated::Refused(error.in_protocol(protocol))
        };
        if through.len() >= HOPS_MAX || through.contains(&gate.name()) {
            return shut("The servers do not agree on who leads yet; try again.", asking.protocol);
        }
        let until = Instant::now() + HOLD_MAX;
        let mut unreachable: Option<String> = None;
        // What another server sent is that server's to try again.
        let tries_max = if through.is_empty() { usize::MAX } else { 1 };
        let mut tries = 0;
        while tries < tries_max && (tries == 0 || Instant::now() < until) {
            if tries > 1 {
                tokio::time::sleep(PAUSE).await;
            }
            tries += 1;
            let unreachable_url = unreachable.as_deref();
            let ask =
                Ask { need: asking.need, through: &through, unreachable: unreachable_url, until };
            let (url, end) = match gate.pass(ask).await {
                Passage::Here => return Gated::Here(asking.upgrade),
                Passage::Shut(error) => {
                    return Gated::Refused(error.in_protocol(asking.protocol));
                }
                Passage::Onward { url, end } => (url, end),
            };
            match relay.send(&url, end, gate.name(), &mut asking).await {
                Ok(response) => return Gated::Answered(response),
                Err(Failure::Unreachable(error)) => {
                    tracing::debug!(url, error, "the leading server cannot be reached");
                    unreachable = Some(url);
                }
                Err(failure) => return Gated::Refused(failure.in_protocol(asking.protocol)),
            }
        }
        shut("The leading server cannot be reached; try again.", asking.protocol)
    }
}
