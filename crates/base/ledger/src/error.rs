//! What can go wrong in a transaction.

use std::sync::Arc;

use crate::head::MAX_WAITING;
use crate::record::RecordError;
use crate::role::Member;
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
    /// Another server leads, or none does for the moment. Nothing was written, and the same
    /// transaction may be tried on the leader at once.
    #[error("{}", not_leading(.leader.as_ref()))]
    NotLeading {
        /// The server that leads, as far as this one knows.
        leader: Option<Member>,
    },
    /// The store did not answer, or this server lost its leadership while the commit was on its
    /// way: the writes may have become durable, or may not.
    #[error(
        "it is not known whether the change was made, because the connection to the store or the leadership was lost meanwhile; look, then try again"
    )]
    OutcomeUnknown,
    /// The store did not tell which revision is the newest, so no answer would surely be fresh.
    #[error("the store does not answer: {reason}")]
    Unreachable {
        /// What was met.
        reason: Arc<str>,
    },
    /// The store is so full that it takes no new rows; rows can still be changed and deleted.
    #[error(
        "the store is nearly full ({used_bytes} of {quota_bytes} bytes); delete what is not needed, defragment etcd, or raise its quota"
    )]
    StoreNearlyFull {
        /// How large the store's database is.
        used_bytes: u64,
        /// How large it may become.
        quota_bytes: u64,
    },
    /// A row is larger than the store can keep: nothing was written.
    #[error("a row of table {table} is larger than the {limit_bytes} bytes that the store takes")]
    RowTooLarge {
        /// The table's name.
        table: &'static str,
        /// The most that its key and body may have together.
        limit_bytes: usize,
    },
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

fn not_leading(leader: Option<&Member>) -> String {
    match leader {
        Some(leader) => format!("this server does not lead; {leader} does"),
        None => "no server leads at the moment; try again shortly".to_owned(),
    }
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
