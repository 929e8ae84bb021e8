//! Tags of repositories (not of images).

use std::collections::{BTreeMap, BTreeSet};

use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::{arn, key};
use crate::Inner;
use crate::error::Error;
use crate::model::Repository;
use crate::tables::NameKey;

/// Tags of one repository.
const TAGS_MAX: usize = 50;
/// The longest key and the longest value, in characters.
const KEY_CHARACTERS_MAX: usize = 128;
const VALUE_CHARACTERS_MAX: usize = 256;

pub(super) type Tags = BTreeMap<String, String>;

/// Reads tags.
pub(super) fn read(given: &[shapes::Tag]) -> Result<Tags, Error> {
    let refuse = |text: String| Err(Error::Of(codes::INVALID_TAG_PARAMETER, text));
    let mut tags = Tags::new();
    for tag in given {
        let (key, value) = (&tag.key, &tag.value);
        if key.is_empty() || key.chars().count() > KEY_CHARACTERS_MAX {
            return refuse(format!("A tag key has 1 to {KEY_CHARACTERS_MAX} characters: '{key}'"));
        }
        if value.chars().count() > VALUE_CHARACTERS_MAX {
            return refuse(format!(
                "The value of '{key}' has over {VALUE_CHARACTERS_MAX} characters"
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return refuse(format!("The tag key '{key}' begins with aws:, which is reserved"));
        }
        if tags.insert(key.clone(), value.clone()).is_some() {
            return refuse(format!("The tag key '{key}' was given more than once"));
        }
    }
    check_count(&tags)?;
    Ok(tags)
}

fn check_count(tags: &Tags) -> Result<(), Error> {
    match tags.len() > TAGS_MAX {
        true => Err(Error::Of(
            codes::TOO_MANY_TAGS,
            format!("A repository has at most {TAGS_MAX} tags"),
        )),
        false => Ok(()),
    }
}

impl Inner {
    /// Adds and replaces tags.
    pub(super) async fn tag_resource(
        &self,
        context: Context,
        input: shapes::TagResourceRequest,
    ) -> Result<shapes::TagResourceResponse, Error> {
        let new = read(&input.tags)?;
        self.change_tags(&context, &input.resource_arn, |tags| {
            tags.extend(new.clone());
            check_count(tags)
        })
        .await?;
        Ok(shapes::TagResourceResponse {})
    }

    /// Takes tags away.
    pub(super) async fn untag_resource(
        &self,
        context: Context,
        input: shapes::UntagResourceRequest,
    ) -> Result<shapes::UntagResourceResponse, Error> {
        let gone: BTreeSet<_> = input.tag_keys.into_iter().collect();
        self.change_tags(&context, &input.resource_arn, |tags| {
            tags.retain(|key, _| !gone.contains(key));
            Ok(())
        })
        .await?;
        Ok(shapes::UntagResourceResponse {})
    }

    /// Shows tags.
    pub(super) async fn list_tags_for_resource(
        &self,
        context: Context,
        input: shapes::ListTagsForResourceRequest,
    ) -> Result<shapes::ListTagsForResourceResponse, Error> {
        let key = of_arn(&context, &input.resource_arn)?;
        let row = self.tables.repository(&self.ledger.snapshot(), &key)?;
        let tag = |(key, value): (&String, &String)| shapes::Tag {
            key: key.clone(),
            value: value.clone(),
        };
        let tags = Some(row.tags.iter().map(tag).collect());
        Ok(shapes::ListTagsForResourceResponse { tags })
    }

    async fn change_tags(
        &self,
        context: &Context,
        text: &str,
        change: impl Fn(&mut Tags) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let key = of_arn(context, text)?;
        let done = self.ledger.transact("change tags of a repository", |tx| {
            let mut row = Repository::clone(&*self.tables.repository(tx, &key)?);
            change(&mut row.tags)?;
            tx.put(&self.tables.repositories, key.clone(), row);
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }
}

fn of_arn(context: &Context, text: &str) -> Result<NameKey, Error> {
    let name = text.split_once(":repository/").map_or("", |(_, name)| name);
    let key = key(context, None, name);
    match key {
        Ok(key) if arn(&key) == text => Ok(key),
        _ => Err(Error::parameter("resourceArn", "Invalid ARN")),
    }
}
