//! Managed policies.

use std::collections::BTreeMap;

use ledger::{Tx, View};
use shapes_iam as shapes;
use terms::{AccountId, Timestamp};
use wire::{Context, Unit};

use super::paging::page;
use super::{account, rules, show};
use crate::Iam;
use crate::directory::{policy_name, unique_id};
use crate::managed::{self, AwsPolicy};
use crate::model::{ManagedPolicy, PolicyVersion};
use crate::refusal::Refusal;
use crate::tables::NameKey;

/// Most managed policies of one account.
const POLICIES_MAX: usize = 1500;

pub(super) fn arn_of(account: &AccountId, policy: &ManagedPolicy) -> String {
    format!("arn:aws:iam::{account}:policy{}{}", policy.path, policy.name)
}

pub(super) fn missing(arn: &str) -> Refusal {
    Refusal::Missing(format!("Policy {arn} was not found."))
}

impl Iam {
    /// The managed policy of the account with this ARN.
    pub(super) fn policy(
        &self,
        view: &impl View,
        account: &AccountId,
        arn: &str,
    ) -> Result<(NameKey, ManagedPolicy), Refusal> {
        let name = policy_name(account, arn).ok_or_else(|| missing(arn))?;
        let key = (account.to_string(), name.to_ascii_lowercase());
        let policy = view.get(&self.tables.policies, &key).filter(|p| arn_of(account, p) == arn);
        policy.map(|policy| (key, (*policy).clone())).ok_or_else(|| missing(arn))
    }

    /// Changes a managed policy of the account. AWS's own are nobody's to change.
    pub(super) async fn change_policy<T>(
        &self,
        what: &'static str,
        (account, arn): (&AccountId, &str),
        mut work: impl FnMut(&mut Tx<'_>, &mut ManagedPolicy) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        of_aws_is_denied(arn)?;
        self.change(what, |tx| {
            let (key, mut policy) = self.policy(tx, account, arn)?;
            let value = work(tx, &mut policy)?;
            tx.put(&self.tables.policies, key, policy);
            Ok(value)
        })
        .await
    }

    fn uses(&self, view: &impl View, account: &AccountId, arn: &str) -> (i32, i32) {
        let of = (account.to_string(), arn.to_owned());
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let attached = view.index(&self.tables.entities_by_policy, &of).count();
        let bounds = view.index(&self.tables.entities_by_boundary, &of).count();
        (count(attached), count(bounds))
    }

    /// A policy of the account as it is shown.
    pub(super) fn show_policy(
        &self,
        view: &impl View,
        account: &AccountId,
        policy: &ManagedPolicy,
    ) -> shapes::Policy {
        let arn = arn_of(account, policy);
        let (attached, bounds) = self.uses(view, account, &arn);
        shapes::Policy {
            arn: Some(arn),
            attachment_count: Some(attached),
            create_date: Some(policy.created_at),
            default_version_id: Some(format!("v{}", policy.default_version)),
            description: policy.description.clone(),
            is_attachable: Some(true),
            path: Some(policy.path.clone()),
            permissions_boundary_usage_count: Some(bounds),
            policy_id: Some(policy.id.clone()),
            policy_name: Some(policy.name.clone()),
            tags: show::tags(&policy.tags),
            update_date: Some(policy.updated_at),
        }
    }

    /// A policy of AWS's as it is shown.
    pub(super) fn show_aws_policy(
        &self,
        view: &impl View,
        account: &AccountId,
        policy: &AwsPolicy,
    ) -> shapes::Policy {
        let arn = policy.arn();
        let (attached, bounds) = self.uses(view, account, &arn);
        shapes::Policy {
            policy_id: Some(policy.id()),
            arn: Some(arn),
            attachment_count: Some(attached),
            create_date: Some(Timestamp::from_millis(managed::CREATED_MS)),
            default_version_id: Some(format!("v{}", policy.version)),
            description: None,
            is_attachable: Some(true),
            path: Some(policy.path.to_owned()),
            permissions_boundary_usage_count: Some(bounds),
            policy_name: Some(policy.name.to_owned()),
            tags: None,
            update_date: Some(Timestamp::from_millis(managed::CREATED_MS)),
        }
    }
}

pub(super) fn of_aws_is_denied(arn: &str) -> Result<(), Refusal> {
    if arn.starts_with("arn:aws:iam::aws:") {
        let text = format!("AWS managed policies cannot be changed: {arn}");
        return Err(Refusal::Denied(text));
    }
    Ok(())
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreatePolicyRequest,
) -> Result<shapes::CreatePolicyResponse, Refusal> {
    let account = account(&context);
    let (path, tags) = (rules::path(input.path)?, rules::tags(input.tags)?);
    rules::managed_document(&input.policy_document)?;
    let (name, key) = (&input.policy_name, account.to_string());
    let key = (key, name.to_ascii_lowercase());
    let policy = iam.change("iam: create policy", |tx| {
        if tx.get(&iam.tables.policies, &key).is_some() {
            return Err(Refusal::Exists(format!(
                "A policy called {name} already exists. Duplicate names are not allowed."
            )));
        }
        if tx.prefix(&iam.tables.policies, &key.0).count() >= POLICIES_MAX {
            let quota = format!("Cannot exceed quota for PoliciesPerAccount: {POLICIES_MAX}");
            return Err(Refusal::Limit(quota));
        }
        let document = input.policy_document.clone();
        let version = PolicyVersion { document, created_at: tx.now() };
        let policy = ManagedPolicy {
            id: unique_id("ANPA", tx.next_id()),
            name: name.clone(),
            path: path.clone(),
            description: input.description.clone(),
            created_at: tx.now(),
            updated_at: tx.now(),
            tags: tags.clone(),
            versions: BTreeMap::from([(1, version)]),
            default_version: 1,
            next_version: 2,
        };
        tx.put(&iam.tables.policies, key.clone(), policy.clone());
        Ok(policy)
    });
    let policy = policy.await?;
    let shown = iam.show_policy(&iam.ledger.snapshot(), account, &policy);
    // What an answer to a creation tells has no description.
    Ok(shapes::CreatePolicyResponse { policy: Some(shapes::Policy { description: None, ..shown }) })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetPolicyRequest,
) -> Result<shapes::GetPolicyResponse, Refusal> {
    let (account, snapshot) = (account(&context), iam.ledger.snapshot());
    let policy = match managed::find(&input.policy_arn) {
        Some(policy) => iam.show_aws_policy(&snapshot, account, policy),
        None => {
            let (_, policy) = iam.policy(&snapshot, account, &input.policy_arn)?;
            iam.show_policy(&snapshot, account, &policy)
        }
    };
    // A look at one shows its tags, if there are none, too; lists and the answer to a creation do not.
    let tags = policy.tags.clone().or_else(|| Some(Vec::new()));
    Ok(shapes::GetPolicyResponse { policy: Some(shapes::Policy { tags, ..policy }) })
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeletePolicyRequest,
) -> Result<Unit, Refusal> {
    let account = account(&context);
    of_aws_is_denied(&input.policy_arn)?;
    iam.change("iam: delete policy", |tx| {
        let (key, policy) = iam.policy(tx, account, &input.policy_arn)?;
        if iam.uses(tx, account, &input.policy_arn) != (0, 0) {
            let text = "Cannot delete a policy attached to entities.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        if policy.versions.len() > 1 {
            let text = "This policy has more than one version. Before you delete a policy, you \
                        must delete the policy's versions. The default version is deleted with \
                        the policy.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        tx.delete(&iam.tables.policies, &key);
        Ok(Unit)
    })
    .await
}

/// In the order of their ARNs: AWS's come after the account's own.
pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListPoliciesRequest,
) -> Result<shapes::ListPoliciesResponse, Refusal> {
    let (account, snapshot) = (account(&context), iam.ledger.snapshot());
    let mut all = Vec::new();
    if input.scope != Some(shapes::PolicyScopeType::Aws) {
        let own = snapshot.prefix(&iam.tables.policies, &account.to_string());
        all.extend(own.map(|(_, policy)| iam.show_policy(&snapshot, account, &policy)));
    }
    if input.scope != Some(shapes::PolicyScopeType::Local) {
        let of_aws = managed::ALL.iter();
        all.extend(of_aws.map(|policy| iam.show_aws_policy(&snapshot, account, policy)));
    }
    let is_wanted = |policy: &shapes::Policy| {
        let attached = policy.attachment_count.unwrap_or(0) > 0;
        let bounds = policy.permissions_boundary_usage_count.unwrap_or(0) > 0;
        let usage = match input.policy_usage_filter {
            None => true,
            Some(shapes::PolicyUsageType::PermissionsPolicy) => attached,
            Some(shapes::PolicyUsageType::PermissionsBoundary) => bounds,
        };
        let path = policy.path.as_deref().unwrap_or_default();
        usage
            && (attached || bounds || input.only_attached != Some(true))
            && input.path_prefix.as_ref().is_none_or(|prefix| path.starts_with(prefix))
    };
    let mut keyed: Vec<_> = all
        .into_iter()
        .filter(is_wanted)
        .map(|policy| (policy.arn.clone().unwrap_or_default(), policy))
        .collect();
    keyed.sort_by(|one, other| one.0.cmp(&other.0));
    let page = page(keyed, input.marker.as_deref(), input.max_items)?;
    // Lists tell neither tags nor descriptions.
    let plain = |policy| shapes::Policy { tags: None, description: None, ..policy };
    let policies = Some(page.items.into_iter().map(plain).collect());
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListPoliciesResponse { is_truncated, marker, policies })
}

pub(super) async fn tag(
    iam: &Iam,
    context: Context,
    input: shapes::TagPolicyRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.policy_arn.as_str());
    iam.change_policy("iam: tag policy", whom, |_, policy| {
        rules::add_tags(&mut policy.tags, input.tags.clone()).map(|()| Unit)
    })
    .await
}

pub(super) async fn untag(
    iam: &Iam,
    context: Context,
    input: shapes::UntagPolicyRequest,
) -> Result<Unit, Refusal> {
    let whom = (account(&context), input.policy_arn.as_str());
    iam.change_policy("iam: untag policy", whom, |_, policy| {
        rules::remove_tags(&mut policy.tags, &input.tag_keys);
        Ok(Unit)
    })
    .await
}

pub(super) async fn tags(
    iam: &Iam,
    context: Context,
    input: shapes::ListPolicyTagsRequest,
) -> Result<shapes::ListPolicyTagsResponse, Refusal> {
    let tags = match managed::find(&input.policy_arn) {
        Some(_) => BTreeMap::new(),
        None => {
            let snapshot = iam.ledger.snapshot();
            iam.policy(&snapshot, account(&context), &input.policy_arn)?.1.tags
        }
    };
    let tags = show::tag_list(&tags).into_iter().map(|tag| (tag.key.clone(), tag)).collect();
    let page = page(tags, input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListPolicyTagsResponse { is_truncated, marker, tags: page.items })
}
