//! Uploads of blobs, in all the ways that clients have, and mounts (reference: registry semantics §3).

use ::http::header::RANGE;
use ::http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, LOCATION};
use ::http::{HeaderMap, Response, StatusCode};
use bytes::BytesMut;
use ledger::View;
use terms::Uuid;
use wire::Body;

use super::access::{BEGIN_UPLOAD, END_UPLOAD, PULL_LAYER, UPLOAD_PART};
use super::blobs::{busy, kept_until};
use super::pieces::{Coming, Piece, again};
use super::range;
use super::refusal::{Refusal, Words};
use super::target;
use super::{Answer, CONTENT_DIGEST, Request, value};
use crate::depot::{Depot, DepotError, Stored, Upload};
use crate::error::Error;
use crate::model::{ContentDigest, Layer};
use crate::push::beside;
use crate::tables::{DigestKey, NameKey};

/// The largest layer (ECR's quota: 52,000 MiB).
pub(crate) const LAYER_BYTES_MAX: u64 = 52_000 * 1024 * 1024;
/// What is gathered before it is written. With few uploads the next piece is gathered meanwhile.
const WRITE_BYTES: usize = 256 * 1024;
/// The same where uploads wait for each other, or many share the processors: with what hyper reads ahead, this is
/// what each holds in memory.
const CROWDED_BYTES: usize = 128 * 1024;
/// So many transfers at once are few.
const FEW: usize = 8;
/// Repositories that are looked at for a blob that is to be mounted from anywhere.
const SOURCES_MAX: usize = 64;

static UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl crate::Inner {
    /// Writes down that a repository has a blob that came whole to the depot.
    pub(crate) async fn link(
        &self,
        (key, depot): (&NameKey, &Depot),
        digest: &ContentDigest,
        stored: Stored,
    ) -> Result<(), Error> {
        let (at, Stored { hold, size_bytes }) = (beside(key, digest.as_str()), stored);
        let file = hold.digest();
        let done = self.ledger.transact("ecr: link a blob", |tx| {
            self.tables.repository(tx, key)?;
            self.tables.claim(tx, &hold)?;
            let kept_until = kept_until(tx.now());
            tx.put(&self.tables.layers, at.clone(), Layer { size_bytes, stored: file, kept_until });
            Ok(())
        });
        let done = done.await;
        depot.settle(hold, done).await.map(drop)
    }
}

impl Request<'_> {
    /// Begins an upload; or does all of it, or mounts a blob that another repository has.
    pub(super) async fn begin_upload(&self, name: &str, body: Body) -> Answer {
        self.check(BEGIN_UPLOAD, name)?;
        let key = self.key(name);
        self.ensure_repository(&key).await?;
        if let Some(text) = self.query("mount") {
            let digest = target::digest(&text)?;
            if self.mount(&key, &digest).await?.is_some() {
                return Ok(made(name, &digest));
            }
        }
        if let Some(algorithm) = self.query("digest-algorithm")
            && !["sha256", "sha512"].contains(&algorithm.as_str())
        {
            let text = format!("'{algorithm}' is not a digest algorithm of this registry");
            return Err(Refusal::new(Words::DigestInvalid, text));
        }
        let digest = self.query("digest").map(|text| target::digest(&text)).transpose()?;
        let id = Uuid::from_random(self.inner.setup.ids.next());
        let upload = self.depot.begin_upload(id, &key.0, name).await?;
        match digest {
            None => Ok(under_way(StatusCode::ACCEPTED, name, &upload)),
            Some(digest) => {
                self.check(UPLOAD_PART, name)?;
                self.check(END_UPLOAD, name)?;
                self.complete(&key, upload, body, &digest).await
            }
        }
    }

    /// Gives a repository a blob that another one has, if the caller may pull it from there.
    async fn mount(&self, key: &NameKey, digest: &ContentDigest) -> Result<Option<()>, Refusal> {
        let tables = &self.inner.tables;
        let is_on = |settings: &crate::model::RegistrySettings| {
            settings.account.get("BLOB_MOUNTING").is_none_or(|value| value == "ENABLED")
        };
        let snapshot = self.inner.ledger.snapshot();
        let is_allowed = snapshot.get(&tables.registries, &key.0).is_none_or(|row| is_on(&row));
        if !is_allowed {
            return Ok(None);
        }
        let Some(source) = self.source_of_mount(&snapshot, key, digest) else { return Ok(None) };
        let Some(there) = snapshot.get(&tables.layers, &source) else { return Ok(None) };
        let _hold = self.depot.hold(&there.stored);
        let at = beside(key, digest.as_str());
        let done = self.inner.ledger.transact("ecr: mount a blob", |tx| {
            tables.repository(tx, key)?;
            let Some(row) = tx.get(&tables.layers, &source) else { return Ok(None) };
            let layer = Layer { kept_until: kept_until(tx.now()), ..Layer::clone(&row) };
            tx.put(&tables.layers, at.clone(), layer);
            Ok::<_, Error>(Some(()))
        });
        Ok(done.await?.value)
    }

    /// Where a blob is that is to be mounted: in the repository that is named, or without one, in this or
    /// any. Only where the caller may pull it from: else this would tell what others have.
    fn source_of_mount(
        &self,
        view: &impl View,
        key: &NameKey,
        digest: &ContentDigest,
    ) -> Option<DigestKey> {
        let may_pull = |name: &str| self.check(PULL_LAYER, name).is_ok();
        if let Some(from) = self.query("from") {
            let is_one = crate::model::is_repository_name(&from) && may_pull(&from);
            return is_one.then(|| beside(&self.key(&from), digest.as_str()));
        }
        let (tables, own) = (&self.inner.tables, beside(key, digest.as_str()));
        if view.get(&tables.layers, &own).is_some() {
            return may_pull(&key.1).then_some(own);
        }
        let (index, named) = match digest.stored() {
            Some(stored) => (&tables.layers_by_stored, stored.to_string()),
            None => (&tables.layers_by_digest, digest.to_string()),
        };
        let others = view.index(index, &named).map(|(at, _)| at);
        let others = others.filter(|at| at.0 == key.0 && at.2 == digest.as_str());
        others.take(SOURCES_MAX).find(|at| may_pull(&at.1))
    }

    /// Adds a part.
    pub(super) async fn add_to_upload(&self, name: &str, id: &str, body: Body) -> Answer {
        self.check(UPLOAD_PART, name)?;
        let mut upload = self.upload(name, id).await?;
        let range = self.part(name, &upload)?;
        let before = upload.offset();
        let taken = self.take_in(&mut upload, body, range).await;
        // Of one that broke off, too: the client goes on after what came.
        let saved = upload.save().await;
        taken?;
        saved.map_err(full)?;
        check_length(range, before, &upload)?;
        Ok(under_way(StatusCode::ACCEPTED, name, &upload))
    }

    /// Ends an upload, with or without a last part.
    pub(super) async fn end_upload(&self, name: &str, id: &str, body: Body) -> Answer {
        self.check(END_UPLOAD, name)?;
        let upload = self.upload(name, id).await?;
        let Some(text) = self.query("digest") else {
            return Err(Refusal::new(Words::DigestInvalid, "the parameter digest is missing"));
        };
        let digest = target::digest(&text)?;
        self.complete(&self.key(name), upload, body, &digest).await
    }

    async fn complete(
        &self,
        key: &NameKey,
        mut upload: Upload,
        body: Body,
        digest: &ContentDigest,
    ) -> Answer {
        let range = self.part(&key.1, &upload)?;
        let before = upload.offset();
        self.take_in(&mut upload, body, range).await?;
        check_length(range, before, &upload)?;
        let Some(stored) = upload.finish(digest.clone()).await? else {
            let text = "provided digest did not match uploaded content";
            let detail = serde_json::json!({ "digest": digest.as_str() });
            return Err(Refusal::new(Words::DigestInvalid, text).detail(detail));
        };
        self.inner.link((key, self.depot), digest, stored).await?;
        Ok(made(&key.1, digest))
    }

    /// How far an upload is.
    pub(super) async fn show_upload(&self, name: &str, id: &str) -> Answer {
        self.check(UPLOAD_PART, name)?;
        let upload = self.upload(name, id).await?;
        Ok(under_way(StatusCode::NO_CONTENT, name, &upload))
    }

    /// Ends an upload without a blob. Whoever may push may do so.
    pub(super) async fn cancel_upload(&self, name: &str, id: &str) -> Answer {
        self.check(UPLOAD_PART, name)?;
        self.upload(name, id).await?.cancel().await?;
        Ok(Self::bare(StatusCode::NO_CONTENT))
    }

    async fn upload(&self, name: &str, id: &str) -> Result<Upload, Refusal> {
        let key = self.key(name);
        self.inner.tables.repository(&self.inner.ledger.snapshot(), &key)?;
        let found = self.depot.upload(id, &key.0, name).await?;
        found.ok_or_else(|| Refusal::new(Words::UploadUnknown, "blob upload unknown to registry"))
    }

    /// What the request says of its part's place, if it says something; it must follow what came.
    fn part(&self, name: &str, upload: &Upload) -> Result<Option<(u64, u64)>, Refusal> {
        let Some(header) = self.headers().get(CONTENT_RANGE) else { return Ok(None) };
        let range = header.to_str().ok().and_then(range::of_part);
        let Some((first, last)) = range else {
            let text = "Content-Range must be FIRST-LAST, both included";
            return Err(Refusal::new(Words::SizeInvalid, text));
        };
        if first != upload.offset() {
            let text = format!("the next byte of this upload is {}", upload.offset());
            let mut refusal = Refusal::new(Words::RangeInvalid, text);
            let headers = progress(name, upload);
            for (header, value) in headers.into_iter().filter_map(|(h, v)| Some((h?, v))) {
                refusal = refusal.header(header, value);
            }
            return Err(refusal);
        }
        let length = self.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            Some(length) if length != last - first + 1 => Err(Refusal::new(
                Words::SizeInvalid,
                format!("Content-Range has {} bytes, the body {length}", last - first + 1),
            )),
            _ => Ok(Some((first, last))),
        }
    }

    /// Adds a body to an upload: a piece is hashed and written while the next one comes, unless that
    /// may have to wait for others. What came stays if it breaks off.
    async fn take_in(
        &self,
        upload: &mut Upload,
        body: Body,
        range: Option<(u64, u64)>,
    ) -> Result<(), Refusal> {
        let _place = self.inner.transfers.try_acquire().map_err(|_| busy())?;
        let limit = range.map_or(LAYER_BYTES_MAX, |(_, last)| last.saturating_add(1));
        let mut coming = Coming::new(body, upload.offset(), limit.min(LAYER_BYTES_MAX));
        let mut room = BytesMut::new();
        let mut piece = coming.gather(BytesMut::new(), CROWDED_BYTES).await;
        loop {
            let Piece { bytes, ended } = piece;
            if let Some(ended) = ended {
                if !bytes.is_empty() {
                    upload.append(bytes).await.map_err(full)?;
                }
                return ended;
            }
            if upload.waits_for_others() || self.inner.transfers_under_way() > FEW {
                upload.append(bytes.clone()).await.map_err(full)?;
                piece = coming.gather(again(bytes), CROWDED_BYTES).await;
                room = BytesMut::new();
            } else {
                let next = coming.gather(room, WRITE_BYTES);
                let (written, next) = tokio::join!(upload.append(bytes.clone()), next);
                written.map_err(full)?;
                (piece, room) = (next, again(bytes));
            }
        }
    }
}

/// A full disk is told as what it is.
fn full(error: DepotError) -> Refusal {
    match &error {
        DepotError::Ingest(cause) if cause.is_disk_full() => {
            Refusal::new(Words::Unavailable, "the registry's disk is full")
        }
        _ => error.into(),
    }
}

fn check_length(range: Option<(u64, u64)>, before: u64, upload: &Upload) -> Result<(), Refusal> {
    let Some((first, last)) = range else { return Ok(()) };
    let (said, came) = (last - first + 1, upload.offset() - before);
    match said == came {
        true => Ok(()),
        false => {
            let text = format!("Content-Range has {said} bytes, the body {came}");
            Err(Refusal::new(Words::SizeInvalid, text))
        }
    }
}

/// Where an upload goes on, and how far it is.
fn progress(name: &str, upload: &Upload) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = upload.id();
    // Relative: behind a proxy, nobody knows the scheme that the client uses.
    headers.insert(LOCATION, value(&format!("/v2/{name}/blobs/uploads/{id}")));
    let last = upload.offset().saturating_sub(1);
    headers.insert(RANGE, value(&format!("0-{last}")));
    headers.insert(UPLOAD_ID.clone(), value(id));
    headers
}

fn under_way(status: StatusCode, name: &str, upload: &Upload) -> Response<Body> {
    let mut response = Request::bare(status);
    *response.headers_mut() = progress(name, upload);
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    response
}

fn made(name: &str, digest: &ContentDigest) -> Response<Body> {
    let mut response = Request::bare(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, value(&format!("/v2/{name}/blobs/{digest}")));
    headers.insert(CONTENT_DIGEST.clone(), value(digest.as_str()));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}
