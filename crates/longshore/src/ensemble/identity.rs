//! What all servers of one ledger have in common: made by the first, read by the others.

use anyhow::Result;
use iam::{Iam, IamError};
use ledger::{Ledger, Record, Schema, Table, TransactError};
use serde::{Deserialize, Serialize};
use terms::{AccountId, IdSource, Uuid};

use super::recovery::recover;
use super::{Asking, settled};
use crate::data_dir::{DataDir, Keys};

/// The table of the installation's id: one row.
#[derive(Clone, Copy, Debug)]
pub struct IdentityTable(Table<(), Installation>);

/// What an installation is known by.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Installation {
    id: String,
}

impl Record for Installation {}

impl IdentityTable {
    /// Declares it.
    pub fn declare(schema: &mut Schema) -> Self {
        Self(schema.table("longshore.installation"))
    }
}

/// What a server needs of the ledger before it serves.
pub struct Identity {
    /// Keys and sessions.
    pub iam: Iam,
    /// What the installation is known by.
    pub installation: String,
}

impl Identity {
    /// Reads what there is, makes what there is not. A server that does not lead waits until the
    /// one that does has made it. The data folder gets the administrator's key and the
    /// installation's id. Who leads is asked by what `asking` makes, if the administrator is to
    /// have a new key.
    ///
    /// # Errors
    /// If the ledger cannot commit, or the data folder cannot be written.
    pub async fn settle(
        ledger: &Ledger,
        tables: (iam::Tables, IdentityTable),
        account: &AccountId,
        data: &DataDir,
        (ids, asking): (&dyn IdSource, impl FnOnce(&Iam) -> Asking),
    ) -> Result<Self> {
        let (iam_tables, table) = tables;
        let iam =
            settled(async || Iam::open(ledger.clone(), iam_tables.clone(), account.clone()).await)
                .await?;
        let key = match data.wants_administrator() {
            true => Some(recover(&iam, ledger, &asking(&iam)).await?),
            false => settled(async || iam.administrator().await).await?,
        };
        match key {
            Some(key) => data.write_administrator(&Keys {
                access_key_id: key.access_key_id,
                secret_access_key: key.secret.expose().to_owned(),
            })?,
            None => data.remove_administrator()?,
        }
        data.wish_for_administrator(false)?;
        let wanted =
            data.installation().unwrap_or_else(|| Uuid::from_random(ids.next()).to_string());
        let installation = settled(async || installation(ledger, table, &wanted).await).await?;
        data.write_installation(&installation)?;
        Ok(Self { iam, installation })
    }
}

/// The installation's id, `wanted` if there is none yet.
async fn installation(
    ledger: &Ledger,
    table: IdentityTable,
    wanted: &str,
) -> Result<String, IamError> {
    if let Some(row) = ledger.snapshot().get(&table.0, &()) {
        return Ok(row.id.clone());
    }
    let made = ledger.transact("installation", |tx| {
        if let Some(row) = tx.get(&table.0, &()) {
            return Ok(row.id.clone());
        }
        tx.put(&table.0, (), Installation { id: wanted.to_owned() });
        Ok::<_, std::convert::Infallible>(wanted.to_owned())
    });
    match made.await {
        Ok(committed) => Ok(committed.value),
        Err(TransactError::Ledger(error)) => Err(IamError::Ledger(error)),
        Err(TransactError::Rejected(never)) => match never {},
    }
}
