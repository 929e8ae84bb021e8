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

impl Iam {
    /// Makes a token with which any number of instances may join until it expires. It is shown
    /// once: the ledger keeps only its hash.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn create_join_token(&self, life: Duration) -> Result<(String, Timestamp), IamError> {
        let committed = self
            .ledger
            .transact("iam: join token", |tx| -> Result<_, IamError> {
                self.forget_expired_tokens(tx);
                let token = HEXLOWER.encode(&[tx.next_id(), tx.next_id()].concat());
                let expires_at = tx.now() + life;
                let row = JoinToken { account: self.account.clone(), expires_at };
                tx.put(&self.tables.join_tokens, hash(&token), row);
                Ok((token, expires_at))
            })
            .await?;
        Ok(committed.value)
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

    /// Exchanges a token for a fresh key bound to `name`. A key that an instance of that name had
    /// before stops working: the machine was set up anew.
    ///
    /// # Errors
    /// If the token is unknown or expired, the name has another form, or the ledger cannot commit.
    pub async fn join(&self, token: &str, name: &str) -> Result<KeyPair, IamError> {
        keys::check_node_name(name)?;
        let owner = Owner::Node(name.to_owned());
        let committed = self
            .ledger
            .transact("iam: join", |tx| -> Result<_, IamError> {
                let row = tx.get(&self.tables.join_tokens, &hash(token));
                let row = row.ok_or(IamError::UnknownToken)?;
                if row.expires_at <= tx.now() {
                    return Err(IamError::ExpiredToken { at: row.expires_at });
                }
                let before: Vec<_> =
                    tx.index(&self.tables.keys_by_owner, &owner_key(&owner)).collect();
                for (id, key) in before {
                    let inactive = AccessKey { status: KeyStatus::Inactive, ..(*key).clone() };
                    tx.put(&self.tables.keys, id, inactive);
                }
                Ok(keys::make(tx, &self.tables, &row.account, owner.clone()))
            })
            .await?;
        tracing::info!(node = name, "a container instance joined");
        Ok(committed.value)
    }
}

fn hash(token: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(token.as_bytes()))
}
