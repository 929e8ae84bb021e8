//! What the edge asks about a key: answered from a snapshot, with no I/O.

use std::sync::Arc;

use terms::{AccountId, Region, Timestamp};
use wire::{
    Action, Authenticator, Caller, CallerKind, Context, CredentialLookup, Decided, Denied, Secret,
};

use crate::directory::by_id;
use crate::model::{AccessKey, KeyStatus, Owner};
use crate::sessions::{Holder, UserClaims};
use crate::tables::owner_key;
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
                let found = match self.sessions.find(access_key_id, token, scope_region, now) {
                    Ok(found) => found,
                    Err(lookup) => return lookup,
                };
                let (holder, secret) = found;
                match self.living(holder, access_key_id, scope_region) {
                    Some(caller) => CredentialLookup::Found { secret, caller: Arc::new(caller) },
                    None => CredentialLookup::TokenMismatch,
                }
            }
            (true, None) => CredentialLookup::TokenMismatch,
            (false, token) => {
                let snapshot = self.ledger.snapshot();
                let Some(key) = snapshot.get(&self.tables.keys, &access_key_id.to_owned()) else {
                    return CredentialLookup::Unknown;
                };
                match (key.status, token) {
                    (KeyStatus::Inactive, _) => CredentialLookup::Inactive,
                    (KeyStatus::Removed, _) => CredentialLookup::Unknown,
                    (KeyStatus::Active, Some(_)) => CredentialLookup::TokenMismatch,
                    (KeyStatus::Active, None) => self.found(access_key_id, &key, scope_region),
                }
            }
        }
    }

    fn may(&self, caller: &Caller, action: Action<'_>) -> bool {
        match action {
            Action::Route(prefix) if permission::is_for_policies(caller, prefix) => {
                self.may_use(caller, prefix)
            }
            _ => permission::may(caller, action),
        }
    }

    fn authorize(
        &self,
        context: &Context,
        input: &dyn Fn() -> serde_json::Value,
    ) -> Result<Decided, Denied> {
        self.decide_call(context, input)
    }
}

impl Iam {
    /// Who a session speaks for. It ends with its role or its user: one made anew under the name is
    /// another. The administrator's end with the last of its keys.
    fn living(&self, holder: Holder, access_key_id: &str, region: &Region) -> Option<Caller> {
        let view = self.ledger.snapshot();
        let is_there = |id: &str| by_id(&self.tables, &view, id).is_some();
        let has_administrator = || {
            let owner = owner_key(&Owner::Administrator);
            view.index(&self.tables.keys_by_owner, &owner).next().is_some()
        };
        let (UserClaims { account, id, .. }, session) = match holder {
            Holder::Known(caller) => {
                let lives = match &caller.kind {
                    CallerKind::Role(session) => is_there(&session.role_id),
                    CallerKind::Federated(session) => {
                        is_there(&session.role_id)
                            || (session.role_arn == administrator_arn(&caller.account)
                                && has_administrator())
                    }
                    _ => true,
                };
                return lives.then_some(caller);
            }
            Holder::User { claims, session } => (claims, session),
        };
        let (arn, user_id, kind) = match id {
            Some(id) => {
                let (_, user) = by_id(&self.tables, &view, &id)?;
                (user.arn(&account), id, CallerKind::UserSession(session))
            }
            None => {
                let owner = owner_key(&Owner::Administrator);
                let (_, key) = view.index(&self.tables.keys_by_owner, &owner).next()?;
                (administrator_arn(&account), key.user_id.clone(), CallerKind::Operator)
            }
        };
        let access_key_id = access_key_id.to_owned();
        Some(Caller { account, region: region.clone(), arn, user_id, access_key_id, kind })
    }

    fn found(&self, access_key_id: &str, key: &AccessKey, region: &Region) -> CredentialLookup {
        let account = &key.account;
        let (arn, kind) = match &key.owner {
            Owner::User(id) => match self.known(&self.ledger.snapshot(), account, id) {
                Some(user) => (user.principal.arn.clone(), CallerKind::User(id.clone())),
                None => return CredentialLookup::Unknown,
            },
            Owner::Administrator => (administrator_arn(account), CallerKind::Operator),
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

/// The name of who has the key that the first start makes, and who has no record. No user can have it:
/// policies that name the administrator would mean both.
pub(crate) const ADMINISTRATOR: &str = "administrator";

/// The administrator's ARN.
pub(crate) fn administrator_arn(account: &AccountId) -> String {
    format!("arn:aws:iam::{account}:user/{ADMINISTRATOR}")
}

/// Whether a caller shows credentials of `GetSessionToken` or `GetFederationToken`.
pub(crate) fn is_session_of_user(caller: &Caller) -> bool {
    match caller.kind {
        CallerKind::UserSession(_) | CallerKind::Federated(_) => true,
        CallerKind::Operator => caller.access_key_id.starts_with(TEMPORARY_PREFIX),
        _ => false,
    }
}
