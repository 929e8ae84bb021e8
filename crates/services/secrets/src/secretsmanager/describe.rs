//! What secrets are, without their values.

use std::collections::BTreeMap;

use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::filter::Filter;
use super::model::Secret;
use super::{find, name, tags};
use crate::page::Page;
use crate::{Scope, Secrets};

/// The most secrets of a page, and how many there are if the request does not say.
const PAGE: usize = 100;

impl Secrets {
    /// One secret, even if it was deleted and can be restored.
    pub(super) async fn describe_secret(
        &self,
        context: Context,
        input: shapes::DescribeSecretRequest,
    ) -> Result<shapes::DescribeSecretResponse, Error> {
        let (scope, snapshot) = (Scope::meant(&context, &input.secret_id), self.ledger.snapshot());
        let (name, secret) = find(&self.tables, &snapshot, &scope, &input.secret_id, context.now)?;
        Ok(shapes::DescribeSecretResponse {
            arn: Some(name::arn(&scope, &name, &secret.suffix)),
            created_date: Some(secret.created_at),
            deleted_date: secret.deleted_at,
            description: secret.description.clone(),
            kms_key_id: secret.key_id.clone(),
            last_changed_date: Some(secret.changed_at),
            name: Some(name),
            tags: Some(tags::shown(&secret.tags)).filter(|tags| !tags.is_empty()),
            version_ids_to_stages: stages(&secret),
            ..Default::default()
        })
    }

    /// Lists secrets, the oldest first if nothing else is asked for; equals by their names.
    pub(super) async fn list_secrets(
        &self,
        context: Context,
        input: shapes::ListSecretsRequest,
    ) -> Result<shapes::ListSecretsResponse, Error> {
        let filters = Filter::read(input.filters.as_deref().unwrap_or_default())?;
        let page = Page::open("ListSecrets", input.max_results, PAGE, input.next_token.as_deref());
        let page = page.map_err(|_| Error::NextToken)?;
        let (scope, snapshot) = (Scope::of(&context), self.ledger.snapshot());
        let with_deleted = input.include_planned_deletion.unwrap_or(false);
        let rows = snapshot.prefix(&self.tables.secrets, &scope).filter(|((_, name), row)| {
            !row.is_over(context.now)
                && (with_deleted || row.deleted_at.is_none())
                && filters.iter().all(|filter| filter.fits(&scope, name, row))
        });
        let mut rows: Vec<_> = rows.map(|((_, name), row)| (name, row)).collect();
        match input.sort_by {
            Some(shapes::SortByType::Name) => {}
            None | Some(shapes::SortByType::CreatedDate | shapes::SortByType::LastAccessedDate) => {
                rows.sort_by_key(|(_, row)| row.created_at);
            }
            Some(shapes::SortByType::LastChangedDate) => {
                rows.sort_by_key(|(_, row)| row.changed_at);
            }
        }
        if input.sort_order == Some(shapes::SortOrderType::Desc) {
            rows.reverse();
        }
        let (rows, next_token) = page.take_sorted(rows, |(name, _)| name.clone());
        let list = rows.iter().map(|(name, row)| entry(&scope, name, row)).collect();
        Ok(shapes::ListSecretsResponse { next_token, secret_list: Some(list) })
    }
}

fn entry(scope: &Scope, name: &str, secret: &Secret) -> shapes::SecretListEntry {
    shapes::SecretListEntry {
        arn: Some(name::arn(scope, name, &secret.suffix)),
        created_date: Some(secret.created_at),
        deleted_date: secret.deleted_at,
        description: secret.description.clone(),
        kms_key_id: secret.key_id.clone(),
        last_changed_date: Some(secret.changed_at),
        name: Some(name.to_owned()),
        secret_versions_to_stages: stages(secret),
        tags: Some(tags::shown(&secret.tags)).filter(|tags| !tags.is_empty()),
        ..Default::default()
    }
}

/// The versions that have labels, with them.
fn stages(secret: &Secret) -> Option<BTreeMap<String, Vec<String>>> {
    let labelled = secret.versions.iter().filter(|(_, version)| !version.stages.is_empty());
    let stages: BTreeMap<_, _> = labelled
        .map(|(id, version)| (id.clone(), version.stages.iter().cloned().collect()))
        .collect();
    Some(stages).filter(|stages| !stages.is_empty())
}
