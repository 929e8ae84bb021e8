//! Long-term keys: made, found, replaced.

use data_encoding::{BASE32, BASE64};
use ledger::Tx;
use terms::AccountId;
use wire::Secret;

use crate::model::{AccessKey, KeyStatus, Owner};
use crate::tables::{Tables, owner_key};
use crate::{Iam, IamError};

/// Characters of a secret.
pub(crate) const SECRET_CHARACTERS: usize = 40;

/// An access key id and its secret, as their owner keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// `AKIA…`, twenty characters.
    pub access_key_id: String,
    /// Forty characters.
    pub secret: Secret,
}

impl Iam {
    /// The administrator's key; made when there never was one. None once all of them were deleted or
    /// switched off: [`Iam::recover_administrator`] makes a new one then.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn administrator(&self) -> Result<Option<KeyPair>, IamError> {
        if self.had_administrator() && !self.has_administrator() {
            return Ok(None);
        }
        self.key_of(Owner::Administrator).await.map(Some)
    }

    fn has_administrator(&self) -> bool {
        let owner = owner_key(&Owner::Administrator);
        self.ledger.snapshot().index(&self.tables.keys_by_owner, &owner).next().is_some()
    }

    fn had_administrator(&self) -> bool {
        let snapshot = self.ledger.snapshot();
        snapshot.range(&self.tables.keys, ..).any(|(_, key)| key.owner == Owner::Administrator)
    }

    /// A new key for the administrator; those that there were work no more.
    ///
    /// # Errors
    /// If the ledger cannot commit.
    pub async fn recover_administrator(&self) -> Result<KeyPair, IamError> {
        let committed = self
            .ledger
            .transact("iam: recover administrator", |tx| -> Result<_, IamError> {
                let rows = tx.range(&self.tables.keys, ..);
                let before: Vec<String> = rows
                    .filter(|(_, key)| key.owner == Owner::Administrator)
                    .map(|(id, _)| id)
                    .collect();
                before.iter().for_each(|id| tx.delete(&self.tables.keys, id));
                Ok(make(tx, &self.tables, &self.account, Owner::Administrator))
            })
            .await?;
        tracing::warn!("the administrator has a new key, and its old ones work no more");
        Ok(committed.value)
    }

    /// The key of the container instance that joins by this name; made when there is none yet.
    ///
    /// # Errors
    /// If the name has another form, or the ledger cannot commit.
    pub async fn node_key(&self, name: &str) -> Result<KeyPair, IamError> {
        check_node_name(name)?;
        self.key_of(Owner::Node(name.to_owned())).await
    }

    async fn key_of(&self, owner: Owner) -> Result<KeyPair, IamError> {
        let index_key = owner_key(&owner);
        // Before the transaction: a server that does not lead can read.
        let snapshot = self.ledger.snapshot();
        if let Some((id, key)) = snapshot.index(&self.tables.keys_by_owner, &index_key).next() {
            let secret = Secret::new(key.secret.as_str());
            return Ok(KeyPair { access_key_id: id, secret });
        }
        let committed = self
            .ledger
            .transact("iam: key", |tx| -> Result<_, IamError> {
                let found = tx.index(&self.tables.keys_by_owner, &index_key).next();
                match found {
                    Some((access_key_id, key)) => {
                        Ok(KeyPair { access_key_id, secret: Secret::new(key.secret.as_str()) })
                    }
                    None => Ok(make(tx, &self.tables, &self.account, owner.clone())),
                }
            })
            .await?;
        Ok(committed.value)
    }
}

/// Puts a fresh active key.
pub(crate) fn make(tx: &mut Tx<'_>, tables: &Tables, account: &AccountId, owner: Owner) -> KeyPair {
    let (id, user_id) = (tx.next_id(), tx.next_id());
    let secret_bytes = [tx.next_id(), tx.next_id()].concat();
    let access_key_id = format!("AKIA{}", BASE32.encode(&id[..10]));
    let secret = BASE64.encode(&secret_bytes[..30]);
    let key = AccessKey {
        account: account.clone(),
        secret: secret.clone(),
        owner,
        user_id: format!("AIDA{}", BASE32.encode(&user_id[..10])),
        status: KeyStatus::Active,
        created_at: tx.now(),
    };
    tx.put(&tables.keys, access_key_id.clone(), key);
    KeyPair { access_key_id, secret: Secret::new(secret) }
}

/// Host names and what people call machines.
pub(crate) fn check_node_name(name: &str) -> Result<(), IamError> {
    let is_name = (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if is_name { Ok(()) } else { Err(IamError::NodeName(name.to_owned())) }
}
