//! What a session speaks through: decoded messages, so that simulation can drive one without
//! sockets (style.md §9).

use std::future::Future;

/// One thing that came from the peer.
#[derive(Debug, Clone, PartialEq)]
pub enum Received<M> {
    /// A message of a known type.
    Message(M),
    /// A frame that is no message that we know; the text says why. The connection stays.
    Undecodable(String),
    /// The peer closed, or the connection broke. Nothing comes after it.
    Closed,
}

/// The peer cannot be written to any more: broken, closed, or too slow to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer is gone, or does not read what is sent to it")]
pub struct Gone;

/// How a connection ends: a websocket close code (RFC 6455 §7.4) and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// 1000 and 1001 make Amazon's agent come back at once, 1008 after its back-off.
    pub code: u16,
    /// Up to 123 bytes; longer texts are cut.
    pub reason: String,
}

impl Close {
    /// The normal end (1000): the agent comes back at once.
    pub fn normal(reason: impl Into<String>) -> Self {
        Self { code: 1000, reason: reason.into() }
    }

    /// The server goes away (1001): the agent comes back at once.
    pub fn going_away() -> Self {
        Self { code: 1001, reason: "the server is shutting down".to_owned() }
    }

    /// The peer does what it may not (1008): the agent waits before it comes back.
    pub fn policy(text: &str) -> Self {
        Self { code: 1008, reason: text.to_owned() }
    }

    /// The instance is no member of its cluster any more (1008): the agent waits an hour
    /// (`ecs-agent/acs/session/session.go`, the inactive-instance path).
    pub fn inactive_instance(text: &str) -> Self {
        Self { code: 1008, reason: format!("InactiveInstanceException: {text}") }
    }
}

/// A connection that carries whole, decoded messages.
pub trait Transport: Send {
    /// What the peer sends.
    type In: Send;
    /// What we send.
    type Out: Send;

    /// The next thing from the peer. Dropping the future loses nothing.
    fn receive(&mut self) -> impl Future<Output = Received<Self::In>> + Send;

    /// Hands one message to the peer; waits while it reads slowly, up to the transport's limit.
    ///
    /// # Errors
    /// [`Gone`] if it will never arrive; the session ends then.
    fn send(&mut self, message: Self::Out) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Ends the connection; errors on the way out are of no interest to anyone.
    fn close(&mut self, close: Close) -> impl Future<Output = ()> + Send;
}
