//! Pulling: manifest, configuration, layers, then the name.

use std::sync::Arc;
use std::time::Duration;

use blobs::{Digest, Ingest, IngestError};
use bytes::BytesMut;
use distribution::ClientError;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::flights::{Listeners, Locks};
use super::manifest::{self, Descriptor, Document, Manifest};
use super::peers::Peers;
use super::references::Record;
use super::registry::{Fetched, Registries, Session};
use super::retry::{Retries, RetryPolicy};
use super::store::Shelves;
use super::{Image, ImageError, ImageReference, PullError, PullEvent, RegistryAuth};

/// How deep indexes may lie in each other.
const INDEX_DEPTH_MAX: usize = 3;
/// The largest layer as it is stored; ECR's limit is 52,000 MiB.
const LAYER_BYTES_MAX: u64 = 128 << 30;
/// What is gathered before it is written.
pub(super) const WRITE_BYTES: usize = 1024 * 1024;
/// With less than this fetched, a broken-off attempt counts as one that achieved nothing.
const ACHIEVED_BYTES: u64 = 64 * 1024;

/// What layers are called, as distinct from the configuration.
pub(super) const LAYER: &str = "layer";

/// What pulls share.
pub(super) struct Puller {
    pub(super) shelves: Arc<Shelves>,
    pub(super) registries: Arc<Registries>,
    pub(super) retry: RetryPolicy,
    pub(super) manifest_timeout: Duration,
    /// How many layers of one image are fetched at once.
    pub(super) layers_at_once: usize,
    /// Stores of blobs on this machine that a registry may keep its own in.
    pub(super) siblings: Vec<blobs::Store>,
    /// Who else may have layers.
    pub(super) peers: Option<Arc<dyn Peers>>,
    /// Each layer is fetched and unpacked by one at a time.
    pub(super) layer_locks: Locks<Digest>,
    /// Unpacking is work for processors.
    pub(super) unpackers: Semaphore,
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("blocking work is never aborted once it runs"),
        },
    }
}

fn salt(reference: &ImageReference) -> u64 {
    let digest = Digest::of(reference.to_string().as_bytes());
    u64::from_le_bytes(digest.as_bytes()[..8].try_into().expect("a digest has 32 bytes"))
}

impl Puller {
    /// Asks the registry, fetches what is missing, unpacks it and names it.
    pub(super) async fn pull(
        self: Arc<Self>,
        reference: ImageReference,
        auth: RegistryAuth,
        listeners: Listeners,
    ) -> Result<Image, PullError> {
        let shelves = Arc::clone(&self.shelves);
        let _lock = blocking(move || shelves.lock()).await?;
        let pull = Arc::new(Pull {
            session: self.open(&reference, &auth, &listeners).await?,
            puller: self,
            reference,
            listeners,
        });
        let (target, digest, manifest) = pull.resolve().await?;
        pull.fetch(&manifest.config, "configuration").await?;
        let shelves = Arc::clone(&pull.puller.shelves);
        let parsed = manifest.clone();
        let config = blocking(move || shelves.read_config(&parsed)).await?;
        let config = config.ok_or_else(|| {
            ImageError::malformed("the image", "its configuration was removed meanwhile")
        })?;
        pull.layers(&manifest, &config.diff_ids).await?;
        let shelves = Arc::clone(&pull.puller.shelves);
        let record = Record::new(pull.reference.clone(), target, digest, true);
        Ok(blocking(move || shelves.name(&record)).await?)
    }

    async fn open(
        &self,
        reference: &ImageReference,
        auth: &RegistryAuth,
        listeners: &Listeners,
    ) -> Result<Session, PullError> {
        let mut retries = Retries::new(&self.retry, salt(reference));
        loop {
            match Arc::clone(&self.registries).session(reference, auth).await {
                Ok(session) => return Ok(session),
                Err(error) => retries.wait(error, listeners).await?,
            }
        }
    }
}

/// One pull under way.
pub(super) struct Pull {
    pub(super) puller: Arc<Puller>,
    session: Session,
    pub(super) reference: ImageReference,
    pub(super) listeners: Listeners,
}

impl Pull {
    fn retries(&self) -> Retries<'_> {
        Retries::new(&self.puller.retry, salt(&self.reference))
    }

    /// What the reference means: target, and the manifest for this machine, both stored.
    async fn resolve(&self) -> Result<(Digest, Digest, Manifest), PullError> {
        let fetched = self.manifest(&self.reference.manifest_key()).await?;
        let target = fetched.digest;
        let mut digest = target;
        let mut document = self.keep(fetched).await?;
        for _ in 0..INDEX_DEPTH_MAX {
            let entries = match document {
                Document::Manifest(manifest) => {
                    let total_bytes = manifest.layers.iter().map(|layer| layer.size).sum();
                    let layers = manifest.layers.len();
                    self.listeners.tell(&PullEvent::Resolved { digest, total_bytes, layers });
                    return Ok((target, digest, manifest));
                }
                Document::Index(entries) => entries,
            };
            let platform = &self.puller.shelves.platform;
            let chosen = manifest::choose(&entries, platform).map_err(|offered| {
                let (reference, wanted) = (self.reference.clone(), platform.to_string());
                PullError::Platform { reference, wanted, offered }
            })?;
            digest = chosen.digest;
            let shelves = Arc::clone(&self.puller.shelves);
            document = match blocking(move || shelves.read_document(&digest)).await? {
                Some(document) => document,
                None => self.keep(self.manifest(&digest.to_string()).await?).await?,
            };
        }
        let problem = format!("its indexes lie in each other over {INDEX_DEPTH_MAX} deep");
        Err(PullError::Image(ImageError::malformed("the image manifest", problem)))
    }

    async fn manifest(&self, key: &str) -> Result<Fetched, PullError> {
        let mut retries = self.retries();
        loop {
            let limit = self.puller.manifest_timeout;
            let fetched = tokio::time::timeout(limit, self.session.manifest(key)).await;
            match fetched.unwrap_or_else(|_| {
                let registry = self.session.registry().to_owned();
                let what = "the image manifest".to_owned();
                let seconds = limit.as_secs();
                Err(PullError::Registry(ClientError::Silent { registry, what, seconds }))
            }) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => retries.wait(error, &self.listeners).await?,
            }
        }
    }

    async fn keep(&self, fetched: Fetched) -> Result<Document, PullError> {
        let document = Document::parse(&fetched.bytes, fetched.content_type.as_deref())?;
        let shelves = Arc::clone(&self.puller.shelves);
        blocking(move || shelves.blobs.put(&fetched.bytes)).await.map_err(ImageError::from)?;
        Ok(document)
    }

    /// Fetches and unpacks the layers, some at once.
    async fn layers(
        self: &Arc<Self>,
        manifest: &Manifest,
        diff_ids: &[Digest],
    ) -> Result<(), PullError> {
        let places = Arc::new(Semaphore::new(self.puller.layers_at_once));
        let mut tasks = JoinSet::new();
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let (pull, places) = (Arc::clone(self), Arc::clone(&places));
            let (layer, diff_id) = (layer.clone(), *diff_id);
            tasks.spawn(async move {
                let _place = places.acquire().await.expect("never closed");
                pull.layer(&layer, &diff_id).await
            });
        }
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok(result) => result?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Ok(())
    }

    async fn layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<(), PullError> {
        let digest = layer.digest;
        let _lock = self.puller.layer_locks.lock(&digest).await;
        if !self.puller.shelves.layers.contains(diff_id) {
            self.fetch_layer(layer).await?;
            let _unpacker = self.puller.unpackers.acquire().await.expect("never closed");
            self.listeners.tell(&PullEvent::Unpacking { layer: digest });
            let (shelves, diff_id) = (Arc::clone(&self.puller.shelves), *diff_id);
            blocking(move || shelves.unpack(&digest, Some(&diff_id))).await?;
        }
        self.listeners.tell(&PullEvent::Ready { layer: digest, bytes: layer.size });
        Ok(())
    }

    /// Sees to it that a blob is in the store.
    pub(super) async fn fetch(
        &self,
        blob: &Descriptor,
        what: &'static str,
    ) -> Result<(), PullError> {
        if blob.size > LAYER_BYTES_MAX {
            return Err(PullError::Image(ImageError::TooLarge {
                what: format!("{what} {}", blob.digest),
                actual: format!("{} bytes", blob.size),
                limit: format!("{LAYER_BYTES_MAX} bytes"),
            }));
        }
        if self.share(blob).await? {
            return Ok(());
        }
        let mut retries = self.retries();
        loop {
            let (shelves, digest) = (Arc::clone(&self.puller.shelves), blob.digest);
            let ingest = blocking(move || shelves.blobs.ingest(&digest)).await;
            let Some(ingest) = ingest.map_err(ImageError::from)? else { return Ok(()) };
            let mut achieved = 0;
            match self.transfer(blob, what, ingest, &mut achieved).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if achieved >= ACHIEVED_BYTES && !matches!(error, PullError::Digest { .. }) {
                        retries.begin_again();
                    }
                    retries.wait(error, &self.listeners).await?;
                }
            }
        }
    }

    /// Takes a blob over from a registry whose files are on this machine. Only from the one that gave
    /// the right to pull, which has just said that the manifest's blobs are in the repository.
    pub(super) async fn share(&self, blob: &Descriptor) -> Result<bool, PullError> {
        if !self.session.is_named() || self.puller.siblings.is_empty() {
            return Ok(false);
        }
        let (puller, digest, size) = (Arc::clone(&self.puller), blob.digest, blob.size);
        let share = move || {
            let has = |sibling: &&blobs::Store| sibling.size_bytes(&digest) == Some(size);
            match puller.siblings.iter().find(has) {
                Some(sibling) => puller.shelves.blobs.share(sibling, &digest),
                None => Ok(false),
            }
        };
        Ok(blocking(share).await.map_err(ImageError::from)?)
    }

    /// One attempt, from where the last one stopped. `achieved` counts the bytes that came.
    async fn transfer(
        &self,
        blob: &Descriptor,
        what: &'static str,
        mut ingest: Ingest,
        achieved: &mut u64,
    ) -> Result<(), PullError> {
        if ingest.offset() > blob.size {
            ingest.restart().map_err(ImageError::from)?;
        }
        if ingest.offset() < blob.size || blob.size == 0 {
            let mut body = self.session.blob(&blob.digest, ingest.offset()).await?;
            if body.offset != ingest.offset() {
                ingest.restart().map_err(ImageError::from)?;
                if body.offset != 0 {
                    body = self.session.blob(&blob.digest, 0).await?;
                }
            }
            let mut buffer = BytesMut::new();
            loop {
                let piece = self.session.piece(&mut body).await;
                let is_more = matches!(&piece, Ok(Some(_)));
                if let Ok(Some(piece)) = &piece {
                    *achieved += piece.len() as u64;
                    buffer.extend_from_slice(piece);
                }
                let bytes = ingest.offset() + buffer.len() as u64;
                if bytes > blob.size {
                    ingest.discard();
                    return Err(self.oversized(blob, what));
                }
                if !buffer.is_empty() && (buffer.len() >= WRITE_BYTES || !is_more) {
                    ingest = write(ingest, buffer.split()).await?;
                    if what == LAYER {
                        let (layer, total_bytes) = (blob.digest, blob.size);
                        self.listeners.tell(&PullEvent::Fetching { layer, bytes, total_bytes });
                    }
                }
                if piece?.is_none() {
                    break;
                }
            }
        }
        self.commit(blob, what, ingest).await
    }

    async fn commit(
        &self,
        blob: &Descriptor,
        what: &'static str,
        ingest: Ingest,
    ) -> Result<(), PullError> {
        let size = blob.size;
        let registry = || self.session.registry().to_owned();
        match blocking(move || ingest.commit(None, Some(size))).await {
            Ok(_) => Ok(()),
            Err(IngestError::Digest { expected, actual }) => {
                Err(PullError::Digest { registry: registry(), what, expected, actual })
            }
            Err(IngestError::Size { expected_bytes, actual_bytes }) => {
                let cause = format!(
                    "{what} {} ended after {actual_bytes} of {expected_bytes} bytes",
                    blob.digest
                );
                Err(PullError::Registry(ClientError::Unreachable { registry: registry(), cause }))
            }
            Err(error) => Err(PullError::Image(error.into())),
        }
    }

    fn oversized(&self, blob: &Descriptor, what: &'static str) -> PullError {
        PullError::Image(ImageError::TooLarge {
            what: format!("{what} {} from {}", blob.digest, self.session.registry()),
            actual: "more".to_owned(),
            limit: format!("the {} bytes that the manifest says", blob.size),
        })
    }
}

pub(super) async fn write(mut ingest: Ingest, bytes: BytesMut) -> Result<Ingest, PullError> {
    let written = blocking(move || ingest.write(&bytes).map(|()| ingest)).await;
    written.map_err(|error| PullError::Image(error.into()))
}
