//! Pushing: what an image consists of, then its manifest under its name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use blobs::Digest;
use bytes::Bytes;
use distribution::{ClientError, Remote};
use serde::Deserialize;

use super::manifest::{Document, MANIFEST_BYTES_MAX, OCI_MANIFEST};
use super::pull::{Puller, blocking};
use super::store::Shelves;
use super::{DEFAULT_TAG, ImageError, ImageReference, Progress, PullEvent, RegistryAuth};

/// Why an image was not pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no such image here.
    #[error("there is no image {reference}")]
    Unknown {
        /// The image.
        reference: ImageReference,
    },
    /// What it is to be called there pins a digest: a push gives a tag.
    #[error("{reference} names a digest; a push needs a tag")]
    Pinned {
        /// The name.
        reference: ImageReference,
    },
    /// A part of it is not here any more.
    #[error("blob {digest} of {reference} is not here; pull or load the image again")]
    Missing {
        /// The image.
        reference: ImageReference,
        /// The part.
        digest: Digest,
    },
    /// It cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A part of it cannot be read.
    #[error("a part of the image cannot be read")]
    Blob(#[from] io::Error),
    /// The registry said no, or nothing.
    #[error(transparent)]
    Registry(#[from] ClientError),
}

impl PushError {
    /// Whether the registry wants other credentials, or some.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Registry(ClientError::Denied { .. }))
    }
}

/// What is pushed: blobs, then the manifest.
struct Parts {
    digest: Digest,
    manifest: Vec<u8>,
    media_type: String,
    /// Configuration and layers, each once.
    blobs: Vec<(Digest, u64)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: Option<String>,
}

impl Puller {
    /// Brings an image of the store to a registry, as `to`; of an index, the image of this machine.
    pub(super) async fn push(
        &self,
        reference: &ImageReference,
        to: &ImageReference,
        auth: &RegistryAuth,
        progress: &Progress,
    ) -> Result<Digest, PushError> {
        if to.digest().is_some() {
            return Err(PushError::Pinned { reference: to.clone() });
        }
        let (shelves, wanted) = (Arc::clone(&self.shelves), reference.clone());
        let _lock = blocking(move || shelves.lock()).await?;
        let shelves = Arc::clone(&self.shelves);
        let parts = blocking(move || parts(&shelves, &wanted)).await?;
        let parts = parts.ok_or_else(|| PushError::Unknown { reference: reference.clone() })?;
        let total_bytes = parts.blobs.iter().map(|(_, bytes)| bytes).sum();
        let (digest, layers) = (parts.digest, parts.blobs.len());
        progress.tell(PullEvent::Resolved { digest, total_bytes, layers });
        let remote = Arc::clone(&self.registries).remote(to, auth).await?.to_push();
        for (digest, size_bytes) in &parts.blobs {
            self.push_blob(&remote, reference, (digest, *size_bytes), progress).await?;
            progress.tell(PullEvent::Ready { layer: *digest, bytes: *size_bytes });
        }
        let tag = to.tag().unwrap_or(DEFAULT_TAG);
        remote.put_manifest_as(tag, &parts.media_type, parts.manifest.into()).await?;
        Ok(digest)
    }

    async fn push_blob(
        &self,
        remote: &Remote,
        reference: &ImageReference,
        (digest, size_bytes): (&Digest, u64),
        progress: &Progress,
    ) -> Result<(), PushError> {
        let named = digest.to_string();
        if remote.has_blob(&named).await? {
            return Ok(());
        }
        let (shelves, wanted) = (Arc::clone(&self.shelves), *digest);
        let file = blocking(move || shelves.blobs.reader(&wanted)).await;
        let file = file
            .map_err(ImageError::from)?
            .ok_or_else(|| PushError::Missing { reference: reference.clone(), digest: *digest })?;
        let file = Arc::new(file);
        let upload = remote.upload(&named, size_bytes, |from, count| {
            progress.tell(PullEvent::Fetching {
                layer: *digest,
                bytes: from,
                total_bytes: size_bytes,
            });
            read(Arc::clone(&file), from, count)
        });
        upload.await
    }
}

async fn read(file: Arc<File>, from: u64, count: u64) -> Result<Bytes, PushError> {
    let read = blocking(move || {
        let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, from)?;
        Ok::<_, io::Error>(Bytes::from(bytes))
    });
    Ok(read.await?)
}

/// What an image consists of; none if it is not here.
fn parts(shelves: &Shelves, reference: &ImageReference) -> Result<Option<Parts>, ImageError> {
    let Some((record, _)) = shelves.find_record(reference)? else { return Ok(None) };
    let digest = record.manifest;
    let Some(manifest) = shelves.blobs.read(&digest, MANIFEST_BYTES_MAX)? else { return Ok(None) };
    let Document::Manifest(read) = Document::parse(&manifest, None)? else {
        return Err(ImageError::malformed("the image manifest", "it is an index"));
    };
    let typed: Option<Typed> = serde_json::from_slice(&manifest).ok();
    let media_type = typed.and_then(|typed| typed.media_type);
    let mut seen = BTreeSet::new();
    let all = read.layers.iter().chain([&read.config]);
    let blobs = all.filter(|one| seen.insert(one.digest)).map(|one| (one.digest, one.size));
    Ok(Some(Parts {
        digest,
        blobs: blobs.collect(),
        media_type: media_type.unwrap_or_else(|| OCI_MANIFEST.to_owned()),
        manifest,
    }))
}
