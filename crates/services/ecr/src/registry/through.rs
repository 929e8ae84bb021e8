//! Pulls that go through to another registry.

use std::sync::Arc;

use ledger::Row;
use serde_json::json;
use wire::CallerKind;

use super::access::{CREATE_BY_PULL, IMPORT_IMAGE};
use super::refusal::{Refusal, Words};
use super::{Request, blobs};
use crate::model::{ContentDigest, Layer};
use crate::push::Reference;
use crate::tables::NameKey;
use crate::upstream::{Blocked, Coming, Found, Referrer, UpstreamError};

/// Where a blob is read.
pub(super) enum Source {
    /// In the depot.
    Kept(Row<Layer>),
    /// On its way from upstream: what it is, and its length.
    Coming(Arc<Coming>, u64),
}

impl Source {
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Kept(layer) => layer.size_bytes,
            Self::Coming(_, size_bytes) => *size_bytes,
        }
    }
}

impl Request<'_> {
    /// A manifest that has to come from upstream; none if what is kept answers.
    pub(super) async fn manifest_through(
        &self,
        key: &NameKey,
        reference: &Reference,
    ) -> Result<Option<Arc<Found>>, Refusal> {
        let may = || self.check_import(key);
        let done = self.inner.pull_through(key, reference, self.now(), may).await;
        done.map_err(|blocked| match blocked {
            Blocked::Denied(refusal) => refusal,
            Blocked::Upstream(error @ UpstreamError::Missing) => {
                Refusal::new(Words::ManifestUnknown, error.to_string())
            }
            Blocked::Upstream(error) => error.into(),
        })
    }

    /// Where a blob is read that a client wants to have. To one that only looks, it is answered once
    /// the repository has it: what it saw must be there when it is named.
    pub(super) async fn source(
        &self,
        name: &str,
        digest: &ContentDigest,
        only_looks: bool,
    ) -> Result<Source, Refusal> {
        let refusal = match self.layer(name, digest) {
            Ok(layer) => return Ok(Source::Kept(layer)),
            Err(refusal) => refusal,
        };
        let key = self.key(name);
        let has_repository =
            self.inner.tables.repository(&self.inner.ledger.snapshot(), &key).is_ok();
        let Some(through) = self.inner.through(&key).filter(|_| has_repository) else {
            return Err(refusal);
        };
        if self.check_import(&key).is_err() {
            return Err(refusal);
        }
        let coming = match self.inner.blob_through(&key, &through, digest).await {
            Ok(coming) => coming,
            Err(UpstreamError::Missing) => return Err(refusal),
            Err(error) => return Err(error.into()),
        };
        match coming.size_bytes.filter(|_| !only_looks) {
            Some(size_bytes) => Ok(Source::Coming(coming, size_bytes)),
            None => {
                coming.whole().await?;
                self.layer(name, digest).map(Source::Kept)
            }
        }
    }

    /// What refers to a manifest upstream, if its repository comes through and the caller may have it come.
    /// `kept` says whether something is here.
    pub(super) async fn referrers_through(
        &self,
        key: &NameKey,
        subject: &ContentDigest,
        kept: bool,
    ) -> Result<Arc<Vec<Referrer>>, Refusal> {
        let Some(through) = self.inner.through(key) else { return Ok(Arc::default()) };
        if self.check_import(key).is_err() {
            return Ok(Arc::default());
        }
        let found = self.inner.referrers_through(key, &through, subject, kept).await;
        Ok(found?)
    }

    /// Whether the caller may have a pull go through, and its repository made. Instances may: they pull
    /// what tasks name, by a rule that somebody made.
    fn check_import(&self, key: &NameKey) -> Result<(), Refusal> {
        self.check(IMPORT_IMAGE, &key.1)?;
        let caller = self.session.caller.as_ref();
        let is_node = caller.is_some_and(|caller| matches!(caller.kind, CallerKind::Node { .. }));
        let is_there = self.inner.tables.repository(&self.inner.ledger.snapshot(), key).is_ok();
        if is_there || is_node { Ok(()) } else { self.check(CREATE_BY_PULL, &key.1) }
    }
}

/// What clients are told of trouble with upstream.
impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        let words = match &error {
            UpstreamError::Missing => Words::BlobUnknown,
            UpstreamError::Denied(_) | UpstreamError::Secret(_) => Words::Denied,
            UpstreamError::Throttled(_) => return blobs::busy().detail(json!(error.to_string())),
            UpstreamError::Away(_) => Words::Unavailable,
            UpstreamError::Unusable(_) => Words::ManifestUnknown,
            UpstreamError::Ours(_) => Words::Unknown,
        };
        Self::new(words, error.to_string())
    }
}
