//! Tags of secrets.

use std::collections::BTreeMap;

use shapes_secretsmanager as shapes;
use wire::{Context, Unit};

use super::error::Error;
use super::find_live;
use super::model::Secret;
use crate::{Scope, Secrets};

/// The most tags of a secret.
const TAGS_MAX: usize = 50;

/// The tags of a request.
pub(super) fn of(tags: &[shapes::Tag]) -> Result<BTreeMap<String, String>, Error> {
    let mut read = BTreeMap::new();
    for tag in tags {
        let key = tag.key.clone().unwrap_or_default();
        if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::parameter(format!("Invalid tag key: '{key}'.")));
        }
        read.insert(key, tag.value.clone().unwrap_or_default());
    }
    count(&read)?;
    Ok(read)
}

fn count(tags: &BTreeMap<String, String>) -> Result<(), Error> {
    match tags.len() > TAGS_MAX {
        true => Err(Error::parameter(format!("A secret can have up to {TAGS_MAX} tags."))),
        false => Ok(()),
    }
}

/// Tags as answers have them.
pub(super) fn shown(tags: &BTreeMap<String, String>) -> Vec<shapes::Tag> {
    let tag = |(key, value): (&String, &String)| shapes::Tag {
        key: Some(key.clone()),
        value: Some(value.clone()),
    };
    tags.iter().map(tag).collect()
}

impl Secrets {
    /// Adds and replaces tags.
    pub(super) async fn tag_secret(
        &self,
        context: Context,
        input: shapes::TagResourceRequest,
    ) -> Result<Unit, Error> {
        let new = of(&input.tags)?;
        self.change_secret_tags(&context, &input.secret_id, |tags| tags.extend(new.clone())).await
    }

    /// Takes tags away.
    pub(super) async fn untag_secret(
        &self,
        context: Context,
        input: shapes::UntagResourceRequest,
    ) -> Result<Unit, Error> {
        let change =
            |tags: &mut BTreeMap<String, _>| tags.retain(|key, _| !input.tag_keys.contains(key));
        self.change_secret_tags(&context, &input.secret_id, change).await
    }

    async fn change_secret_tags(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&mut BTreeMap<String, String>),
    ) -> Result<Unit, Error> {
        let (scope, tables) = (Scope::meant(context, id), self.tables);
        let done = self.ledger.transact("tag secret", |tx| {
            let now = tx.now();
            let (name, row) = find_live(&tables, tx, &scope, id, now)?;
            let mut secret = Secret::clone(&row);
            change(&mut secret.tags);
            count(&secret.tags)?;
            if secret != **row.value() {
                tx.put(&tables.secrets, (scope.clone(), name), secret);
            }
            Ok::<_, Error>(Unit)
        });
        Ok(done.await?.value)
    }
}
