//! Lists: tags, repositories, referrers.

use std::collections::BTreeMap;
use std::ops::Bound;

use ::http::StatusCode;
use ::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LINK};
use ledger::Row;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{LIST_IMAGES, PULL_IMAGE};
use super::refusal::{Refusal, Words};
use super::{Answer, Request, json as in_json, value};
use crate::model::{ContentDigest, Image, MANIFEST_BYTES_MAX, OCI_INDEX};
use crate::push::beside;
use crate::upstream::Referrer;

/// Items of one page, at most and if the request does not say.
const PAGE_ITEMS_MAX: usize = 1_000;
/// Referrers of one page, and their bytes.
const REFERRERS_MAX: usize = 500;
const REFERRERS_BYTES_MAX: usize = 1024 * 1024;

static FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What is shown of a referrer beside what its row says.
#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

/// What refers to a manifest.
enum Referring {
    /// An image here.
    Kept(Row<Image>),
    /// One that is upstream alone.
    Upstream(Referrer),
}

impl Request<'_> {
    /// How many items a page is to have.
    fn page_items(&self) -> Result<usize, Refusal> {
        let Some(text) = self.query("n") else { return Ok(PAGE_ITEMS_MAX) };
        match text.parse::<usize>() {
            Ok(items) => Ok(items.min(PAGE_ITEMS_MAX)),
            Err(_) => {
                let text = format!(
                    "'{}' is not a number of items",
                    text.chars().take(32).collect::<String>()
                );
                Err(Refusal::new(Words::PageInvalid, text))
            }
        }
    }

    /// One page out of items that follow `last`.
    fn page(
        &self,
        items: impl Iterator<Item = String>,
        path: &str,
    ) -> Result<(Vec<String>, Option<HeaderValue>), Refusal> {
        let count = self.page_items()?;
        let mut page: Vec<String> = items.take(count + 1).collect();
        let has_more = page.len() > count;
        page.truncate(count);
        let link = page
            .last()
            .filter(|_| has_more)
            .map(|last| value(&format!("<{path}?last={last}&n={count}>; rel=\"next\"")));
        Ok((page, link))
    }

    /// The tags of a repository, in the order of their bytes.
    pub(super) fn tags(&self, name: &str) -> Answer {
        self.check(LIST_IMAGES, name)?;
        let (key, snapshot) = (self.key(name), self.inner.ledger.snapshot());
        let tables = &self.inner.tables;
        tables.repository(&snapshot, &key)?;
        let last = self.query("last").unwrap_or_default();
        let from = Bound::Excluded(beside(&key, &last));
        let rows = snapshot.range(&tables.tags, (from, Bound::Unbounded));
        let tags = rows.map(|(at, _)| at).take_while(|at| at.0 == key.0 && at.1 == key.1);
        let (tags, link) = self.page(tags.map(|at| at.2), &format!("/v2/{name}/tags/list"))?;
        let mut response =
            in_json(StatusCode::OK, json!({ "name": name, "tags": tags }).to_string());
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    /// The repositories (Docker's; not of the specification).
    pub(super) fn catalog(&self) -> Answer {
        self.check(super::access::Deed { action: "DescribeRepositories", verb: "*" }, "catalog")?;
        let (scope, snapshot) = (&self.session.scope, self.inner.ledger.snapshot());
        let last = self.query("last").unwrap_or_default();
        let from = Bound::Excluded((scope.clone(), last));
        let rows = snapshot.range(&self.inner.tables.repositories, (from, Bound::Unbounded));
        let names = rows.map(|(key, _)| key).take_while(|key| key.0 == *scope).map(|key| key.1);
        let (names, link) = self.page(names, "/v2/_catalog")?;
        let mut response = in_json(StatusCode::OK, json!({ "repositories": names }).to_string());
        if let Some(link) = link {
            response.headers_mut().insert(LINK, link);
        }
        Ok(response)
    }

    /// What refers to a manifest, which need not be here; of a repository that comes through, what is
    /// upstream besides.
    pub(super) async fn referrers(&self, name: &str, subject: &ContentDigest) -> Answer {
        self.check(PULL_IMAGE, name)?;
        let (key, tables) = (self.key(name), &self.inner.tables);
        let wanted = self.query("artifactType");
        let last = self.query("last").unwrap_or_default();
        let fits = |kind: &Option<String>| wanted.is_none() || *kind == wanted;
        let of_subject = beside(&key, subject.as_str());
        let is_kept = {
            let snapshot = self.inner.ledger.snapshot();
            tables.repository(&snapshot, &key)?;
            snapshot.index(&tables.images_by_subject, &of_subject).next().is_some()
        };
        let upstream = self.referrers_through(&key, subject, is_kept).await?;
        let upstream = upstream.iter().filter(|one| one.digest > last && fits(&one.artifact_type));
        let mut all: BTreeMap<String, Referring> =
            upstream.map(|one| (one.digest.clone(), Referring::Upstream(one.clone()))).collect();
        {
            let snapshot = self.inner.ledger.snapshot();
            let found = snapshot.index(&tables.images_by_subject, &of_subject);
            let found = found.filter(|(at, row)| at.2 > last && fits(&row.artifact_type));
            let found = found.take(REFERRERS_MAX + 1);
            all.extend(found.map(|(at, row)| (at.2, Referring::Kept(row))));
        }
        let (mut shown, mut bytes, mut next) = (Vec::new(), 0, None);
        for (digest, one) in all {
            let told = self.descriptor(&digest, one).await?;
            bytes += told.to_string().len();
            let is_full = bytes > REFERRERS_BYTES_MAX || shown.len() == REFERRERS_MAX;
            if is_full && let Some((before, _)) = shown.last() {
                next = Some(String::clone(before));
                break;
            }
            shown.push((digest, told));
        }
        let manifests: Vec<_> = shown.into_iter().map(|(_, told)| told).collect();
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        let mut response = in_json(StatusCode::OK, index.to_string());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let filter = wanted.as_deref().map(|kind| format!("&artifactType={}", encode(kind)));
        if wanted.is_some() {
            headers.insert(FILTERS_APPLIED.clone(), HeaderValue::from_static("artifactType"));
        }
        if let Some(next) = next {
            let filter = filter.unwrap_or_default();
            let path = format!("/v2/{name}/referrers/{subject}?last={next}{filter}");
            headers.insert(LINK, value(&format!("<{path}>; rel=\"next\"")));
        }
        Ok(response)
    }

    /// A referrer as lists tell of it.
    async fn descriptor(&self, digest: &str, one: Referring) -> Result<Value, Refusal> {
        let one = match one {
            Referring::Upstream(one) => one,
            Referring::Kept(row) => {
                let document = self.depot.read(row.stored, MANIFEST_BYTES_MAX as u64).await?;
                let annotated = serde_json::from_slice::<Annotated>(&document).ok();
                Referrer {
                    digest: digest.to_owned(),
                    media_type: row.media_type.clone(),
                    size: row.manifest_bytes,
                    artifact_type: row.artifact_type.clone(),
                    annotations: annotated.and_then(|read| read.annotations),
                }
            }
        };
        let mut told = json!({"mediaType": one.media_type, "size": one.size, "digest": digest});
        if let Some(kind) = one.artifact_type {
            told["artifactType"] = Value::from(kind);
        }
        if let Some(annotations) = one.annotations.filter(|all| !all.is_empty()) {
            told["annotations"] = json!(annotations);
        }
        Ok(told)
    }
}
