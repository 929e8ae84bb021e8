//! Which of several servers answers a request of the registry: what reads rows and bytes is answered where
//! it comes, so that pulls are shared; what writes goes to the server that leads, and its body with it.

use ::http::header::{HeaderValue, RETRY_AFTER};
use ::http::request::Parts;
use ::http::{Method, Response};
use wire::{Body, Need, ServiceError};

use super::refusal::{Refusal, Words};
use super::target::Target;
use super::token;
use crate::Inner;

/// What a request needs, told from its head.
pub(super) fn need(inner: &Inner, parts: &Parts) -> Need {
    if inner.setup.depot.is_none() {
        return Need::Nothing; // It is refused.
    }
    let path = super::path_of(parts);
    if path == token::PATH {
        return Need::View;
    }
    let is_get = parts.method == Method::GET;
    if !is_get && parts.method != Method::HEAD {
        return Need::Lead;
    }
    match Target::parse(&path) {
        Ok(Target::Blob(name, _)) if is_get && !comes_through(inner, &name) => Need::View,
        // To look at one keeps it for a day; that an image was pulled is written down.
        Ok(Target::Blob(..) | Target::Manifest(..)) => Need::Lead,
        // How far an upload is, the one knows that takes it in.
        Ok(Target::Upload(..) | Target::Uploads(_)) => Need::Lead,
        Ok(Target::Base | Target::Catalog | Target::Extensions) => Need::View,
        Ok(Target::Tags(_) | Target::Referrers(..)) | Err(_) => Need::View,
    }
}

/// Whether somebody's rule has a repository of this name come through from another registry: that
/// writes, too. Whose rules count is known when the caller is.
fn comes_through(inner: &Inner, name: &str) -> bool {
    let snapshot = inner.ledger.snapshot();
    let mut rules = snapshot.prefix(&inner.tables.cache_rules, &());
    rules.any(|(at, rule)| rule.upstream_name(&at.1, name).is_some())
}

/// A refusal of the servers among themselves, in the registry's form.
pub(super) fn refuse(error: &ServiceError) -> Response<Body> {
    let refusal = match error.status {
        503 => Refusal::new(Words::Unavailable, error.message.clone())
            .header(RETRY_AFTER, HeaderValue::from_static("2")),
        _ => Refusal::new(Words::Unknown, error.message.clone()),
    };
    let mut response = refusal.into_response();
    super::mark(&mut response);
    response
}
