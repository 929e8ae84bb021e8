//! What the edge asks about a key; `iam` answers.

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use terms::{Region, Timestamp};

use crate::{Caller, ErrorModel};

/// A secret access key. Never printed; compared in constant time.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The secret with this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for signing and for handing the key to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// What is known about an access key id at an instant.
#[derive(Debug, Clone)]
pub enum CredentialLookup {
    /// The key may sign.
    Found {
        /// What the signature must have been made with.
        secret: Secret,
        /// Who the key belongs to.
        caller: Arc<Caller>,
    },
    /// No such key.
    Unknown,
    /// The key exists and was switched off.
    Inactive,
    /// A temporary key whose time is over.
    Expired,
    /// The session token is missing, not this key's, or given with a key that has none.
    TokenMismatch,
}

/// What a caller wants to do, as far as it is known before the input is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// Call an operation of a service, such as `ecs` and `RunTask`.
    Operation(&'a str, &'a str),
    /// Use a route, by its prefix.
    Route(&'a str),
}

impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operation(service, operation) => write!(f, "{service}:{operation}"),
            Self::Route(prefix) => f.write_str(prefix),
        }
    }
}

/// What a decision rests on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decided {
    /// The statement that decided: its policy, and its `Sid` or its number. None if no policy was
    /// asked, or none says anything.
    pub by: Option<String>,
    /// The ARNs that were decided on, or `*`.
    pub resources: Vec<String>,
    /// Of a refusal: all that is known of it, as `sts:DecodeAuthorizationMessage` tells it.
    pub refusal: Option<Box<serde_json::Value>>,
}

/// Why a caller may not do something to what its input names.
#[derive(Debug, Clone, PartialEq)]
pub struct Denied {
    /// The sentence that it is told.
    pub message: String,
    /// The error, if it is another than that of a denial.
    pub error: Option<ErrorModel>,
    /// What that rests on.
    pub decided: Decided,
}

impl Denied {
    /// A denial with this sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), error: None, decided: Decided::default() }
    }
}

/// Finds the credentials behind an access key id.
pub trait Authenticator: Send + Sync + 'static {
    /// What is known about `access_key_id` at `now`. `session_token` is what the request carried;
    /// `scope_region` is the region of the credential scope, which the caller is to carry.
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        scope_region: &Region,
        now: Timestamp,
    ) -> CredentialLookup;

    /// Whether the caller may do this at all. What it may do it to, the handler checks.
    fn may(&self, _caller: &Caller, _action: Action<'_>) -> bool {
        true
    }

    /// Whether the caller may do this to what the input names. `input` gives the checked input as
    /// JSON, by the model's names; it is only made when it is asked for.
    ///
    /// # Errors
    /// Why not.
    fn authorize(
        &self,
        _context: &crate::Context,
        _input: &dyn Fn() -> serde_json::Value,
    ) -> Result<Decided, Denied> {
        Ok(Decided::default())
    }
}
