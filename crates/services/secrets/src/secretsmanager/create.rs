//! Making secrets.

use std::collections::BTreeMap;

use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::model::{CURRENT, Secret, SecretValue, SecretVersion};
use super::{name, tags, value, version_key};
use crate::hidden::Hidden;
use crate::random::Random;
use crate::{Scope, Secrets};

/// The most secrets of an account in a region.
const SECRETS_MAX: usize = 500_000;

impl Secrets {
    /// Makes a secret, with a first version if the request has a value.
    pub(super) async fn create_secret(
        &self,
        context: Context,
        input: shapes::CreateSecretRequest,
    ) -> Result<shapes::CreateSecretResponse, Error> {
        let not_built = |what| Err(Error::NotBuilt { operation: "CreateSecret", what });
        if input.add_replica_regions.is_some() {
            return not_built("AddReplicaRegions");
        }
        if input.type_.as_deref().is_some_and(|kind| !kind.is_empty()) {
            return not_built("Type");
        }
        name::check(&input.name)?;
        let new_tags = tags::of(input.tags.as_deref().unwrap_or_default())?;
        let new_value = value::of(&input.secret_string, &input.secret_binary)?;
        let id = value::version_id(&input.client_request_token)?;
        let scope = Scope::of(&context);
        let key = (scope.clone(), input.name.clone());
        let tables = self.tables;
        let is_crowded = self.ledger.snapshot().len(&tables.secrets) >= SECRETS_MAX;
        let done = self.ledger.transact("create secret", |tx| {
            let now = tx.now();
            let there = tx.get(&tables.secrets, &key).filter(|row| !row.is_over(now));
            if let Some(there) = there {
                // The same request once more is answered as the first one was.
                let first = version_key(&scope, &key.1, &there.suffix, &id);
                let stored = tx.get(&tables.secret_versions, &first);
                let is_repeated = stored.is_some_and(|stored| {
                    Some(stored.value.expose()) == new_value.as_ref() && there.deleted_at.is_none()
                });
                return match (is_repeated, there.deleted_at) {
                    (true, _) => Ok(there.suffix.clone()),
                    (false, Some(_)) => Err(Error::NameIsScheduled),
                    (false, None) => Err(Error::Exists(key.1.clone())),
                };
            }
            if is_crowded && tx.prefix(&tables.secrets, &scope).count() >= SECRETS_MAX {
                let text = format!("You can't have more than {SECRETS_MAX} secrets in a region.");
                return Err(Error::TooMuch(text));
            }
            if let Some(old) = tx.get(&tables.secrets, &key) {
                let suffix = old.suffix.clone();
                super::remove(tx, &tables, &key, &suffix);
            }
            let suffix = name::suffix(&mut Random::new(|| tx.next_id()));
            let mut secret = Secret {
                suffix: suffix.clone(),
                description: input.description.clone(),
                key_id: input.kms_key_id.clone(),
                created_at: now,
                changed_at: now,
                deleted_at: None,
                tags: new_tags.clone(),
                versions: BTreeMap::new(),
            };
            if let Some(value) = &new_value {
                secret.add_version(&id, &[CURRENT.to_owned()], now);
                let version = SecretVersion { value: Hidden::new(SecretValue::clone(value)) };
                let at = version_key(&scope, &key.1, &suffix, &id);
                tx.put(&tables.secret_versions, at, version);
            }
            tx.put(&tables.secrets, key.clone(), secret);
            Ok(suffix)
        });
        let suffix = done.await?.value;
        Ok(shapes::CreateSecretResponse {
            arn: Some(name::arn(&key.0, &key.1, &suffix)),
            name: Some(key.1),
            version_id: new_value.is_some().then_some(id),
            ..Default::default()
        })
    }
}
