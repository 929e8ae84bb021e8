//! How far an upload is: what of it lies in the bucket as parts, and what has come since.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use ::bucket::{Bucket, BucketError, Content};
use blobs::Hasher;
use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use terms::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::tail::Tail;
use super::{blob_key, state_key};
use crate::depot::{DepotError, blocking};

/// The length of parts. S3 takes 5 MiB at least and 10,000 parts at most: so the largest layer, of
/// 52,000 MiB, fits. Some servers want all but the last of one length.
pub(super) const PART_BYTES: usize = 6 * 1024 * 1024;
/// After so many parts the state is saved in the middle of a request, too.
const PARTS_BETWEEN_SAVES: usize = 16;
/// What is on its way to the bucket at once, of all uploads: others wait. Each takes the memory of a piece
/// that is read of its file, and a connection.
const SENT_AT_ONCE: usize = 8;
/// The longest first line of a state: the names of all parts.
const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What all uploads to a bucket share.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) bucket: Bucket,
    /// A folder of this machine for what is not a part yet.
    pub(super) folder: PathBuf,
    /// Places on the way.
    places: Arc<Semaphore>,
}

impl Means {
    pub(super) fn new(bucket: Bucket, folder: PathBuf) -> Self {
        Self { bucket, folder, places: Arc::new(Semaphore::new(SENT_AT_ONCE)) }
    }

    /// Waits for a place. Whoever waits holds none: each gets one in turn.
    async fn place(&self) -> OwnedSemaphorePermit {
        let place = Arc::clone(&self.places).acquire_owned().await;
        place.expect("places are never closed")
    }
}

/// What there is of an upload. Between two awaits it is always whole: a request may break off anywhere.
pub(super) struct Progress {
    hasher: Hasher,
    offset: u64,
    /// What the upload of parts is called, once there is one.
    upload: Option<String>,
    /// What the parts are called that are there.
    parts: Vec<String>,
    /// The part that is on its way.
    sending: Option<JoinHandle<Result<String, BucketError>>>,
    /// What has come since.
    tail: Tail,
    /// How far what was saved last goes.
    saved: Option<u64>,
    /// Whether the object is there.
    is_complete: bool,
    touched_at: Timestamp,
    /// What came, once more, for those who read it while it comes.
    spool: Option<Arc<File>>,
}

/// What is saved of it, in JSON on a line of its own before the tail.
#[derive(Serialize, Deserialize)]
struct State {
    offset: u64,
    /// Of SHA-256, in hexadecimal digits (`blobs::Hasher::state`).
    hash: String,
    upload: Option<String>,
    parts: Vec<String>,
    touched_at: Timestamp,
}

impl Progress {
    /// Nothing has come.
    pub(super) fn new(means: &Means, now: Timestamp) -> Self {
        Self {
            hasher: Hasher::new(),
            offset: 0,
            upload: None,
            parts: Vec::new(),
            sending: None,
            tail: Tail::new(&means.folder),
            saved: None,
            is_complete: false,
            touched_at: now,
            spool: None,
        }
    }

    /// What was saved of an upload; `None` if nothing was.
    pub(super) async fn load(means: &Means, id: &str) -> Result<Option<Self>, DepotError> {
        let _place = means.place().await;
        let Some(mut reading) = means.bucket.read_whole(&state_key(id)).await? else {
            return Ok(None);
        };
        let unreadable = || DepotError::Unreadable(id.to_owned());
        let (mut line, mut tail) = (BytesMut::new(), Tail::new(&means.folder));
        let mut is_line = true;
        while let Some(mut piece) = reading.next().await? {
            if is_line {
                let end = piece.iter().position(|byte| *byte == b'\n');
                line.extend_from_slice(&piece.split_to(end.unwrap_or(piece.len())));
                is_line = end.is_none();
                piece.advance(usize::from(!is_line));
            }
            if line.len() > LINE_BYTES_MAX || tail.len() + piece.len() > PART_BYTES {
                return Err(unreadable());
            }
            tail.push(piece);
            tail.settle().await?;
        }
        Self::read(&line, tail).map(Some).ok_or_else(unreadable)
    }

    fn read(line: &[u8], tail: Tail) -> Option<Self> {
        let state: State = serde_json::from_slice(line).ok()?;
        let hash = data_encoding::HEXLOWER.decode(state.hash.as_bytes()).ok()?;
        let is_whole = (state.parts.len() * PART_BYTES + tail.len()) as u64 == state.offset;
        is_whole.then_some(())?;
        Some(Self {
            hasher: Hasher::resume(&hash)?,
            offset: state.offset,
            upload: state.upload,
            parts: state.parts,
            sending: None,
            tail,
            saved: Some(state.offset),
            is_complete: false,
            touched_at: state.touched_at,
            spool: None,
        })
    }

    async fn write(&mut self) -> Result<Content, DepotError> {
        self.tail.settle().await?;
        let state = State {
            offset: self.offset,
            hash: data_encoding::HEXLOWER.encode(&self.hasher.state()),
            upload: self.upload.clone(),
            parts: self.parts.clone(),
            touched_at: self.touched_at,
        };
        let mut bytes = serde_json::to_vec(&state).expect("texts and numbers");
        bytes.push(b'\n');
        Ok(self.tail.content().behind(bytes.into()))
    }

    /// How many bytes have come.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// When the last ones did.
    pub(super) fn touched_at(&self) -> Timestamp {
        self.touched_at
    }

    /// Whether all of it can be read again from the bucket.
    pub(super) fn is_saved(&self) -> bool {
        self.saved == Some(self.offset)
    }

    /// Whether something was ever saved.
    pub(super) fn has_state(&self) -> bool {
        self.saved.is_some()
    }

    /// The digest of what has come.
    pub(super) fn digest(&self) -> blobs::Digest {
        self.hasher.clone().finish()
    }

    /// Has all that comes written to a file as well.
    pub(super) fn copy_to(&mut self, file: Arc<File>) {
        self.spool = Some(file);
    }

    /// Adds bytes, and sends what makes a part. After an error, what was saved last is all there is.
    pub(super) async fn append(
        &mut self,
        means: &Means,
        id: &str,
        (mut bytes, now): (Bytes, Timestamp),
    ) -> Result<(), DepotError> {
        if let Some(file) = self.spool.clone() {
            let bytes = bytes.clone();
            let written = blocking(move || (&*file).write_all(&bytes)).await;
            written.map_err(|source| {
                let path = "what comes from upstream".into();
                DepotError::File { action: "write", path, source }
            })?;
        }
        let mut is_due = false;
        loop {
            self.tail.settle().await?;
            if self.tail.len() >= PART_BYTES {
                self.send_part(means, id).await?;
                is_due |= self.parts.len() % PARTS_BETWEEN_SAVES == PARTS_BETWEEN_SAVES - 1;
            }
            if bytes.is_empty() {
                break;
            }
            let piece = bytes.split_to(bytes.len().min(PART_BYTES - self.tail.len()));
            self.hasher.update(&piece);
            self.offset += piece.len() as u64;
            self.touched_at = now;
            self.tail.push(piece);
        }
        if is_due { self.save(means, id).await } else { Ok(()) }
    }

    /// Sends the next part, behind the one that is on its way.
    async fn send_part(&mut self, means: &Means, id: &str) -> Result<(), DepotError> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => {
                let upload = means.bucket.begin_parts(&blob_key(id)).await?;
                self.upload = Some(upload.clone());
                // From now on somebody must be able to throw the parts away.
                self.saved = None;
                self.save(means, id).await?;
                upload
            }
        };
        self.sent().await?;
        let place = means.place().await;
        self.tail.settle().await?;
        let (content, number) = (self.tail.take(), self.parts.len());
        let (bucket, key) = (means.bucket.clone(), blob_key(id));
        let send = async move {
            let _place = place;
            bucket.put_part_content(&key, &upload, number, &content).await
        };
        self.sending = Some(tokio::spawn(send));
        Ok(())
    }

    /// Waits until the part that is on its way is there.
    async fn sent(&mut self) -> Result<(), DepotError> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        let sent = sending.await;
        self.sending = None;
        match sent {
            Ok(sent) => self.parts.push(sent?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        Ok(())
    }

    /// Puts all that has come into the bucket.
    pub(super) async fn save(&mut self, means: &Means, id: &str) -> Result<(), DepotError> {
        self.sent().await?;
        if self.is_saved() {
            return Ok(());
        }
        let _place = means.place().await;
        let (offset, state) = (self.offset, self.write().await?);
        means.bucket.put_content(&state_key(id), &state).await?;
        self.saved = Some(offset);
        Ok(())
    }

    /// Makes an object of all that has come.
    pub(super) async fn complete(&mut self, means: &Means, id: &str) -> Result<(), DepotError> {
        self.sent().await?;
        if !self.is_complete {
            self.join(means, id).await?;
            self.is_complete = true;
        }
        Ok(())
    }

    async fn join(&mut self, means: &Means, id: &str) -> Result<(), DepotError> {
        let place = means.place().await;
        self.tail.settle().await?;
        let (bucket, key, tail) = (&means.bucket, blob_key(id), self.tail.content());
        let Some(upload) = &self.upload else { return Ok(bucket.put_content(&key, &tail).await?) };
        let mut parts = self.parts.clone();
        if !tail.is_empty() {
            parts.push(bucket.put_part_content(&key, upload, parts.len(), &tail).await?);
        }
        drop(place);
        match bucket.end_parts(&key, upload, &parts).await {
            // A server that died since had done so.
            Err(error) if error.is_missing() => match bucket.size_bytes(&key).await? {
                Some(size_bytes) if size_bytes == self.offset => Ok(()),
                _ => Err(error.into()),
            },
            done => Ok(done?),
        }
    }

    /// Throws away the parts that are in the bucket.
    pub(super) async fn drop_parts(&mut self, bucket: &Bucket, id: &str) -> Result<(), DepotError> {
        // One that comes later than its upload ends is nowhere.
        let _ = self.sent().await;
        match self.upload.take().filter(|_| !self.is_complete) {
            Some(upload) => Ok(bucket.drop_parts(&blob_key(id), &upload).await?),
            None => Ok(()),
        }
    }
}
