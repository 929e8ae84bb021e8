//! Giving secrets new values, descriptions and keys.

use ledger::Tx;
use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::model::{CURRENT, Secret, SecretValue, SecretVersion};
use super::{delete_versions, find_live, name, value, version_key};
use crate::hidden::Hidden;
use crate::{Scope, Secrets, Tables};

/// The most labels of a secret.
const STAGES_MAX: usize = 20;

/// A value that is to be a secret's version.
struct NewVersion {
    id: String,
    value: SecretValue,
    stages: Vec<String>,
}

/// Adds a version; the same once more changes nothing. Answers with the labels that it has.
fn add(
    tx: &mut Tx<'_>,
    tables: &Tables,
    (scope, name): (&Scope, &str),
    secret: &mut Secret,
    new: &NewVersion,
) -> Result<Vec<String>, Error> {
    let at = version_key(scope, name, &secret.suffix, &new.id);
    if let Some(known) = secret.versions.get(&new.id) {
        let stored = tx.get(&tables.secret_versions, &at);
        return match stored.is_some_and(|stored| *stored.value.expose() == new.value) {
            true => Ok(known.stages.iter().cloned().collect()),
            false => Err(Error::TokenInUse(new.id.clone(), name::arn(scope, name, &secret.suffix))),
        };
    }
    let now = tx.now();
    let mut labels = new.stages.clone();
    // The first version is the current one, whatever else it is.
    if secret.versions.is_empty() && !labels.iter().any(|label| label == CURRENT) {
        labels.push(CURRENT.to_owned());
    }
    let gone = secret.add_version(&new.id, &labels, now);
    let suffix = secret.suffix.clone();
    delete_versions(tx, tables, (scope, name, &suffix), &gone);
    let stages = secret.versions.values().map(|version| version.stages.len());
    if stages.sum::<usize>() > STAGES_MAX {
        return Err(Error::TooMuch(format!(
            "A secret can have up to {STAGES_MAX} staging labels."
        )));
    }
    tx.put(&tables.secret_versions, at, SecretVersion { value: Hidden::new(new.value.clone()) });
    Ok(labels)
}

impl Secrets {
    /// Gives a secret a new value.
    pub(super) async fn put_secret_value(
        &self,
        context: Context,
        input: shapes::PutSecretValueRequest,
    ) -> Result<shapes::PutSecretValueResponse, Error> {
        let value = value::of(&input.secret_string, &input.secret_binary)?.ok_or_else(|| {
            Error::parameter("You must provide either SecretString or SecretBinary.")
        })?;
        let id = value::version_id(&input.client_request_token)?;
        let stages = input.version_stages.clone().filter(|stages| !stages.is_empty());
        let stages = stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
        let new = NewVersion { id, value, stages };
        let (scope, tables) = (Scope::meant(&context, &input.secret_id), self.tables);
        let done = self.ledger.transact("put secret value", |tx| {
            let now = tx.now();
            let (name, row) = find_live(&tables, tx, &scope, &input.secret_id, now)?;
            let mut secret = Secret::clone(&row);
            let stages = add(tx, &tables, (&scope, &name), &mut secret, &new)?;
            let arn = name::arn(&scope, &name, &secret.suffix);
            if secret != **row.value() {
                tx.put(&tables.secrets, (scope.clone(), name.clone()), secret);
            }
            Ok::<_, Error>((arn, name, stages))
        });
        let (arn, name, stages) = done.await?.value;
        Ok(shapes::PutSecretValueResponse {
            arn: Some(arn),
            name: Some(name),
            version_id: Some(new.id),
            version_stages: Some(stages),
        })
    }

    /// Changes what is said of a secret, and its value if the request has one.
    pub(super) async fn update_secret(
        &self,
        context: Context,
        input: shapes::UpdateSecretRequest,
    ) -> Result<shapes::UpdateSecretResponse, Error> {
        if input.type_.as_deref().is_some_and(|kind| !kind.is_empty()) {
            return Err(Error::NotBuilt { operation: "UpdateSecret", what: "Type" });
        }
        let value = value::of(&input.secret_string, &input.secret_binary)?;
        let new = match value {
            None => None,
            Some(value) => {
                let id = value::version_id(&input.client_request_token)?;
                Some(NewVersion { id, value, stages: vec![CURRENT.to_owned()] })
            }
        };
        let (scope, tables) = (Scope::meant(&context, &input.secret_id), self.tables);
        let done = self.ledger.transact("update secret", |tx| {
            let now = tx.now();
            let (name, row) = find_live(&tables, tx, &scope, &input.secret_id, now)?;
            let mut secret = Secret::clone(&row);
            if let Some(new) = &new {
                add(tx, &tables, (&scope, &name), &mut secret, new)?;
            }
            if let Some(description) = &input.description {
                secret.description = Some(description.clone());
            }
            if let Some(key) = &input.kms_key_id {
                secret.key_id = Some(key.clone()).filter(|key| !key.is_empty());
            }
            let arn = name::arn(&scope, &name, &secret.suffix);
            if secret != **row.value() {
                secret.changed_at = now;
                tx.put(&tables.secrets, (scope.clone(), name.clone()), secret);
            }
            Ok::<_, Error>((arn, name))
        });
        let (arn, name) = done.await?.value;
        let version_id = new.map(|new| new.id);
        Ok(shapes::UpdateSecretResponse { arn: Some(arn), name: Some(name), version_id })
    }
}
