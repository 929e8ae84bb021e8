//! Policies of repositories and of the registry: checked for their form, kept and shown.

use serde_json::Value;
use shapes_ecr as shapes;
use shapes_ecr::errors as codes;
use wire::Context;

use super::key;
use crate::error::{Error, Single};
use crate::model::{RegistrySettings, Repository};
use crate::tables::NameKey;
use crate::{Inner, Scope};

/// The longest policy, in bytes.
const POLICY_BYTES_MAX: usize = 10_240;

/// Checks the form of a policy: statements, each with an effect, principals and ECR's actions.
///
/// # Errors
/// What is wrong, as a wrong `policyText`.
pub(super) fn check(text: &str) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::parameter("PolicyText", why));
    if text.len() > POLICY_BYTES_MAX {
        return wrong("has more than 10240 bytes");
    }
    let Ok(document) = serde_json::from_str::<Value>(text) else {
        return wrong("Invalid repository policy provided");
    };
    let statements = match &document["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        Value::Object(_) => vec![&document["Statement"]],
        _ => return wrong("Invalid repository policy provided: Statement is missing"),
    };
    for statement in statements {
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return wrong("Invalid repository policy provided: Effect must be Allow or Deny");
        }
        if statement["Principal"].is_null() && statement["NotPrincipal"].is_null() {
            return wrong("Invalid repository policy provided: Principal is missing");
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
            return wrong("Invalid repository policy provided: Action must name actions of ecr");
        }
    }
    Ok(())
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
        check(&input.policy_text)?;
        self.change_repository(&key, |row| {
            row.policy = Some(input.policy_text.clone());
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
        let policy_text = row.policy.clone().ok_or_else(|| no_policy(&key))?;
        Ok(shapes::GetRepositoryPolicyResponse {
            policy_text: Some(policy_text),
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
            policy_text: Some(gone),
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
        check(&input.policy_text)?;
        let scope = Scope::of(&context);
        self.change_registry(&scope, |row| {
            row.policy = Some(input.policy_text.clone());
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
        let text = self.registry(&scope).policy;
        Ok(shapes::GetRegistryPolicyResponse {
            policy_text: Some(text.ok_or_else(|| no_registry_policy(&scope))?),
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
            policy_text: Some(gone),
            registry_id: Some(scope.account.to_string()),
        })
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
