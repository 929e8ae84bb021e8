//! Whole images from upstream: all that a manifest names, and then its rows.

use std::pin::Pin;
use std::sync::Arc;

use super::{Found, Through, UpstreamError};
use crate::Inner;
use crate::error::Error;
use crate::model::{CachedTag, Child, ChildKind, ContentDigest, NoDigest, Tag};
use crate::push::{Origin, Push, Reference, beside};
use crate::tables::NameKey;

/// How deep indexes may lie in each other.
const DEPTH_MAX: usize = 8;

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), UpstreamError>> + Send + 'a>>;

impl Inner {
    /// Has all that a manifest names come behind the answer, and then gives it its tag. What fails is
    /// tried again when somebody pulls it again.
    pub(super) fn keep_behind(
        self: &Arc<Self>,
        key: &NameKey,
        through: &Through,
        found: &Arc<Found>,
        tag: Option<String>,
    ) {
        let references = tag.clone().into_iter().chain([found.digest.to_string()]);
        let wanted: Vec<_> = references.map(|reference| (key.clone(), reference)).collect();
        {
            let mut pending = self.upstreams.pending.lock();
            pending.extend(wanted.iter().map(|wanted| (wanted.clone(), Arc::clone(found))));
        }
        let seen = tag.as_ref().and_then(|tag| {
            let row = self.ledger.snapshot().get(&self.tables.tags, &beside(key, tag));
            row.map(|row| row.digest.clone())
        });
        let (inner, key, through) = (Arc::clone(self), key.clone(), through.clone());
        let found = Arc::clone(found);
        tokio::spawn(async move {
            let done = async {
                inner.import(&key, &through, &found, 0).await?;
                if let Some(tag) = &tag {
                    inner.tag_as_upstream(&key, tag, &found.digest, seen).await?;
                }
                Ok::<_, UpstreamError>(())
            };
            if let Err(error) = done.await {
                let (repository, digest) = (&key.1, found.digest.as_str());
                tracing::warn!(repository, digest, %error, "an image did not come through whole");
            }
            let mut pending = inner.upstreams.pending.lock();
            wanted.iter().for_each(|wanted| drop(pending.remove(wanted)));
        });
    }

    /// Fetches all that a manifest names and writes its rows, without a tag.
    fn import<'a>(
        self: &'a Arc<Self>,
        key: &'a NameKey,
        through: &'a Through,
        found: &'a Arc<Found>,
        depth: usize,
    ) -> Done<'a> {
        Box::pin(async move {
            if depth > DEPTH_MAX {
                let text = format!("indexes lie over {DEPTH_MAX} deep in each other");
                return Err(UpstreamError::Unusable(text));
            }
            let work = async {
                for child in &found.manifest.children {
                    self.import_child(key, through, child, depth).await?;
                }
                self.keep_image(key, found).await
            };
            let wanted = (key.clone(), found.digest.to_string());
            self.upstreams.imports.join(wanted, |_| false, work).await
        })
    }

    async fn import_child(
        self: &Arc<Self>,
        key: &NameKey,
        through: &Through,
        child: &Child,
        depth: usize,
    ) -> Result<(), UpstreamError> {
        let (at, now) = (beside(key, &child.digest), self.ledger.clock().now());
        let snapshot = self.ledger.snapshot();
        let wrong = |error: NoDigest| UpstreamError::Unusable(error.to_string());
        let digest: ContentDigest = child.digest.parse().map_err(wrong)?;
        match child.kind {
            ChildKind::Image if snapshot.get(&self.tables.images, &at).is_some() => Ok(()),
            ChildKind::Image => {
                let reference = Reference::Digest(digest);
                let found = self.look_up(key, through, &reference, None).await?;
                let found = found.ok_or(UpstreamError::Missing)?;
                self.import(key, through, &found, depth + 1).await
            }
            ChildKind::Blob => {
                if let Some(layer) = snapshot.get(&self.tables.layers, &at) {
                    return Ok(self.keep(&at, &layer, now).await?);
                }
                let place = self.upstreams.places.acquire().await;
                let coming = self.blob_through(key, through, &digest).await?;
                let whole = coming.whole().await;
                drop(place);
                whole
            }
        }
    }

    async fn keep_image(&self, key: &NameKey, found: &Found) -> Result<(), UpstreamError> {
        let depot = self.depot("PullThroughCache")?;
        let hold = depot.put(found.bytes.clone()).await?;
        let push = Push {
            key,
            digest: found.digest.as_str(),
            manifest: &found.manifest,
            manifest_bytes: found.bytes.len() as u64,
            hold: &hold,
            tags: &[],
            is_strict: false,
            origin: Origin::Upstream,
        };
        let done =
            self.ledger.transact("ecr: keep what came through", |tx| self.tables.push(tx, &push));
        let done = done.await;
        Ok(depot.settle(hold, done).await.map(drop)?)
    }

    /// Gives a tag the meaning that it has upstream, unless somebody pushed it here meanwhile, or it may
    /// not move.
    async fn tag_as_upstream(
        &self,
        key: &NameKey,
        tag: &str,
        digest: &ContentDigest,
        seen: Option<String>,
    ) -> Result<(), Error> {
        let (at, tables) = (beside(key, tag), &self.tables);
        let done = self.ledger.transact("ecr: tag as upstream", |tx| {
            let repository = tables.repository(tx, key)?;
            let now_there = tx.get(&tables.tags, &at).map(|row| row.digest.clone());
            let is_new = now_there.as_deref() != Some(digest.as_str());
            let is_ours = now_there != seen && is_new;
            let is_fixed = now_there.is_some() && is_new && !repository.mutability.may_move(tag);
            let is_there = tx.get(&tables.images, &beside(key, digest.as_str())).is_some();
            if is_ours || is_fixed || !is_there {
                return Ok(());
            }
            if is_new {
                tx.put(&tables.tags, at.clone(), Tag { digest: digest.to_string() });
            }
            let cached = CachedTag { digest: digest.to_string(), checked_at: tx.now() };
            tx.put(&tables.cached_tags, at.clone(), cached);
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }
}
