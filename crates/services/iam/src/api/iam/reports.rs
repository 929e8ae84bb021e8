//! What an account has, all at once.

use std::collections::BTreeMap;

use ledger::View;
use shapes_iam as shapes;
use terms::AccountId;
use wire::Context;

use super::managed::attached;
use super::{account, show, versions};
use crate::Iam;
use crate::managed as of_aws;
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;

use super::paging::page;

pub(super) async fn summary(
    iam: &Iam,
    context: Context,
    _: wire::Unit,
) -> Result<shapes::GetAccountSummaryResponse, Refusal> {
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let own = account.to_string();
    let of = |kind| iam.entities(&snapshot, account, kind).len();
    let policies: Vec<_> = snapshot.prefix(&iam.tables.policies, &own).collect();
    let versions: usize = policies.iter().map(|(_, policy)| policy.versions.len()).sum();
    let profiles = snapshot.prefix(&iam.tables.profiles, &own).count();
    let providers = snapshot.prefix(&iam.tables.providers, &own).count();
    let counted = [
        ("Users", of(Kind::User)),
        ("Groups", of(Kind::Group)),
        ("Roles", of(Kind::Role)),
        ("Policies", policies.len()),
        ("PolicyVersionsInUse", versions),
        ("InstanceProfiles", profiles),
        ("Providers", providers),
        ("UsersQuota", 5000),
        ("GroupsQuota", 300),
        ("RolesQuota", 1000),
        ("PoliciesQuota", 1500),
        ("InstanceProfilesQuota", 1000),
        ("PolicyVersionsInUseQuota", 10_000),
        ("GroupsPerUserQuota", 10),
        ("AccessKeysPerUserQuota", 2),
        ("AttachedPoliciesPerUserQuota", 10),
        ("AttachedPoliciesPerGroupQuota", 10),
        ("AttachedPoliciesPerRoleQuota", 10),
        ("UserPolicySizeQuota", 2048),
        ("GroupPolicySizeQuota", 5120),
        ("RolePolicySizeQuota", 10_240),
        ("AssumeRolePolicySizeQuota", 2048),
        ("PolicySizeQuota", 6144),
        ("VersionsPerPolicyQuota", 5),
        ("GlobalEndpointTokenVersion", 2),
        ("AccountAccessKeysPresent", 0),
        ("AccountMFAEnabled", 0),
        ("AccountPasswordPresent", 0),
        ("AccountSigningCertificatesPresent", 0),
        ("MFADevices", 0),
        ("MFADevicesInUse", 0),
        ("ServerCertificates", 0),
        ("ServerCertificatesQuota", 20),
        ("SigningCertificatesPerUserQuota", 2),
    ];
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let map: BTreeMap<_, _> =
        counted.into_iter().map(|(name, count)| (name.to_owned(), number(count))).collect();
    Ok(shapes::GetAccountSummaryResponse { summary_map: Some(map) })
}

/// One thing of the account, whatever it is.
enum Item {
    User(shapes::UserDetail),
    Group(shapes::GroupDetail),
    Role(Box<shapes::RoleDetail>),
    Policy(Box<shapes::ManagedPolicyDetail>),
}

fn inline(entity: &Entity) -> Option<Vec<shapes::PolicyDetail>> {
    let one = |(name, text): (&String, &String)| shapes::PolicyDetail {
        policy_document: Some(show::document(text)),
        policy_name: Some(name.clone()),
    };
    Some(entity.inline.iter().map(one).collect())
}

impl Iam {
    fn detail(&self, view: &impl View, account: &AccountId, entity: &Entity) -> Item {
        let (arn, create_date) = (Some(entity.arn(account)), Some(entity.created_at));
        let (path, name, id) = (entity.path.clone(), entity.name.clone(), entity.id.clone());
        let (path, name, id) = (Some(path), Some(name), Some(id));
        let attached_managed_policies = Some(attached(entity));
        let permissions_boundary = show::boundary(entity);
        let tags = show::tags(&entity.tags);
        match entity.kind {
            Kind::User => Item::User(shapes::UserDetail {
                arn,
                attached_managed_policies,
                create_date,
                group_list: Some(entity.groups.iter().cloned().collect()),
                path,
                permissions_boundary,
                tags,
                user_id: id,
                user_name: name,
                user_policy_list: inline(entity),
            }),
            Kind::Group => Item::Group(shapes::GroupDetail {
                arn,
                attached_managed_policies,
                create_date,
                group_id: id,
                group_name: name,
                group_policy_list: inline(entity),
                path,
            }),
            Kind::Role => {
                let trust = entity.role.as_ref().map(|role| &role.trust);
                let profiles = self.profiles(account, Some(&entity.name)).into_iter();
                Item::Role(Box::new(shapes::RoleDetail {
                    arn,
                    assume_role_policy_document: trust
                        .map(|trust| show::document(&self.named_by_arns(view, account, trust))),
                    attached_managed_policies,
                    create_date,
                    instance_profile_list: Some(profiles.map(|(_, profile)| profile).collect()),
                    path,
                    permissions_boundary,
                    role_id: id,
                    role_last_used: Some(shapes::RoleLastUsed {
                        last_used_date: None,
                        region: None,
                    }),
                    role_name: name,
                    role_policy_list: inline(entity),
                    tags,
                }))
            }
        }
    }
}

fn policy_detail(shown: shapes::Policy, versions: Vec<shapes::PolicyVersion>) -> Item {
    Item::Policy(Box::new(shapes::ManagedPolicyDetail {
        arn: shown.arn,
        attachment_count: shown.attachment_count,
        create_date: shown.create_date,
        default_version_id: shown.default_version_id,
        description: shown.description,
        is_attachable: shown.is_attachable,
        path: shown.path,
        permissions_boundary_usage_count: shown.permissions_boundary_usage_count,
        policy_id: shown.policy_id,
        policy_name: shown.policy_name,
        policy_version_list: Some(versions),
        update_date: shown.update_date,
    }))
}

pub(super) async fn details(
    iam: &Iam,
    context: Context,
    input: shapes::GetAccountAuthorizationDetailsRequest,
) -> Result<shapes::GetAccountAuthorizationDetailsResponse, Refusal> {
    use shapes::EntityType;
    let account = account(&context);
    let snapshot = iam.ledger.snapshot();
    let wants = |kind: EntityType| {
        input.filter.as_ref().is_none_or(|filter| filter.is_empty() || filter.contains(&kind))
    };
    let mut items = Vec::new();
    let kinds = [
        (EntityType::Group, Kind::Group),
        (EntityType::Role, Kind::Role),
        (EntityType::User, Kind::User),
    ];
    for (_, kind) in kinds.into_iter().filter(|(wanted, _)| wants(*wanted)) {
        for entity in iam.entities(&snapshot, account, kind) {
            let key = format!("{}/{}", kind.word(), entity.name.to_ascii_lowercase());
            items.push((key, iam.detail(&snapshot, account, &entity)));
        }
    }
    if wants(EntityType::LocalManagedPolicy) {
        for (key, policy) in snapshot.prefix(&iam.tables.policies, &account.to_string()) {
            let shown = iam.show_policy(&snapshot, account, &policy);
            let item = policy_detail(shown, versions::shown(&policy, true));
            items.push((format!("policy/{}", key.1), item));
        }
    }
    if wants(EntityType::AWSManagedPolicy) {
        for policy in of_aws::ALL {
            let shown = iam.show_aws_policy(&snapshot, account, policy);
            // Those that nobody has are left out, as IAM does.
            if input.filter.is_none() && shown.attachment_count == Some(0) {
                continue;
            }
            let item = policy_detail(shown, vec![versions::of_aws(policy, true)]);
            items.push((format!("policy-of-aws/{}", policy.name), item));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let page = page(items, input.marker.as_deref(), input.max_items)?;
    let mut answer = shapes::GetAccountAuthorizationDetailsResponse {
        is_truncated: page.is_truncated,
        marker: page.marker,
        user_detail_list: Some(Vec::new()),
        group_detail_list: Some(Vec::new()),
        role_detail_list: Some(Vec::new()),
        policies: Some(Vec::new()),
    };
    for item in page.items {
        match item {
            Item::User(user) => answer.user_detail_list.get_or_insert_default().push(user),
            Item::Group(group) => answer.group_detail_list.get_or_insert_default().push(group),
            Item::Role(role) => answer.role_detail_list.get_or_insert_default().push(*role),
            Item::Policy(policy) => answer.policies.get_or_insert_default().push(*policy),
        }
    }
    Ok(answer)
}
