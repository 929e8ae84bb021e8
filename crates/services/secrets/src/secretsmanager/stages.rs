//! Moving labels between versions.

use shapes_secretsmanager as shapes;
use wire::Context;

use super::error::Error;
use super::model::{CURRENT, Secret};
use super::{find_live, name};
use crate::{Scope, Secrets};

impl Secrets {
    /// Moves a label onto a version, or takes it away.
    pub(super) async fn update_secret_version_stage(
        &self,
        context: Context,
        input: shapes::UpdateSecretVersionStageRequest,
    ) -> Result<shapes::UpdateSecretVersionStageResponse, Error> {
        let (scope, tables) = (Scope::meant(&context, &input.secret_id), self.tables);
        let done = self.ledger.transact("update secret version stage", |tx| {
            let now = tx.now();
            let (name, row) = find_live(&tables, tx, &scope, &input.secret_id, now)?;
            let mut secret = Secret::clone(&row);
            move_stage(&mut secret, &input)?;
            let arn = name::arn(&scope, &name, &secret.suffix);
            if secret != **row.value() {
                secret.changed_at = now;
                tx.put(&tables.secrets, (scope.clone(), name.clone()), secret);
            }
            Ok::<_, Error>((arn, name))
        });
        let (arn, name) = done.await?.value;
        Ok(shapes::UpdateSecretVersionStageResponse { arn: Some(arn), name: Some(name) })
    }
}

fn move_stage(
    secret: &mut Secret,
    input: &shapes::UpdateSecretVersionStageRequest,
) -> Result<(), Error> {
    let stage = input.version_stage.as_str();
    let (to, from) = (input.move_to_version_id.as_deref(), input.remove_from_version_id.as_deref());
    let holder = secret.holder(stage).map(str::to_owned);
    for id in [to, from].into_iter().flatten() {
        if !secret.versions.contains_key(id) {
            return Err(Error::NoValue(format!("VersionId: {id}")));
        }
    }
    if let Some(from) = from
        && holder.as_deref() != Some(from)
    {
        return Err(Error::parameter(format!(
            "The parameter RemoveFromVersionId is incorrect: staging label {stage} isn't attached \
             to version {from}."
        )));
    }
    match to {
        None if from.is_none() => {
            Err(Error::parameter("You must provide MoveToVersionId, RemoveFromVersionId, or both."))
        }
        None if stage == CURRENT => Err(Error::parameter(format!(
            "You can only move staging label {CURRENT} to a different secret version. It can't be \
             completely removed."
        ))),
        None => {
            secret.take_stage(stage);
            Ok(())
        }
        Some(to) => {
            if let (None, Some(holder)) = (from, holder.as_deref().filter(|holder| *holder != to)) {
                return Err(Error::parameter(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is \
                     currently attached to version {holder}, so you must explicitly reference \
                     that version in RemoveFromVersionId."
                )));
            }
            secret.give_stage(stage, to);
            Ok(())
        }
    }
}
