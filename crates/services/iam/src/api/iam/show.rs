//! Records as clients see them.

use std::collections::BTreeMap;

use ledger::View;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use shapes_iam as shapes;
use terms::AccountId;

use crate::Iam;
use crate::model::{Entity, InstanceProfile, Kind};
use crate::tables::entity_key;

/// What RFC 3986 leaves as it is.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as answers have it.
pub(super) fn document(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

pub(super) fn tags(tags: &BTreeMap<String, String>) -> Option<Vec<shapes::Tag>> {
    (!tags.is_empty()).then(|| tag_list(tags))
}

pub(super) fn tag_list(tags: &BTreeMap<String, String>) -> Vec<shapes::Tag> {
    tags.iter().map(|(key, value)| shapes::Tag { key: key.clone(), value: value.clone() }).collect()
}

pub(super) fn boundary(entity: &Entity) -> Option<shapes::AttachedPermissionsBoundary> {
    entity.boundary.as_ref().map(|arn| shapes::AttachedPermissionsBoundary {
        permissions_boundary_arn: Some(arn.clone()),
        permissions_boundary_type: Some(
            shapes::PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy,
        ),
    })
}

/// A user; in lists without what only a look at it shows.
pub(super) fn user(account: &AccountId, user: &Entity, in_list: bool) -> shapes::User {
    shapes::User {
        arn: user.arn(account),
        create_date: user.created_at,
        password_last_used: None,
        path: user.path.clone(),
        permissions_boundary: boundary(user).filter(|_| !in_list),
        tags: tags(&user.tags).filter(|_| !in_list),
        user_id: user.id.clone(),
        user_name: user.name.clone(),
    }
}

pub(super) fn group(account: &AccountId, group: &Entity) -> shapes::Group {
    shapes::Group {
        arn: group.arn(account),
        create_date: group.created_at,
        group_id: group.id.clone(),
        group_name: group.name.clone(),
        path: group.path.clone(),
    }
}

/// How much of a role is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What `CreateRole` answers: without its longest session and its last use.
    Created,
    /// In lists: without tags, boundary and last use.
    Listed,
    /// All.
    Full,
}

impl Iam {
    pub(super) fn show_role(
        &self,
        view: &impl View,
        account: &AccountId,
        role: &Entity,
        detail: Detail,
    ) -> shapes::Role {
        let part = role.role.as_ref();
        let in_list = detail == Detail::Listed;
        shapes::Role {
            arn: role.arn(account),
            assume_role_policy_document: part
                .map(|part| document(&self.named_by_arns(view, account, &part.trust))),
            create_date: role.created_at,
            description: part.and_then(|part| part.description.clone()),
            max_session_duration: part
                .filter(|_| detail != Detail::Created)
                .and_then(|part| i32::try_from(part.max_session_s).ok()),
            path: role.path.clone(),
            permissions_boundary: boundary(role).filter(|_| !in_list),
            role_id: role.id.clone(),
            // When roles were used is not kept.
            role_last_used: (detail == Detail::Full)
                .then_some(shapes::RoleLastUsed { last_used_date: None, region: None }),
            role_name: role.name.clone(),
            tags: tags(&role.tags).filter(|_| !in_list),
        }
    }

    pub(super) fn show_profile(
        &self,
        view: &impl View,
        account: &AccountId,
        profile: &InstanceProfile,
    ) -> shapes::InstanceProfile {
        let role = profile.role.as_ref().and_then(|name| {
            view.get(&self.tables.entities, &entity_key(account, Kind::Role, name))
        });
        let role = role.map(|role| self.show_role(view, account, &role, Detail::Listed));
        shapes::InstanceProfile {
            arn: profile_arn(account, profile),
            create_date: profile.created_at,
            instance_profile_id: profile.id.clone(),
            instance_profile_name: profile.name.clone(),
            path: profile.path.clone(),
            roles: role.into_iter().collect(),
            tags: tags(&profile.tags),
        }
    }
}

pub(super) fn profile_arn(account: &AccountId, profile: &InstanceProfile) -> String {
    format!("arn:aws:iam::{account}:instance-profile{}{}", profile.path, profile.name)
}
