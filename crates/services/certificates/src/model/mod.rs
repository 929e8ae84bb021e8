//! Certificates and their keys.

mod facts;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::hidden::Hidden;

pub(crate) use facts::{Facts, Unfit, check_pair, read};

/// Keys that are made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    /// What it says.
    pub(crate) facts: Facts,
    /// The certificate as PEM.
    pub(crate) pem: String,
    /// Those above it as PEM, if there are any.
    pub(crate) chain: Option<String>,
    /// What was asked for, if it was issued here; it was imported if there is none.
    pub(crate) request: Option<Request>,
    /// When it was made, or imported first.
    pub(crate) made_at: Timestamp,
    /// When it was issued or imported last.
    pub(crate) renewed_at: Timestamp,
    /// Tags.
    pub(crate) tags: BTreeMap<String, String>,
}

/// What a certificate was asked for with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The names, the first of them the domain name.
    pub(crate) names: Vec<String>,
    /// The kind of key.
    pub(crate) key: KeyKind,
    /// How the domain was to be proved: shown, not asked for.
    pub(crate) method: String,
    /// What tells a repeated request.
    pub(crate) token: Option<String>,
}

/// A certificate's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrivateKey {
    /// As PEM.
    pub(crate) pem: Hidden<String>,
}

impl Certificate {
    /// The name that it is listed under.
    pub(crate) fn domain(&self) -> &str {
        match &self.request {
            Some(request) => request.names.first().map_or("", String::as_str),
            None => &self.facts.domain,
        }
    }

    /// Whether it is past its end.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.facts.ends_at <= now
    }
}
