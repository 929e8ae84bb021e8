//! The Linux image store: shelves on disk, and registries to fill them from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use blobs::Durability;
use tokio::sync::Semaphore;

use super::flights::{Flights, Locks};
use super::load;
use super::pull::{Puller, blocking};
use super::registry::{Authorities, Registries};
use super::store::Shelves;
use super::unpack::Limits;
use super::{
    Held, Image, ImageError, ImageReference, Images, LoadError, Peers, Platform, Progress, Pruned,
    PullBehavior, PullError, Pulled, PushError, RegistryAuth, RetryPolicy, RootFs, SnapshotError,
};
use crate::ContainerId;

/// How an [`ImageStore`] works. The defaults are ours for the behaviour, the ECS agent's for the times.
#[derive(Debug, Clone)]
pub struct Settings {
    /// When a registry is asked.
    pub behavior: PullBehavior,
    /// What images must be made for.
    pub platform: Platform,
    /// How failed requests are tried again.
    pub retry: RetryPolicy,
    /// The longest that one pull may take, retries included.
    pub pull_timeout: Duration,
    /// The longest that a registry may send nothing.
    pub idle_timeout: Duration,
    /// The longest that fetching a manifest may take, each try.
    pub manifest_timeout: Duration,
    /// How many layers of one image are fetched at once.
    pub layers_at_once: usize,
    /// Whether what was stored survives a loss of power.
    pub durability: Durability,
    /// Whose certificates registries may have, besides those that the system trusts.
    pub authorities: Authorities,
    /// Folders of blobs that a registry on this machine keeps: what it has is not copied.
    pub siblings: Vec<PathBuf>,
    /// Who knows which other nodes have layers; without it, all come from registries.
    pub peers: Option<Arc<dyn Peers>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            behavior: PullBehavior::default(),
            platform: Platform::host(),
            retry: RetryPolicy::default(),
            pull_timeout: Duration::from_secs(2 * 60 * 60),
            idle_timeout: Duration::from_secs(60),
            manifest_timeout: Duration::from_secs(60),
            layers_at_once: 3,
            durability: Durability::default(),
            authorities: Authorities::default(),
            siblings: Vec::new(),
            peers: None,
        }
    }
}

/// The images of this host, in one folder. Cheap to clone; other processes may have the same folder
/// open.
#[derive(Clone)]
pub struct ImageStore {
    shelves: Arc<Shelves>,
    puller: Arc<Puller>,
    /// By reference and credentials: nobody gets an image through another's password.
    pulls: Arc<Flights<(ImageReference, RegistryAuth), Result<Image, PullError>>>,
    behavior: PullBehavior,
    pull_timeout: Duration,
}

impl ImageStore {
    /// Opens the store in `root` (`DATA/images`), making it if it is not there, and clears away what
    /// crashed processes left half-made. Blocks on the disk.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(root: impl Into<PathBuf>, settings: Settings) -> Result<Self, ImageError> {
        let Settings { behavior, platform, retry, pull_timeout, idle_timeout, authorities, .. } =
            settings;
        let (root, limits) = (root.into(), Limits::default());
        let shelves = Arc::new(Shelves::open(&root, platform, settings.durability, limits)?);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let puller = Puller {
            shelves: Arc::clone(&shelves),
            registries: Arc::new(Registries::new(idle_timeout, authorities)),
            retry,
            manifest_timeout: settings.manifest_timeout,
            layers_at_once: settings.layers_at_once.max(1),
            siblings: settings.siblings.iter().map(blobs::Store::at).collect(),
            peers: settings.peers,
            layer_locks: Locks::new(),
            unpackers: Semaphore::new(processors),
        };
        let pulls = Arc::new(Flights::new());
        Ok(Self { shelves, puller: Arc::new(puller), pulls, behavior, pull_timeout })
    }

    /// As [`Images::load`], for callers without a runtime (`longshore image load`). Blocks, and tells
    /// `watch` now and then how many bytes of how many were read of the file.
    ///
    /// # Errors
    /// As [`Images::load`].
    pub fn load_blocking(
        &self,
        file: &Path,
        name: Option<&ImageReference>,
        watch: &dyn Fn(u64, u64),
    ) -> Result<Vec<Image>, LoadError> {
        load::load(&self.shelves, file, name, watch)
    }

    /// Pushes an image of the store to the registry that `to` names, under its tag; tells the digest of
    /// its manifest. Of an image for many machines, the one of this machine goes.
    ///
    /// # Errors
    /// If it is not here, or the registry does not take it.
    pub async fn push(
        &self,
        reference: &ImageReference,
        to: &ImageReference,
        auth: &RegistryAuth,
        progress: &Progress,
    ) -> Result<blobs::Digest, PushError> {
        self.puller.push(reference, to, auth, progress).await
    }

    /// Asks the registry, together with everybody who asks for the same at this time.
    async fn fetch(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
        progress: Progress,
    ) -> Result<Pulled, PullError> {
        let key = (reference.clone(), auth.clone());
        let (puller, limit) = (Arc::clone(&self.puller), self.pull_timeout);
        let (reference, auth) = key.clone();
        let result = self.pulls.join(key, progress, move |listeners| async move {
            let pull = puller.pull(reference.clone(), auth, listeners);
            let seconds = limit.as_secs();
            let result = tokio::time::timeout(limit, pull).await;
            result.unwrap_or(Err(PullError::TimedOut { reference, seconds }))
        });
        Ok(Pulled { image: result.await?, was_cached: false })
    }

    async fn on_shelves<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelves) -> T + Send + 'static,
    ) -> T {
        let shelves = Arc::clone(&self.shelves);
        blocking(move || work(&shelves)).await
    }
}

#[async_trait]
impl Images for ImageStore {
    async fn pull(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
        progress: Progress,
    ) -> Result<Pulled, PullError> {
        let wanted = reference.clone();
        let known = self.on_shelves(move |shelves| shelves.find_record(&wanted)).await?;
        let (was_pulled, cached) = match known {
            Some((record, image)) => (record.was_pulled, Some(image)),
            None => (false, None),
        };
        let (is_enough, may_fall_back) = match self.behavior {
            PullBehavior::PreferCached => (true, false),
            PullBehavior::Once => (was_pulled, false),
            PullBehavior::Default => (false, true),
            PullBehavior::Always => (false, false),
        };
        match cached {
            Some(image) if is_enough => Ok(Pulled { image, was_cached: true }),
            Some(image) if may_fall_back => {
                let fetched = self.fetch(reference, auth, progress).await;
                Ok(fetched.unwrap_or_else(|error| {
                    tracing::warn!(%reference, %error, "using the image that is here");
                    Pulled { image, was_cached: false }
                }))
            }
            _ => self.fetch(reference, auth, progress).await,
        }
    }

    async fn find(&self, reference: &ImageReference) -> Result<Option<Image>, ImageError> {
        let reference = reference.clone();
        self.on_shelves(move |shelves| shelves.find(&reference)).await
    }

    async fn list(&self) -> Result<Vec<Image>, ImageError> {
        self.on_shelves(Shelves::list).await
    }

    async fn load(
        &self,
        file: &Path,
        name: Option<&ImageReference>,
    ) -> Result<Vec<Image>, LoadError> {
        let (file, name) = (file.to_owned(), name.cloned());
        self.on_shelves(move |shelves| load::load(shelves, &file, name.as_ref(), &|_, _| {})).await
    }

    async fn remove(&self, reference: &ImageReference) -> Result<bool, ImageError> {
        let reference = reference.clone();
        self.on_shelves(move |shelves| shelves.references.remove(&reference)).await
    }

    async fn snapshot(
        &self,
        image: &Image,
        container: &ContainerId,
    ) -> Result<RootFs, SnapshotError> {
        let (image, container) = (image.clone(), container.clone());
        self.on_shelves(move |shelves| shelves.snapshot(&image, &container)).await
    }

    async fn release(&self, container: &ContainerId) -> Result<(), SnapshotError> {
        let container = container.clone();
        self.on_shelves(move |shelves| shelves.release(&container)).await
    }

    async fn written(&self, container: &ContainerId) -> Result<u64, SnapshotError> {
        let container = container.clone();
        self.on_shelves(move |shelves| shelves.written(&container)).await
    }

    async fn snapshots(&self) -> Result<Vec<ContainerId>, SnapshotError> {
        self.on_shelves(Shelves::snapshots).await
    }

    async fn inventory(&self) -> Result<Vec<Held>, ImageError> {
        self.on_shelves(Shelves::inventory).await
    }

    async fn keep(&self, references: &[ImageReference]) -> Result<(), ImageError> {
        let references = references.to_vec();
        self.on_shelves(move |shelves| shelves.keep(&references)).await
    }

    async fn blob(&self, digest: &str) -> Result<Option<std::fs::File>, ImageError> {
        let Ok(digest) = digest.parse() else { return Ok(None) };
        let reader = self.on_shelves(move |shelves| shelves.blobs.reader(&digest)).await;
        Ok(reader?)
    }

    async fn prune(&self) -> Result<Pruned, ImageError> {
        self.on_shelves(Shelves::prune).await
    }
}
