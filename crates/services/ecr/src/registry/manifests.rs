//! Manifests and indexes: pulling, pushing, deleting.

use ::http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
};
use ::http::{Method, Response, StatusCode};
use wire::Body;

use super::access::{CREATE_REPOSITORY, DELETE_IMAGE, PULL_IMAGE, PUT_IMAGE, REPLICATE_IMAGE};
use super::refusal::{Refusal, Words};
use super::{Answer, CONTENT_DIGEST, Request, value};
use crate::creation::Case;
use crate::error::Error;
use crate::model::{ContentDigest, MANIFEST_BYTES_MAX, Manifest, ManifestError, Status, is_tag};
use crate::push::{Origin, Push, Reference, beside};
use crate::replication::REPLICA_OF;
use crate::tables::NameKey;
use crate::upstream::Found;

/// Tags that one request gives (the specification asks for ten at least).
const TAG_PARAMETERS_MAX: usize = 32;

static SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
static TAG: HeaderName = HeaderName::from_static("oci-tag");

/// The answer to a pull of a manifest.
fn answer(media_type: &str, manifest_bytes: u64, digest: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, value(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(manifest_bytes));
    headers.insert(CONTENT_DIGEST.clone(), value(digest));
    headers.insert(ETAG, value(&format!("\"{digest}\"")));
    response
}

impl Request<'_> {
    /// A manifest as it was pushed.
    pub(super) async fn get_manifest(&self, name: &str, reference: &Reference) -> Answer {
        self.check(PULL_IMAGE, name)?;
        let key = self.key(name);
        if let Some(found) = self.manifest_through(&key, reference).await? {
            return self.show_found(&found, reference);
        }
        let (snapshot, tables) = (self.inner.ledger.snapshot(), &self.inner.tables);
        tables.repository(&snapshot, &key)?;
        let (digest, image) = tables.image(&snapshot, &key, &reference.named())?;
        if image.status == Status::Archived {
            let text = "the image is archived: restore it with ecr update-image-storage-class";
            return Err(Refusal::new(Words::ManifestUnknown, text));
        }
        // A digest means these bytes whatever the client says it takes.
        if matches!(reference, Reference::Tag(_)) && !self.accepts(&image.media_type) {
            let text = format!("the image is of type {}, which is not accepted", image.media_type);
            return Err(Refusal::new(Words::ManifestUnknown, text));
        }
        let body = match *self.method() == Method::HEAD {
            true => Body::empty(),
            false => {
                let at = beside(&key, &digest);
                if tables.is_pull_news(&snapshot, &at, self.now()) {
                    self.inner.note_pull(&self.session.caller, at).await;
                }
                let bytes = self.depot.read(image.stored, MANIFEST_BYTES_MAX as u64).await?;
                Body::from(bytes)
            }
        };
        Ok(answer(&image.media_type, image.manifest_bytes, &digest, body))
    }

    /// A manifest that is on its way from upstream.
    fn show_found(&self, found: &Found, reference: &Reference) -> Answer {
        let media_type = &found.manifest.media_type;
        if matches!(reference, Reference::Tag(_)) && !self.accepts(media_type) {
            let text = format!("the image is of type {media_type}, which is not accepted");
            return Err(Refusal::new(Words::ManifestUnknown, text));
        }
        let body = match *self.method() == Method::HEAD {
            true => Body::empty(),
            false => Body::from(found.bytes.clone()),
        };
        Ok(answer(media_type, found.bytes.len() as u64, found.digest.as_str(), body))
    }

    /// Sees to it that the repository is there, making it if a template says so, or for what another
    /// registry replicates.
    pub(super) async fn ensure_repository(&self, key: &NameKey) -> Result<(), Refusal> {
        let case = match self.origin(&key.1)? {
            Origin::Replica => Case::Replication,
            Origin::Client | Origin::Upstream => Case::Push,
        };
        let missing = self.inner.tables.repository(&self.inner.ledger.snapshot(), key).err();
        let Some(missing) = missing else { return Ok(()) };
        let is_allowed = self.check(CREATE_REPOSITORY, &key.1).is_ok();
        match is_allowed && self.inner.create_for(case, key).await? {
            true => Ok(()),
            false => Err(missing.into()),
        }
    }

    /// Where what the client pushes comes from: another registry says so, and needs the right to.
    fn origin(&self, name: &str) -> Result<Origin, Refusal> {
        match self.headers().contains_key(&REPLICA_OF) {
            true => self.check(REPLICATE_IMAGE, name).map(|()| Origin::Replica),
            false => Ok(Origin::Client),
        }
    }

    /// Whether the client takes a type: it says so, says that it takes all, or says nothing.
    fn accepts(&self, media_type: &str) -> bool {
        let mut is_said = false;
        for header in self.headers().get_all(ACCEPT) {
            for range in header.to_str().unwrap_or_default().split(',') {
                let range = range.split(';').next().unwrap_or_default().trim();
                is_said |= !range.is_empty();
                if range == media_type || range == "*/*" || range == "application/*" {
                    return true;
                }
            }
        }
        !is_said
    }

    /// Puts a manifest into a repository.
    pub(super) async fn put_manifest(
        &self,
        name: &str,
        reference: &Reference,
        body: Body,
    ) -> Answer {
        self.check(PUT_IMAGE, name)?;
        let key = self.key(name);
        self.ensure_repository(&key).await?;
        let bytes = body.collect(MANIFEST_BYTES_MAX).await.map_err(|error| match error.status {
            413 => Refusal::from(Error::Manifest(ManifestError::TooLarge)),
            _ => Refusal::new(Words::ManifestInvalid, "the body broke off"),
        })?;
        let content_type = self.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.and_then(|text| text.split(';').next()).map(str::trim);
        let content_type = content_type.filter(|text| !text.is_empty());
        let manifest = Manifest::parse(&bytes, content_type).map_err(Error::from)?;
        let (digest, tags) = match reference {
            Reference::Digest(digest) if !digest.fits(&bytes) => {
                let actual = blobs::Digest::of(&bytes).to_string();
                return Err(Error::DigestDiffers { given: digest.to_string(), actual }.into());
            }
            Reference::Digest(digest) => (digest.clone(), self.tag_parameters()?),
            Reference::Tag(tag) => {
                (ContentDigest::from(blobs::Digest::of(&bytes)), vec![tag.clone()])
            }
        };
        let manifest_bytes = bytes.len() as u64;
        let hold = self.depot.put(bytes).await?;
        let push = Push {
            key: &key,
            digest: digest.as_str(),
            manifest: &manifest,
            manifest_bytes,
            hold: &hold,
            tags: &tags,
            is_strict: false,
            origin: self.origin(name)?,
        };
        let tables = &self.inner.tables;
        let done = self.inner.ledger.transact("ecr: push", |tx| tables.push(tx, &push)).await;
        self.depot.settle(hold, done).await?;
        let mut response = Self::bare(StatusCode::CREATED);
        let headers = response.headers_mut();
        headers.insert(LOCATION, value(&format!("/v2/{name}/manifests/{digest}")));
        headers.insert(CONTENT_DIGEST.clone(), value(digest.as_str()));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
        if let Some(subject) = &manifest.subject {
            headers.insert(SUBJECT.clone(), value(subject));
        }
        if matches!(reference, Reference::Digest(_)) {
            for tag in &tags {
                headers.append(TAG.clone(), value(tag));
            }
        }
        Ok(response)
    }

    /// The tags that a push by digest gives.
    fn tag_parameters(&self) -> Result<Vec<String>, Refusal> {
        let mut tags = self.queries("tag");
        tags.sort();
        tags.dedup();
        if tags.len() > TAG_PARAMETERS_MAX {
            let text = format!("more than {TAG_PARAMETERS_MAX} tags in one request");
            return Err(Refusal::new(Words::TagInvalid, text));
        }
        match tags.iter().find(|tag| !is_tag(tag)) {
            Some(wrong) => {
                let wrong: String = wrong.chars().take(128).collect();
                Err(Refusal::new(Words::TagInvalid, format!("'{wrong}' is no tag")))
            }
            None => Ok(tags),
        }
    }

    /// Takes a tag away; or, by digest, an image with all its tags.
    pub(super) async fn delete_manifest(&self, name: &str, reference: &Reference) -> Answer {
        self.check(DELETE_IMAGE, name)?;
        let (key, tables) = (self.key(name), &self.inner.tables);
        let done = self.inner.ledger.transact("ecr: delete", |tx| {
            tables.repository(tx, &key)?;
            let (digest, _) = tables.image(tx, &key, &reference.named())?;
            match reference {
                Reference::Digest(_) => tables.remove_image(tx, &key, &digest),
                Reference::Tag(tag) => {
                    tx.delete(&tables.tags, &beside(&key, tag));
                    Ok(())
                }
            }
        });
        done.await?;
        Ok(Self::bare(StatusCode::ACCEPTED))
    }
}
