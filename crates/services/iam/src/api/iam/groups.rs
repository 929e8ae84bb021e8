//! Groups and who is in them.

use std::collections::BTreeMap;

use shapes_iam as shapes;
use wire::{Context, Unit};

use super::paging::page;
use super::users::{Fresh, must_be_bare};
use super::{account, rules, show};
use crate::Iam;
use crate::model::Kind;
use crate::refusal::Refusal;
use crate::tables::entity_key;

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreateGroupRequest,
) -> Result<shapes::CreateGroupResponse, Refusal> {
    let account = account(&context);
    let fresh = Fresh {
        kind: Kind::Group,
        name: input.group_name,
        path: rules::path(input.path)?,
        tags: BTreeMap::new(),
        boundary: None,
        role: None,
    };
    let group = iam.change("iam: create group", |tx| iam.put_new(tx, account, &fresh)).await?;
    Ok(shapes::CreateGroupResponse { group: show::group(account, &group) })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetGroupRequest,
) -> Result<shapes::GetGroupResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let group = iam.entity(&snapshot, account, Kind::Group, &input.group_name)?;
    let of = (account.to_string(), group.name.to_ascii_lowercase());
    let members = snapshot.index(&iam.tables.members, &of);
    let members = members.map(|(key, user)| (key.2, show::user(account, &user, true)));
    let page = page(members.collect(), input.marker.as_deref(), input.max_items)?;
    let group = show::group(account, &group);
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::GetGroupResponse { group, is_truncated, marker, users: page.items })
}

pub(super) async fn update(
    iam: &Iam,
    context: Context,
    input: shapes::UpdateGroupRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), Kind::Group, input.group_name.as_str());
    iam.rename(whom, input.new_group_name, input.new_path).await?;
    Ok(Unit)
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeleteGroupRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    iam.change("iam: delete group", |tx| {
        let group = iam.entity(tx, account, Kind::Group, &input.group_name)?;
        must_be_bare(&group)?;
        let key = entity_key(account, Kind::Group, &input.group_name);
        if tx.index(&iam.tables.members, &(key.0.clone(), key.2.clone())).next().is_some() {
            let text = "Cannot delete entity, must remove users from group first.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        tx.delete(&iam.tables.entities, &key);
        Ok(Unit)
    })
    .await
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListGroupsRequest,
) -> Result<shapes::ListGroupsResponse, Refusal> {
    let account = account(&context);
    let groups = iam.listed(account, Kind::Group, input.path_prefix.as_deref());
    let groups = groups.into_iter().map(|(key, group)| (key, show::group(account, &group)));
    let page = page(groups.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListGroupsResponse { groups: page.items, is_truncated, marker })
}

pub(super) async fn of_user(
    iam: &Iam,
    context: Context,
    input: shapes::ListGroupsForUserRequest,
) -> Result<shapes::ListGroupsForUserResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let user = iam.entity(&snapshot, account, Kind::User, &input.user_name)?;
    let groups = user.groups.iter().filter_map(|name| {
        let group = snapshot.get(&iam.tables.entities, &entity_key(account, Kind::Group, name))?;
        Some((name.clone(), show::group(account, &group)))
    });
    let page = page(groups.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListGroupsForUserResponse { groups: page.items, is_truncated, marker })
}

/// A second time changes nothing.
pub(super) async fn add(
    iam: &Iam,
    context: Context,
    input: shapes::AddUserToGroupRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    let whom = (account, Kind::User, input.user_name.as_str());
    iam.change_entity("iam: add to group", whom, |tx, user| {
        iam.entity(tx, account, Kind::Group, &input.group_name)?;
        user.groups.insert(input.group_name.to_ascii_lowercase());
        if user.groups.len() > rules::GROUPS_MAX {
            let max = rules::GROUPS_MAX;
            return Err(Refusal::Limit(format!("Cannot exceed quota for GroupsPerUser: {max}")));
        }
        Ok(Unit)
    })
    .await
}

pub(super) async fn remove(
    iam: &Iam,
    context: Context,
    input: shapes::RemoveUserFromGroupRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    let whom = (account, Kind::User, input.user_name.as_str());
    iam.change_entity("iam: remove from group", whom, |tx, user| {
        iam.entity(tx, account, Kind::Group, &input.group_name)?;
        user.groups.remove(&input.group_name.to_ascii_lowercase());
        Ok(Unit)
    })
    .await
}
