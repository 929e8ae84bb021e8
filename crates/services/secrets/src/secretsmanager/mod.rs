//! Secrets Manager (reference: Secrets Manager API).

mod batch;
mod change;
mod create;
mod describe;
mod error;
mod filter;
mod model;
mod name;
mod password;
mod policies;
mod read;
mod remove;
mod stages;
mod tags;
mod value;
mod versions;

use ledger::{Row, Tx, View};
use shapes_secretsmanager as shapes;
use shapes_secretsmanager::operations as ops;
use terms::Timestamp;
use wire::{Service, ServiceError};

use crate::tables::SecretVersionKey;
use crate::{Scope, Secrets, Tables};
use error::Error;

pub(crate) use model::{Secret, SecretVersion};
pub(crate) use read::{Lookup, SecretText};
pub(crate) use remove::remove;

/// Adds handlers: the operation, then the method of [`Secrets`] that answers it.
macro_rules! operations {
    ($room:ident, $service:expr, $($operation:ident => $handler:ident;)*) => {
        $service$(.on::<ops::$operation, _, _>({
            let room = $room.clone();
            move |context, input| {
                let room = room.clone();
                async move { room.$handler(context, input).await.map_err(ServiceError::from) }
            }
        }))*
    };
}

/// The service with every operation that is built.
pub(crate) fn service(room: &Secrets) -> Service {
    operations! { room, Service::new(&shapes::SERVICE),
        BatchGetSecretValue => batch_get_secret_value;
        CreateSecret => create_secret;
        DeleteResourcePolicy => delete_resource_policy;
        DeleteSecret => delete_secret;
        DescribeSecret => describe_secret;
        GetRandomPassword => get_random_password;
        GetResourcePolicy => get_resource_policy;
        GetSecretValue => get_secret_value;
        ListSecretVersionIds => list_secret_version_ids;
        ListSecrets => list_secrets;
        PutResourcePolicy => put_resource_policy;
        PutSecretValue => put_secret_value;
        RestoreSecret => restore_secret;
        TagResource => tag_secret;
        UntagResource => untag_secret;
        UpdateSecret => update_secret;
        UpdateSecretVersionStage => update_secret_version_stage;
        ValidateResourcePolicy => validate_resource_policy;
    }
}

/// The secret that an id means, one that was deleted and can be restored included.
fn find(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    id: &str,
    now: Timestamp,
) -> Result<(String, Row<Secret>), Error> {
    let known = |name: &str| {
        let row = view.get(&tables.secrets, &(scope.clone(), name.to_owned()))?;
        (!row.is_over(now)).then(|| (name.to_owned(), row))
    };
    let Some(tail) = name::of_arn(scope, id) else {
        return match id.starts_with("arn:") {
            true => Err(Error::NotFound),
            false => known(id).ok_or(Error::NotFound),
        };
    };
    // The whole ARN, then a name without the suffix.
    let whole = name::parts(tail)
        .and_then(|(name, suffix)| known(name).filter(|(_, row)| row.suffix == suffix));
    whole.or_else(|| known(tail)).ok_or(Error::NotFound)
}

/// The whole ARN and the tags of the secret that an id means.
pub(crate) fn known(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    id: &str,
    now: Timestamp,
) -> Option<(String, Vec<(String, String)>)> {
    let (name, row) = find(tables, view, scope, id, now).ok()?;
    let tags = row.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Some((name::arn(scope, &name, &row.suffix), tags))
}

/// The policy of the secret that an id means.
pub(crate) fn policy(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    id: &str,
    now: Timestamp,
) -> Option<String> {
    find(tables, view, scope, id, now).ok()?.1.policy.clone()
}

/// As [`find`], of one that was not deleted.
fn find_live(
    tables: &Tables,
    view: &impl View,
    scope: &Scope,
    id: &str,
    now: Timestamp,
) -> Result<(String, Row<Secret>), Error> {
    let found = find(tables, view, scope, id, now)?;
    if found.1.deleted_at.is_some() {
        return Err(Error::MarkedForDeletion);
    }
    Ok(found)
}

/// A version's key.
fn version_key(scope: &Scope, name: &str, suffix: &str, id: &str) -> SecretVersionKey {
    (scope.clone(), name.to_owned(), suffix.to_owned(), id.to_owned())
}

/// Deletes versions' values.
fn delete_versions(
    tx: &mut Tx<'_>,
    tables: &Tables,
    (scope, name, suffix): (&Scope, &str, &str),
    ids: &[String],
) {
    for id in ids {
        tx.delete(&tables.secret_versions, &version_key(scope, name, suffix, id));
    }
}
