//! Roles.

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::page;
use super::show::Detail;
use super::users::{Fresh, must_be_bare};
use super::{account, rules};
use crate::Iam;
use crate::directory::protect;
use crate::model::{Entity, Kind, RolePart};
use crate::refusal::Refusal;
use crate::tables::{Gone, entity_key};

/// How long a role's sessions last at most unless said otherwise, in seconds.
const SESSION_S: u32 = 3600;

fn seconds(duration: Option<i32>) -> Option<u32> {
    duration.and_then(|seconds| u32::try_from(seconds).ok())
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateRoleRequest,
) -> Result<shapes::CreateRoleResponse, Refusal> {
    let account = account(&context);
    let path = rules::path(input.path)?;
    if path.starts_with("/aws-service-role/") {
        return Err(Refusal::Validation(format!(
            "Paths that begin with /aws-service-role/ are for roles of services: {path}"
        )));
    }
    let mut fresh = Fresh {
        kind: Kind::Role,
        name: input.role_name,
        path,
        tags: rules::tags(input.tags)?,
        boundary: input.permissions_boundary,
        role: None,
    };
    let document = input.assume_role_policy_document;
    let role = iam
        .change("iam: create role", |tx| {
            fresh.role = Some(RolePart {
                trust: iam.trust(tx, account, &document)?,
                description: input.description.clone(),
                max_session_s: seconds(input.max_session_duration).unwrap_or(SESSION_S),
                linked: None,
            });
            iam.put_new(tx, account, &fresh)
        })
        .await?;
    let snapshot = iam.ledger.snapshot();
    let role = iam.show_role(&snapshot, account, &role, Detail::Created);
    Ok(shapes::CreateRoleResponse { role })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetRoleRequest,
) -> Result<shapes::GetRoleResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let role = iam.entity(&snapshot, account, Kind::Role, &input.role_name)?;
    let role = iam.show_role(&snapshot, account, &role, Detail::Full);
    Ok(shapes::GetRoleResponse { role })
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListRolesRequest,
) -> Result<shapes::ListRolesResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let roles = iam.listed(account, Kind::Role, input.path_prefix.as_deref()).into_iter();
    let show = |role: Entity| iam.show_role(&snapshot, account, &role, Detail::Listed);
    let roles = roles.map(|(key, role)| (key, show(role))).collect();
    let page = page(roles, input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListRolesResponse { is_truncated, marker, roles: page.items })
}

pub(super) async fn update(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateRoleRequest,
) -> Result<shapes::UpdateRoleResponse, Refusal> {
    let whom = (account(&context), Kind::Role, input.role_name.as_str());
    iam.change_entity("iam: update role", whom, |_, role| {
        if let Some(part) = &mut role.role {
            part.max_session_s = seconds(input.max_session_duration).unwrap_or(part.max_session_s);
            if let Some(description) = &input.description {
                part.description = Some(description.clone());
            }
        }
        Ok(shapes::UpdateRoleResponse {})
    })
    .await
}

pub(super) async fn update_description(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateRoleDescriptionRequest,
) -> Result<shapes::UpdateRoleDescriptionResponse, Refusal> {
    let account = account(&context);
    let whom = (account, Kind::Role, input.role_name.as_str());
    let role = iam.change_entity("iam: describe role", whom, |_, role| {
        if let Some(part) = &mut role.role {
            part.description = Some(input.description.clone());
        }
        Ok(role.clone())
    });
    let role = role.await?;
    let role = iam.show_role(&iam.ledger.snapshot(), account, &role, Detail::Full);
    Ok(shapes::UpdateRoleDescriptionResponse { role: Some(role) })
}

pub(super) async fn update_trust(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateAssumeRolePolicyRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    let whom = (account, Kind::Role, input.role_name.as_str());
    iam.change_entity("iam: update trust", whom, |tx, role| {
        let trust = iam.trust(tx, account, &input.policy_document)?;
        if let Some(part) = &mut role.role {
            part.trust = trust;
        }
        Ok(Unit)
    })
    .await
}

/// Sessions of the role end with it: they are of its unique id.
pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteRoleRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    iam.change("iam: delete role", |tx| {
        let role = iam.entity(tx, account, Kind::Role, &input.role_name)?;
        protect(&role)?;
        must_be_bare(&role)?;
        let key = entity_key(account, Kind::Role, &input.role_name);
        let holds = |name: &Option<String>| name.as_deref() == Some(&*key.2);
        let own = account.to_string();
        let mut profiles = tx.prefix(&iam.tables.profiles, &own);
        let is_held = profiles.any(|(_, profile)| holds(&profile.role));
        drop(profiles);
        if is_held {
            let text = "Cannot delete entity, must remove roles from instance profile first.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        tx.delete(&iam.tables.entities, &key);
        tx.put(&iam.tables.gone_roles, key, Gone);
        Ok(Unit)
    })
    .await
}
