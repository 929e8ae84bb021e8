//! How a container instance joins: a token is exchanged for a key bound to the instance's name.

use std::time::Duration;

use data_encoding::HEXLOWER;
use ledger::Tx;
use sha2::{Digest, Sha256};
use terms::Timestamp;

use crate::keys::{self, KeyPair};
use crate::model::{AccessKey, JoinToken, KeyStatus, Owner};
use crate::tables::owner_key;
use crate::{Iam, IamError};

/// How long a join token lives unless said otherwise.
pub const JOIN_TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// How long an expired token is remembered, so that using it is told apart from a wrong one.
const KEEP_EXPIRED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Digits of a token's hash that name it in lists.
const ID_DIGITS: usize = 12;

/// What a join token is to allow.
#[derive(Clone, Debug)]
pub struct TokenTerms {
    /// How long it works.
    pub life: Duration,
    /// How many instances may join with it; any number if there is none.
    pub uses: Option<u32>,
    /// The one name that it is for. Only such a token lets a machine take the place of an instance
    /// that has joined.
    pub name: Option<String>,
}

impl Default for TokenTerms {
    fn default() -> Self {
        Self { life: JOIN_TOKEN_LIFE_DEFAULT, uses: None, name: None }
    }
}

/// A join token as lists show it: without itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// The first digits of its hash.
    pub id: String,
    /// Until when it works.
    pub expires_at: Timestamp,
    /// How many more instances may join with it.
    pub uses_left: Option<u32>,
    /// The one name that it is for.
    pub name: Option<String>,
}

impl Iam {
    /// Makes a token with which instances may join until it expires. It is shown once: the ledger
    /// keeps only its hash.
    ///
    /// # Errors
    /// If the name has another form, or the ledger cannot commit.
    pub async fn create_join_token(
        &self,
        terms: TokenTerms,
    ) -> Result<(String, Timestamp), IamError> {
        terms.name.as_deref().map_or(Ok(()), keys::check_node_name)?;
        let committed = self
            .ledger
            .transact("iam: join token", |tx| -> Result<_, IamError> {
                self.forget_expired_tokens(tx);
                let token = HEXLOWER.encode(&[tx.next_id(), tx.next_id()].concat());
                let row = JoinToken {
                    account: self.account.clone(),
                    expires_at: tx.now() + terms.life,
                    uses_left: terms.uses,
                    name: terms.name.clone(),
                };
                let expires_at = row.expires_at;
                tx.put(&self.tables.join_tokens, hash(&token), row);
                Ok((token, expires_at))
            })
            .await?;
        Ok(committed.value)
    }

    /// The tokens that still work.
    pub fn join_tokens(&self) -> Vec<TokenSummary> {
        let now = self.ledger.clock().now();
        let snapshot = self.ledger.snapshot();
        let working = |row: &JoinToken| row.expires_at > now && row.uses_left != Some(0);
        snapshot
            .range(&self.tables.join_tokens, ..)
            .filter(|(_, row)| working(row))
            .map(|(hash, row)| TokenSummary {
                id: hash[..ID_DIGITS].to_owned(),
                expires_at: row.expires_at,
                uses_left: row.uses_left,
                name: row.name.clone(),
            })
            .collect()
    }

    /// Withdraws the token whose id begins so. Instances that joined with it stay.
    ///
    /// # Errors
    /// If there is not exactly one, or the ledger cannot commit.
    pub async fn revoke_join_token(&self, id: &str) -> Result<(), IamError> {
        let revoked = self.ledger.transact("iam: revoke token", |tx| -> Result<_, IamError> {
            let found: Vec<String> = tx
                .range(&self.tables.join_tokens, ..)
                .map(|(hash, _)| hash)
                .filter(|hash| !id.is_empty() && hash.starts_with(id))
                .collect();
            let [hash] = found.as_slice() else {
                return Err(IamError::NoSuchToken(id.chars().take(64).collect()));
            };
            tx.delete(&self.tables.join_tokens, hash);
            Ok(())
        });
        revoked.await?;
        Ok(())
    }

    /// So that the table holds no more than what was made within a token's life.
    fn forget_expired_tokens(&self, tx: &mut Tx<'_>) {
        let now = tx.now();
        let expired: Vec<String> = tx
            .range(&self.tables.join_tokens, ..)
            .filter(|(_, row)| row.expires_at + KEEP_EXPIRED <= now)
            .map(|(hash, _)| hash)
            .collect();
        expired.iter().for_each(|hash| tx.delete(&self.tables.join_tokens, hash));
    }

    /// Exchanges a token for a fresh key bound to `name`. With a token that is for this name, a
    /// key that an instance of that name had before stops working: the machine was set up anew.
    ///
    /// # Errors
    /// If the token is unknown, expired, used up or for another name, an instance of this name has
    /// joined, the name has another form, or the ledger cannot commit.
    pub async fn join(&self, token: &str, name: &str) -> Result<KeyPair, IamError> {
        keys::check_node_name(name)?;
        let (owner, hash) = (Owner::Node(name.to_owned()), hash(token));
        let committed = self
            .ledger
            .transact("iam: join", |tx| -> Result<_, IamError> {
                let row = tx.get(&self.tables.join_tokens, &hash).ok_or(IamError::UnknownToken)?;
                check(&row, name, tx.now())?;
                let before: Vec<_> =
                    tx.index(&self.tables.keys_by_owner, &owner_key(&owner)).collect();
                if row.name.is_none() && !before.is_empty() {
                    return Err(IamError::NameTaken(name.to_owned()));
                }
                for (id, key) in before {
                    let inactive = AccessKey { status: KeyStatus::Inactive, ..(*key).clone() };
                    tx.put(&self.tables.keys, id, inactive);
                }
                if let Some(uses) = row.uses_left {
                    let left = JoinToken { uses_left: Some(uses - 1), ..(*row).clone() };
                    tx.put(&self.tables.join_tokens, hash.clone(), left);
                }
                Ok(keys::make(tx, &self.tables, &row.account, owner.clone()))
            })
            .await?;
        tracing::info!(node = name, "a container instance joined");
        Ok(committed.value)
    }
}

/// Whether a token lets an instance of this name join now.
fn check(token: &JoinToken, name: &str, now: Timestamp) -> Result<(), IamError> {
    if token.expires_at <= now {
        return Err(IamError::ExpiredToken { at: token.expires_at });
    }
    if token.uses_left == Some(0) {
        return Err(IamError::UsedToken);
    }
    match &token.name {
        Some(other) if other != name => Err(IamError::TokenOfOther(other.clone())),
        _ => Ok(()),
    }
}

fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
