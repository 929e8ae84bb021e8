//! Tags of certificates.

use std::collections::BTreeMap;

use shapes_acm as shapes;
use wire::Context;

use super::scope;
use crate::error::Error;
use crate::model::Certificate;
use crate::{Inner, arn};

/// Most tags of a certificate.
const TAGS_MAX: usize = 50;

type Tags = BTreeMap<String, String>;

/// The tags of a request.
pub(super) fn read(tags: &[shapes::Tag]) -> Result<Tags, Error> {
    let mut read = Tags::new();
    for tag in tags {
        if tag.key.starts_with("aws:") {
            return Err(Error::Tag("Tag keys that begin with 'aws:' are reserved.".to_owned()));
        }
        if read.insert(tag.key.clone(), tag.value.clone().unwrap_or_default()).is_some() {
            return Err(Error::Tag(format!("The tag key '{}' was given twice.", tag.key)));
        }
    }
    check_count(&read)?;
    Ok(read)
}

fn check_count(tags: &Tags) -> Result<(), Error> {
    match tags.len() > TAGS_MAX {
        true => Err(Error::TooManyTags(TAGS_MAX)),
        false => Ok(()),
    }
}

impl Inner {
    /// Adds and replaces tags.
    pub(super) async fn add_tags(
        &self,
        context: Context,
        input: shapes::AddTagsToCertificateRequest,
    ) -> Result<wire::Unit, Error> {
        let new = read(&input.tags)?;
        let change = |tags: &mut Tags| {
            tags.extend(new.clone());
            check_count(tags)
        };
        self.change_tags(&context, &input.certificate_arn, change).await
    }

    /// Takes tags away; those that come with a value only if they have it.
    pub(super) async fn remove_tags(
        &self,
        context: Context,
        input: shapes::RemoveTagsFromCertificateRequest,
    ) -> Result<wire::Unit, Error> {
        let change = |tags: &mut Tags| {
            for tag in &input.tags {
                let is_it = |value: &String| tag.value.as_ref().is_none_or(|told| told == value);
                if tags.get(&tag.key).is_some_and(is_it) {
                    tags.remove(&tag.key);
                }
            }
            Ok(())
        };
        self.change_tags(&context, &input.certificate_arn, change).await
    }

    /// Shows tags.
    pub(super) async fn list_tags(
        &self,
        context: Context,
        input: shapes::ListTagsForCertificateRequest,
    ) -> Result<shapes::ListTagsForCertificateResponse, Error> {
        let snapshot = self.ledger.snapshot();
        let (_, row) = self.find(&snapshot, &context, &input.certificate_arn)?;
        let tag = |(key, value): (&String, &String)| shapes::Tag {
            key: key.clone(),
            value: Some(value.clone()),
        };
        Ok(shapes::ListTagsForCertificateResponse {
            tags: Some(row.tags.iter().map(tag).collect()),
        })
    }

    async fn change_tags(
        &self,
        context: &Context,
        named: &str,
        change: impl Fn(&mut Tags) -> Result<(), Error> + Send + Sync,
    ) -> Result<wire::Unit, Error> {
        let key = arn::read(&scope(context), named)?;
        let done = self.ledger.transact("tag certificate", |tx| {
            let row = tx.get(&self.tables.certificates, &key);
            let row = row.ok_or_else(|| Error::NotFound(named.to_owned()))?;
            let mut tagged = Certificate::clone(&row);
            change(&mut tagged.tags)?;
            tx.put(&self.tables.certificates, key.clone(), tagged);
            Ok(())
        });
        done.await?;
        Ok(wire::Unit)
    }
}
