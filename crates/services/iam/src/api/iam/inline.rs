//! Inline policies.

use policy::{Kind as DocumentKind, Policy};
use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::{Page, page};
use super::{account, rules, show};
use crate::Iam;
use crate::model::Kind;
use crate::refusal::Refusal;

async fn put(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    policy: &str,
    document: &str,
) -> Result<Unit, Refusal> {
    Policy::parse(document, DocumentKind::Identity)?;
    iam.change_entity("iam: put policy", (account(context), kind, name), |_, entity| {
        entity.inline.insert(policy.to_owned(), document.to_owned());
        rules::inline_documents(entity)?;
        Ok(Unit)
    })
    .await
}

async fn delete(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    policy: &str,
) -> Result<Unit, Refusal> {
    iam.change_entity("iam: delete policy", (account(context), kind, name), |_, entity| {
        entity.inline.remove(policy).map(|_| Unit).ok_or_else(|| missing(kind, policy))
    })
    .await
}

fn missing(kind: Kind, policy: &str) -> Refusal {
    Refusal::Missing(format!("The {} policy with name {policy} cannot be found.", kind.word()))
}

/// The document, and the entity's name as it is written.
fn get(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    policy: &str,
) -> Result<(String, String), Refusal> {
    let entity = iam.entity(&iam.ledger.snapshot(), account(context), kind, name)?;
    let document = entity.inline.get(policy).ok_or_else(|| missing(kind, policy))?;
    Ok((show::document(document), entity.name.clone()))
}

fn list(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<String>, Refusal> {
    let entity = iam.entity(&iam.ledger.snapshot(), account(context), kind, name)?;
    let names = entity.inline.keys().map(|name| (name.clone(), name.clone())).collect();
    page(names, marker, max_items)
}

pub(super) async fn put_to_user(
    iam: &Iam,
    context: Context,
    input: shapes::PutUserPolicyRequest,
) -> Result<Unit, Refusal> {
    let whom = (Kind::User, input.user_name.as_str());
    put(iam, &context, whom, &input.policy_name, &input.policy_document).await
}

pub(super) async fn delete_of_user(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteUserPolicyRequest,
) -> Result<Unit, Refusal> {
    delete(iam, &context, (Kind::User, &input.user_name), &input.policy_name).await
}

pub(super) async fn get_of_user(
    iam: &Iam,
    context: Context,
    input: shapes::GetUserPolicyRequest,
) -> Result<shapes::GetUserPolicyResponse, Refusal> {
    let policy_name = input.policy_name;
    let (policy_document, user_name) =
        get(iam, &context, (Kind::User, &input.user_name), &policy_name)?;
    Ok(shapes::GetUserPolicyResponse { user_name, policy_document, policy_name })
}

pub(super) async fn list_of_user(
    iam: &Iam,
    context: Context,
    input: shapes::ListUserPoliciesRequest,
) -> Result<shapes::ListUserPoliciesResponse, Refusal> {
    let whom = (Kind::User, input.user_name.as_str());
    let page = list(iam, &context, whom, input.marker.as_deref(), input.max_items)?;
    let Page { items: policy_names, is_truncated, marker } = page;
    Ok(shapes::ListUserPoliciesResponse { is_truncated, marker, policy_names })
}

pub(super) async fn put_to_group(
    iam: &Iam,
    context: Context,
    input: shapes::PutGroupPolicyRequest,
) -> Result<Unit, Refusal> {
    let whom = (Kind::Group, input.group_name.as_str());
    put(iam, &context, whom, &input.policy_name, &input.policy_document).await
}

pub(super) async fn delete_of_group(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteGroupPolicyRequest,
) -> Result<Unit, Refusal> {
    delete(iam, &context, (Kind::Group, &input.group_name), &input.policy_name).await
}

pub(super) async fn get_of_group(
    iam: &Iam,
    context: Context,
    input: shapes::GetGroupPolicyRequest,
) -> Result<shapes::GetGroupPolicyResponse, Refusal> {
    let policy_name = input.policy_name;
    let (policy_document, group_name) =
        get(iam, &context, (Kind::Group, &input.group_name), &policy_name)?;
    Ok(shapes::GetGroupPolicyResponse { group_name, policy_document, policy_name })
}

pub(super) async fn list_of_group(
    iam: &Iam,
    context: Context,
    input: shapes::ListGroupPoliciesRequest,
) -> Result<shapes::ListGroupPoliciesResponse, Refusal> {
    let whom = (Kind::Group, input.group_name.as_str());
    let page = list(iam, &context, whom, input.marker.as_deref(), input.max_items)?;
    let Page { items: policy_names, is_truncated, marker } = page;
    Ok(shapes::ListGroupPoliciesResponse { is_truncated, marker, policy_names })
}

pub(super) async fn put_to_role(
    iam: &Iam,
    context: Context,
    input: shapes::PutRolePolicyRequest,
) -> Result<Unit, Refusal> {
    let whom = (Kind::Role, input.role_name.as_str());
    put(iam, &context, whom, &input.policy_name, &input.policy_document).await
}

pub(super) async fn delete_of_role(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteRolePolicyRequest,
) -> Result<Unit, Refusal> {
    delete(iam, &context, (Kind::Role, &input.role_name), &input.policy_name).await
}

pub(super) async fn get_of_role(
    iam: &Iam,
    context: Context,
    input: shapes::GetRolePolicyRequest,
) -> Result<shapes::GetRolePolicyResponse, Refusal> {
    let policy_name = input.policy_name;
    let (policy_document, role_name) =
        get(iam, &context, (Kind::Role, &input.role_name), &policy_name)?;
    Ok(shapes::GetRolePolicyResponse { role_name, policy_document, policy_name })
}

pub(super) async fn list_of_role(
    iam: &Iam,
    context: Context,
    input: shapes::ListRolePoliciesRequest,
) -> Result<shapes::ListRolePoliciesResponse, Refusal> {
    let whom = (Kind::Role, input.role_name.as_str());
    let page = list(iam, &context, whom, input.marker.as_deref(), input.max_items)?;
    let Page { items: policy_names, is_truncated, marker } = page;
    Ok(shapes::ListRolePoliciesResponse { is_truncated, marker, policy_names })
}
