//! What the binary and services above may ask of this crate, without a request.

use terms::{AccountId, Region};

use crate::secretsmanager::Lookup;
use crate::{Scope, Secrets, secretsmanager};

/// Why there is no text of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoText {
    /// There is no such secret in that account and region.
    #[error("there is no such secret")]
    Missing,
    /// There is, but it was deleted, or its value is no text.
    #[error("it was deleted, or its value is no text")]
    Closed,
}

impl Secrets {
    /// The ARN and the tags of the secret that an ARN means: one with a name alone at its end, too.
    pub fn known_secret(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Option<(String, Vec<(String, String)>)> {
        let here = || Scope { account: account.clone(), region: region.clone() };
        let scope = Scope::of_arn(arn).unwrap_or_else(here);
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        secretsmanager::known(&self.tables, &snapshot, &scope, arn, now)
    }

    /// The policy of the secret that a whole ARN means, if it has one: its ARN, and the text with users
    /// and roles by their ids.
    pub fn policy_of(&self, arn: &str) -> Option<(String, String)> {
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        let scope = Scope::of_arn(arn)?;
        let policy = secretsmanager::policy(&self.tables, &snapshot, &scope, arn, now)?;
        Some((arn.to_owned(), policy))
    }

    /// The current text of the secret that an ARN means, for a service that an operator gave it to.
    ///
    /// # Errors
    /// Why there is none.
    pub fn text_of(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Result<String, NoText> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let lookup = Lookup { id: arn, version: None, stage: None };
        match self.secret_text(&scope, &lookup, self.ledger.clock().now()) {
            Some(found) => Ok(found.text),
            None => Err(match self.known_secret(account, region, arn) {
                Some(_) => NoText::Closed,
                None => NoText::Missing,
            }),
        }
    }
}
