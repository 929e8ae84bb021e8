//! Sealing secrets anew, after their key was changed or came to be.

use super::Ledger;
use crate::error::{LedgerError, TransactError};

impl Ledger {
    /// Seals with the first key what was read in the clear or sealed with an older one. Gives how
    /// many rows that were; none without keys.
    ///
    /// # Errors
    /// As [`Ledger::transact`].
    pub async fn reseal(&self) -> Result<usize, LedgerError> {
        let Some(keys) = self.inner.shared.schema.secrets_keys().cloned() else { return Ok(0) };
        let stale = keys.stale();
        if stale.is_empty() {
            return Ok(0);
        }
        let written = self
            .transact("ledger: reseal", |tx| {
                stale.iter().for_each(|(table, key)| tx.rewrite(*table, key));
                Ok::<_, std::convert::Infallible>(())
            })
            .await;
        match written {
            Ok(_) => {
                stale.iter().for_each(|(table, key)| keys.is_fresh(*table, key));
                Ok(stale.len())
            }
            Err(TransactError::Ledger(error)) => Err(error),
            Err(TransactError::Rejected(never)) => match never {},
        }
    }
}
