//! Policies of repositories and of the registry: kept with users and roles by their ids, and asked
//! where calls are decided.

use iam::UnfitPolicy;
use serde_json::Value;
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use terms::AccountId;
use wire::Context;

use super::key;
use crate::error::{Error, Single};
use crate::model::{RegistrySettings, Repository};
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// The longest policy, in bytes.
const POLICY_BYTES_MAX: usize = 10_240;
/// The setting that says which actions a registry's policy may name.
pub(super) const POLICY_SCOPE: &str = "REGISTRY_POLICY_SCOPE";
/// Those of its first version.
const OF_OLD_SCOPE: [&str; 3] =
    ["ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:CreateRepository"];

/// Checks the form of a policy: statements, each with an effect, principals and ECR's actions.
///
/// # Errors
/// What is wrong, as a wrong `policyText`.
fn check(text: &str) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::Policy(why.to_owned()));
    if text.len() > POLICY_BYTES_MAX {
        return Err(Error::parameter("PolicyText", "has more than 10240 bytes"));
    }
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return wrong("it is no JSON");
    };
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        Value::Object(_) => vec![&document["Statement"]],
        _ => return wrong("Statement is missing"),
    };
    for statement in statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return wrong("Effect must be Allow or Deny");
        }
        if statement["Principal"].is_null() && statement["NotPrincipal"].is_null() {
            return wrong("Principal is missing");
        }
        let actions = match &statement["Action"] {
            Value::Null => &statement["NotAction"],
            actions => actions,
        };
        let is_ours = |action: &Value| {
            action.as_str().is_some_and(|action| action == "*" || action.starts_with("ecr:"))
        };
        let are_ours = match actions {
            Value::Array(actions) => !actions.is_empty() && actions.iter().all(is_ours),
            action => is_ours(action),
        };
        if !are_ours {
            return wrong("Action must name actions of ecr");
        }
    }
    Ok(())
}

/// Refuses a registry whose policy has actions that its old scope does not know (ECR guide, "Private
/// registry permissions", version 1 of the scope).
pub(super) fn fits_scope(registry: &RegistrySettings) -> Result<(), Error> {
    let is_old = registry.account.get(POLICY_SCOPE).is_some_and(|value| value == "V1");
    let Some(text) = registry.policy.as_deref().filter(|_| is_old) else { return Ok(()) };
    let document = serde_json::from_str::<Value>(text).unwrap_or_default();
    let one = std::slice::from_ref(&document["Statement"]);
    let statements = document["Statement"].as_array().map_or(one, Vec::as_slice);
    let is_known = |action: &Value| {
        action.as_str().is_some_and(|action| {
            OF_OLD_SCOPE.iter().any(|known| known.eq_ignore_ascii_case(action))
        })
    };
    let are_known = |statement: &Value| match &statement["Action"] {
        Value::Array(actions) => actions.iter().all(is_known),
        action => is_known(action),
    };
    match statements.iter().all(are_known) {
        true => Ok(()),
        false => Err(Error::Policy(format!(
            "while {POLICY_SCOPE} is V1, a registry's policy names {} alone",
            OF_OLD_SCOPE.join(", ")
        ))),
    }
}

fn no_policy(key: &NameKey) -> Error {
    let (Scope { account, .. }, name) = key;
    Error::None {
        what: Single::RepositoryPolicy,
        text: format!(
            "Repository policy does not exist for the repository with name '{name}' in the \
             registry with id '{account}'"
        ),
    }
}

fn no_registry_policy(scope: &Scope) -> Error {
    let text =
        format!("Registry policy does not exist in the registry with id '{}'", scope.account);
    Error::Of(codes::REGISTRY_POLICY_NOT_FOUND, text)
}

impl Inner {
    /// Gives a repository a policy.
    pub(super) async fn set_repository_policy(
        &self,
        context: Context,
        input: shapes::SetRepositoryPolicyRequest,
    ) -> Result<shapes::SetRepositoryPolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let kept = self.policy_to_keep(&key.0.account, &input.policy_text)?;
        self.change_repository(&key, |row| {
            row.policy = Some(kept.clone());
            Ok(())
        })
        .await?;
        Ok(shapes::SetRepositoryPolicyResponse {
            policy_text: Some(input.policy_text),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Shows a repository's policy.
    pub(super) async fn get_repository_policy(
        &self,
        context: Context,
        input: shapes::GetRepositoryPolicyRequest,
    ) -> Result<shapes::GetRepositoryPolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let row = self.tables.repository(&self.ledger.snapshot(), &key)?;
        let kept = row.policy.as_deref().ok_or_else(|| no_policy(&key))?;
        Ok(shapes::GetRepositoryPolicyResponse {
            policy_text: Some(self.policy_to_show(&key.0.account, kept)),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Takes a repository's policy away.
    pub(super) async fn delete_repository_policy(
        &self,
        context: Context,
        input: shapes::DeleteRepositoryPolicyRequest,
    ) -> Result<shapes::DeleteRepositoryPolicyResponse, Error> {
        let key = key(&context, input.registry_id.as_deref(), &input.repository_name)?;
        let gone = self
            .change_repository(&key, |row| row.policy.take().ok_or_else(|| no_policy(&key)))
            .await?;
        Ok(shapes::DeleteRepositoryPolicyResponse {
            policy_text: Some(self.policy_to_show(&key.0.account, &gone)),
            registry_id: Some(key.0.account.to_string()),
            repository_name: Some(key.1),
        })
    }

    /// Gives the registry a policy.
    pub(super) async fn put_registry_policy(
        &self,
        context: Context,
        input: shapes::PutRegistryPolicyRequest,
    ) -> Result<shapes::PutRegistryPolicyResponse, Error> {
        let scope = Scope::of(&context);
        let kept = self.policy_to_keep(&scope.account, &input.policy_text)?;
        self.change_registry(&scope, |row| {
            row.policy = Some(kept.clone());
            fits_scope(row)?;
            Ok(())
        })
        .await?;
        Ok(shapes::PutRegistryPolicyResponse {
            policy_text: Some(input.policy_text),
            registry_id: Some(scope.account.to_string()),
        })
    }

    /// Shows the registry's policy.
    pub(super) async fn get_registry_policy(
        &self,
        context: Context,
        _: shapes::GetRegistryPolicyRequest,
    ) -> Result<shapes::GetRegistryPolicyResponse, Error> {
        let scope = Scope::of(&context);
        let kept = self.registry(&scope).policy.ok_or_else(|| no_registry_policy(&scope))?;
        Ok(shapes::GetRegistryPolicyResponse {
            policy_text: Some(self.policy_to_show(&scope.account, &kept)),
            registry_id: Some(scope.account.to_string()),
        })
    }

    /// Takes the registry's policy away.
    pub(super) async fn delete_registry_policy(
        &self,
        context: Context,
        _: shapes::DeleteRegistryPolicyRequest,
    ) -> Result<shapes::DeleteRegistryPolicyResponse, Error> {
        let scope = Scope::of(&context);
        let gone = self
            .change_registry(&scope, |row| {
                row.policy.take().ok_or_else(|| no_registry_policy(&scope))
            })
            .await?;
        Ok(shapes::DeleteRegistryPolicyResponse {
            policy_text: Some(self.policy_to_show(&scope.account, &gone)),
            registry_id: Some(scope.account.to_string()),
        })
    }

    /// A policy as it is to be kept: users and roles by their ids.
    ///
    /// # Errors
    /// What is wrong with it, or who in it is not there, as a wrong `policyText`.
    pub(super) fn policy_to_keep(&self, account: &AccountId, text: &str) -> Result<String, Error> {
        check(text)?;
        let Some(identities) = &self.setup.identities else { return Ok(text.to_owned()) };
        let kept = identities.policy_to_keep(account, text).map_err(|unfit| {
            let why = match unfit {
                UnfitPolicy::Syntax(text) => text,
                UnfitPolicy::Principal(name) => format!("there is no principal {name}"),
            };
            Error::Policy(why)
        })?;
        Ok(kept.text)
    }

    /// A kept policy as it is shown.
    pub(super) fn policy_to_show(&self, account: &AccountId, kept: &str) -> String {
        match &self.setup.identities {
            Some(identities) => identities.policy_to_show(account, kept),
            None => kept.to_owned(),
        }
    }

    /// Changes a repository's row.
    pub(super) async fn change_repository<T>(
        &self,
        key: &NameKey,
        change: impl Fn(&mut Repository) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = self.ledger.transact("change repository", |tx| {
            let mut row = Repository::clone(&*self.tables.repository(tx, key)?);
            let value = change(&mut row)?;
            tx.put(&self.tables.repositories, key.clone(), row);
            Ok::<_, Error>(value)
        });
        Ok(done.await?.value)
    }

    /// What holds for a registry.
    pub(super) fn registry(&self, scope: &Scope) -> RegistrySettings {
        let row = self.ledger.snapshot().get(&self.tables.registries, scope);
        row.map(|row| RegistrySettings::clone(&row)).unwrap_or_default()
    }

    /// Changes what holds for a registry.
    pub(super) async fn change_registry<T>(
        &self,
        scope: &Scope,
        change: impl Fn(&mut RegistrySettings) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = self.ledger.transact("change registry", |tx| {
            let row = tx.get(&self.tables.registries, scope);
            let mut row = row.map(|row| RegistrySettings::clone(&row)).unwrap_or_default();
            let value = change(&mut row)?;
            tx.put(&self.tables.registries, scope.clone(), row);
            Ok::<_, Error>(value)
        });
        Ok(done.await?.value)
    }
}
