//! Blobs from upstream: taken in once, and read by many while they come.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use distribution::{Remote, RemoteBlob};
use terms::Uuid;
use tokio::sync::watch;

use super::{Through, UpstreamError};
use crate::Inner;
use crate::depot::{Reader, Upload};
use crate::model::ContentDigest;
use crate::push::beside;
use crate::registry::LAYER_BYTES_MAX;
use crate::tables::NameKey;

/// What is gathered before it is written.
const WRITE_BYTES: usize = 1024 * 1024;
/// How often a download that broke off goes on where it was.
const ATTEMPTS_MAX: u32 = 5;
/// The wait before that, times the attempt's number.
const PAUSE: Duration = Duration::from_millis(500);

/// How far a blob has come.
#[derive(Clone, Debug)]
enum Progress {
    /// So many bytes are here, unchecked.
    Coming(u64),
    /// All are, and they are right; the repository has it.
    Whole(u64),
    /// No more will come.
    Failed(UpstreamError),
}

/// A blob on its way.
#[derive(Debug)]
pub(crate) struct Coming {
    /// Its length, if upstream said so.
    pub(crate) size_bytes: Option<u64>,
    /// What is here of it.
    pub(crate) file: Reader,
    progress: watch::Receiver<Progress>,
}

impl Coming {
    /// Waits until more than `beyond` bytes may be read, and says how many. The last one may be only
    /// when all are checked.
    pub(crate) async fn readable(&self, beyond: u64) -> Result<u64, UpstreamError> {
        let last = self.size_bytes.map_or(0, |size| size.saturating_sub(1));
        self.wait(|progress| match progress {
            Progress::Coming(bytes) if last.min(*bytes) > beyond => Some(Ok(last.min(*bytes))),
            Progress::Coming(_) => None,
            Progress::Whole(bytes) => Some(Ok(*bytes)),
            Progress::Failed(error) => Some(Err(error.clone())),
        })
        .await
    }

    fn is_coming(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Coming(_))
    }

    /// Waits until the repository has it.
    pub(crate) async fn whole(&self) -> Result<(), UpstreamError> {
        self.wait(|progress| match progress {
            Progress::Coming(_) => None,
            Progress::Whole(_) => Some(Ok(())),
            Progress::Failed(error) => Some(Err(error.clone())),
        })
        .await
    }

    async fn wait<T>(
        &self,
        outcome: impl Fn(&Progress) -> Option<Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let mut progress = self.progress.clone();
        loop {
            if let Some(outcome) = outcome(&progress.borrow_and_update()) {
                return outcome;
            }
            if progress.changed().await.is_err() {
                return Err(UpstreamError::Ours("the download ended".to_owned()));
            }
        }
    }
}

/// What is downloaded.
struct Job {
    inner: Arc<Inner>,
    key: NameKey,
    through: Through,
    digest: ContentDigest,
    remote: Arc<Remote>,
}

impl Inner {
    /// A blob that the repository has not: on its way from upstream, for all who ask.
    pub(crate) async fn blob_through(
        self: &Arc<Self>,
        key: &NameKey,
        through: &Through,
        digest: &ContentDigest,
    ) -> Result<Arc<Coming>, UpstreamError> {
        let work = async {
            // It came while this waited for its turn.
            if let Some(kept) = self.as_whole(key, digest).await? {
                return Ok(Arc::new(kept));
            }
            let (remote, blob) = self.blob_from(key, through, digest, 0).await?;
            let (inner, key) = (Arc::clone(self), key.clone());
            let (through, digest) = (through.clone(), digest.clone());
            Job { inner, key, through, digest, remote }.begin(blob).await
        };
        let wanted = (key.clone(), digest.to_string());
        let comes = |known: &Result<Arc<Coming>, UpstreamError>| {
            known.as_ref().is_ok_and(|coming| coming.is_coming())
        };
        self.upstreams.blobs.join(wanted, comes, work).await
    }

    /// A blob as upstream has it, from this byte on.
    async fn blob_from(
        &self,
        key: &NameKey,
        through: &Through,
        digest: &ContentDigest,
        offset: u64,
    ) -> Result<(Arc<Remote>, RemoteBlob), UpstreamError> {
        let begin = |remote: Arc<Remote>| async move {
            let blob = remote.blob(digest.as_str(), offset).await?;
            blob.map(|blob| (remote, blob)).ok_or(UpstreamError::Missing)
        };
        self.ask(&key.0, through, begin).await
    }

    /// A blob that the repository has.
    async fn as_whole(
        &self,
        key: &NameKey,
        digest: &ContentDigest,
    ) -> Result<Option<Coming>, UpstreamError> {
        let at = beside(key, digest.as_str());
        let Some(layer) = self.ledger.snapshot().get(&self.tables.layers, &at) else {
            return Ok(None);
        };
        let file = self.depot("PullThroughCache")?.reader(layer.stored).await?;
        let (_, progress) = watch::channel(Progress::Whole(layer.size_bytes));
        Ok(Some(Coming { size_bytes: Some(layer.size_bytes), file, progress }))
    }
}

impl Job {
    /// Begins to take in a blob.
    async fn begin(self, blob: RemoteBlob) -> Result<Arc<Coming>, UpstreamError> {
        let size_bytes = blob.size_bytes;
        if size_bytes.is_some_and(|size| size > LAYER_BYTES_MAX) {
            let text = format!("the blob {} has more than {LAYER_BYTES_MAX} bytes", self.digest);
            return Err(UpstreamError::Unusable(text));
        }
        let id = Uuid::from_random(self.inner.setup.ids.next());
        let depot = self.inner.depot("PullThroughCache")?;
        let mut upload = depot.begin_upload(id, &self.key.0, &self.key.1).await?;
        let file = upload.reader().await?;
        let (sender, progress) = watch::channel(Progress::Coming(0));
        tokio::spawn(async move {
            let wanted = (self.key.clone(), self.digest.to_string());
            let ended = match self.run(blob, upload, &sender).await {
                Ok(bytes) => Progress::Whole(bytes),
                Err(error) => Progress::Failed(error),
            };
            // First: who asks from now on finds the rows, or begins anew.
            self.inner.upstreams.blobs.end(&wanted);
            sender.send_replace(ended);
        });
        Ok(Arc::new(Coming { size_bytes, file, progress }))
    }

    async fn run(
        &self,
        blob: RemoteBlob,
        mut upload: Upload,
        sender: &watch::Sender<Progress>,
    ) -> Result<u64, UpstreamError> {
        if let Err(error) = self.pump(blob, &mut upload, sender).await {
            // What came is worth nothing without the rest: nobody would go on with it.
            if let Err(error) = upload.cancel().await {
                tracing::warn!(%error, "a download that broke off is taken away later");
            }
            return Err(error);
        }
        let Some(stored) = upload.finish(self.digest.clone()).await? else {
            let text = format!("the blob {} has another digest", self.digest);
            return Err(UpstreamError::Unusable(text));
        };
        let (size_bytes, depot) = (stored.size_bytes, self.inner.depot("PullThroughCache")?);
        self.inner.link((&self.key, depot), &self.digest, stored).await?;
        Ok(size_bytes)
    }

    /// Takes in all of it, going on where it broke off.
    async fn pump(
        &self,
        mut blob: RemoteBlob,
        upload: &mut Upload,
        sender: &watch::Sender<Progress>,
    ) -> Result<(), UpstreamError> {
        let mut attempt = 0;
        loop {
            let broken = match self.take_in(&mut blob, upload, sender).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() && attempt < ATTEMPTS_MAX => error,
                Err(error) => return Err(error),
            };
            attempt += 1;
            let Self { key, through, digest, .. } = self;
            let named = digest.as_str();
            tracing::debug!(named, %broken, attempt, "a download goes on where it broke off");
            tokio::time::sleep(PAUSE * attempt).await;
            match self.inner.blob_from(key, through, digest, upload.offset()).await {
                Ok((_, next)) => blob = next,
                Err(error) if error.is_transient() && attempt < ATTEMPTS_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn take_in(
        &self,
        blob: &mut RemoteBlob,
        upload: &mut Upload,
        sender: &watch::Sender<Progress>,
    ) -> Result<(), UpstreamError> {
        let (mut at, mut buffer) = (blob.offset, BytesMut::new());
        let ended = loop {
            let mut piece = match self.remote.piece(blob).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let length = piece.len() as u64;
            // Of a body that begins earlier than was asked for, what is here already.
            let have = upload.offset() + buffer.len() as u64;
            let known = have.saturating_sub(at).min(length);
            at += length;
            buffer.extend_from_slice(&piece.split_off(usize::try_from(known).unwrap_or(0)));
            if at > blob.size_bytes.unwrap_or(LAYER_BYTES_MAX) {
                let text = format!("the blob {} is longer than was said", self.digest);
                return Err(UpstreamError::Unusable(text));
            }
            if buffer.len() >= WRITE_BYTES {
                upload.append(buffer.split().freeze()).await?;
                sender.send_replace(Progress::Coming(upload.offset()));
            }
        };
        if !buffer.is_empty() {
            upload.append(buffer.freeze()).await?;
            sender.send_replace(Progress::Coming(upload.offset()));
        }
        ended?;
        match blob.size_bytes {
            Some(size) if upload.offset() < size => {
                Err(UpstreamError::Away("the blob broke off".to_owned()))
            }
            _ => Ok(()),
        }
    }
}
