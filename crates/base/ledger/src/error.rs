//! What can go wrong in a transaction.

use std::sync::Arc;

use crate::head::MAX_WAITING;
use crate::record::RecordError;
use crate::store::StoreError;

/// Why the ledger did not commit.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// The store failed, now or earlier: whether the last writes survive a restart is not known,
    /// and nothing is written until then. Reads go on.
    #[error("the ledger takes no more writes until it is restarted, because its store failed: {0}")]
    StoreFailed(#[source] Arc<StoreError>),
    /// Too many transactions wait for the store.
    #[error("more than {MAX_WAITING} transactions wait for the store; try again later")]
    Crowded,
    /// A transaction that ran alone guarded what was not so: a mistake of the program.
    #[error("the transaction {name:?} contradicts itself: it guards what is not so where it runs")]
    Contradiction {
        /// The transaction's name.
        name: &'static str,
    },
    /// A value has no stored form: a mistake of the program.
    #[error("a value of table {table} cannot be stored")]
    Value {
        /// The table's name.
        table: &'static str,
        /// Why.
        #[source]
        source: Arc<RecordError>,
    },
}

/// Why a transaction gave no value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransactError<E> {
    /// The transaction's own function said no. Nothing was written, and what it saw is durable.
    #[error("{0}")]
    Rejected(E),
    /// The ledger could not commit.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
