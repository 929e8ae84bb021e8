//! What the edge asks about a key: answered from a snapshot, with no I/O.

use std::sync::Arc;

use terms::{Region, Timestamp};
use wire::{Action, Authenticator, Caller, CallerKind, Context, CredentialLookup, Denied, Secret};

use crate::directory::by_id;
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
            (true, Some(token)) => {
                let found = self.sessions.find(access_key_id, token, scope_region, now);
                self.of_living_role(found)
            }
            (true, None) => CredentialLookup::TokenMismatch,
            (false, token) => {
                let snapshot = self.ledger.snapshot();
                let Some(key) = snapshot.get(&self.tables.keys, &access_key_id.to_owned()) else {
                    return CredentialLookup::Unknown;
                };
                match (key.status, token) {
                    (KeyStatus::Inactive, _) => CredentialLookup::Inactive,
                    (KeyStatus::Active, Some(_)) => CredentialLookup::TokenMismatch,
                    (KeyStatus::Active, None) => self.found(access_key_id, &key, scope_region),
                }
            }
        }
    }

    fn may(&self, caller: &Caller, action: Action<'_>) -> bool {
        permission::may(caller, action)
    }

    fn authorize(
        &self,
        context: &Context,
        input: &dyn Fn() -> serde_json::Value,
    ) -> Result<(), Denied> {
        self.decide_call(context, input)
    }
}

impl Iam {
    /// A session ends with its role: one made anew under its name is another.
    fn of_living_role(&self, found: CredentialLookup) -> CredentialLookup {
        match &found {
            CredentialLookup::Found { caller, .. } => match &caller.kind {
                CallerKind::Role(session)
                    if by_id(&self.tables, &self.ledger.snapshot(), &session.role_id).is_none() =>
                {
                    CredentialLookup::TokenMismatch
                }
                _ => found,
            },
            _ => found,
        }
    }

    fn found(&self, access_key_id: &str, key: &AccessKey, region: &Region) -> CredentialLookup {
        let account = &key.account;
        let (arn, kind) = match &key.owner {
            Owner::User(id) => match by_id(&self.tables, &self.ledger.snapshot(), id) {
                Some((_, user)) => (user.arn(account), CallerKind::User(id.clone())),
                None => return CredentialLookup::Unknown,
            },
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
        CredentialLookup::Found {
            secret: Secret::new(key.secret.as_str()),
            caller: Arc::new(caller),
        }
    }
}
