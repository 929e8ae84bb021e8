//! Access keys of users.

use data_encoding::BASE64;
use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::page;
use super::{account, root_keys, rules};
use crate::Iam;
use crate::directory::access_key_id;
use crate::model::{AccessKey, KeyStatus, Kind, Owner};
use crate::refusal::Refusal;

pub(super) fn shown(status: KeyStatus) -> shapes::StatusType {
    match status {
        KeyStatus::Active => shapes::StatusType::Active,
        KeyStatus::Inactive | KeyStatus::Removed => shapes::StatusType::Inactive,
    }
}

/// Makes a key. Its secret is told here and never again.
pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateAccessKeyRequest,
) -> Result<shapes::CreateAccessKeyResponse, Refusal> {
    let account = account(&context);
    if root_keys::are_meant(&context, input.user_name.as_deref()) {
        return root_keys::create(iam, &context).await;
    }
    let name = iam.meant(&context, input.user_name)?;
    let key = iam.change("iam: create access key", |tx| {
        let user = iam.entity(tx, account, Kind::User, &name)?;
        if tx.index(&iam.tables.keys_by_user, &user.id).count() >= rules::KEYS_MAX {
            let max = rules::KEYS_MAX;
            return Err(Refusal::Limit(format!(
                "Cannot exceed quota for AccessKeysPerUser: {max}"
            )));
        }
        let id = access_key_id("AKIA", account, tx.next_id());
        let secret = BASE64.encode(&[tx.next_id(), tx.next_id()].concat()[..30]);
        let row = AccessKey {
            account: account.clone(),
            secret: secret.clone(),
            owner: Owner::User(user.id.clone()),
            user_id: user.id.clone(),
            status: KeyStatus::Active,
            created_at: tx.now(),
        };
        let created_at = row.created_at;
        tx.put(&iam.tables.keys, id.clone(), row);
        Ok(shapes::AccessKey {
            access_key_id: id,
            create_date: Some(created_at),
            secret_access_key: secret,
            status: shapes::StatusType::Active,
            user_name: user.name,
        })
    });
    Ok(shapes::CreateAccessKeyResponse { access_key: key.await? })
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListAccessKeysRequest,
) -> Result<shapes::ListAccessKeysResponse, Refusal> {
    if root_keys::are_meant(&context, input.user_name.as_deref()) {
        return root_keys::list(iam);
    }
    let name = iam.meant(&context, input.user_name)?;
    let snapshot = iam.ledger.snapshot();
    let user = iam.entity(&snapshot, account(&context), Kind::User, &name)?;
    let keys = snapshot.index(&iam.tables.keys_by_user, &user.id).map(|(id, key)| {
        let shown = shapes::AccessKeyMetadata {
            access_key_id: Some(id.clone()),
            create_date: Some(key.created_at),
            status: Some(shown(key.status)),
            user_name: Some(user.name.clone()),
        };
        (id, shown)
    });
    let page = page(keys.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListAccessKeysResponse { access_key_metadata: page.items, is_truncated, marker })
}

pub(super) async fn update(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateAccessKeyRequest,
) -> Result<Unit, Refusal> {
    let status = match input.status {
        shapes::StatusType::Active => KeyStatus::Active,
        shapes::StatusType::Inactive => KeyStatus::Inactive,
        shapes::StatusType::Expired => {
            let text = "Value 'Expired' at 'status' cannot be set";
            return Err(Refusal::Validation(text.to_owned()));
        }
    };
    change(iam, &context, input.user_name, &input.access_key_id, Some(status)).await
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteAccessKeyRequest,
) -> Result<Unit, Refusal> {
    change(iam, &context, input.user_name, &input.access_key_id, None).await
}

/// Gives a key another status; none deletes it.
async fn change(
    iam: &Iam,
    context: &Context,
    user_name: Option<String>,
    id: &str,
    status: Option<KeyStatus>,
) -> Result<Unit, Refusal> {
    if root_keys::are_meant(context, user_name.as_deref()) {
        return root_keys::change(iam, id, status).await;
    }
    let (account, name) = (account(context), iam.meant(context, user_name)?);
    iam.change("iam: change access key", |tx| {
        let user = iam.entity(tx, account, Kind::User, &name)?;
        let key = tx.get(&iam.tables.keys, &id.to_owned());
        let key = key.filter(|key| key.owner == Owner::User(user.id.clone()));
        let Some(key) = key else {
            let text = format!("The Access Key with id {id} cannot be found.");
            return Err(Refusal::Missing(text));
        };
        match status {
            Some(status) => {
                let changed = AccessKey { status, ..(*key).clone() };
                tx.put(&iam.tables.keys, id.to_owned(), changed);
            }
            None => tx.delete(&iam.tables.keys, &id.to_owned()),
        }
        Ok(Unit)
    })
    .await
}
