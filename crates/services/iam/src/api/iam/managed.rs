//! Managed policies on users, groups and roles.

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::{Page, page};
use super::{account, rules};
use crate::Iam;
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;

async fn attach(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    arn: &str,
) -> Result<Unit, Refusal> {
    let account = account(context);
    iam.change_entity("iam: attach policy", (account, kind, name), |tx, entity| {
        iam.must_exist(tx, account, arn)?;
        entity.attached.insert(arn.to_owned());
        if entity.attached.len() > rules::ATTACHED_MAX {
            let word = match kind {
                Kind::User => "User",
                Kind::Group => "Group",
                Kind::Role => "Role",
            };
            let max = rules::ATTACHED_MAX;
            return Err(Refusal::Limit(format!(
                "Cannot exceed quota for PoliciesPer{word}: {max}"
            )));
        }
        Ok(Unit)
    })
    .await
}

async fn detach(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    arn: &str,
) -> Result<Unit, Refusal> {
    iam.change_entity("iam: detach policy", (account(context), kind, name), |_, entity| {
        if entity.attached.remove(arn) {
            return Ok(Unit);
        }
        Err(Refusal::Missing(format!("Policy {arn} was not found.")))
    })
    .await
}

/// The policies attached to an entity, as they are shown.
pub(super) fn attached(entity: &Entity) -> Vec<shapes::AttachedPolicy> {
    let name = |arn: &String| arn.rsplit('/').next().unwrap_or_default().to_owned();
    let shown = |arn: &String| shapes::AttachedPolicy {
        policy_arn: Some(arn.clone()),
        policy_name: Some(name(arn)),
    };
    entity.attached.iter().map(shown).collect()
}

struct Asked {
    marker: Option<String>,
    max_items: Option<i32>,
    path_prefix: Option<String>,
}

fn list(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    asked: &Asked,
) -> Result<Page<shapes::AttachedPolicy>, Refusal> {
    let entity = iam.entity(&iam.ledger.snapshot(), account(context), kind, name)?;
    let keyed = attached(&entity).into_iter().filter_map(|shown| {
        let arn = shown.policy_arn.clone()?;
        let path = path_of(&arn);
        let fits = asked.path_prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix));
        fits.then_some((arn, shown))
    });
    page(keyed.collect(), asked.marker.as_deref(), asked.max_items)
}

/// The path in a managed policy's ARN.
fn path_of(arn: &str) -> &str {
    let rest = arn.split_once(":policy").map_or("", |(_, rest)| rest);
    rest.rfind('/').map_or("/", |at| &rest[..=at])
}

/// Who has the policy, as permissions or as a boundary.
pub(super) async fn entities(
    iam: &Iam,
    context: Context,
    input: shapes::ListEntitiesForPolicyRequest,
) -> Result<shapes::ListEntitiesForPolicyResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    iam.must_exist(&snapshot, account, &input.policy_arn)?;
    let of = (account.to_string(), input.policy_arn.clone());
    let usage = input.policy_usage_filter;
    let mut found: Vec<_> = Vec::new();
    if usage != Some(shapes::PolicyUsageType::PermissionsBoundary) {
        found.extend(snapshot.index(&iam.tables.entities_by_policy, &of));
    }
    if usage.is_none() || usage == Some(shapes::PolicyUsageType::PermissionsBoundary) {
        found.extend(snapshot.index(&iam.tables.entities_by_boundary, &of));
    }
    let is_wanted = |entity: &Entity| {
        let kind = match input.entity_filter {
            None => true,
            Some(shapes::EntityType::User) => entity.kind == Kind::User,
            Some(shapes::EntityType::Role) => entity.kind == Kind::Role,
            Some(shapes::EntityType::Group) => entity.kind == Kind::Group,
            Some(shapes::EntityType::LocalManagedPolicy | shapes::EntityType::AWSManagedPolicy) => {
                false
            }
        };
        kind && input.path_prefix.as_ref().is_none_or(|prefix| entity.path.starts_with(prefix))
    };
    let mut keyed: Vec<_> = found
        .into_iter()
        .filter(|(_, entity)| is_wanted(entity))
        .map(|(key, entity)| (format!("{}/{}", key.1, key.2), (*entity).clone()))
        .collect();
    keyed.sort_by(|one, other| one.0.cmp(&other.0));
    keyed.dedup_by(|one, other| one.0 == other.0);
    let page = page(keyed, input.marker.as_deref(), input.max_items)?;
    let of_kind = |kind| page.items.iter().filter(move |entity: &&Entity| entity.kind == kind);
    let (id, name) = (|e: &Entity| Some(e.id.clone()), |e: &Entity| Some(e.name.clone()));
    let groups = of_kind(Kind::Group)
        .map(|e| shapes::PolicyGroup { group_id: id(e), group_name: name(e) })
        .collect();
    let roles = of_kind(Kind::Role)
        .map(|e| shapes::PolicyRole { role_id: id(e), role_name: name(e) })
        .collect();
    let users = of_kind(Kind::User)
        .map(|e| shapes::PolicyUser { user_id: id(e), user_name: name(e) })
        .collect();
    Ok(shapes::ListEntitiesForPolicyResponse {
        is_truncated: page.is_truncated,
        marker: page.marker.clone(),
        policy_groups: Some(groups),
        policy_roles: Some(roles),
        policy_users: Some(users),
    })
}

pub(super) async fn attach_to_user(
    iam: &Iam,
    context: Context,
    input: shapes::AttachUserPolicyRequest,
) -> Result<Unit, Refusal> {
    attach(iam, &context, (Kind::User, &input.user_name), &input.policy_arn).await
}

pub(super) async fn detach_from_user(
    iam: &Iam,
    context: Context,
    input: shapes::DetachUserPolicyRequest,
) -> Result<Unit, Refusal> {
    detach(iam, &context, (Kind::User, &input.user_name), &input.policy_arn).await
}

pub(super) async fn of_user(
    iam: &Iam,
    context: Context,
    input: shapes::ListAttachedUserPoliciesRequest,
) -> Result<shapes::ListAttachedUserPoliciesResponse, Refusal> {
    let (marker, max_items, path_prefix) = (input.marker, input.max_items, input.path_prefix);
    let asked = Asked { marker, max_items, path_prefix };
    let page = list(iam, &context, (Kind::User, &input.user_name), &asked)?;
    let Page { items, is_truncated, marker } = page;
    let attached_policies = Some(items);
    Ok(shapes::ListAttachedUserPoliciesResponse { attached_policies, is_truncated, marker })
}

pub(super) async fn attach_to_group(
    iam: &Iam,
    context: Context,
    input: shapes::AttachGroupPolicyRequest,
) -> Result<Unit, Refusal> {
    attach(iam, &context, (Kind::Group, &input.group_name), &input.policy_arn).await
}

pub(super) async fn detach_from_group(
    iam: &Iam,
    context: Context,
    input: shapes::DetachGroupPolicyRequest,
) -> Result<Unit, Refusal> {
    detach(iam, &context, (Kind::Group, &input.group_name), &input.policy_arn).await
}

pub(super) async fn of_group(
    iam: &Iam,
    context: Context,
    input: shapes::ListAttachedGroupPoliciesRequest,
) -> Result<shapes::ListAttachedGroupPoliciesResponse, Refusal> {
    let (marker, max_items, path_prefix) = (input.marker, input.max_items, input.path_prefix);
    let asked = Asked { marker, max_items, path_prefix };
    let page = list(iam, &context, (Kind::Group, &input.group_name), &asked)?;
    let Page { items, is_truncated, marker } = page;
    let attached_policies = Some(items);
    Ok(shapes::ListAttachedGroupPoliciesResponse { attached_policies, is_truncated, marker })
}

pub(super) async fn attach_to_role(
    iam: &Iam,
    context: Context,
    input: shapes::AttachRolePolicyRequest,
) -> Result<Unit, Refusal> {
    attach(iam, &context, (Kind::Role, &input.role_name), &input.policy_arn).await
}

pub(super) async fn detach_from_role(
    iam: &Iam,
    context: Context,
    input: shapes::DetachRolePolicyRequest,
) -> Result<Unit, Refusal> {
    detach(iam, &context, (Kind::Role, &input.role_name), &input.policy_arn).await
}

pub(super) async fn of_role(
    iam: &Iam,
    context: Context,
    input: shapes::ListAttachedRolePoliciesRequest,
) -> Result<shapes::ListAttachedRolePoliciesResponse, Refusal> {
    let (marker, max_items, path_prefix) = (input.marker, input.max_items, input.path_prefix);
    let asked = Asked { marker, max_items, path_prefix };
    let page = list(iam, &context, (Kind::Role, &input.role_name), &asked)?;
    let Page { items, is_truncated, marker } = page;
    let attached_policies = Some(items);
    Ok(shapes::ListAttachedRolePoliciesResponse { attached_policies, is_truncated, marker })
}
