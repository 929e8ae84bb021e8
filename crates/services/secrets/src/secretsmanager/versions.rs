//! Listing the versions of a secret.

use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::{find, name};
use crate::page::Page;
use crate::{Scope, Secrets};

/// The most versions of a page, and how many there are if the request does not say.
const PAGE: usize = 100;
/// What AWS shows for the key of an account that names none.
const KEY_DEFAULT: &str = "DefaultEncryptionKey";

impl Secrets {
    /// The versions that have labels; with those that have none, if they are asked for.
    pub(super) async fn list_secret_version_ids(
        &self,
        context: Context,
        input: shapes::ListSecretVersionIdsRequest,
    ) -> Result<shapes::ListSecretVersionIdsResponse, Error> {
        let (scope, snapshot) = (Scope::meant(&context, &input.secret_id), self.ledger.snapshot());
        let (name, secret) = find(&self.tables, &snapshot, &scope, &input.secret_id, context.now)?;
        let token = input.next_token.as_deref();
        let page = Page::open("ListSecretVersionIds", input.max_results, PAGE, token);
        let page = page.map_err(|_| Error::NextToken)?;
        let with_deprecated = input.include_deprecated.unwrap_or(false);
        let versions =
            secret.versions.iter().filter(|(_, one)| with_deprecated || !one.stages.is_empty());
        let (versions, next_token) = page.take(versions, |(id, _)| (*id).clone());
        let key = secret.key_id.clone().unwrap_or_else(|| KEY_DEFAULT.to_owned());
        let entry = |(id, version): &(&String, &super::model::Version)| {
            let stages: Vec<String> = version.stages.iter().cloned().collect();
            shapes::SecretVersionsListEntry {
                created_date: Some(version.created_at),
                kms_key_ids: Some(vec![key.clone()]),
                last_accessed_date: None,
                version_id: Some((*id).clone()),
                version_stages: Some(stages).filter(|stages| !stages.is_empty()),
            }
        };
        Ok(shapes::ListSecretVersionIdsResponse {
            arn: Some(name::arn(&scope, &name, &secret.suffix)),
            name: Some(name),
            next_token,
            versions: Some(versions.iter().map(entry).collect()),
        })
    }
}
