//! What names, tags and documents must be, and how much there may be of them.

use std::collections::BTreeMap;

use ledger::View;
use policy::{Kind as DocumentKind, Policy, size_of};
use shapes_iam as shapes;
use terms::AccountId;

use crate::Iam;
use crate::managed;
use crate::model::{Entity, Kind};
use crate::refusal::Refusal;

/// Most tags of one thing.
pub(crate) const TAGS_MAX: usize = 50;
/// Most managed policies of one user, group or role.
pub(super) const ATTACHED_MAX: usize = 10;
/// Most groups of one user.
pub(super) const GROUPS_MAX: usize = 10;
/// Most keys of one user.
pub(super) const KEYS_MAX: usize = 2;
/// Most versions of one managed policy.
pub(super) const VERSIONS_MAX: usize = 5;
/// Characters of a managed policy.
const MANAGED_MAX: usize = 6144;
/// Characters of a trust policy.
const TRUST_MAX: usize = 2048;

/// How many users, groups and roles an account may have.
pub(super) fn entities_max(kind: Kind) -> usize {
    match kind {
        Kind::User => 5000,
        Kind::Group => 300,
        Kind::Role => 1000,
    }
}

/// The path, `/` if none was given.
pub(super) fn path(path: Option<String>) -> Result<String, Refusal> {
    let Some(path) = path else { return Ok("/".to_owned()) };
    let is_path = path.starts_with('/') && path.ends_with('/') && !path.contains("//");
    if is_path {
        return Ok(path);
    }
    Err(Refusal::Validation(
        "The specified value for path is invalid. It must begin and end with / and contain only \
         alphanumeric characters and/or / characters."
            .to_owned(),
    ))
}

/// Tags as they are kept.
pub(crate) fn tags(tags: Option<Vec<shapes::Tag>>) -> Result<BTreeMap<String, String>, Refusal> {
    let mut kept = BTreeMap::new();
    add_tags(&mut kept, tags.unwrap_or_default())?;
    Ok(kept)
}

/// Adds and replaces tags; keys are the same in any case.
pub(crate) fn add_tags(
    kept: &mut BTreeMap<String, String>,
    new: Vec<shapes::Tag>,
) -> Result<(), Refusal> {
    for (index, tag) in new.iter().enumerate() {
        if new[..index].iter().any(|other| other.key.eq_ignore_ascii_case(&tag.key)) {
            let text = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(Refusal::Invalid(text.to_owned()));
        }
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            let text = "Tag keys that begin with aws: are reserved for system use.";
            return Err(Refusal::Invalid(text.to_owned()));
        }
    }
    for tag in new {
        kept.retain(|key, _| !key.eq_ignore_ascii_case(&tag.key));
        kept.insert(tag.key, tag.value);
    }
    if kept.len() > TAGS_MAX {
        return Err(Refusal::Limit(format!("Cannot exceed quota for TagsPerResource: {TAGS_MAX}")));
    }
    Ok(())
}

/// Takes tags away.
pub(crate) fn remove_tags(kept: &mut BTreeMap<String, String>, keys: &[String]) {
    kept.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
}

/// A managed policy's document.
pub(super) fn managed_document(text: &str) -> Result<(), Refusal> {
    Policy::parse(text, DocumentKind::Identity)?;
    if size_of(text) > MANAGED_MAX {
        return Err(Refusal::Limit(format!("Cannot exceed quota for PolicySize: {MANAGED_MAX}")));
    }
    Ok(())
}

/// An inline policy's document, with the size of all that the entity then has.
pub(super) fn inline_documents(entity: &Entity) -> Result<(), Refusal> {
    let max = match entity.kind {
        Kind::User => 2048,
        Kind::Group => 5120,
        Kind::Role => 10_240,
    };
    let size: usize = entity.inline.values().map(|text| size_of(text)).sum();
    if size <= max {
        return Ok(());
    }
    let (kind, name) = (entity.kind.word(), &entity.name);
    Err(Refusal::Limit(format!("Maximum policy size of {max} bytes exceeded for {kind} {name}")))
}

impl Iam {
    /// A trust policy as it is kept: users and roles of the account, who must exist, by their ids,
    /// so that who takes a deleted one's name is not trusted.
    pub(super) fn trust(
        &self,
        view: &impl View,
        account: &AccountId,
        text: &str,
    ) -> Result<String, Refusal> {
        Policy::parse(text, DocumentKind::Trust)?;
        if size_of(text) > TRUST_MAX {
            let quota = format!("Cannot exceed quota for ACLSizePerRole: {TRUST_MAX}");
            return Err(Refusal::Limit(quota));
        }
        self.named_by_ids(view, account, text).map_err(|name| {
            Refusal::Malformed(format!("Invalid principal in policy: \"AWS\":\"{name}\""))
        })
    }

    /// Fails unless the managed policy is there.
    pub(super) fn must_exist(
        &self,
        view: &impl View,
        account: &AccountId,
        arn: &str,
    ) -> Result<(), Refusal> {
        if managed::find(arn).is_some() || self.document(view, account, arn).is_some() {
            return Ok(());
        }
        if !arn.starts_with("arn:") {
            return Err(Refusal::Invalid(format!("ARN {arn} is not valid.")));
        }
        let text = format!("Policy {arn} does not exist or is not attachable.");
        Err(Refusal::Missing(text))
    }
}
