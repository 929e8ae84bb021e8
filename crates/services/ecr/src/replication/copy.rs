//! One image to one place: what it names first, then it, then its tags.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use distribution::{Auth, ClientError, Remote};
use http::HeaderValue;

use super::REPLICA_OF;
use crate::Inner;
use crate::depot::{Depot, DepotError, Reader};
use crate::model::{ChildKind, MANIFEST_BYTES_MAX, Place};
use crate::push::beside;
use crate::tables::{NameKey, ReplicaKey};

/// How deep indexes may lie in each other.
const DEPTH_MAX: usize = 8;
/// Tags of one request.
const TAGS_AT_ONCE: usize = 32;

/// Why an image was not replicated.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It was deleted.
    #[error("the image is gone")]
    Gone,
    /// Nobody told this server where the place is.
    #[error("this server was not told where registry {registry} in {region} is")]
    NoDestination {
        /// The account.
        registry: String,
        /// The region.
        region: String,
    },
    /// Indexes in indexes in indexes.
    #[error("indexes lie over {DEPTH_MAX} deep in each other")]
    TooDeep,
    /// The other registry.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Our own disk.
    #[error("the image cannot be read here")]
    Depot(#[from] DepotError),
}

impl Trouble {
    /// Whether trying again may help.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Client(error) => error.is_transient(),
            Self::Depot(_) => true,
            Self::Gone | Self::NoDestination { .. } | Self::TooDeep => false,
        }
    }

    /// As `failureCode` tells it (ours: ECR publishes none).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Gone => "ImageNotFound",
            Self::NoDestination { .. } => "DestinationUnknown",
            Self::TooDeep => "ImageUnsupported",
            Self::Depot(_) => "SourceUnavailable",
            Self::Client(ClientError::Denied { .. }) => "AccessDenied",
            Self::Client(ClientError::Untrusted { .. } | ClientError::Insecure { .. }) => {
                "DestinationUntrusted"
            }
            Self::Client(error) if error.is_transient() => "DestinationUnreachable",
            Self::Client(_) => "DestinationRejected",
        }
    }
}

/// Brings an image to a place, with the tags that it has.
pub(super) async fn replicate(
    inner: &Arc<Inner>,
    at: &ReplicaKey,
    place: &Place,
) -> Result<(), Trouble> {
    let is_meant = |known: &&super::Destination| {
        known.registry.as_str() == place.registry && known.region.as_str() == place.region
    };
    let Some(destination) = inner.setup.destinations.iter().find(is_meant) else {
        let Place { registry, region } = place.clone();
        return Err(Trouble::NoDestination { registry, region });
    };
    let auth = Auth::Basic {
        username: destination.username.clone(),
        password: destination.password.expose().to_owned(),
    };
    let client = Arc::clone(&inner.setup.client);
    let from = format!("{}/{}", at.0.account, at.0.region);
    let from = HeaderValue::from_str(&from)
        .map_err(|_| ClientError::Malformed { what: "our name".to_owned(), problem: from })?;
    let remote = Remote::new(client, &destination.url, &at.1, auth)?;
    let remote = remote.pushing(REPLICA_OF.clone(), from);
    let key = (at.0.clone(), at.1.clone());
    copy(inner, &remote, &key, &at.2, 0).await?;
    let tags = inner.tables.tags_of(&inner.ledger.snapshot(), &beside(&key, &at.2));
    for tags in tags.chunks(TAGS_AT_ONCE) {
        put(inner, &remote, &key, &at.2, tags).await?;
    }
    Ok(())
}

type Done<'a> = Pin<Box<dyn Future<Output = Result<(), Trouble>> + Send + 'a>>;

/// Brings an image without tags, after all that it names.
fn copy<'a>(
    inner: &'a Arc<Inner>,
    remote: &'a Remote,
    key: &'a NameKey,
    digest: &'a str,
    depth: usize,
) -> Done<'a> {
    Box::pin(async move {
        if depth > DEPTH_MAX {
            return Err(Trouble::TooDeep);
        }
        let image = inner.ledger.snapshot().get(&inner.tables.images, &beside(key, digest));
        let image = image.ok_or(Trouble::Gone)?;
        for child in &image.children {
            let layer =
                inner.ledger.snapshot().get(&inner.tables.layers, &beside(key, &child.digest));
            match (child.kind, layer) {
                (ChildKind::Blob, Some(layer)) => {
                    let (stored, size_bytes) = (layer.stored, layer.size_bytes);
                    copy_blob(depot(inner)?, remote, &child.digest, stored, size_bytes).await?;
                }
                _ => copy(inner, remote, key, &child.digest, depth + 1).await?,
            }
        }
        put(inner, remote, key, digest, &[]).await
    })
}

fn depot(inner: &Inner) -> Result<&Depot, Trouble> {
    inner.setup.depot.as_ref().ok_or(Trouble::Gone)
}

async fn copy_blob(
    depot: &Depot,
    remote: &Remote,
    digest: &str,
    stored: blobs::Digest,
    size_bytes: u64,
) -> Result<(), Trouble> {
    if remote.has_blob(digest).await? {
        return Ok(());
    }
    let reader = depot.reader(stored).await?;
    remote.upload(digest, size_bytes, |from, count| read(reader.clone(), from, count)).await
}

async fn read(reader: Reader, from: u64, count: u64) -> Result<Bytes, Trouble> {
    reader.read_at(from, count).await.map_err(|source| {
        let path = std::path::PathBuf::from("a blob");
        DepotError::File { action: "read", path, source }.into()
    })
}

/// Puts a manifest, which is read anew: what is deleted meanwhile does not go out.
async fn put(
    inner: &Inner,
    remote: &Remote,
    key: &NameKey,
    digest: &str,
    tags: &[String],
) -> Result<(), Trouble> {
    let image = inner.ledger.snapshot().get(&inner.tables.images, &beside(key, digest));
    let image = image.ok_or(Trouble::Gone)?;
    let bytes = depot(inner)?.read(image.stored, MANIFEST_BYTES_MAX as u64).await?;
    Ok(remote.put_manifest(digest, tags, &image.media_type, bytes).await?)
}
