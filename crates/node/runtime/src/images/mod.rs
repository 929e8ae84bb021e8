//! Images: pulled from registries or loaded from files, unpacked once, mounted by many containers.
//!
//! [`Images`] is what the agent uses, so that a simulation can stand in; [`ImageStore`] is the Linux
//! one. Invariants of the store:
//!
//! - **A reference that [`Images::find`] answers is whole**: manifest, configuration and every
//!   unpacked layer are on disk. The reference is written last.
//! - Several processes may use one store at once (`longshore image load` beside a running `up`):
//!   what one adds, the others see at the next look.
//! - Nothing is counted: what is in use is derived from the references and snapshots that exist.
//! - No tar can write outside the folder that it is unpacked into, whatever it holds.
//!
//! Departures from the first contract: [`Images::pull`] answers with [`Pulled`], since ECS shows pull
//! times only for images that a registry was asked for; [`Images::find`] can fail.

mod error;
mod flights;
mod from_peers;
mod image;
mod image_store;
mod inventory;
mod layers;
mod load;
mod lock;
mod manifest;
mod peers;
mod pull;
mod push;
mod reference;
mod references;
mod registry;
mod retry;
mod snapshots;
mod store;
mod unpack;

use std::path::Path;

use async_trait::async_trait;
use terms::Timestamp;
use tokio::sync::mpsc;

pub use error::{ImageError, LoadError, PullError, SnapshotError, UnpackError};
pub use image::{Image, ImageConfig, Layer};
pub use image_store::{ImageStore, Settings};
pub use manifest::Platform;
pub use peers::{Came, Peers, Sought, Way};
pub use push::PushError;
pub use reference::{DEFAULT_REGISTRY, DEFAULT_TAG, ImageReference, ParseReferenceError};
pub use registry::{Authorities, AuthoritiesError};
pub use retry::RetryPolicy;

/// A container's root file system, to be mounted by the container's shim in its own mount namespace.
///
/// `lower` is never empty and its folders all have the same parent: a mount whose options would pass
/// the kernel's 4,096 bytes can name them relative to it.
pub use shim::Overlay as RootFs;

use crate::ContainerId;

/// When a registry is asked (the agent's `ECS_IMAGE_PULL_BEHAVIOR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PullBehavior {
    /// Use the image in the store without asking; ask only if there is none. Our default.
    #[default]
    PreferCached,
    /// Always ask; if that fails, use the image in the store. ECS's default.
    Default,
    /// Always ask; if that fails, fail.
    Always,
    /// Ask if no earlier pull of this reference succeeded on this host.
    Once,
}

/// Credentials for a registry.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub enum RegistryAuth {
    /// None.
    #[default]
    Anonymous,
    /// User name and password; exchanged for a token where the registry wants one.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
    /// An identity token (`docker login`'s `identitytoken`), exchanged for a bearer token.
    IdentityToken(String),
    /// User name and password for a registry that is reached at another address than the one that
    /// references name: ECR's names lead to whoever gave the right to pull.
    At {
        /// Where it is: `http://10.0.0.1:4566`. Only this host is spoken to without TLS, and only if
        /// the scheme says so.
        url: String,
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
}

impl RegistryAuth {
    /// The credentials alone.
    fn plain(&self) -> distribution::Auth {
        match self.clone() {
            Self::Anonymous => distribution::Auth::Anonymous,
            Self::IdentityToken(token) => distribution::Auth::IdentityToken(token),
            Self::Basic { username, password } | Self::At { username, password, .. } => {
                distribution::Auth::Basic { username, password }
            }
        }
    }
}

/// Never the secret.
impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { username, .. } => write!(f, "Basic({username})"),
            Self::IdentityToken(_) => f.write_str("IdentityToken"),
            Self::At { url, username, .. } => write!(f, "At({url}, {username})"),
        }
    }
}

/// How far a pull has come, or a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// The manifest is known.
    Resolved {
        /// The manifest's digest.
        digest: blobs::Digest,
        /// All layers' bytes, compressed.
        total_bytes: u64,
        /// How many layers there are.
        layers: usize,
    },
    /// Some bytes of a layer came, or went where the image is pushed. At most a few of these a second
    /// and layer.
    Fetching {
        /// The layer's blob.
        layer: blobs::Digest,
        /// So many are here.
        bytes: u64,
        /// Of so many.
        total_bytes: u64,
    },
    /// A layer is being unpacked.
    Unpacking {
        /// The layer's blob.
        layer: blobs::Digest,
    },
    /// A layer is ready (also at once, if it was here before).
    Ready {
        /// The layer's blob.
        layer: blobs::Digest,
        /// Its bytes, compressed.
        bytes: u64,
    },
    /// A request failed and is tried again.
    Retrying {
        /// Why.
        cause: String,
        /// The attempt that comes, from 2.
        attempt: u32,
    },
}

/// Where a pull's [`PullEvent`]s go. Events that a slow reader has no room for are dropped: each tells
/// a state, not a step.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<mpsc::Sender<PullEvent>>);

impl Progress {
    /// Nobody listens.
    pub fn silent() -> Self {
        Self(None)
    }

    /// Events go into a queue of `capacity`.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<PullEvent>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(Some(sender)), receiver)
    }

    /// Tells an event, if there is a listener with room.
    pub fn tell(&self, event: PullEvent) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(event);
        }
    }
}

/// What [`Images::pull`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub image: Image,
    /// Whether it was in the store and no registry was asked. ECS then shows no pull times.
    pub was_cached: bool,
}

/// An image in the store, for those who decide whether it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub reference: ImageReference,
    /// Its layers' bytes, compressed; some may be other images' too.
    pub bytes: u64,
    /// Whether a registry gave it: then it can be had again.
    pub was_pulled: bool,
    /// Whether a container has it, running or not.
    pub is_in_use: bool,
    /// When it came, or was pulled anew.
    pub pulled_at: Timestamp,
    /// When a container of it was made last, or [`Images::keep`] said that it is needed.
    pub used_at: Timestamp,
}

/// What [`Images::prune`] took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// References.
    pub images: usize,
    /// Unpacked layers.
    pub layers: usize,
    /// Blobs.
    pub blobs: usize,
    /// The blobs' bytes.
    pub bytes: u64,
}

/// The images of one host. Every call may come from many tasks at once.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// Makes the image ready for [`Images::snapshot`], asking its registry as the store's
    /// [`PullBehavior`] says. Concurrent pulls of one image are one pull. Dropping the future gives up,
    /// unless others wait for the same image; what was fetched stays for the next attempt.
    async fn pull(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
        progress: Progress,
    ) -> Result<Pulled, PullError>;

    /// The image of this reference, if it is in the store.
    async fn find(&self, reference: &ImageReference) -> Result<Option<Image>, ImageError>;

    /// All images in the store, by reference.
    async fn list(&self) -> Result<Vec<Image>, ImageError>;

    /// Loads the images of a file (or an OCI layout's folder): `docker save` tar, OCI layout or
    /// archive, root file-system tar; plain, gzip or zstd. `name` replaces the name in the file.
    async fn load(
        &self,
        file: &Path,
        name: Option<&ImageReference>,
    ) -> Result<Vec<Image>, LoadError>;

    /// Forgets a reference; `false` if there was none. Layers go at the next [`Images::prune`].
    async fn remove(&self, reference: &ImageReference) -> Result<bool, ImageError>;

    /// Prepares the root file system of a container; nothing is mounted. Asked again for the same container and image, it answers the same and keeps what was written.
    async fn snapshot(
        &self,
        image: &Image,
        container: &ContainerId,
    ) -> Result<RootFs, SnapshotError>;

    /// Deletes what [`Images::snapshot`] made; nothing may run in it. No error if there is nothing.
    async fn release(&self, container: &ContainerId) -> Result<(), SnapshotError>;

    /// The bytes of the disk that a container's writes to its root take; 0 if it has none.
    async fn written(&self, container: &ContainerId) -> Result<u64, SnapshotError>;

    /// The containers that have a snapshot.
    async fn snapshots(&self) -> Result<Vec<ContainerId>, SnapshotError>;

    /// All images by reference, with what is known of their use.
    async fn inventory(&self) -> Result<Vec<Held>, ImageError>;

    /// Says that these images, if they are here, are needed now.
    async fn keep(&self, references: &[ImageReference]) -> Result<(), ImageError>;

    /// The blob of this digest (`sha256:…`), to be read from its beginning; none if it is not here.
    async fn blob(&self, _digest: &str) -> Result<Option<std::fs::File>, ImageError> {
        Ok(None)
    }

    /// Takes away blobs and layers that no reference and no snapshot needs.
    async fn prune(&self) -> Result<Pruned, ImageError>;
}
