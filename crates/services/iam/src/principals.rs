//! Whom policies name: kept by unique ids, shown by ARNs. So who takes a deleted one's name gets nothing
//! of what the other was given (IAM User Guide, "AWS JSON policy elements: Principal").

use ledger::View;
use policy::{Kind as DocumentKind, Named, Policy};
use terms::AccountId;

use crate::Iam;
use crate::authenticator::ADMINISTRATOR;
use crate::directory::by_id;
use crate::model::Kind;

/// Why a text cannot be the policy of a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitPolicy {
    /// It is no policy of a resource: what is wrong, and where.
    #[error("{0}")]
    Syntax(String),
    /// It names a user or role of the account that is not there.
    #[error("{0}")]
    Principal(String),
}

/// What a service keeps of a policy of its resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptPolicy {
    /// The document with users and roles by their ids.
    pub text: String,
    /// Whether it lets everybody at the resource.
    pub is_public: bool,
}

impl Iam {
    /// The policy of a resource as its service is to keep it.
    ///
    /// # Errors
    /// If it is no policy of a resource, or names somebody of the account who is not there.
    pub fn policy_to_keep(
        &self,
        account: &AccountId,
        text: &str,
    ) -> Result<KeptPolicy, UnfitPolicy> {
        let policy = Policy::parse(text, DocumentKind::Resource)
            .map_err(|malformed| UnfitPolicy::Syntax(malformed.located()))?;
        let named = self.named_by_ids(&self.ledger.snapshot(), account, text);
        let text = named.map_err(UnfitPolicy::Principal)?;
        Ok(KeptPolicy { text, is_public: policy.is_public() })
    }

    /// A kept policy as it is shown.
    pub fn policy_to_show(&self, account: &AccountId, kept: &str) -> String {
        self.named_by_arns(&self.ledger.snapshot(), account, kept)
    }

    /// A document with users and roles of the account by their ids; the first that is not there if
    /// one is not.
    pub(crate) fn named_by_ids(
        &self,
        view: &impl View,
        account: &AccountId,
        text: &str,
    ) -> Result<String, String> {
        let mut unknown = None;
        let kept = Named::rename(text, |name| {
            let rest = name.strip_prefix(&format!("arn:aws:iam::{account}:"))?;
            let (kind, path) = rest.split_once('/')?;
            let kind = match kind {
                "user" => Kind::User,
                "role" => Kind::Role,
                _ => return None,
            };
            let last = path.rsplit('/').next().unwrap_or_default();
            let entity = self.entity(view, account, kind, last).ok();
            let entity = entity.filter(|entity| entity.arn(account) == name);
            // The administrator has no record, and is always there.
            let is_administrator = kind == Kind::User && path == ADMINISTRATOR;
            if entity.is_none() && !is_administrator {
                unknown.get_or_insert_with(|| name.to_owned());
            }
            entity.map(|entity| entity.id)
        });
        unknown.map_or(Ok(kept), Err)
    }

    /// A kept document with those who are still there by their ARNs.
    pub(crate) fn named_by_arns(
        &self,
        view: &impl View,
        account: &AccountId,
        kept: &str,
    ) -> String {
        Named::rename(kept, |name| {
            let is_id = name.starts_with("AIDA") || name.starts_with("AROA");
            let (_, entity) = is_id.then(|| by_id(&self.tables, view, name)).flatten()?;
            Some(entity.arn(account))
        })
    }
}
