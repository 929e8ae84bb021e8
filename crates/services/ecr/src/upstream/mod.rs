//! Pulling through: what another registry has, fetched when it is asked for, and kept.
//!
//! A manifest is answered as soon as it came; all that it names comes behind it, each blob once however
//! many wait for it, and is answered while it comes. Once all of it is here, its rows are written: what an
//! image names is in its repository here as everywhere.
//!
//! **Invariant:** the last byte of a blob that comes is answered only after its digest was checked.
//! **Invariant:** what is kept stays what it is while upstream is away, and what was pushed here is
//! never asked for upstream.

mod blob;
mod error;
mod flights;
mod import;
mod manifest;
mod referrers;
mod token;

use std::collections::HashMap;
use std::sync::Arc;

use distribution::{Auth, Http, Remote};
use parking_lot::Mutex;
use serde::Deserialize;
use terms::Timestamp;
use tokio::sync::Semaphore;

use crate::model::{CacheRule, ECR, base_url};
use crate::push::Reference;
use crate::tables::NameKey;
use crate::{Inner, Scope};

pub(crate) use blob::Coming;
pub(crate) use error::UpstreamError;
use flights::Flights;
pub(crate) use manifest::{Blocked, Found};
pub(crate) use referrers::Referrer;
use token::{Login, Tokens};

/// Repositories upstream whose tokens are remembered.
const REMOTES_MAX: usize = 256;
/// Blobs that come at once though nobody waits for them.
const BLOBS_AT_ONCE: usize = 4;
/// Upstream that did not answer is left alone so long where something is kept, in milliseconds.
const LEFT_ALONE_MS: i64 = 30_000;

/// What a manifest or blob is on its way under: its repository here and its reference.
type Wanted = (NameKey, String);
type Shared<T> = Result<T, UpstreamError>;

/// What is on its way from upstream, and how it is spoken to.
pub(crate) struct Upstreams {
    client: Arc<Http>,
    remotes: Mutex<HashMap<(String, String, Auth), Arc<Remote>>>,
    tokens: Tokens,
    /// Until when registries are left alone.
    away: Mutex<HashMap<String, Timestamp>>,
    manifests: Flights<Wanted, Shared<Option<Arc<Found>>>>,
    imports: Flights<Wanted, Shared<()>>,
    blobs: Flights<Wanted, Shared<Arc<Coming>>>,
    referrers: Flights<Wanted, Shared<Arc<Vec<Referrer>>>>,
    /// Manifests that were answered, and are not whole here yet; by tags, too.
    pending: Mutex<HashMap<Wanted, Arc<Found>>>,
    places: Semaphore,
}

/// The rule that a repository comes through by.
#[derive(Clone, Debug)]
pub(crate) struct Through {
    /// The rule.
    pub(crate) rule: CacheRule,
    /// The prefix that it is known by here.
    pub(crate) prefix: String,
    /// What the repository is called upstream.
    pub(crate) name: String,
}

/// What a rule's secret holds (ECR guide, pull-through cache).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    username: String,
    access_token: String,
}

impl Upstreams {
    /// Nothing on its way.
    pub(crate) fn new(client: Arc<Http>) -> Self {
        Self {
            client,
            remotes: Mutex::default(),
            tokens: Tokens::default(),
            away: Mutex::default(),
            manifests: Flights::default(),
            imports: Flights::default(),
            blobs: Flights::default(),
            referrers: Flights::default(),
            pending: Mutex::default(),
            places: Semaphore::new(BLOBS_AT_ONCE),
        }
    }

    /// A manifest that was answered and is not whole here yet.
    pub(crate) fn pending(&self, key: &NameKey, reference: &Reference) -> Option<Arc<Found>> {
        self.pending.lock().get(&(key.clone(), reference.text())).cloned()
    }
}

impl Inner {
    /// The rule with the longest prefix that fits a repository's name.
    pub(crate) fn through(&self, key: &NameKey) -> Option<Through> {
        let snapshot = self.ledger.snapshot();
        let rules = snapshot.prefix(&self.tables.cache_rules, &key.0);
        let meant = rules.filter_map(|(at, rule)| {
            let name = rule.upstream_name(&at.1, &key.1)?;
            let length = if at.1 == crate::model::ROOT { 0 } else { at.1.len() };
            Some((length, Through { rule: CacheRule::clone(&rule), prefix: at.1, name }))
        });
        meant.max_by_key(|(length, _)| *length).map(|(_, through)| through)
    }

    /// Asks the repository at its registry, with the rule's credentials as they are now. If it turns away a
    /// token that was remembered, it is asked once more with a new one.
    async fn ask<T, F>(
        &self,
        scope: &Scope,
        through: &Through,
        work: impl Fn(Arc<Remote>) -> F,
    ) -> Result<T, UpstreamError>
    where
        F: Future<Output = Result<T, UpstreamError>>,
    {
        let (auth, remembered) = self.upstream_auth(scope, &through.rule).await?;
        let done = work(self.remote(through, auth.clone())?).await;
        let (Err(UpstreamError::Denied(_)), Some(login)) = (&done, remembered) else { return done };
        self.upstreams.tokens.forget(&login, &auth);
        let (auth, _) = self.upstream_auth(scope, &through.rule).await?;
        work(self.remote(through, auth)?).await
    }

    /// The repository at its registry.
    fn remote(&self, through: &Through, auth: Auth) -> Result<Arc<Remote>, UpstreamError> {
        let mut known = self.upstreams.remotes.lock();
        let id = (base_of(&through.rule)?, through.name.clone(), auth);
        if let Some(remote) = known.get(&id) {
            return Ok(Arc::clone(remote));
        }
        let client = Arc::clone(&self.upstreams.client);
        let remote = Arc::new(Remote::new(client, &id.0, &id.1, id.2.clone())?);
        if known.len() >= REMOTES_MAX {
            known.clear();
        }
        known.insert(id, Arc::clone(&remote));
        Ok(remote)
    }

    /// Whom a rule's registry knows us as; and by which login, if that is a token that was remembered.
    async fn upstream_auth(
        &self,
        scope: &Scope,
        rule: &CacheRule,
    ) -> Result<(Auth, Option<Login>), UpstreamError> {
        let Some(arn) = &rule.credential else { return Ok((Auth::Anonymous, None)) };
        let Credentials { username, access_token } = self.upstream_secret(scope, arn)?;
        if rule.kind.as_deref() != Some(ECR) {
            return Ok((Auth::Basic { username, password: access_token }, None));
        }
        let (base, region) = (base_of(rule)?, scope.region.clone());
        let (key, role) = ((username, access_token), rule.role.clone());
        self.ecr_auth(Login { base, region, key, role }).await
    }

    /// What a rule's secret says.
    fn upstream_secret(&self, scope: &Scope, arn: &str) -> Result<Credentials, UpstreamError> {
        let text = self.setup.secrets.text_of(&scope.account, &scope.region, arn);
        let text = text.map_err(|missing| {
            UpstreamError::Secret(format!(
                "the secret '{arn}' of the rule cannot be read: {missing}"
            ))
        })?;
        serde_json::from_str(&text).map_err(|_| {
            UpstreamError::Secret(format!(
                "the secret '{arn}' of the rule is no JSON with username and accessToken"
            ))
        })
    }

    /// Whether a rule's registry lets its credentials in; else why not.
    pub(crate) async fn knock(&self, scope: &Scope, rule: &CacheRule) -> Result<(), UpstreamError> {
        let through = Through {
            rule: rule.clone(),
            prefix: String::new(),
            name: "longshore/validation".to_owned(),
        };
        // Whether key and role do is asked, not whether a token that they gave is good still.
        if let (_, Some(login)) = self.upstream_auth(scope, rule).await? {
            self.upstreams.tokens.end(&login);
        }
        let knock = |remote: Arc<Remote>| async move { Ok(remote.knock().await?) };
        self.ask(scope, &through, knock).await
    }

    /// Whether a rule's registry did not answer a moment ago.
    fn is_left_alone(&self, rule: &CacheRule) -> bool {
        let until = self.upstreams.away.lock().get(&rule.url).copied();
        until.is_some_and(|until| until > self.ledger.clock().now())
    }

    /// Remembers whether a rule's registry answers.
    fn note_answer(&self, rule: &CacheRule, error: Option<&UpstreamError>) {
        let mut away = self.upstreams.away.lock();
        match error {
            Some(UpstreamError::Away(_)) => {
                let now = self.ledger.clock().now();
                let until = Timestamp::from_millis(now.millis() + LEFT_ALONE_MS);
                away.insert(rule.url.clone(), until);
            }
            _ => drop(away.remove(&rule.url)),
        }
    }
}

/// Where a rule's registry is.
fn base_of(rule: &CacheRule) -> Result<String, UpstreamError> {
    base_url(&rule.url)
        .ok_or_else(|| UpstreamError::Unusable(format!("'{}' is not a registry's URL", rule.url)))
}
