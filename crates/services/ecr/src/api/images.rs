//! Images: listing, showing, deleting, and what refers to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{Row, View};
use serde::Deserialize;
use shapes::{ImageFailureCode, ImageStatus, ImageStatusFilter, TagStatus};
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::key;
use super::layers::signed;
use super::paging::page;
use super::put_image::{failure, named};
use super::scans::{status_of, summary_of};
use crate::Inner;
use crate::error::Error;
use crate::model::{ContentDigest, Image, MANIFEST_BYTES_MAX, Status};
use crate::push::{Named, beside};
use crate::tables::{DigestKey, NameKey};
use crate::upstream::Referrer;

/// Images of one page if the request does not say.
const PAGE_ITEMS: usize = 100;
/// Referrers of one page if the request does not say, and at most.
const REFERRERS_PAGE: usize = 20;
const REFERRERS_PAGE_MAX: i32 = 50;

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

fn status(status: Status) -> ImageStatus {
    match status {
        Status::Active => ImageStatus::Active,
        Status::Archived => ImageStatus::Archived,
    }
}

/// Whether an image of this status is asked for; without a word, active ones are.
fn is_wanted(wanted: Option<ImageStatusFilter>, status: Status) -> bool {
    match wanted {
        None | Some(ImageStatusFilter::Active) => status == Status::Active,
        Some(ImageStatusFilter::Archived) => status == Status::Archived,
        Some(ImageStatusFilter::Activating) => false,
        Some(ImageStatusFilter::Any) => true,
    }
}

fn fits(wanted: Option<TagStatus>, is_tagged: bool) -> bool {
    match wanted {
        None | Some(TagStatus::Any) => true,
        Some(TagStatus::Tagged) => is_tagged,
        Some(TagStatus::Untagged) => !is_tagged,
    }
}

impl Inner {
    /// One id for each tag, and for each image without one.
    pub(super) async fn list_images(
        &self,
        context: Context,
        input: shapes::ListImagesRequest,
    ) -> Result<shapes::ListImagesResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        let filter = input.filter.unwrap_or_default();
        let rows = snapshot.prefix(&self.tables.images, &key);
        let rows = rows.filter(|(_, row)| is_wanted(filter.image_status, row.status));
        let ids = rows.flat_map(|(at, _)| {
            let tags = self.tables.tags_of(&snapshot, &at);
            let id =
                |image_tag| shapes::ImageIdentifier { image_digest: Some(at.2.clone()), image_tag };
            let is_shown = fits(filter.tag_status, !tags.is_empty());
            match tags.is_empty() {
                true => vec![id(None)],
                false => tags.into_iter().map(|tag| id(Some(tag))).collect(),
            }
            .into_iter()
            .filter(move |_| is_shown)
        });
        let name = |id: &shapes::ImageIdentifier| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            format!("{} {}", text(&id.image_digest), text(&id.image_tag))
        };
        let token = input.next_token.as_deref();
        let (ids, next_token) = page(ids, name, input.max_results, PAGE_ITEMS, token)?;
        Ok(shapes::ListImagesResponse { image_ids: Some(ids), next_token })
    }

    /// What is known of images, one item each.
    pub(super) async fn describe_images(
        &self,
        context: Context,
        input: shapes::DescribeImagesRequest,
    ) -> Result<shapes::DescribeImagesResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let snapshot = self.ledger.snapshot();
        self.tables.repository(&snapshot, &key)?;
        if let Some(ids) = &input.image_ids {
            if input.next_token.is_some() || input.max_results.is_some() {
                let why = "nextToken and maxResults cannot be given with imageIds";
                return Err(Error::parameter("imageIds", why));
            }
            let mut shown: BTreeMap<String, shapes::ImageDetail> = BTreeMap::new();
            for id in ids {
                let named = Named { digest: id.image_digest.clone(), tag: id.image_tag.clone() };
                let (digest, row) = self.tables.image(&snapshot, &key, &named)?;
                let detail = self.show_image(&snapshot, &beside(&key, &digest), &row);
                shown.insert(digest, detail);
            }
            let image_details = Some(shown.into_values().collect());
            return Ok(shapes::DescribeImagesResponse { image_details, next_token: None });
        }
        let filter = input.filter.unwrap_or_default();
        let rows = snapshot.prefix(&self.tables.images, &key);
        let rows = rows.filter(|(at, row)| {
            let is_tagged = || !self.tables.tags_of(&snapshot, at).is_empty();
            is_wanted(filter.image_status, row.status)
                && (filter.tag_status.is_none() || fits(filter.tag_status, is_tagged()))
        });
        let name = |(at, _): &(DigestKey, _)| at.2.clone();
        let token = input.next_token.as_deref();
        let (rows, next_token) = page(rows, name, input.max_results, PAGE_ITEMS, token)?;
        let shown = rows.iter().map(|(at, row)| self.show_image(&snapshot, at, row));
        let image_details = Some(shown.collect());
        Ok(shapes::DescribeImagesResponse { image_details, next_token })
    }

    fn show_image(&self, view: &impl View, at: &DigestKey, row: &Image) -> shapes::ImageDetail {
        let tags = self.tables.tags_of(view, at);
        let pulled = view.get(&self.tables.pulls, at);
        let scan = view.get(&self.tables.scans, at);
        shapes::ImageDetail {
            artifact_media_type: row.artifact_type.clone(),
            image_digest: Some(at.2.clone()),
            image_manifest_media_type: Some(row.media_type.clone()),
            image_pushed_at: Some(row.pushed_at),
            image_scan_findings_summary: scan.as_ref().and_then(|scan| summary_of(scan)),
            image_scan_status: scan.as_ref().map(|scan| status_of(scan)),
            image_size_in_bytes: Some(signed(row.image_bytes)),
            image_status: Some(status(row.status)),
            image_tags: Some(tags).filter(|tags| !tags.is_empty()),
            last_activated_at: row.restored_at,
            last_archived_at: row.archived_at,
            last_recorded_pull_time: pulled.map(|pull| pull.at),
            registry_id: Some(at.0.account.to_string()),
            repository_name: Some(at.1.clone()),
            subject_manifest_digest: row.subject.clone(),
        }
    }

    /// Takes tags away, and images: those that are named by digest, and those that lose their last
    /// tag.
    pub(super) async fn batch_delete_image(
        &self,
        context: Context,
        input: shapes::BatchDeleteImageRequest,
    ) -> Result<shapes::BatchDeleteImageResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        let (mut gone, mut failures) = (Vec::new(), Vec::new());
        for id in &input.image_ids {
            let named = match named(id) {
                Ok(named) => named,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            match self.delete_image(&key, &named).await {
                Ok(ids) => gone.extend(ids),
                Err(Error::NoImage { .. }) => failures.push(self.not_found(&key, id, &named)),
                Err(error @ Error::Referenced { .. }) => failures.push(failure(
                    id,
                    ImageFailureCode::ImageReferencedByManifestList,
                    error.to_string(),
                )),
                Err(error) => return Err(error),
            }
        }
        let (image_ids, failures) = (Some(gone), Some(failures));
        Ok(shapes::BatchDeleteImageResponse { failures, image_ids })
    }

    async fn delete_image(
        &self,
        key: &NameKey,
        named: &Named,
    ) -> Result<Vec<shapes::ImageIdentifier>, Error> {
        let tables = &self.tables;
        let done = self.ledger.transact("delete image", |tx| {
            let (digest, _) = tables.image(tx, key, named)?;
            let tags = tables.tags_of(tx, &beside(key, &digest));
            let id = |image_tag| shapes::ImageIdentifier {
                image_digest: Some(digest.clone()),
                image_tag,
            };
            if let Some(tag) = &named.tag
                && tags.len() > 1
            {
                tx.delete(&tables.tags, &beside(key, tag));
                return Ok(vec![id(Some(tag.clone()))]);
            }
            tables.remove_image(tx, key, &digest)?;
            Ok(match tags.is_empty() {
                true => vec![id(None)],
                false => tags.into_iter().map(|tag| id(Some(tag))).collect(),
            })
        });
        Ok(done.await?.value)
    }

    /// What refers to an image, which need not be there; of a repository that comes through, what is
    /// upstream besides.
    pub(super) async fn list_image_referrers(
        self: &Arc<Self>,
        context: Context,
        input: shapes::ListImageReferrersRequest,
    ) -> Result<shapes::ListImageReferrersResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let subject = input.subject_id.image_digest;
        let Ok(subject) = subject.parse::<ContentDigest>() else {
            return Err(Error::parameter("subjectId", format!("'{subject}' is not a digest")));
        };
        let filter = input.filter.unwrap_or_default();
        let types = filter.artifact_types.unwrap_or_default();
        let status = filter.artifact_status.map(|wanted| wanted.as_str());
        let fits = |kind: &Option<String>, is: Status| {
            let has_status = match status {
                None | Some("ACTIVE") => is == Status::Active,
                Some("ARCHIVED") => is == Status::Archived,
                Some("ANY") => true,
                Some(_) => false,
            };
            has_status
                && (types.is_empty() || kind.as_ref().is_some_and(|kind| types.contains(kind)))
        };
        self.tables.repository(&self.ledger.snapshot(), &key)?;
        let mut all: BTreeMap<String, Result<Row<Image>, Referrer>> = BTreeMap::new();
        for one in self.upstream_referrers(&context, &key, &subject).await?.iter() {
            if fits(&one.artifact_type, Status::Active) {
                all.insert(one.digest.clone(), Err(one.clone()));
            }
        }
        {
            let snapshot = self.ledger.snapshot();
            let at = beside(&key, subject.as_str());
            for (at, row) in snapshot.index(&self.tables.images_by_subject, &at) {
                // One that is here is what it is here.
                match fits(&row.artifact_type, row.status) {
                    true => drop(all.insert(at.2, Ok(row))),
                    false => drop(all.remove(&at.2)),
                }
            }
        }
        let size = input.max_results.map(|size| size.min(REFERRERS_PAGE_MAX));
        let token = input.next_token.as_deref();
        let name = |(digest, _): &(String, _)| digest.clone();
        let (rows, next_token) = page(all.into_iter(), name, size, REFERRERS_PAGE, token)?;
        let mut referrers = Vec::new();
        for (digest, one) in rows {
            referrers.push(self.show_referrer(digest, one).await?);
        }
        Ok(shapes::ListImageReferrersResponse { next_token, referrers: Some(referrers) })
    }

    /// What is upstream of it, if the caller may have it come through.
    async fn upstream_referrers(
        self: &Arc<Self>,
        context: &Context,
        key: &NameKey,
        subject: &ContentDigest,
    ) -> Result<Arc<Vec<Referrer>>, Error> {
        let Some(through) = self.through(key) else { return Ok(Arc::default()) };
        if self.check_import(context, key).is_err() {
            return Ok(Arc::default());
        }
        let is_kept = {
            let (snapshot, at) = (self.ledger.snapshot(), beside(key, subject.as_str()));
            snapshot.index(&self.tables.images_by_subject, &at).next().is_some()
        };
        let found = self.referrers_through(key, &through, subject, is_kept).await;
        found.map_err(|error| {
            Error::Of(codes::UNABLE_TO_LIST_UPSTREAM_IMAGE_REFERRERS, error.to_string())
        })
    }

    async fn show_referrer(
        &self,
        digest: String,
        one: Result<Row<Image>, Referrer>,
    ) -> Result<shapes::ImageReferrer, Error> {
        let row = match one {
            Ok(row) => row,
            Err(one) => {
                return Ok(shapes::ImageReferrer {
                    annotations: one.annotations,
                    artifact_status: Some(shapes::ArtifactStatus::Active),
                    artifact_type: one.artifact_type,
                    digest,
                    media_type: one.media_type,
                    size: signed(one.size),
                });
            }
        };
        let depot = self.depot("ListImageReferrers")?;
        let bytes = depot.read(row.stored, MANIFEST_BYTES_MAX as u64).await?;
        let read = serde_json::from_slice::<Annotated>(&bytes).ok();
        Ok(shapes::ImageReferrer {
            annotations: read.and_then(|read| read.annotations),
            artifact_status: Some(match row.status {
                Status::Active => shapes::ArtifactStatus::Active,
                Status::Archived => shapes::ArtifactStatus::Archived,
            }),
            artifact_type: row.artifact_type.clone(),
            digest,
            media_type: row.media_type.clone(),
            size: signed(row.manifest_bytes),
        })
    }
}
