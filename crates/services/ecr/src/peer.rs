//! What the binary may ask of this crate, without a request.

use crate::{Ecr, Scope};

impl Ecr {
    /// The policies of the repository that an ARN means, its own and its registry's: what each is
    /// called, and its text with users and roles by their ids.
    pub fn policies_of(&self, arn: &str) -> Vec<(String, String)> {
        let Some((scope, name)) = repository(arn) else { return Vec::new() };
        let (inner, snapshot) = (&self.inner, self.inner.ledger.snapshot());
        let registry = snapshot.get(&inner.tables.registries, &scope);
        let registry = registry.and_then(|row| row.policy.clone()).map(|text| {
            let Scope { account, region } = &scope;
            (format!("arn:aws:ecr:{region}:{account}:registry"), text)
        });
        let row = snapshot.get(&inner.tables.repositories, &(scope, name.to_owned()));
        let own = row.and_then(|row| row.policy.clone()).map(|text| (arn.to_owned(), text));
        own.into_iter().chain(registry).collect()
    }
}

/// Where the repository is that an ARN means, and its name.
fn repository(arn: &str) -> Option<(Scope, &str)> {
    let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
    let [_, "ecr", region, account, rest] = std::array::from_fn(|_| parts.next().unwrap_or(""))
    else {
        return None;
    };
    let scope = Scope { account: account.parse().ok()?, region: region.parse().ok()? };
    Some((scope, rest.strip_prefix("repository/")?))
}
