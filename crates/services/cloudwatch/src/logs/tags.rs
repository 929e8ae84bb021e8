//! Tags of log groups, by name and by ARN: one set.

use std::collections::BTreeMap;

use shapes_logs as shapes;
use wire::{Context, Unit};

use super::error::Error;
use super::{LogGroup, Logs, of_identifier, scope};

/// Most tags of a group.
const TAGS_MAX: usize = 50;

/// Refuses too many.
pub(super) fn check(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    if tags.len() > TAGS_MAX { Err(Error::TooManyTags(TAGS_MAX)) } else { Ok(()) }
}

impl Logs {
    async fn change_tags(
        &self,
        context: &Context,
        name: &str,
        change: impl Fn(&mut BTreeMap<String, String>),
    ) -> Result<(), Error> {
        let key = (scope(context), name.to_owned());
        let done = self.ledger.transact("tag log group", |tx| {
            let row = tx.get(&self.tables.log_groups, &key).ok_or(Error::NoGroup)?;
            let mut group = LogGroup::clone(&row);
            change(&mut group.tags);
            check(&group.tags)?;
            tx.put(&self.tables.log_groups, key.clone(), group);
            Ok::<_, Error>(())
        });
        Ok(done.await.map(drop)?)
    }

    /// Adds and replaces tags of a group by its name.
    pub(super) async fn tag_log_group(
        &self,
        context: Context,
        input: shapes::TagLogGroupRequest,
    ) -> Result<Unit, Error> {
        let change = |tags: &mut BTreeMap<_, _>| tags.extend(input.tags.clone());
        let changed = self.change_tags(&context, &input.log_group_name, change).await;
        // This one does not declare the error of its sister.
        changed.map(|()| Unit).map_err(|error| match error {
            Error::TooManyTags(_) => Error::invalid(error.to_string()),
            error => error,
        })
    }

    /// Takes tags from a group by its name.
    pub(super) async fn untag_log_group(
        &self,
        context: Context,
        input: shapes::UntagLogGroupRequest,
    ) -> Result<Unit, Error> {
        let change =
            |tags: &mut BTreeMap<String, _>| tags.retain(|key, _| !input.tags.contains(key));
        self.change_tags(&context, &input.log_group_name, change).await.map(|()| Unit)
    }

    /// Shows tags of a group by its name.
    pub(super) async fn list_tags_log_group(
        &self,
        context: Context,
        input: shapes::ListTagsLogGroupRequest,
    ) -> Result<shapes::ListTagsLogGroupResponse, Error> {
        let group = self.group(&scope(&context), &input.log_group_name)?;
        Ok(shapes::ListTagsLogGroupResponse { tags: Some(group.tags.clone()) })
    }

    /// Adds and replaces tags by ARN.
    pub(super) async fn tag_resource(
        &self,
        context: Context,
        input: shapes::TagResourceRequest,
    ) -> Result<Unit, Error> {
        let change = |tags: &mut BTreeMap<_, _>| tags.extend(input.tags.clone());
        self.change_tags(&context, of_identifier(&input.resource_arn), change).await.map(|()| Unit)
    }

    /// Takes tags away by ARN.
    pub(super) async fn untag_resource(
        &self,
        context: Context,
        input: shapes::UntagResourceRequest,
    ) -> Result<Unit, Error> {
        let change =
            |tags: &mut BTreeMap<String, _>| tags.retain(|key, _| !input.tag_keys.contains(key));
        self.change_tags(&context, of_identifier(&input.resource_arn), change).await.map(|()| Unit)
    }

    /// Shows tags by ARN.
    pub(super) async fn list_tags_for_resource(
        &self,
        context: Context,
        input: shapes::ListTagsForResourceRequest,
    ) -> Result<shapes::ListTagsForResourceResponse, Error> {
        let group = self.group(&scope(&context), of_identifier(&input.resource_arn))?;
        Ok(shapes::ListTagsForResourceResponse { tags: Some(group.tags.clone()) })
    }
}
