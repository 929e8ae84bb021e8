//! Archiving images, and restoring them.

use shapes::{ImageStatus, TargetStorageClass};
use shapes_ecr as shapes;
use wire::Context;

use super::key;
use crate::Inner;
use crate::error::Error;
use crate::model::{Image, Status};
use crate::push::{Named, beside};

impl Inner {
    /// Puts an image away, so that it cannot be pulled, or restores it, which takes no time here.
    pub(super) async fn update_image_storage_class(
        &self,
        context: Context,
        input: shapes::UpdateImageStorageClassRequest,
    ) -> Result<shapes::UpdateImageStorageClassResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let id = input.image_id;
        let named = Named { digest: id.image_digest.clone(), tag: id.image_tag.clone() };
        let archives = input.target_storage_class == TargetStorageClass::Archive;
        let done = self.ledger.transact("update storage class", |tx| {
            self.tables.repository(tx, &key)?;
            let (digest, row) = self.tables.image(tx, &key, &named)?;
            let now = tx.now();
            let mut row = Image::clone(&row);
            match (archives, row.status) {
                (true, Status::Active) => {
                    (row.status, row.archived_at) = (Status::Archived, Some(now));
                }
                (false, Status::Archived) => {
                    (row.status, row.restored_at) = (Status::Active, Some(now));
                }
                _ => {}
            }
            let status = row.status;
            tx.put(&self.tables.images, beside(&key, &digest), row);
            Ok::<_, Error>((digest, status))
        });
        let (digest, status) = done.await?.value;
        let image_digest = Some(digest);
        Ok(shapes::UpdateImageStorageClassResponse {
            image_id: Some(shapes::ImageIdentifier { image_digest, image_tag: id.image_tag }),
            image_status: Some(match status {
                Status::Active => ImageStatus::Active,
                Status::Archived => ImageStatus::Archived,
            }),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }
}
