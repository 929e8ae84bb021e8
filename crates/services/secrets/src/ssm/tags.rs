//! Tags of parameters.

use std::collections::BTreeMap;

use shapes_ssm as shapes;
use wire::Context;

use super::error::Error;
use super::find;
use super::model::Parameter;
use super::name::Reference;
use crate::{Scope, Secrets};

/// The most tags of a parameter.
const TAGS_MAX: usize = 50;

/// The tags of a request.
pub(super) fn of(tags: &[shapes::Tag]) -> Result<BTreeMap<String, String>, Error> {
    if let Some(tag) = tags.iter().find(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(Error::invalid(format!("Tag key {} uses the reserved prefix aws:", tag.key)));
    }
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid(format!("A parameter can have up to {TAGS_MAX} tags.")));
    }
    Ok(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

fn parameters_only(
    operation: &'static str,
    kind: shapes::ResourceTypeForTagging,
) -> Result<(), Error> {
    match kind {
        shapes::ResourceTypeForTagging::Parameter => Ok(()),
        _ => Err(Error::NotBuilt { operation, what: "resources that are no parameters" }),
    }
}

impl Secrets {
    /// Adds and replaces tags.
    pub(super) async fn add_tags_to_resource(
        &self,
        context: Context,
        input: shapes::AddTagsToResourceRequest,
    ) -> Result<shapes::AddTagsToResourceResult, Error> {
        parameters_only("AddTagsToResource", input.resource_type)?;
        let new = of(&input.tags)?;
        let change = |tags: &mut BTreeMap<_, _>| tags.extend(new.clone());
        self.change_tags(&context, &input.resource_id, change).await?;
        Ok(shapes::AddTagsToResourceResult {})
    }

    /// Takes tags away.
    pub(super) async fn remove_tags_from_resource(
        &self,
        context: Context,
        input: shapes::RemoveTagsFromResourceRequest,
    ) -> Result<shapes::RemoveTagsFromResourceResult, Error> {
        parameters_only("RemoveTagsFromResource", input.resource_type)?;
        let change =
            |tags: &mut BTreeMap<String, _>| tags.retain(|key, _| !input.tag_keys.contains(key));
        self.change_tags(&context, &input.resource_id, change).await?;
        Ok(shapes::RemoveTagsFromResourceResult {})
    }

    /// Shows tags.
    pub(super) async fn list_parameter_tags(
        &self,
        context: Context,
        input: shapes::ListTagsForResourceRequest,
    ) -> Result<shapes::ListTagsForResourceResult, Error> {
        parameters_only("ListTagsForResource", input.resource_type)?;
        let scope = Scope::of(&context);
        let wanted = Reference::parse(&scope, &input.resource_id)?;
        let snapshot = self.ledger.snapshot();
        let found = find(&self.tables, &snapshot, &scope, &wanted.names, context.now);
        let (_, row) = found.map_err(|_| Error::BadResource)?;
        let tag = |(key, value): (&String, &String)| shapes::Tag {
            key: key.clone(),
            value: value.clone(),
        };
        Ok(shapes::ListTagsForResourceResult { tag_list: Some(row.tags.iter().map(tag).collect()) })
    }

    async fn change_tags(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&mut BTreeMap<String, String>),
    ) -> Result<(), Error> {
        let scope = Scope::of(context);
        let wanted = Reference::parse(&scope, id)?;
        let tables = self.tables;
        let done = self.ledger.transact("tag parameter", |tx| {
            let now = tx.now();
            let found = find(&tables, tx, &scope, &wanted.names, now);
            let (name, row) = found.map_err(|_| Error::BadResource)?;
            let mut parameter = Parameter::clone(&row);
            change(&mut parameter.tags);
            if parameter.tags.len() > TAGS_MAX {
                return Err(Error::TooManyTags);
            }
            if parameter != **row.value() {
                tx.put(&tables.parameters, (scope.clone(), name), parameter);
            }
            Ok(())
        });
        Ok(done.await.map(drop)?)
    }
}
