//! What HTTP/1 requests look like before they are parsed: some can be read in two ways, by us and by
//! a target, and so smuggle others in (Application Load Balancer guide, "Desync mitigation mode").
//!
//! `head.rs` judges a head and writes it anew in the only way that it can be read; `chunks.rs` finds
//! the end of a body; `stream.rs` lets through to hyper what may pass, and answers the rest.
//!
//! **Invariant:** what hyper reads is framed as it was judged: both end a message at the same byte,
//! else the connection ends.

mod chunks;
mod head;
mod requests;
mod stream;

pub(super) use chunks::Chunks;
#[cfg(test)]
pub(super) use head::{Framing, judge};
pub(super) use requests::{Requests, UnderWay};
pub(super) use stream::Guarded;

/// How bad a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// As RFC 9112 has it.
    #[default]
    Compliant,
    /// Not so, and harmless.
    Acceptable,
    /// Proxies and servers may read it in different ways.
    Ambiguous,
    /// Made to be read in different ways, or not to be read at all.
    Severe,
}

impl Class {
    /// As logs name it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Compliant => "Compliant",
            Self::Acceptable => "Acceptable",
            Self::Ambiguous => "Ambiguous",
            Self::Severe => "Severe",
        }
    }
}
