//! Why an image could not be had. Cloneable, since one pull can have many waiters.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use blobs::{Digest, IngestError, StoreError};
use distribution::ClientError;

use super::ImageReference;
use crate::ContainerId;

/// A cause that several waiters share.
type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// Why an image could not be pulled. The texts stand after `CannotPullContainerError: ` in a
/// container's `reason`, so each names image or registry, and the cause.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PullError {
    /// No answer of the registry's, or not the one that was wanted, also after the retries.
    #[error(transparent)]
    Registry(ClientError),
    /// The registry's certificate is not one that this machine trusts.
    #[error(
        "registry {registry} is not trusted: {cause}; add its authority to this machine's \
         certificates, or name it in SSL_CERT_FILE"
    )]
    Untrusted {
        /// The registry's host.
        registry: String,
        /// What is wrong with the certificate.
        cause: String,
    },
    /// The whole pull took too long.
    #[error("pulling {reference} took longer than {seconds} s")]
    TimedOut {
        /// The image.
        reference: ImageReference,
        /// The limit.
        seconds: u64,
    },
    /// The registry has no such repository or tag.
    #[error("manifest for {} not found: manifest unknown: {message}", reference.familiar())]
    NotFound {
        /// The image.
        reference: ImageReference,
        /// The registry's words.
        message: String,
    },
    /// The registry wants other credentials, or some.
    #[error(
        "pull access denied for {}, repository does not exist or may require credentials: {message}",
        reference.familiar_name()
    )]
    Denied {
        /// The image.
        reference: ImageReference,
        /// The registry's words.
        message: String,
    },
    /// An index without an image for this machine.
    #[error(
        "no matching manifest for {wanted} in the manifest list entries of {reference} (it has {offered})"
    )]
    Platform {
        /// The image.
        reference: ImageReference,
        /// What this machine runs.
        wanted: String,
        /// What the index offers.
        offered: String,
    },
    /// Bytes that are not what the digest names.
    #[error(
        "{what} from registry {registry} is not what its digest says: expected {expected}, got {actual}"
    )]
    Digest {
        /// The registry's host.
        registry: String,
        /// "manifest", "config", "layer".
        what: &'static str,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// The image is there but cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// Why an image's own content cannot be used, wherever it came from.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// Manifest, index, configuration or archive are not as their format wants.
    #[error("{what} is malformed: {problem}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A format that is not read here.
    #[error("{what} is not supported: {problem}")]
    Unsupported {
        /// Which document.
        what: String,
        /// What is not supported, and what to do.
        problem: String,
    },
    /// Over one of the limits of this store.
    #[error("{what} is too large: {actual}, at most {limit} is allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size, with unit.
        actual: String,
        /// The limit, with unit.
        limit: String,
    },
    /// A layer that must not be unpacked, or cannot be.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// The layer.
        layer: Digest,
        /// What is wrong with it.
        problem: UnpackError,
    },
    /// The disk is full.
    #[error(
        "no space left for images in {}: free some, or remove images with 'longshore image prune'",
        folder.display()
    )]
    DiskFull {
        /// The store's folder.
        folder: PathBuf,
    },
    /// Somebody pulls, loads or prepares an image while unused ones should be removed.
    #[error("the image store in {} is at work; try again when it rests", folder.display())]
    Busy {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The store's disk said no.
    #[error("image store: {message}")]
    Store {
        /// What was tried.
        message: String,
        /// What the system answered.
        #[source]
        source: Cause,
    },
}

/// Why a tar of a layer cannot be unpacked. Names are as they stand in the tar.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UnpackError {
    /// The tar itself is broken.
    #[error("not a readable tar: {0}")]
    Tar(String),
    /// The compression is broken.
    #[error("cannot be decompressed: {0}")]
    Compression(String),
    /// A name that leads out of the layer, or is not allowed in one.
    #[error("entry '{name}': {problem}")]
    Entry {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Over a limit.
    #[error("more than {limit}")]
    TooLarge {
        /// The limit, with unit.
        limit: String,
    },
    /// The unpacked bytes are not those that the image's configuration names.
    #[error("unpacks to {actual}, not to what the image's configuration says")]
    DiffId {
        /// The digest of the bytes.
        actual: Digest,
    },
    /// The disk is full.
    #[error("no space left on the device")]
    DiskFull,
    /// The disk said no.
    #[error("cannot {action} '{name}': {message}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The entry.
        name: String,
        /// What the system answered.
        message: String,
    },
}

/// Why a file could not be loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {}: {message}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system answered.
        message: String,
    },
    /// It is none of the forms that are known.
    #[error(
        "{} is none of: a 'docker save' tar, an OCI layout or archive, a root file-system tar \
         (each plain, .gz or .zst): {problem}", file.display()
    )]
    Unknown {
        /// The file.
        file: PathBuf,
        /// What was found instead.
        problem: String,
    },
    /// No usable name for the image inside.
    #[error("{} does not name its image: {problem}; give one with --name", file.display())]
    Name {
        /// The file.
        file: PathBuf,
        /// Why no name could be derived.
        problem: String,
    },
    /// What is inside cannot be used.
    #[error("{}: {source}", file.display())]
    Image {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: ImageError,
    },
}

/// Why a container's root file system could not be prepared or taken away.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SnapshotError {
    /// A layer that should be unpacked is not: somebody removed it by hand.
    #[error("layer {layer} of image {image} is missing in the store; pull or load the image again")]
    LayerMissing {
        /// The layer.
        layer: Digest,
        /// The image.
        image: ImageReference,
    },
    /// The container has a root file system of another image.
    #[error("container {container} has a root file system already, of image {image}")]
    Conflict {
        /// The container.
        container: ContainerId,
        /// The image that it has.
        image: ImageReference,
    },
    /// The store said no.
    #[error(transparent)]
    Store(Box<ImageError>),
    /// The disk said no.
    #[error("cannot {action} {}: {message}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        message: String,
    },
}

impl PullError {
    /// Whether the registry wants other credentials, or some.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// What went wrong with a registry, as trouble with an image.
    pub(crate) fn of_client(error: ClientError, reference: &ImageReference) -> Self {
        match error {
            ClientError::Untrusted { registry, cause } => Self::Untrusted { registry, cause },
            ClientError::Denied { message } => {
                Self::Denied { reference: reference.clone(), message }
            }
            ClientError::TooLarge { what, limit_bytes } => Self::Image(ImageError::TooLarge {
                what,
                actual: "more".to_owned(),
                limit: format!("{limit_bytes} bytes"),
            }),
            ClientError::Malformed { what, problem } => {
                Self::Image(ImageError::malformed(what, problem))
            }
            error => Self::Registry(error),
        }
    }

    /// The name that the ECS agent puts before the text in a container's `reason`.
    ///
    /// The open-source agent says `CannotPullImageManifestError` when it asks for a digest first and
    /// the image is missing (observed with 1.105.1); AWS's own list of error messages, and what users
    /// search for, is `CannotPullContainerError` for all of these.
    pub fn ecs_name(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "CannotPullImageManifestError",
            _ => "CannotPullContainerError",
        }
    }

    /// Whether trying again soon may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_transient(),
            Self::Digest { .. } => true,
            Self::Untrusted { .. }
            | Self::TimedOut { .. }
            | Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Platform { .. }
            | Self::Image(_) => false,
        }
    }
}

impl ImageError {
    pub(crate) fn malformed(what: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::Malformed { what: what.into(), problem: problem.to_string() }
    }

    pub(crate) fn unsupported(what: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self::Unsupported { what: what.into(), problem: problem.to_string() }
    }
}

impl From<ImageError> for SnapshotError {
    fn from(error: ImageError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<SnapshotError> for ImageError {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Store(error) => *error,
            error => Self::Store { message: error.to_string(), source: Arc::new(error) },
        }
    }
}

impl From<StoreError> for ImageError {
    fn from(error: StoreError) -> Self {
        Self::from(IngestError::Store(error))
    }
}

impl From<IngestError> for ImageError {
    fn from(error: IngestError) -> Self {
        match &error {
            IngestError::Store(StoreError::Io { path, .. }) if error.is_disk_full() => {
                let folder = path.parent().unwrap_or(path).to_owned();
                Self::DiskFull { folder }
            }
            _ => Self::Store { message: error.to_string(), source: Arc::new(error) },
        }
    }
}
