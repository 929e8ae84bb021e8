//! Tokens of OpenID Connect issuers: read, verified with the issuer's keys, told apart when they are
//! none of ours, not for us, or over.
//!
//! What is verified with is `ring` (decision 0145); which key and which algorithm fit is decided here:
//! a token never chooses what it is verified with beyond the name of a key.

mod issuers;
mod keys;
mod token;

pub(crate) use issuers::{Issuers, KeysError};
pub(crate) use token::{Token, Unreadable};
