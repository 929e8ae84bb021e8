//! Permissions boundaries.

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::account;
use crate::Iam;
use crate::model::Kind;
use crate::refusal::Refusal;

async fn put(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    arn: Option<String>,
) -> Result<Unit, Refusal> {
    let account = account(context);
    iam.change_entity("iam: boundary", (account, kind, name), |tx, entity| {
        match &arn {
            Some(arn) => iam.must_exist(tx, account, arn)?,
            None if entity.boundary.is_none() => {
                let text = format!("{name} does not have a permissions boundary attached.");
                return Err(Refusal::Missing(text));
            }
            None => {}
        }
        entity.boundary.clone_from(&arn);
        Ok(Unit)
    })
    .await
}

pub(super) async fn put_to_user(
    iam: &Iam,
    context: Context,
    input: shapes::PutUserPermissionsBoundaryRequest,
) -> Result<Unit, Refusal> {
    put(iam, &context, (Kind::User, &input.user_name), Some(input.permissions_boundary)).await
}

pub(super) async fn put_to_role(
    iam: &Iam,
    context: Context,
    input: shapes::PutRolePermissionsBoundaryRequest,
) -> Result<Unit, Refusal> {
    put(iam, &context, (Kind::Role, &input.role_name), Some(input.permissions_boundary)).await
}

pub(super) async fn delete_of_user(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteUserPermissionsBoundaryRequest,
) -> Result<Unit, Refusal> {
    put(iam, &context, (Kind::User, &input.user_name), None).await
}

pub(super) async fn delete_of_role(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteRolePermissionsBoundaryRequest,
) -> Result<Unit, Refusal> {
    put(iam, &context, (Kind::Role, &input.role_name), None).await
}
