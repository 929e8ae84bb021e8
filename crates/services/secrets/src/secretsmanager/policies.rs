//! Policies of secrets: kept here, with users and roles by their ids; asked where calls are decided.

use iam::{KeptPolicy, UnfitPolicy};
use shapes_secretsmanager as shapes;
use terms::AccountId;
use wire::Context;

use super::error::Error;
use super::model::Secret;
use super::{find, find_live, name};
use crate::{Scope, Secrets};

impl From<UnfitPolicy> for Error {
    fn from(unfit: UnfitPolicy) -> Self {
        match unfit {
            UnfitPolicy::Syntax(text) => Self::PolicySyntax(text),
            UnfitPolicy::Principal(text) => Self::PolicyPrincipal(text),
        }
    }
}

impl Secrets {
    /// Gives a secret a policy, in place of the one that it has.
    pub(super) async fn put_resource_policy(
        &self,
        context: Context,
        input: shapes::PutResourcePolicyRequest,
    ) -> Result<shapes::PutResourcePolicyResponse, Error> {
        let (scope, id) = (Scope::meant(&context, &input.secret_id), &input.secret_id);
        find_live(&self.tables, &self.ledger.snapshot(), &scope, id, context.now)?;
        let kept = self.policy_to_keep(&scope.account, &input.resource_policy)?;
        if kept.is_public && input.block_public_policy == Some(true) {
            return Err(Error::PublicPolicy);
        }
        let (arn, name) = self.change_policy(&scope, id, Some(kept.text)).await?;
        Ok(shapes::PutResourcePolicyResponse { arn: Some(arn), name: Some(name) })
    }

    /// Takes a secret's policy away; one that has none is left as it is.
    pub(super) async fn delete_resource_policy(
        &self,
        context: Context,
        input: shapes::DeleteResourcePolicyRequest,
    ) -> Result<shapes::DeleteResourcePolicyResponse, Error> {
        let scope = Scope::meant(&context, &input.secret_id);
        let (arn, name) = self.change_policy(&scope, &input.secret_id, None).await?;
        Ok(shapes::DeleteResourcePolicyResponse { arn: Some(arn), name: Some(name) })
    }

    /// Shows a secret's policy, if it has one; of one that was deleted, too.
    pub(super) async fn get_resource_policy(
        &self,
        context: Context,
        input: shapes::GetResourcePolicyRequest,
    ) -> Result<shapes::GetResourcePolicyResponse, Error> {
        let scope = Scope::meant(&context, &input.secret_id);
        let snapshot = self.ledger.snapshot();
        let (name, secret) = find(&self.tables, &snapshot, &scope, &input.secret_id, context.now)?;
        let shown = |kept: &String| match &self.identities {
            Some(identities) => identities.policy_to_show(&scope.account, kept),
            None => kept.clone(),
        };
        Ok(shapes::GetResourcePolicyResponse {
            arn: Some(name::arn(&scope, &name, &secret.suffix)),
            name: Some(name),
            resource_policy: secret.policy.as_ref().map(shown),
        })
    }

    /// What is wrong with a policy, without keeping it.
    pub(super) async fn validate_resource_policy(
        &self,
        context: Context,
        input: shapes::ValidateResourcePolicyRequest,
    ) -> Result<shapes::ValidateResourcePolicyResponse, Error> {
        let scope = match &input.secret_id {
            Some(id) => {
                let scope = Scope::meant(&context, id);
                find_live(&self.tables, &self.ledger.snapshot(), &scope, id, context.now)?;
                scope
            }
            None => Scope::of(&context),
        };
        let kept = self.policy_to_keep(&scope.account, &input.resource_policy)?;
        let mut errors = Vec::new();
        if kept.is_public {
            errors.push(shapes::ValidationErrorsEntry {
                check_name: Some("BlockPublicPolicy".to_owned()),
                error_message: Some("The policy grants broad access to the secret.".to_owned()),
            });
        }
        Ok(shapes::ValidateResourcePolicyResponse {
            policy_validation_passed: Some(errors.is_empty()),
            validation_errors: Some(errors),
        })
    }

    fn policy_to_keep(&self, account: &AccountId, text: &str) -> Result<KeptPolicy, Error> {
        let not_built = Error::NotBuilt { operation: "PutResourcePolicy", what: "ResourcePolicy" };
        let identities = self.identities.as_ref().ok_or(not_built)?;
        Ok(identities.policy_to_keep(account, text)?)
    }

    /// Changes a secret's policy; its ARN and name.
    async fn change_policy(
        &self,
        scope: &Scope,
        id: &str,
        policy: Option<String>,
    ) -> Result<(String, String), Error> {
        let tables = self.tables;
        let done = self.ledger.transact("secret's policy", |tx| {
            let now = tx.now();
            let (name, row) = find_live(&tables, tx, scope, id, now)?;
            let arn = name::arn(scope, &name, &row.suffix);
            if row.policy != policy {
                let secret = Secret { policy: policy.clone(), ..Secret::clone(&row) };
                tx.put(&tables.secrets, (scope.clone(), name.clone()), secret);
            }
            Ok::<_, Error>((arn, name))
        });
        Ok(done.await?.value)
    }
}
