//! Deleting secrets, at once or after a window, and taking it back.

use std::time::Duration;

use ledger::Tx;
use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::model::Secret;
use super::{delete_versions, find, name};
use crate::tables::NameKey;
use crate::{Scope, Secrets, Tables};

/// Days from a deletion to the end, if the request does not say.
const WINDOW_DEFAULT_DAYS: i64 = 30;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Deletes a secret with all its values for good.
pub(crate) fn remove(tx: &mut Tx<'_>, tables: &Tables, key: &NameKey, suffix: &str) {
    let whole = (key.0.clone(), key.1.clone(), suffix.to_owned());
    let rows = tx.prefix(&tables.secret_versions, &whole);
    let ids: Vec<String> = rows.map(|((_, _, _, id), _)| id).collect();
    delete_versions(tx, tables, (&key.0, &key.1, suffix), &ids);
    tx.delete(&tables.secrets, key);
}

impl Secrets {
    /// Deletes a secret: it can be restored until its window ends, unless it is forced.
    pub(super) async fn delete_secret(
        &self,
        context: Context,
        input: shapes::DeleteSecretRequest,
    ) -> Result<shapes::DeleteSecretResponse, Error> {
        let is_forced = input.force_delete_without_recovery.unwrap_or(false);
        if is_forced && input.recovery_window_in_days.is_some() {
            return Err(Error::parameter(
                "You can't use ForceDeleteWithoutRecovery in conjunction with \
                 RecoveryWindowInDays.",
            ));
        }
        let days = input.recovery_window_in_days.unwrap_or(WINDOW_DEFAULT_DAYS);
        if !(7..=30).contains(&days) {
            return Err(Error::parameter(
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            ));
        }
        let window = DAY * u32::try_from(days).unwrap_or(30);
        let (scope, tables) = (Scope::meant(&context, &input.secret_id), self.tables);
        let done = self.ledger.transact("delete secret", |tx| {
            let now = tx.now();
            let (name, row) = match find(&tables, tx, &scope, &input.secret_id, now) {
                Ok(found) => found,
                // Forced, one that is not there is deleted as well.
                Err(Error::NotFound) if is_forced => {
                    return Ok((input.secret_id.clone(), String::new(), now));
                }
                Err(error) => return Err(error),
            };
            let key = (scope.clone(), name.clone());
            let suffix = row.suffix.clone();
            if is_forced {
                remove(tx, &tables, &key, &suffix);
                return Ok((name, suffix, now));
            }
            if row.deleted_at.is_some() {
                return Err(Error::AlreadyScheduled);
            }
            let end = now + window;
            let secret = Secret { deleted_at: Some(end), ..Secret::clone(&row) };
            tx.put(&tables.secrets, key, secret);
            Ok((name, suffix, end))
        });
        let (name, suffix, end) = done.await?.value;
        let arn = match name.starts_with("arn:") {
            true => name.clone(),
            false => name::arn(&scope, &name, &suffix),
        };
        Ok(shapes::DeleteSecretResponse {
            arn: Some(arn),
            deletion_date: Some(end),
            name: Some(name),
        })
    }

    /// Takes a deletion back.
    pub(super) async fn restore_secret(
        &self,
        context: Context,
        input: shapes::RestoreSecretRequest,
    ) -> Result<shapes::RestoreSecretResponse, Error> {
        let (scope, tables) = (Scope::meant(&context, &input.secret_id), self.tables);
        let done = self.ledger.transact("restore secret", |tx| {
            let now = tx.now();
            let (name, row) = find(&tables, tx, &scope, &input.secret_id, now)?;
            let arn = name::arn(&scope, &name, &row.suffix);
            if row.deleted_at.is_some() {
                let secret = Secret { deleted_at: None, ..Secret::clone(&row) };
                tx.put(&tables.secrets, (scope.clone(), name.clone()), secret);
            }
            Ok::<_, Error>((arn, name))
        });
        let (arn, name) = done.await?.value;
        Ok(shapes::RestoreSecretResponse { arn: Some(arn), name: Some(name) })
    }
}
