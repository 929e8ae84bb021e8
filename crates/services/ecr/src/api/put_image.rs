//! Pushing and pulling manifests by the API.

use std::sync::Arc;

use shapes::ImageFailureCode as Code;
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::{arn, key};
use crate::Inner;
use crate::error::Error;
use crate::model::{ContentDigest, MANIFEST_BYTES_MAX, Manifest, Status, is_tag};
use crate::push::{Named, Origin, Push, Reference, beside};
use crate::tables::NameKey;
use crate::upstream::{Blocked, UpstreamError};

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
        let depot = self.depot("PutImage")?;
        let hold = depot.put(text.clone().into()).await?;
        let tags: Vec<String> = input.image_tag.clone().into_iter().collect();
        let push = Push {
            key: &key,
            digest: actual.as_str(),
            manifest: &manifest,
            manifest_bytes,
            hold: &hold,
            tags: &tags,
            is_strict: true,
            origin: Origin::Client,
        };
        let done = self.ledger.transact("put image", |tx| self.tables.push(tx, &push)).await;
        depot.settle(hold, done).await?;
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
        self: &Arc<Self>,
        context: Context,
        input: shapes::BatchGetImageRequest,
    ) -> Result<shapes::BatchGetImageResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        // A pull that goes through makes its repository.
        if self.through(&key).is_none() {
            self.tables.repository(&self.ledger.snapshot(), &key)?;
        }
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
        self: &Arc<Self>,
        context: &Context,
        key: &NameKey,
        id: &shapes::ImageIdentifier,
        accepted: &[String],
    ) -> Result<Result<shapes::Image, shapes::ImageFailure>, Error> {
        let named = match named(id) {
            Ok(named) => named,
            Err(failure) => return Ok(Err(failure)),
        };
        if let Some(done) = self.image_through(context, key, (id, &named), accepted).await? {
            return Ok(done);
        }
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

    /// An image that has to come from upstream; none if what is kept answers. One that is named by tag
    /// and digest at once is looked for here alone.
    async fn image_through(
        self: &Arc<Self>,
        context: &Context,
        key: &NameKey,
        (id, named): (&shapes::ImageIdentifier, &Named),
        accepted: &[String],
    ) -> Result<Option<Result<shapes::Image, shapes::ImageFailure>>, Error> {
        let reference = match (&named.digest, &named.tag) {
            (Some(digest), None) => digest.parse().ok().map(Reference::Digest),
            (None, Some(tag)) => Some(Reference::Tag(tag.clone())),
            _ => None,
        };
        let Some(reference) = reference else { return Ok(None) };
        let may = || self.check_import(context, key);
        let found = match self.pull_through(key, &reference, context.now, may).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(Blocked::Denied(error)) => return Err(error),
            Err(Blocked::Upstream(error)) => {
                let code = match &error {
                    UpstreamError::Missing => Code::ImageNotFound,
                    UpstreamError::Denied(_) | UpstreamError::Secret(_) => {
                        Code::UpstreamAccessDenied
                    }
                    UpstreamError::Throttled(_) => Code::UpstreamTooManyRequests,
                    UpstreamError::Away(_) => Code::UpstreamUnavailable,
                    UpstreamError::Unusable(_) | UpstreamError::Ours(_) => {
                        let model = codes::UNABLE_TO_GET_UPSTREAM_IMAGE;
                        return Err(Error::Of(model, error.to_string()));
                    }
                };
                return Ok(Some(Err(failure(id, code, error.to_string()))));
            }
        };
        let media_type = &found.manifest.media_type;
        if !accepted.is_empty() && !accepted.contains(media_type) {
            let reason = "Requested image not found";
            return Ok(Some(Err(failure(id, Code::ImageNotFound, reason))));
        }
        Ok(Some(Ok(shapes::Image {
            image_id: Some(shapes::ImageIdentifier {
                image_digest: Some(found.digest.to_string()),
                image_tag: named.tag.clone(),
            }),
            image_manifest: Some(String::from_utf8_lossy(&found.bytes).into_owned()),
            image_manifest_media_type: Some(media_type.clone()),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1.clone()),
        })))
    }

    /// Whether a caller may have a pull go through, and its repository made.
    pub(super) fn check_import(&self, context: &Context, key: &NameKey) -> Result<(), Error> {
        let is_there = self.tables.repository(&self.ledger.snapshot(), key).is_ok();
        let deeds = ["BatchImportUpstreamImage", "CreateRepository"];
        for action in &deeds[..if is_there { 1 } else { 2 }] {
            let context = Context { operation: action, ..context.clone() };
            let input = || serde_json::json!({ "repositoryName": key.1.clone() });
            let authenticator = &self.setup.authenticator;
            if !authenticator.may(&context.caller, wire::Action::Operation("ecr", action)) {
                return Err(Error::Denied(format!(
                    "User: {} is not authorized to perform: ecr:{action} on resource: {} because no \
                     identity-based policy allows the ecr:{action} action",
                    context.caller.arn,
                    arn(key),
                )));
            }
            authenticator.authorize(&context, &input).map_err(|no| Error::Denied(no.message))?;
        }
        Ok(())
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
