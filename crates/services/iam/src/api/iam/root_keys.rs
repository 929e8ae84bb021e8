//! Keys of the administrator, whom the first start makes: the same operations as for users, for whoever
//! calls with one of these keys and names no user (as on AWS, for the account's root), or the
//! administrator.

use shapes_iam as shapes;
use wire::{CallerKind, Context, Unit};

use super::keys::shown;
use super::rules;
use crate::Iam;
use crate::authenticator::ADMINISTRATOR;
use crate::keys::make;
use crate::model::{AccessKey, KeyStatus, Owner};
use crate::refusal::Refusal;

/// Whether the administrator is meant, who calls, or its own keys.
pub(super) fn are_meant(context: &Context, user_name: Option<&str>) -> bool {
    let is_own = user_name.is_none_or(|name| name.eq_ignore_ascii_case(ADMINISTRATOR));
    context.caller.kind == CallerKind::Operator && is_own
}

fn is_there(key: &AccessKey) -> bool {
    key.owner == Owner::Administrator && key.status != KeyStatus::Removed
}

pub(super) async fn create(
    iam: &Iam,
    context: &Context,
) -> Result<shapes::CreateAccessKeyResponse, Refusal> {
    let made = iam.change("iam: create administrator's key", |tx| {
        let count = tx.range(&iam.tables.keys, ..).filter(|(_, key)| is_there(key)).count();
        if count >= rules::KEYS_MAX {
            let text = format!("Cannot exceed quota for AccessKeysPerUser: {}", rules::KEYS_MAX);
            return Err(Refusal::Limit(text));
        }
        Ok((make(tx, &iam.tables, &context.caller.account, Owner::Administrator), tx.now()))
    });
    let (made, created_at) = made.await?;
    Ok(shapes::CreateAccessKeyResponse {
        access_key: shapes::AccessKey {
            access_key_id: made.access_key_id,
            create_date: Some(created_at),
            secret_access_key: made.secret.expose().to_owned(),
            status: shapes::StatusType::Active,
            user_name: ADMINISTRATOR.to_owned(),
        },
    })
}

pub(super) fn list(iam: &Iam) -> Result<shapes::ListAccessKeysResponse, Refusal> {
    let snapshot = iam.ledger.snapshot();
    let keys = snapshot.range(&iam.tables.keys, ..).filter(|(_, key)| is_there(key));
    let shown = keys.map(|(id, key)| shapes::AccessKeyMetadata {
        access_key_id: Some(id),
        create_date: Some(key.created_at),
        status: Some(shown(key.status)),
        user_name: Some(ADMINISTRATOR.to_owned()),
    });
    Ok(shapes::ListAccessKeysResponse {
        access_key_metadata: shown.collect(),
        is_truncated: Some(false),
        marker: None,
    })
}

/// Gives a key another status; none deletes it. The last one leaves a mark, so that the next start makes
/// none: who may do nothing any more has the machine (`longshore recover`).
pub(super) async fn change(
    iam: &Iam,
    id: &str,
    status: Option<KeyStatus>,
) -> Result<Unit, Refusal> {
    iam.change("iam: change administrator's key", |tx| {
        let rows: Vec<_> =
            tx.range(&iam.tables.keys, ..).filter(|(_, key)| is_there(key)).collect();
        let Some((_, key)) = rows.iter().find(|(known, _)| known == id) else {
            let text = format!("The Access Key with id {id} cannot be found.");
            return Err(Refusal::Missing(text));
        };
        match status {
            None if rows.len() > 1 => tx.delete(&iam.tables.keys, &id.to_owned()),
            status => {
                let status = status.unwrap_or(KeyStatus::Removed);
                let changed = AccessKey { status, ..(**key).clone() };
                tx.put(&iam.tables.keys, id.to_owned(), changed);
            }
        }
        Ok(Unit)
    })
    .await
}
