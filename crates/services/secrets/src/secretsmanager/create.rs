//! Making secrets.

use std::collections::BTreeMap;

use ledger::Tx;
use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::model::{CURRENT, Secret, SecretValue, SecretVersion};
use super::{name, tags, value, version_key};
use crate::hidden::Hidden;
use crate::random::Random;
use crate::tables::NameKey;
use crate::{Scope, Secrets, Tables};

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
        let wish = Wish { input, tags: new_tags, value: new_value, id };
        let key = (Scope::of(&context), wish.input.name.clone());
        let tables = self.tables;
        let is_crowded = self.ledger.snapshot().len(&tables.secrets) >= SECRETS_MAX;
        let done = self.ledger.transact("create secret", |tx| {
            let now = tx.now();
            let there = tx.get(&tables.secrets, &key).filter(|row| !row.is_over(now));
            match there {
                Some(there) => wish.again(tx, &tables, &key, &there),
                None if is_crowded && tx.prefix(&tables.secrets, &key.0).count() >= SECRETS_MAX => {
                    let text =
                        format!("You can't have more than {SECRETS_MAX} secrets in a region.");
                    Err(Error::TooMuch(text))
                }
                None => Ok(wish.make(tx, &tables, &key)),
            }
        });
        let suffix = done.await?.value;
        Ok(shapes::CreateSecretResponse {
            arn: Some(name::arn(&key.0, &key.1, &suffix)),
            name: Some(key.1),
            version_id: wish.value.is_some().then_some(wish.id),
            ..Default::default()
        })
    }
}

/// What is asked for.
struct Wish {
    input: shapes::CreateSecretRequest,
    tags: BTreeMap<String, String>,
    value: Option<SecretValue>,
    id: String,
}

impl Wish {
    /// The same request once more is answered as the first one was.
    fn again(
        &self,
        tx: &Tx<'_>,
        tables: &Tables,
        (scope, name): &NameKey,
        there: &Secret,
    ) -> Result<String, Error> {
        let stored =
            tx.get(&tables.secret_versions, &version_key(scope, name, &there.suffix, &self.id));
        let is_same = |stored: ledger::Row<SecretVersion>| {
            Some(stored.value.expose()) == self.value.as_ref() && there.deleted_at.is_none()
        };
        match (stored.map(is_same), there.deleted_at) {
            (Some(true), _) => Ok(there.suffix.clone()),
            (_, Some(_)) => Err(Error::NameIsScheduled),
            (Some(false), None) => {
                let arn = name::arn(scope, name, &there.suffix);
                Err(Error::TokenInUse(self.id.clone(), arn))
            }
            (None, None) => Err(Error::Exists(name.clone())),
        }
    }

    /// Writes the secret; its suffix.
    fn make(&self, tx: &mut Tx<'_>, tables: &Tables, key: &NameKey) -> String {
        let now = tx.now();
        // One whose window has ended may not have been taken away yet.
        if let Some(old) = tx.get(&tables.secrets, key) {
            let suffix = old.suffix.clone();
            super::remove(tx, tables, key, &suffix);
        }
        let suffix = name::suffix(&mut Random::new(|| tx.next_id()));
        let mut secret = Secret {
            suffix: suffix.clone(),
            description: self.input.description.clone(),
            key_id: self.input.kms_key_id.clone(),
            created_at: now,
            changed_at: now,
            deleted_at: None,
            tags: self.tags.clone(),
            policy: None,
            versions: BTreeMap::new(),
        };
        if let Some(value) = &self.value {
            secret.add_version(&self.id, &[CURRENT.to_owned()], now);
            let version = SecretVersion { value: Hidden::new(value.clone()) };
            let at = version_key(&key.0, &key.1, &suffix, &self.id);
            tx.put(&tables.secret_versions, at, version);
        }
        tx.put(&tables.secrets, key.clone(), secret);
        suffix
    }
}
