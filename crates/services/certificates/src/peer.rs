//! What higher services may call: certificates to serve with.

use ledger::{Commit, View};

use crate::arn;
use crate::hidden::Hidden;
use crate::tables::{Scope, Tables};

/// A certificate with its key, to serve with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The certificate and those above it, as PEM.
    pub chain: String,
    /// Its key, as PEM.
    pub key: Hidden<String>,
}

impl Tables {
    /// Whether there is a certificate of this ARN that load balancers may serve with.
    pub fn has(&self, view: &impl View, scope: &Scope, certificate: &str) -> bool {
        let key = arn::read(scope, certificate).ok();
        key.is_some_and(|key| view.get(&self.certificates, &key).is_some())
    }

    /// The certificate of this ARN; none if it is not there.
    pub fn served(&self, view: &impl View, scope: &Scope, certificate: &str) -> Option<Served> {
        let key = arn::read(scope, certificate).ok()?;
        let row = view.get(&self.certificates, &key)?;
        let secret = view.get(&self.keys, &key)?;
        let mut chain = row.pem.clone();
        if let Some(above) = &row.chain {
            if !chain.ends_with('\n') {
                chain.push('\n');
            }
            chain.push_str(above);
        }
        Some(Served { chain, key: secret.pem.clone() })
    }

    /// Whether a commit changes what is served with.
    pub fn touched_by(&self, commit: &Commit) -> bool {
        commit.touches(&self.certificates)
    }
}
