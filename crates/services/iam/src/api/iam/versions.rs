//! Versions of managed policies.

use shapes_iam as shapes;
use terms::Timestamp;
use wire::{Context, Unit};

use super::paging::page;
use super::policies::of_aws_is_denied;
use super::{account, rules, show};
use crate::Iam;
use crate::managed;
use crate::model::{ManagedPolicy, PolicyVersion};
use crate::refusal::Refusal;

fn missing(version: &str) -> Refusal {
    Refusal::Missing(format!("Policy version {version} does not exist or is not attachable."))
}

fn number(version: &str) -> Result<u32, Refusal> {
    version.strip_prefix('v').and_then(|rest| rest.parse().ok()).ok_or_else(|| missing(version))
}

pub(super) fn shown(policy: &ManagedPolicy, with_documents: bool) -> Vec<shapes::PolicyVersion> {
    let one = |(number, version): (&u32, &PolicyVersion)| shapes::PolicyVersion {
        create_date: Some(version.created_at),
        document: with_documents.then(|| show::document(&version.document)),
        is_default_version: Some(*number == policy.default_version),
        version_id: Some(format!("v{number}")),
    };
    policy.versions.iter().rev().map(one).collect()
}

/// The one version that is known of a policy of AWS's.
pub(super) fn of_aws(policy: &managed::AwsPolicy, with_document: bool) -> shapes::PolicyVersion {
    shapes::PolicyVersion {
        create_date: Some(Timestamp::from_millis(managed::CREATED_MS)),
        document: with_document.then(|| show::document(policy.document)),
        is_default_version: Some(true),
        version_id: Some(format!("v{}", policy.version)),
    }
}

pub(super) async fn create(
    iam: &Iam,
    context: Context,
    input: shapes::CreatePolicyVersionRequest,
) -> Result<shapes::CreatePolicyVersionResponse, Refusal> {
    rules::managed_document(&input.policy_document)?;
    let whom = (account(&context), input.policy_arn.as_str());
    let policy_version = iam.change_policy("iam: create version", whom, |tx, policy| {
        if policy.versions.len() >= rules::VERSIONS_MAX {
            return Err(Refusal::Limit(format!(
                "A managed policy can have up to {} versions. Before you create a new version, you \
                 must delete an existing version.",
                rules::VERSIONS_MAX
            )));
        }
        let number = policy.next_version;
        let (document, created_at) = (input.policy_document.clone(), tx.now());
        policy.versions.insert(number, PolicyVersion { document, created_at });
        policy.next_version += 1;
        policy.updated_at = created_at;
        if input.set_as_default == Some(true) {
            policy.default_version = number;
        }
        Ok(shapes::PolicyVersion {
            create_date: Some(created_at),
            document: None,
            is_default_version: Some(policy.default_version == number),
            version_id: Some(format!("v{number}")),
        })
    });
    Ok(shapes::CreatePolicyVersionResponse { policy_version: Some(policy_version.await?) })
}

pub(super) async fn get(
    iam: &Iam,
    context: Context,
    input: shapes::GetPolicyVersionRequest,
) -> Result<shapes::GetPolicyVersionResponse, Refusal> {
    let wanted = |version: &shapes::PolicyVersion| {
        version.version_id.as_deref() == Some(input.version_id.as_str())
    };
    let versions = match managed::find(&input.policy_arn) {
        Some(policy) => vec![of_aws(policy, true)],
        None => {
            let snapshot = iam.ledger.snapshot();
            let (_, policy) = iam.policy(&snapshot, account(&context), &input.policy_arn)?;
            shown(&policy, true)
        }
    };
    let version = versions.into_iter().find(wanted).ok_or_else(|| missing(&input.version_id))?;
    Ok(shapes::GetPolicyVersionResponse { policy_version: Some(version) })
}

pub(super) async fn list(
    iam: &Iam,
    context: Context,
    input: shapes::ListPolicyVersionsRequest,
) -> Result<shapes::ListPolicyVersionsResponse, Refusal> {
    let versions = match managed::find(&input.policy_arn) {
        Some(policy) => vec![of_aws(policy, false)],
        None => {
            let snapshot = iam.ledger.snapshot();
            let (_, policy) = iam.policy(&snapshot, account(&context), &input.policy_arn)?;
            shown(&policy, false)
        }
    };
    // Five at most, the newest first: their order is the key.
    let keyed = (0..).zip(versions).map(|(at, version): (u32, _)| (format!("{at}"), version));
    let page = page(keyed.collect(), input.marker.as_deref(), input.max_items)?;
    let (is_truncated, marker) = (page.is_truncated, page.marker);
    Ok(shapes::ListPolicyVersionsResponse { is_truncated, marker, versions: Some(page.items) })
}

pub(super) async fn set_default(
    iam: &Iam,
    context: Context,
    input: shapes::SetDefaultPolicyVersionRequest,
) -> Result<Unit, Refusal> {
    let number = number(&input.version_id)?;
    let whom = (account(&context), input.policy_arn.as_str());
    iam.change_policy("iam: default version", whom, |tx, policy| {
        if !policy.versions.contains_key(&number) {
            return Err(missing(&input.version_id));
        }
        policy.default_version = number;
        policy.updated_at = tx.now();
        Ok(Unit)
    })
    .await
}

pub(super) async fn delete(
    iam: &Iam,
    context: Context,
    input: shapes::DeletePolicyVersionRequest,
) -> Result<Unit, Refusal> {
    of_aws_is_denied(&input.policy_arn)?;
    let number = number(&input.version_id)?;
    let whom = (account(&context), input.policy_arn.as_str());
    iam.change_policy("iam: delete version", whom, |_, policy| {
        if number == policy.default_version {
            let text = "Cannot delete the default version of a policy.";
            return Err(Refusal::Conflict(text.to_owned()));
        }
        policy.versions.remove(&number).map(|_| Unit).ok_or_else(|| missing(&input.version_id))
    })
    .await
}
