//! What the binary may ask of this crate, without a request.

use terms::{AccountId, Region};

use crate::{Scope, Secrets, secretsmanager};

impl Secrets {
    /// The ARN and the tags of the secret that an ARN means: one with a name alone at its end, too.
    pub fn known_secret(
        &self,
        account: &AccountId,
        region: &Region,
        arn: &str,
    ) -> Option<(String, Vec<(String, String)>)> {
        let scope = Scope { account: account.clone(), region: region.clone() };
        let (snapshot, now) = (self.ledger.snapshot(), self.ledger.clock().now());
        secretsmanager::known(&self.tables, &snapshot, &scope, arn, now)
    }
}
