//! Temporary credentials of roles. The session is sealed in its token and stored nowhere: it
//! survives restarts, costs no write, and its secret is derived from it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use data_encoding::{BASE32, BASE64, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use ledger::Ledger;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use terms::{AccountId, IdSource, Region, TaskArn, Timestamp};
use wire::{Caller, CallerKind, CredentialLookup, RoleSession, Secret, UserSession};

use crate::IamError;
use crate::directory::access_key_id;
use crate::tables::{SealSecret, Tables};

/// How long a task's credentials live (ECS hands out six hours).
pub const SESSION_LIFE: Duration = Duration::from_secs(6 * 3600);

/// The length of the seal at the end of a token, in bytes.
const SEAL_BYTES: usize = 32;

/// The longest token that is looked at; ours are far shorter.
const TOKEN_MAX_BYTES: usize = 16 * 1024;

/// Whose session is wanted.
#[derive(Clone, Debug)]
pub struct SessionRequest<'a> {
    /// The role, as the task definition or an override names it.
    pub role_arn: &'a str,
    /// The task that the credentials are for; its id is the session's name.
    pub task: &'a TaskArn,
    /// Whether it is the task's execution role, whose credentials its agent alone gets.
    pub is_execution: bool,
}

/// Temporary credentials as their owner gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCredentials {
    /// `ASIA…`, twenty characters.
    pub access_key_id: String,
    /// Forty characters.
    pub secret: Secret,
    /// The sealed session.
    pub session_token: String,
    /// When they stop working.
    pub expires_at: Timestamp,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "k")]
    access_key_id: String,
    #[serde(rename = "r")]
    role_arn: String,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskArn>,
    /// Whether the role is the task's execution role. Tokens of servers that did not say are taken as
    /// the task role's, which may do less.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    is_execution: bool,
    /// Of a session that STS gave out.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    granted: Option<Box<GrantedClaims>>,
    /// Of a session of a user, or of the administrator.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    user: Option<UserClaims>,
    /// Of a server of the control plane, that it is one; and its account.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    plane: Option<AccountId>,
    #[serde(rename = "e")]
    expires_at: Timestamp,
}

/// What a session of STS was made with.
#[derive(Debug, Serialize, Deserialize)]
struct GrantedClaims {
    account: AccountId,
    id: String,
    name: String,
    at: Timestamp,
    policies: Vec<String>,
    arns: Vec<String>,
    tags: Vec<(String, String)>,
    transitive: Vec<String>,
    identity: Option<String>,
    provider: Option<String>,
    /// A federated user's: `id` and the role's ARN are of who made it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_federated: bool,
}

/// Whose session of `GetSessionToken` it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UserClaims {
    pub(crate) account: AccountId,
    /// The user's unique id; none for the administrator.
    pub(crate) id: Option<String>,
    pub(crate) at: Timestamp,
}

/// Who a token speaks for.
pub(crate) enum Holder {
    /// A task, a role's session, a federated user.
    Known(Caller),
    /// A user, or the administrator.
    User { claims: UserClaims, session: Arc<UserSession> },
}

/// A session that STS gives out.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) account: AccountId,
    pub(crate) session: RoleSession,
    pub(crate) is_federated: bool,
}

/// Knows whether tasks are over; a higher service does.
pub trait TaskLife: Send + Sync {
    /// Whether the task has stopped, or is not known.
    fn is_over(&self, task: &TaskArn) -> bool;
}

/// Mints sessions and opens their tokens. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    secret: Arc<[u8]>,
    life: Arc<OnceLock<Arc<dyn TaskLife>>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl Sessions {
    /// The sessions of this ledger; the first call makes the secret that seals them.
    pub(crate) async fn open(ledger: &Ledger, tables: &Tables) -> Result<Self, IamError> {
        // Before the transaction: a server that does not lead can read.
        if let Some(row) = ledger.snapshot().get(&tables.seal, &()) {
            return Ok(Self { secret: row.0.clone().into(), life: Arc::default() });
        }
        let committed = ledger
            .transact("iam: seal", |tx| -> Result<_, IamError> {
                if let Some(row) = tx.get(&tables.seal, &()) {
                    return Ok(row.0.clone());
                }
                let secret = [tx.next_id(), tx.next_id()].concat();
                tx.put(&tables.seal, (), SealSecret(secret.clone()));
                Ok(secret)
            })
            .await?;
        Ok(Self { secret: committed.value.into(), life: Arc::default() })
    }

    /// Lets sessions end with their tasks, on all clones. Until this was called, and without it,
    /// they end by time alone.
    pub fn end_with_tasks(&self, life: Arc<dyn TaskLife>) {
        _ = self.life.set(life);
    }

    /// Fresh credentials of a role for a task, from `now` on for [`SESSION_LIFE`].
    pub fn assume(
        &self,
        request: &SessionRequest<'_>,
        ids: &dyn IdSource,
        now: Timestamp,
    ) -> SessionCredentials {
        let access_key_id = format!("ASIA{}", BASE32.encode(&ids.next()[..10]));
        let expires_at = now + SESSION_LIFE;
        let claims = Claims {
            access_key_id: access_key_id.clone(),
            role_arn: request.role_arn.to_owned(),
            task: Some(request.task.clone()),
            is_execution: request.is_execution,
            granted: None,
            user: None,
            plane: None,
            expires_at,
        };
        self.seal(&claims)
    }

    /// The credentials of a user's session.
    pub(crate) fn of_user(
        &self,
        user: UserClaims,
        expires_at: Timestamp,
        random: [u8; 16],
    ) -> SessionCredentials {
        self.seal(&Claims {
            access_key_id: access_key_id("ASIA", &user.account, random),
            role_arn: String::new(),
            task: None,
            is_execution: false,
            granted: None,
            user: Some(user),
            plane: None,
            expires_at,
        })
    }

    /// Credentials by which one server of a control plane asks another, of the same ledger, until
    /// `expires_at`. `random` tells them from all others.
    pub fn of_server(
        &self,
        account: &AccountId,
        expires_at: Timestamp,
        random: [u8; 16],
    ) -> SessionCredentials {
        self.seal(&Claims {
            access_key_id: access_key_id("ASIA", account, random),
            role_arn: String::new(),
            task: None,
            is_execution: false,
            granted: None,
            user: None,
            plane: Some(account.clone()),
            expires_at,
        })
    }

    /// The credentials of a session that STS gives out.
    pub(crate) fn grant(&self, granted: Granted, random: [u8; 16]) -> SessionCredentials {
        let Granted { account, session, is_federated } = granted;
        let expires_at = session.expires_at;
        let access_key_id = access_key_id("ASIA", &account, random);
        let claims = Claims {
            access_key_id,
            role_arn: session.role_arn,
            task: None,
            is_execution: false,
            granted: Some(Box::new(GrantedClaims {
                account,
                id: session.role_id,
                name: session.name,
                at: session.issued_at,
                policies: session.policies,
                arns: session.policy_arns,
                tags: session.tags,
                transitive: session.transitive,
                identity: session.source_identity,
                provider: session.provider,
                is_federated,
            })),
            user: None,
            plane: None,
            expires_at,
        };
        self.seal(&claims)
    }

    fn seal(&self, claims: &Claims) -> SessionCredentials {
        let (access_key_id, expires_at) = (claims.access_key_id.clone(), claims.expires_at);
        let mut token = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let (seal, secret) = (self.mac(b"seal", &token), self.secret_of(&token));
        token.extend_from_slice(&seal);
        let session_token = BASE64.encode(&token);
        SessionCredentials { access_key_id, secret, session_token, expires_at }
    }

    /// Who a temporary key that came with this token speaks for; what else there is to say of it.
    pub(crate) fn find(
        &self,
        access_key_id: &str,
        session_token: &str,
        region: &Region,
        now: Timestamp,
    ) -> Result<(Holder, Secret), CredentialLookup> {
        let Some((claims, secret)) = self.unseal(session_token) else {
            return Err(CredentialLookup::TokenMismatch);
        };
        if claims.access_key_id != access_key_id {
            return Err(CredentialLookup::TokenMismatch);
        }
        let is_over = match (&claims.task, self.life.get()) {
            (Some(task), Some(life)) => life.is_over(task),
            _ => false,
        };
        if claims.expires_at <= now || is_over {
            return Err(CredentialLookup::Expired);
        }
        if let Some(user) = claims.user {
            let session = UserSession {
                user_id: user.id.clone().unwrap_or_default(),
                issued_at: user.at,
                expires_at: claims.expires_at,
            };
            return Ok((Holder::User { claims: user, session: Arc::new(session) }, secret));
        }
        let known = caller(claims, region).ok_or(CredentialLookup::TokenMismatch)?;
        Ok((Holder::Known(known), secret))
    }

    /// A key for this purpose and this text alone: 32 bytes.
    pub(crate) fn key_for(&self, purpose: &[u8], text: &[u8]) -> [u8; SEAL_BYTES] {
        self.mac(purpose, text)
    }

    fn unseal(&self, session_token: &str) -> Option<(Claims, Secret)> {
        if session_token.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let token = BASE64.decode(session_token.as_bytes()).ok()?;
        let (claims, seal) = token.split_at_checked(token.len().checked_sub(SEAL_BYTES)?)?;
        self.keyed(b"seal", claims).verify_slice(seal).ok()?;
        Some((serde_json::from_slice(claims).ok()?, self.secret_of(claims)))
    }

    fn secret_of(&self, claims: &[u8]) -> Secret {
        let bytes = self.mac(b"secret", claims);
        Secret::new(BASE64URL_NOPAD.encode(&bytes[..30]))
    }

    fn mac(&self, purpose: &[u8], claims: &[u8]) -> [u8; SEAL_BYTES] {
        self.keyed(purpose, claims).finalize().into_bytes().into()
    }

    fn keyed(&self, purpose: &[u8], claims: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.secret).expect("HMAC takes keys of any length");
        mac.update(purpose);
        mac.update(&[0]);
        mac.update(claims);
        mac
    }
}

/// The principal behind a session (IAM semantics: role sessions carry the role's unique id).
fn caller(claims: Claims, region: &Region) -> Option<Caller> {
    let role = claims.role_arn.rsplit('/').next().unwrap_or_default();
    if let Some(granted) = claims.granted {
        let GrantedClaims { account, id, name, is_federated, .. } = *granted;
        let (arn, user_id) = match is_federated {
            true => (
                format!("arn:aws:sts::{account}:federated-user/{name}"),
                format!("{account}:{name}"),
            ),
            false => (
                format!("arn:aws:sts::{account}:assumed-role/{role}/{name}"),
                format!("{id}:{name}"),
            ),
        };
        let session = Arc::new(RoleSession {
            role_id: id,
            role_arn: claims.role_arn,
            name,
            issued_at: granted.at,
            expires_at: claims.expires_at,
            policies: granted.policies,
            policy_arns: granted.arns,
            tags: granted.tags,
            transitive: granted.transitive,
            source_identity: granted.identity,
            provider: granted.provider,
        });
        let kind = match is_federated {
            true => CallerKind::Federated(session),
            false => CallerKind::Role(session),
        };
        let access_key_id = claims.access_key_id;
        return Some(Caller { account, region: region.clone(), arn, user_id, access_key_id, kind });
    }
    if let Some(account) = claims.plane {
        return Some(Caller {
            arn: format!("arn:aws:iam::{account}:user/server"),
            user_id: account.to_string(),
            account,
            region: region.clone(),
            access_key_id: claims.access_key_id,
            kind: CallerKind::Server,
        });
    }
    let task = claims.task?;
    // Not the account that the role names: whoever may write a task definition may write any.
    let account = task.account.clone();
    let session = task.id;
    Some(Caller {
        arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{session}"),
        user_id: format!("{}:{session}", role_id(&claims.role_arn)),
        account,
        region: region.clone(),
        access_key_id: claims.access_key_id,
        kind: CallerKind::Task { task_arn: task.to_string(), is_execution: claims.is_execution },
    })
}

/// A stable `AROA…` for a role that has no record of its own yet.
fn role_id(role_arn: &str) -> String {
    format!("AROA{}", BASE32.encode(&Sha256::digest(role_arn.as_bytes())[..10]))
}
