//! Tags of users and roles.

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::{Page, page};
use super::{account, rules, show};
use crate::Iam;
use crate::model::Kind;
use crate::refusal::Refusal;

async fn tag(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    tags: Vec<shapes::Tag>,
) -> Result<Unit, Refusal> {
    iam.change_entity("iam: tag", (account(context), kind, name), |_, entity| {
        rules::add_tags(&mut entity.tags, tags.clone())?;
        Ok(Unit)
    })
    .await
}

async fn untag(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    keys: &[String],
) -> Result<Unit, Refusal> {
    iam.change_entity("iam: untag", (account(context), kind, name), |_, entity| {
        rules::remove_tags(&mut entity.tags, keys);
        Ok(Unit)
    })
    .await
}

fn list(
    iam: &Iam,
    context: &Context,
    (kind, name): (Kind, &str),
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<shapes::Tag>, Refusal> {
    let entity = iam.entity(&iam.ledger.snapshot(), account(context), kind, name)?;
    let tags = show::tag_list(&entity.tags).into_iter().map(|tag| (tag.key.clone(), tag));
    page(tags.collect(), marker, max_items)
}

pub(super) async fn tag_user(
    iam: &Iam,
    context: Context,
    input: shapes::TagUserRequest,
) -> Result<Unit, Refusal> {
    tag(iam, &context, (Kind::User, &input.user_name), input.tags).await
}

pub(super) async fn untag_user(
    iam: &Iam,
    context: Context,
    input: shapes::UntagUserRequest,
) -> Result<Unit, Refusal> {
    untag(iam, &context, (Kind::User, &input.user_name), &input.tag_keys).await
}

pub(super) async fn of_user(
    iam: &Iam,
    context: Context,
    input: shapes::ListUserTagsRequest,
) -> Result<shapes::ListUserTagsResponse, Refusal> {
    let whom = (Kind::User, input.user_name.as_str());
    let page = list(iam, &context, whom, input.marker.as_deref(), input.max_items)?;
    let Page { items: tags, is_truncated, marker } = page;
    Ok(shapes::ListUserTagsResponse { is_truncated, marker, tags })
}

pub(super) async fn tag_role(
    iam: &Iam,
    context: Context,
    input: shapes::TagRoleRequest,
) -> Result<Unit, Refusal> {
    tag(iam, &context, (Kind::Role, &input.role_name), input.tags).await
}

pub(super) async fn untag_role(
    iam: &Iam,
    context: Context,
    input: shapes::UntagRoleRequest,
) -> Result<Unit, Refusal> {
    untag(iam, &context, (Kind::Role, &input.role_name), &input.tag_keys).await
}

pub(super) async fn of_role(
    iam: &Iam,
    context: Context,
    input: shapes::ListRoleTagsRequest,
) -> Result<shapes::ListRoleTagsResponse, Refusal> {
    let whom = (Kind::Role, input.role_name.as_str());
    let page = list(iam, &context, whom, input.marker.as_deref(), input.max_items)?;
    let Page { items: tags, is_truncated, marker } = page;
    Ok(shapes::ListRoleTagsResponse { is_truncated, marker, tags })
}
