//! Manifests from upstream.

use std::sync::Arc;

use bytes::Bytes;
use distribution::{Fetched, Remote};
use terms::Timestamp;

use super::{Through, UpstreamError};
use crate::Inner;
use crate::creation::Case;
use crate::error::Error;
use crate::model::{CachedTag, ContentDigest, MANIFEST_BYTES_MAX, Manifest};
use crate::push::{Reference, beside};
use crate::tables::NameKey;

/// A manifest that came.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its digest.
    pub(crate) digest: ContentDigest,
    /// What it says.
    pub(crate) manifest: Manifest,
    /// As it came.
    pub(crate) bytes: Bytes,
}

/// Why a pull does not go through to upstream.
pub(crate) enum Blocked<E> {
    /// The caller may not have it go through, and nothing is kept.
    Denied(E),
    /// Nothing came, and nothing is kept.
    Upstream(UpstreamError),
}

impl Inner {
    /// A manifest that has to come from upstream; none if what is kept answers. `may` is asked whether
    /// the caller may have it come, if it has to.
    pub(crate) async fn pull_through<E>(
        self: &Arc<Self>,
        key: &NameKey,
        reference: &Reference,
        now: Timestamp,
        may: impl FnOnce() -> Result<(), E>,
    ) -> Result<Option<Arc<Found>>, Blocked<E>> {
        let Some(through) = self.through(key) else { return Ok(None) };
        let kept = {
            let snapshot = self.ledger.snapshot();
            self.tables.image(&snapshot, key, &reference.named()).ok()
        };
        let kept = kept.map(|(digest, _)| digest);
        if kept.is_some() && !self.is_stale(key, reference, now) {
            return Ok(None);
        }
        if let Err(refusal) = may() {
            return if kept.is_some() { Ok(None) } else { Err(Blocked::Denied(refusal)) };
        }
        if let Some(found) = self.upstreams.pending(key, reference) {
            return Ok(Some(found));
        }
        match self.look_up(key, &through, reference, kept.as_deref()).await {
            Ok(found) => Ok(found),
            Err(error) if kept.is_some() => {
                let (repository, image) = (&key.1, reference.text());
                tracing::warn!(repository, image, %error, "what is kept is answered");
                Ok(None)
            }
            Err(error) => Err(Blocked::Upstream(error)),
        }
    }

    /// Whether what is kept under a reference may be older than what upstream has: a tag that came from
    /// there and was not asked for in a day. What was pushed here is ours.
    pub(crate) fn is_stale(&self, key: &NameKey, reference: &Reference, now: Timestamp) -> bool {
        let Reference::Tag(tag) = reference else { return false };
        let (snapshot, at) = (self.ledger.snapshot(), beside(key, tag));
        let row = snapshot.get(&self.tables.tags, &at);
        let cached = snapshot.get(&self.tables.cached_tags, &at);
        let repository = snapshot.get(&self.tables.repositories, key);
        let may_move = repository.is_some_and(|repository| repository.mutability.may_move(tag));
        let (Some(row), Some(cached)) = (row, cached) else { return false };
        may_move && row.digest == cached.digest && cached.is_stale(now)
    }

    /// Asks upstream for a manifest, and has all of it come behind the answer. None if `kept`, the digest
    /// that the tag has here, is what it has there, or if upstream was away a moment ago.
    pub(crate) async fn look_up(
        self: &Arc<Self>,
        key: &NameKey,
        through: &Through,
        reference: &Reference,
        kept: Option<&str>,
    ) -> Result<Option<Arc<Found>>, UpstreamError> {
        if kept.is_some() && self.is_left_alone(&through.rule) {
            return Ok(None);
        }
        let work = async {
            let found = self.ask_upstream(key, through, reference, kept).await;
            self.note_answer(&through.rule, found.as_ref().err());
            let Some(found) = found? else { return Ok(None) };
            self.create_for(Case::PullThrough, key).await?;
            let tag = match reference {
                Reference::Tag(tag) => Some(tag.clone()),
                Reference::Digest(_) => None,
            };
            self.keep_behind(key, through, &found, tag);
            Ok::<_, UpstreamError>(Some(found))
        };
        let wanted = (key.clone(), reference.text());
        self.upstreams.manifests.join(wanted, |_| false, work).await
    }

    async fn ask_upstream(
        &self,
        key: &NameKey,
        through: &Through,
        reference: &Reference,
        kept: Option<&str>,
    ) -> Result<Option<Arc<Found>>, UpstreamError> {
        let fetch = |remote| self.fetch(remote, key, reference, kept);
        let Some(fetched) = self.ask(&key.0, through, fetch).await? else { return Ok(None) };
        let unusable = UpstreamError::Unusable;
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            // The digest that upstream tells is checked below, whatever its hash.
            Reference::Tag(_) => match fetched.digest.as_deref().map(str::parse::<ContentDigest>) {
                Some(Ok(digest)) => digest,
                _ => ContentDigest::from(blobs::Digest::of(&fetched.bytes)),
            },
        };
        if !digest.fits(&fetched.bytes) {
            let actual = blobs::Digest::of(&fetched.bytes);
            return Err(unusable(format!("the manifest {digest} has the digest {actual}")));
        }
        let media_type = fetched.content_type.as_deref();
        let manifest = Manifest::parse(&fetched.bytes, media_type);
        let manifest = manifest.map_err(|error| unusable(error.to_string()))?;
        let bytes = Bytes::from(fetched.bytes);
        Ok(Some(Arc::new(Found { digest, manifest, bytes })))
    }

    /// The manifest as upstream has it; none if `kept` is what the tag has there, which is written down.
    async fn fetch(
        &self,
        remote: Arc<Remote>,
        key: &NameKey,
        reference: &Reference,
        kept: Option<&str>,
    ) -> Result<Option<Fetched>, UpstreamError> {
        if let (Reference::Tag(tag), Some(kept)) = (reference, kept)
            && remote.digest(tag).await?.as_deref() == Some(kept)
        {
            self.note_tag(key, tag, kept).await?;
            return Ok(None);
        }
        let fetched = remote.manifest(&reference.text(), MANIFEST_BYTES_MAX as u64).await?;
        fetched.ok_or(UpstreamError::Missing).map(Some)
    }

    /// Writes down that upstream was asked for a tag, and has the same.
    async fn note_tag(&self, key: &NameKey, tag: &str, digest: &str) -> Result<(), Error> {
        let at = beside(key, tag);
        let done = self.ledger.transact("ecr: a tag is as upstream", |tx| {
            if tx.get(&self.tables.tags, &at).is_some_and(|row| row.digest == digest) {
                let cached = CachedTag { digest: digest.to_owned(), checked_at: tx.now() };
                tx.put(&self.tables.cached_tags, at.clone(), cached);
            }
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }
}
