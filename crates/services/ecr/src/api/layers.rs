//! Layers by the API: the long way to push, which some tools take.

use bytes::Bytes;
use shapes::{LayerAvailability, LayerFailureCode};
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use terms::Uuid;
use wire::Context;

use super::key;
use crate::Inner;
use crate::depot::{Depot, Upload};
use crate::error::Error;
use crate::model::ContentDigest;
use crate::push::beside;
use crate::registry::{LAYER_BYTES_MAX, download_url};
use crate::tables::NameKey;

/// What clients are told to send at a time (ECR's quota).
const PART_BYTES: i64 = 10 * 1024 * 1024;
/// The largest part (the model's).
const PART_BYTES_MAX: usize = 20 * 1024 * 1024;

impl Inner {
    pub(crate) fn depot(&self, operation: &'static str) -> Result<&Depot, Error> {
        self.setup.depot.as_ref().ok_or_else(|| Error::NotBuilt {
            operation,
            what: "images on several servers without --registry-store".to_owned(),
        })
    }

    /// Tells which layers a repository has.
    pub(super) async fn batch_check_layer_availability(
        &self,
        context: Context,
        input: shapes::BatchCheckLayerAvailabilityRequest,
    ) -> Result<shapes::BatchCheckLayerAvailabilityResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let (mut layers, mut failures) = (Vec::new(), Vec::new());
        for text in input.layer_digests {
            if text.parse::<ContentDigest>().is_err() {
                failures.push(shapes::LayerFailure {
                    failure_code: Some(LayerFailureCode::InvalidLayerDigest),
                    failure_reason: Some("Invalid layer digest".to_owned()),
                    layer_digest: Some(text),
                });
                continue;
            }
            let at = beside(&key, &text);
            let row = snapshot.get(&self.tables.layers, &at);
            if let Some(row) = &row {
                // What a client was told of must be there when it names it.
                self.keep(&at, row, context.now).await?;
            }
            let availability = match row.is_some() {
                true => LayerAvailability::Available,
                false => LayerAvailability::Unavailable,
            };
            layers.push(shapes::Layer {
                layer_availability: Some(availability),
                layer_digest: Some(text),
                layer_size: row.map(|row| signed(row.size_bytes)),
                media_type: None,
            });
        }
        let (layers, failures) = (Some(layers), Some(failures));
        Ok(shapes::BatchCheckLayerAvailabilityResponse { failures, layers })
    }

    /// Begins an upload.
    pub(super) async fn initiate_layer_upload(
        &self,
        context: Context,
        input: shapes::InitiateLayerUploadRequest,
    ) -> Result<shapes::InitiateLayerUploadResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        let id = Uuid::from_random(self.setup.ids.next());
        let upload = self.depot("InitiateLayerUpload")?.begin_upload(id, &key.0, &key.1).await?;
        let upload_id = Some(upload.id().to_owned());
        Ok(shapes::InitiateLayerUploadResponse { part_size: Some(PART_BYTES), upload_id })
    }

    /// Adds a part to an upload.
    pub(super) async fn upload_layer_part(
        &self,
        context: Context,
        input: shapes::UploadLayerPartRequest,
    ) -> Result<shapes::UploadLayerPartResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let mut upload = self.upload("UploadLayerPart", &key, &input.upload_id).await?;
        let bytes: Bytes = input.layer_part_blob.0.into();
        let (first, last) = (input.part_first_byte, input.part_last_byte);
        if bytes.len() > PART_BYTES_MAX {
            let why = format!("has more than {PART_BYTES_MAX} bytes");
            return Err(Error::parameter("layerPartBlob", why));
        }
        let got = u64::try_from(first)
            .map_err(|_| Error::parameter("partFirstByte", "must not be negative"))?;
        if got != upload.offset() {
            let (name, account) = (key.1, key.0.account.to_string());
            let (expected, upload) = (upload.offset(), input.upload_id);
            return Err(Error::Part { expected, got, upload, name, account });
        }
        let (said, actual) = (last.saturating_sub(first).saturating_add(1), bytes.len() as u64);
        if i64::try_from(actual) != Ok(said) {
            return Err(Error::PartLength { said, actual });
        }
        if upload.offset() + actual > LAYER_BYTES_MAX {
            let text = format!("A layer has at most {LAYER_BYTES_MAX} bytes");
            return Err(Error::Limit(text));
        }
        upload.append(bytes).await?;
        upload.save().await?;
        Ok(shapes::UploadLayerPartResponse {
            last_byte_received: Some(signed(upload.offset()) - 1),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
            upload_id: Some(input.upload_id),
        })
    }

    /// Makes a layer of what was uploaded.
    pub(super) async fn complete_layer_upload(
        &self,
        context: Context,
        input: shapes::CompleteLayerUploadRequest,
    ) -> Result<shapes::CompleteLayerUploadResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let [text] = input.layer_digests.as_slice() else {
            return Err(Error::parameter("layerDigests", "must have one member"));
        };
        let digest: ContentDigest = text.parse().map_err(|_| {
            Error::Of(codes::INVALID_LAYER, format!("'{text}' is not the digest of a layer"))
        })?;
        let depot = self.depot("CompleteLayerUpload")?;
        let upload = self.upload("CompleteLayerUpload", &key, &input.upload_id).await?;
        if self.has_layer(&key, digest.as_str()) {
            upload.cancel().await?;
            return Err(Error::LayerExists(digest.to_string()));
        }
        if upload.offset() == 0 {
            return Err(Error::EmptyUpload(input.upload_id));
        }
        let Some(stored) = upload.finish(digest.clone()).await? else {
            return Err(Error::LayerDiffers { expected: digest.to_string() });
        };
        self.link((&key, depot), &digest, stored).await?;
        Ok(shapes::CompleteLayerUploadResponse {
            layer_digest: Some(digest.to_string()),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
            upload_id: Some(input.upload_id),
        })
    }

    /// A link to a layer that works without a login for an hour.
    pub(super) async fn get_download_url_for_layer(
        &self,
        context: Context,
        input: shapes::GetDownloadUrlForLayerRequest,
    ) -> Result<shapes::GetDownloadUrlForLayerResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        self.depot("GetDownloadUrlForLayer")?;
        let digest = input.layer_digest;
        if digest.parse::<ContentDigest>().is_err() || !self.has_layer(&key, &digest) {
            return Err(Error::NoLayer { digest, name: key.1 });
        }
        let download_url = Some(download_url(self, &context, &key.1, &digest));
        Ok(shapes::GetDownloadUrlForLayerResponse { download_url, layer_digest: Some(digest) })
    }

    async fn upload(
        &self,
        operation: &'static str,
        key: &NameKey,
        id: &str,
    ) -> Result<Upload, Error> {
        self.tables.repository(&self.ledger.snapshot(), key)?;
        let found = self.depot(operation)?.upload(id, &key.0, &key.1).await?;
        found.ok_or_else(|| Error::NoUpload(id.to_owned()))
    }
}

/// A length as the API has it.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
