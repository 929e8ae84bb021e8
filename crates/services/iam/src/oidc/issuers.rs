//! Keys of issuers, fetched when they are needed and kept for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use parking_lot::Mutex;
use serde_json::Value;
use terms::{Clock, Region, Timestamp};
use wire::client::Client;

use super::keys::Keys;
use super::token::Token;

/// How long keys are used without asking again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long they may be used while the issuer cannot be reached.
const USABLE: Duration = Duration::from_secs(24 * 3600);
/// An issuer is not asked more often than this, whatever tokens name: strangers send tokens.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How long an issuer may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Issuers that are kept; providers of one account are no more than a hundred.
const KEPT_MAX: usize = 1000;

/// Why a token was not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeysError {
    /// The issuer's keys cannot be had.
    Unreachable,
    /// None of the issuer's keys made the signature.
    NotSigned,
}

struct Kept {
    keys: Option<Keys>,
    fetched_at: Timestamp,
    asked_at: Timestamp,
}

/// What is known of issuers. Cheap to clone; clones share it.
#[derive(Clone)]
pub(crate) struct Issuers {
    kept: Arc<Mutex<HashMap<String, Kept>>>,
    clock: Arc<dyn Clock>,
}

impl Issuers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { kept: Arc::default(), clock }
    }

    /// Verifies the token's signature with the keys of its issuer: the URL in its claim `iss`, which the
    /// caller has found among those that are registered.
    ///
    /// # Errors
    /// If the keys cannot be had, or none of them made the signature.
    pub(crate) async fn verify(&self, issuer: &str, token: &Token) -> Result<(), KeysError> {
        let keys = self.keys(issuer, token).await.ok_or(KeysError::Unreachable)?;
        if keys.verify(token) { Ok(()) } else { Err(KeysError::NotSigned) }
    }

    /// The issuer's keys: kept ones, or, if they are old or lack the one that the token names, new ones.
    async fn keys(&self, issuer: &str, token: &Token) -> Option<Keys> {
        let now = self.clock.now();
        let known = {
            let mut kept = self.kept.lock();
            let entry = kept.get(issuer);
            let known = entry.and_then(|kept| {
                let keys = kept.keys.clone()?;
                (now.since(kept.fetched_at) < USABLE).then_some((keys, kept.fetched_at))
            });
            let is_good = known.as_ref().is_some_and(|(keys, fetched_at)| {
                keys.has_key_of(token) && now.since(*fetched_at) < FRESH
            });
            let was_asked = entry.is_some_and(|kept| now.since(kept.asked_at) < ASK_EVERY);
            if is_good || was_asked {
                return known.map(|(keys, _)| keys);
            }
            if kept.len() >= KEPT_MAX {
                kept.clear();
            }
            let empty = Kept { keys: None, fetched_at: now, asked_at: now };
            kept.entry(issuer.to_owned()).or_insert(empty).asked_at = now;
            known.map(|(keys, _)| keys)
        };
        match self.fetch(issuer).await {
            Some(keys) => {
                let fresh = Kept { keys: Some(keys.clone()), fetched_at: now, asked_at: now };
                self.kept.lock().insert(issuer.to_owned(), fresh);
                Some(keys)
            }
            None => known,
        }
    }

    /// Asks the issuer (OpenID Connect Discovery 1.0, section 4). No redirection is followed.
    async fn fetch(&self, issuer: &str) -> Option<Keys> {
        let base = issuer.trim_end_matches('/');
        let about = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        if about.get("issuer").and_then(Value::as_str) != Some(issuer) {
            tracing::warn!(issuer, "the issuer's configuration is of another issuer");
            return None;
        }
        let place = about.get("jwks_uri").and_then(Value::as_str)?;
        if place.starts_with("http://") && !issuer.starts_with("http://") {
            tracing::warn!(issuer, "the issuer's keys are not served with TLS");
            return None;
        }
        Keys::read(&self.get(place).await?)
    }

    async fn get(&self, url: &str) -> Option<Value> {
        let uri: Uri = url.parse().ok()?;
        let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // Calls are unsigned: the region is of no matter.
        let region: Region = "us-east-1".parse().ok()?;
        let client = Client::new(&origin, None, region, Arc::clone(&self.clock));
        match client.with_timeout(TIMEOUT).get(path).await {
            Ok(told) => Some(told),
            Err(error) => {
                tracing::warn!(url, %error, "an issuer's keys cannot be fetched");
                None
            }
        }
    }
}
