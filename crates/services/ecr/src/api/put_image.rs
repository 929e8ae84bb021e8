//! Pushing and pulling manifests by the API.

use shapes::ImageFailureCode as Code;
use shapes_ecr as shapes;
use wire::Context;

use super::key;
use crate::Inner;
use crate::error::Error;
use crate::model::{ContentDigest, MANIFEST_BYTES_MAX, Manifest, Status, is_tag};
use crate::push::{Named, Origin, Push, beside};
use crate::tables::NameKey;

/// One failure of a batch.
pub(super) fn failure(
    id: &shapes::ImageIdentifier,
    code: Code,
    reason: impl Into<String>,
) -> shapes::ImageFailure {
    shapes::ImageFailure {
        failure_code: Some(code),
        failure_reason: Some(reason.into()),
        image_id: Some(id.clone()),
    }
}

/// What an id of a batch names, or why it names nothing.
pub(super) fn named(id: &shapes::ImageIdentifier) -> Result<Named, shapes::ImageFailure> {
    let (digest, tag) = (id.image_digest.clone(), id.image_tag.clone());
    if digest.is_none() && tag.is_none() {
        let reason = "Invalid request parameters: both tag and digest cannot be null";
        return Err(failure(id, Code::MissingDigestAndTag, reason));
    }
    if digest.as_ref().is_some_and(|text| text.parse::<ContentDigest>().is_err()) {
        let reason = "Invalid request parameters: image digest should satisfy the regex \
                      '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'";
        return Err(failure(id, Code::InvalidImageDigest, reason));
    }
    if tag.as_ref().is_some_and(|text| !is_tag(text)) {
        let reason = "Invalid request parameters: the image tag is malformed";
        return Err(failure(id, Code::InvalidImageTag, reason));
    }
    Ok(Named { digest, tag })
}

impl Inner {
    /// Puts an image whose layers were uploaded.
    pub(super) async fn put_image(
        &self,
        context: Context,
        input: shapes::PutImageRequest,
    ) -> Result<shapes::PutImageResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        if let Some(tag) = input.image_tag.as_ref().filter(|tag| !is_tag(tag)) {
            let why = format!("'{tag}' is not a tag");
            return Err(Error::parameter("imageTag", why));
        }
        let text = input.image_manifest;
        let media_type = input.image_manifest_media_type.as_deref();
        let manifest = Manifest::parse(text.as_bytes(), media_type)?;
        let actual = ContentDigest::from(blobs::Digest::of(text.as_bytes()));
        let given = input.image_digest.as_deref();
        if let Some(given) = given.filter(|given| *given != actual.as_str()) {
            let (given, actual) = (given.to_owned(), actual.to_string());
            return Err(Error::DigestDiffers { given, actual });
        }
        let manifest_bytes = text.len() as u64;
        let hold = self.depot("PutImage")?.put(text.clone().into()).await?;
        let tags: Vec<String> = input.image_tag.clone().into_iter().collect();
        let push = Push {
            key: &key,
            digest: actual.as_str(),
            manifest: &manifest,
            manifest_bytes,
            stored: hold.digest(),
            tags: &tags,
            is_strict: true,
            origin: Origin::Client,
        };
        self.ledger.transact("put image", |tx| self.tables.push(tx, &push)).await?;
        let image = shapes::Image {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(actual.to_string()),
                image_tag: input.image_tag,
            }),
            image_manifest: Some(text),
            image_manifest_media_type: Some(manifest.media_type),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        };
        Ok(shapes::PutImageResponse { image: Some(image) })
    }

    /// Manifests, as they were pushed.
    pub(super) async fn batch_get_image(
        &self,
        context: Context,
        input: shapes::BatchGetImageRequest,
    ) -> Result<shapes::BatchGetImageResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        let accepted = input.accepted_media_types.unwrap_or_default();
        let (mut images, mut failures) = (Vec::new(), Vec::new());
        for id in &input.image_ids {
            match self.get_image(&context, &key, id, &accepted).await? {
                Ok(image) => images.push(image),
                Err(failure) => failures.push(failure),
            }
        }
        let (images, failures) = (Some(images), Some(failures));
        Ok(shapes::BatchGetImageResponse { failures, images })
    }

    async fn get_image(
        &self,
        context: &Context,
        key: &NameKey,
        id: &shapes::ImageIdentifier,
        accepted: &[String],
    ) -> Result<Result<shapes::Image, shapes::ImageFailure>, Error> {
        let named = match named(id) {
            Ok(named) => named,
            Err(failure) => return Ok(Err(failure)),
        };
        let snapshot = self.ledger.snapshot();
        let missing = |reason: &str| Ok(Err(failure(id, Code::ImageNotFound, reason)));
        let (digest, row) = match self.tables.image(&snapshot, key, &named) {
            Ok(found) => found,
            Err(_) => return Ok(Err(self.not_found(key, id, &named))),
        };
        if row.status == Status::Archived {
            return missing("The image is archived");
        }
        if !accepted.is_empty() && !accepted.contains(&row.media_type) {
            return missing("Requested image not found");
        }
        let at = beside(key, &digest);
        if self.tables.is_pull_news(&snapshot, &at, context.now) {
            self.note_pull(&Some(context.caller.clone()), at).await;
        }
        let depot = self.depot("BatchGetImage")?;
        let bytes = depot.read(row.stored, MANIFEST_BYTES_MAX as u64).await?;
        Ok(Ok(shapes::Image {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(digest),
                image_tag: named.tag,
            }),
            image_manifest: Some(String::from_utf8_lossy(&bytes).into_owned()),
            image_manifest_media_type: Some(row.media_type.clone()),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1.clone()),
        }))
    }

    /// Why an id of the right form names nothing.
    pub(super) fn not_found(
        &self,
        key: &NameKey,
        id: &shapes::ImageIdentifier,
        named: &Named,
    ) -> shapes::ImageFailure {
        let snapshot = self.ledger.snapshot();
        let is_there = |named: Named| self.tables.image(&snapshot, key, &named).is_ok();
        let Named { digest, tag } = named.clone();
        let both = digest.is_some() && tag.is_some();
        let is_mixed =
            both && is_there(Named { digest, tag: None }) && is_there(Named { digest: None, tag });
        match is_mixed {
            true => failure(
                id,
                Code::ImageTagDoesNotMatchDigest,
                "Invalid request parameters: the image tag does not match the image digest",
            ),
            false => failure(id, Code::ImageNotFound, "Requested image not found"),
        }
    }
}
