//! The bucket itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use distribution::Authorities;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    BackoffConfig, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig,
};

use crate::direct::{Direct, Refusal};
use crate::error::{Meaning, words};
use crate::http::Carrier;
use crate::{Address, BucketError, Content, Keys};

/// How often a request is sent again that its server did not answer, or answered with 5xx.
pub(crate) const RETRIES_MAX: usize = 4;
/// No more of that after this time.
pub(crate) const RETRY_TIMEOUT: Duration = Duration::from_secs(20);
/// The first wait before that, and the longest.
pub(crate) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(100), Duration::from_secs(5));
/// The server may send nothing for so long in the middle of an object.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The object that says whose the bucket is.
const OWNER: &str = "owner";
/// The longest name of an owner, in bytes.
const OWNER_BYTES_MAX: u64 = 256;

/// What a bucket's server does.
trait Objects: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Objects for T {}

/// A bucket, or what of it is below a prefix. Cheap to clone. Keys of objects are `/`-separated names
/// of ASCII letters, digits, dots and dashes.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn Objects>,
    /// None for a store in memory.
    direct: Option<Arc<Direct>>,
    prefix: Arc<str>,
    shown: Arc<str>,
}

/// An object on its way.
pub struct Reading {
    bucket: Bucket,
    key: String,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
}

impl Bucket {
    /// The bucket at an address; nothing is asked of its server yet. Blocks on the disk where the
    /// system keeps certificates.
    ///
    /// # Errors
    /// If the system has no certificates to trust.
    pub fn connect(
        address: &Address,
        keys: &Keys,
        authorities: &Authorities,
    ) -> Result<Self, BucketError> {
        let unusable = |why: String| BucketError::Unusable { bucket: address.to_string(), why };
        let is_plain = address.is_plain();
        let carrier = Carrier::new(authorities, is_plain).map_err(unusable)?;
        let (init_backoff, max_backoff) = BACKOFF;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff, max_backoff, ..BackoffConfig::default() },
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&address.bucket)
            .with_region(&address.region)
            .with_access_key_id(&keys.access_key_id)
            .with_secret_access_key(&keys.secret_access_key)
            .with_allow_http(is_plain)
            .with_virtual_hosted_style_request(false)
            // One by one, as every server knows it.
            .with_disable_bulk_delete(true)
            .with_retry(retry)
            .with_http_connector(carrier.clone());
        if let Some(token) = &keys.session_token {
            builder = builder.with_token(token);
        }
        if let Some(endpoint) = &address.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder.build().map_err(|error| unusable(error.to_string()))?;
        let Address { bucket, endpoint, region, .. } = address.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let credential = AwsCredential {
            key_id: keys.access_key_id.clone(),
            secret_key: keys.secret_access_key.clone(),
            token: keys.session_token.clone(),
        };
        let base = format!("{endpoint}/{bucket}");
        let direct = Some(Arc::new(Direct { base, credential, region, carrier }));
        let shown = address.to_string().into();
        Ok(Self { store: Arc::new(store), direct, prefix: address.prefix.as_str().into(), shown })
    }

    /// A bucket in this process's memory, for tests: clones share it.
    pub fn in_memory() -> Self {
        let store = Arc::new(InMemory::new());
        let shown = "a bucket in memory".into();
        Self { store, direct: None, prefix: "test".into(), shown }
    }

    fn path(&self, key: &str) -> Path {
        match self.prefix.is_empty() {
            true => Path::from(key),
            false => Path::from(format!("{}/{key}", self.prefix)),
        }
    }

    fn refused(
        &self,
        action: &'static str,
        key: &str,
    ) -> impl FnOnce(object_store::Error) -> BucketError {
        let (object, bucket) = (key.to_owned(), self.shown.to_string());
        move |error| {
            let (why, meaning) = (words(&error), Meaning::of(&error));
            BucketError::Refused { action, object, bucket, why, meaning }
        }
    }

    /// Sees to it that the bucket is `owner`'s: theirs already, or nobody's until now.
    ///
    /// # Errors
    /// If it is another's, cannot be reached, or cannot be written.
    pub async fn own(&self, owner: &str) -> Result<(), BucketError> {
        if self.get(OWNER, OWNER_BYTES_MAX).await?.is_none() {
            self.put(OWNER, Bytes::copy_from_slice(owner.as_bytes())).await?;
        }
        // Read again: another may have written at the same time.
        let found = self.get(OWNER, OWNER_BYTES_MAX).await?.unwrap_or_default();
        match found == owner.as_bytes() {
            true => Ok(()),
            false => {
                let owner = String::from_utf8_lossy(&found).into_owned();
                Err(BucketError::Foreign { bucket: self.shown.to_string(), owner })
            }
        }
    }

    /// Writes an object, over one that is there.
    ///
    /// # Errors
    /// If the server does not take it.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BucketError> {
        let done = self.store.put(&self.path(key), PutPayload::from(bytes)).await;
        done.map(drop).map_err(self.refused("write", key))
    }

    /// A whole object of at most `limit_bytes`; `None` if there is none.
    ///
    /// # Errors
    /// If it is larger, or cannot be read.
    pub async fn get(&self, key: &str, limit_bytes: u64) -> Result<Option<Bytes>, BucketError> {
        let Some(mut reading) = self.read_whole(key).await? else { return Ok(None) };
        let mut bytes = BytesMut::new();
        while let Some(piece) = reading.next().await? {
            if bytes.len() as u64 + piece.len() as u64 > limit_bytes {
                let (object, bucket) = (key.to_owned(), self.shown.to_string());
                return Err(BucketError::TooLarge { object, bucket, limit_bytes });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.freeze()))
    }

    /// The length of an object; `None` if there is none.
    ///
    /// # Errors
    /// If the server does not say.
    pub async fn size_bytes(&self, key: &str) -> Result<Option<u64>, BucketError> {
        match self.store.head(&self.path(key)).await.map_err(self.refused("look at", key)) {
            Ok(told) => Ok(Some(told.size)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to read a whole object; `None` if there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read_whole(&self, key: &str) -> Result<Option<Reading>, BucketError> {
        match self.open(key, None).await {
            Ok(reading) => Ok(Some(reading)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins to read `count` bytes (one at least) of an object, from byte `first` on.
    ///
    /// # Errors
    /// If it is not there, or cannot be read.
    pub async fn read(&self, key: &str, first: u64, count: u64) -> Result<Reading, BucketError> {
        self.open(key, Some(GetRange::Bounded(first..first + count))).await
    }

    async fn open(&self, key: &str, range: Option<GetRange>) -> Result<Reading, BucketError> {
        let options = GetOptions { range, ..GetOptions::default() };
        let got = self.store.get_opts(&self.path(key), options).await;
        let stream = got.map_err(self.refused("read", key))?.into_stream();
        Ok(Reading { bucket: self.clone(), key: key.to_owned(), stream })
    }

    /// Deletes an object; that there is none is no error.
    ///
    /// # Errors
    /// If the server does not.
    pub async fn delete(&self, key: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.path(key)).await.map_err(self.refused("delete", key)) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells the names of all objects in a folder, without it.
    ///
    /// # Errors
    /// If the server does not list them.
    pub async fn each(
        &self,
        folder: &str,
        mut visit: impl FnMut(&str) + Send,
    ) -> Result<(), BucketError> {
        let path = self.path(folder);
        let mut listed = self.store.list(Some(&path));
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, listed.next());
            let next = next.await.map_err(|_| self.silent(folder))?;
            let Some(found) = next else { return Ok(()) };
            let found = found.map_err(self.refused("list", folder))?;
            if let Some(name) = found.location.filename() {
                visit(name);
            }
        }
    }

    /// Begins an object that comes in parts; what its upload is called.
    ///
    /// # Errors
    /// If the server does not begin it.
    pub async fn begin_parts(&self, key: &str) -> Result<String, BucketError> {
        let begun = self.store.create_multipart(&self.path(key)).await;
        begun.map_err(self.refused("begin", key))
    }

    /// Sends a part, counted from 0; what it is called. All but the last have the same length, of
    /// 5 MiB at least.
    ///
    /// # Errors
    /// If the server does not take it.
    pub async fn put_part(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        bytes: Bytes,
    ) -> Result<String, BucketError> {
        let (path, upload) = (self.path(key), upload.to_owned());
        let put = self.store.put_part(&path, &upload, number, PutPayload::from(bytes)).await;
        Ok(put.map_err(self.refused("write a part of", key))?.content_id)
    }

    /// Writes an object over one that is there, without having all of it in memory.
    ///
    /// # Errors
    /// If it cannot be read, or the server does not take it.
    pub async fn put_content(&self, key: &str, content: &Content) -> Result<(), BucketError> {
        let Some(direct) = &self.direct else {
            return self.put(key, self.read_content(key, content).await?).await;
        };
        let put = direct.put(self.path(key).as_ref(), content).await;
        put.map_err(|refusal| self.told("write", key, refusal))
    }

    /// The same of a part, as [`Bucket::put_part`].
    ///
    /// # Errors
    /// If it cannot be read, or the server does not take it.
    pub async fn put_part_content(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        content: &Content,
    ) -> Result<String, BucketError> {
        let Some(direct) = &self.direct else {
            let bytes = self.read_content(key, content).await?;
            return self.put_part(key, upload, number, bytes).await;
        };
        let put = direct.put_part(self.path(key).as_ref(), (upload, number), content).await;
        put.map_err(|refusal| self.told("write a part of", key, refusal))
    }

    async fn read_content(&self, key: &str, content: &Content) -> Result<Bytes, BucketError> {
        let content = content.clone();
        let read = tokio::task::spawn_blocking(move || content.read()).await;
        read.map_err(std::io::Error::other).flatten().map_err(|error| {
            self.told("write", key, Refusal { why: error.to_string(), meaning: Meaning::Away })
        })
    }

    fn told(&self, action: &'static str, key: &str, refusal: Refusal) -> BucketError {
        let Refusal { why, meaning } = refusal;
        let (object, bucket) = (key.to_owned(), self.shown.to_string());
        BucketError::Refused { action, object, bucket, why, meaning }
    }

    /// Makes the object of its parts, which are named as they came back. Before this, nobody sees
    /// anything of it.
    ///
    /// # Errors
    /// If a part is not what its name says, or there is no such upload.
    pub async fn end_parts(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<(), BucketError> {
        let (path, upload) = (self.path(key), upload.to_owned());
        let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
        let done = self.store.complete_multipart(&path, &upload, parts).await;
        done.map(drop).map_err(self.refused("join the parts of", key))
    }

    /// Throws the parts away; that there is no such upload is no error.
    ///
    /// # Errors
    /// If the server does not.
    pub async fn drop_parts(&self, key: &str, upload: &str) -> Result<(), BucketError> {
        let (path, upload) = (self.path(key), upload.to_owned());
        let done = self.store.abort_multipart(&path, &upload).await;
        match done.map_err(self.refused("throw away the parts of", key)) {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }

    fn silent(&self, key: &str) -> BucketError {
        BucketError::Silent { object: key.to_owned(), bucket: self.shown.to_string() }
    }
}

impl Reading {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If they stop coming.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BucketError> {
        let next = tokio::time::timeout(SILENCE_MAX, self.stream.next());
        let next = next.await.map_err(|_| self.bucket.silent(&self.key))?;
        next.transpose().map_err(self.bucket.refused("read", &self.key))
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.shown).finish()
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("key", &self.key).finish_non_exhaustive()
    }
}
