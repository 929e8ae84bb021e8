//! What the edge asks about a key: answered from a snapshot, with no I/O.

use std::sync::Arc;

use terms::{Region, Timestamp};
use wire::{Action, Authenticator, Caller, CallerKind, CredentialLookup, Secret};

use crate::model::{AccessKey, KeyStatus, Owner};
use crate::{Iam, permission};

/// What temporary access key ids begin with.
const TEMPORARY_PREFIX: &str = "ASIA";

impl Authenticator for Iam {
    fn find(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        scope_region: &Region,
        now: Timestamp,
    ) -> CredentialLookup {
        let is_temporary = access_key_id.starts_with(TEMPORARY_PREFIX);
        match (is_temporary, session_token) {
            (true, Some(token)) => self.sessions.find(access_key_id, token, scope_region, now),
            (true, None) => CredentialLookup::TokenMismatch,
            (false, token) => {
                let snapshot = self.ledger.snapshot();
                let Some(key) = snapshot.get(&self.tables.keys, &access_key_id.to_owned()) else {
                    return CredentialLookup::Unknown;
                };
                match (key.status, token) {
                    (KeyStatus::Inactive, _) => CredentialLookup::Inactive,
                    (KeyStatus::Active, Some(_)) => CredentialLookup::TokenMismatch,
                    (KeyStatus::Active, None) => found(access_key_id, &key, scope_region),
                }
            }
        }
    }

    fn may(&self, caller: &Caller, action: Action<'_>) -> bool {
        permission::may(caller, action)
    }
}

fn found(access_key_id: &str, key: &AccessKey, region: &Region) -> CredentialLookup {
    let account = &key.account;
    let (arn, kind) = match &key.owner {
        Owner::Administrator => {
            (format!("arn:aws:iam::{account}:user/administrator"), CallerKind::Operator)
        }
        Owner::Node(name) => (
            format!("arn:aws:iam::{account}:user/node/{name}"),
            CallerKind::Node { name: name.clone() },
        ),
    };
    let caller = Caller {
        account: account.clone(),
        region: region.clone(),
        arn,
        user_id: key.user_id.clone(),
        access_key_id: access_key_id.to_owned(),
        kind,
    };
    CredentialLookup::Found { secret: Secret::new(key.secret.as_str()), caller: Arc::new(caller) }
}
