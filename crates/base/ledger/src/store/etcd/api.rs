//! What the ledger asks of an etcd, as a trait, so that tests and the simulation can bring one of
//! their own with faults in it.

use std::time::Duration;

use async_trait::async_trait;

use crate::store::Pace;

/// An etcd, or what behaves like one: linearizable transactions over ordered keys with one
/// counter of revisions, history that can be watched until it is compacted, and leases.
///
/// A call whose future is dropped may take effect nevertheless. The ledger bounds each call's
/// time itself.
#[async_trait]
pub trait Etcd: Send + Sync + 'static {
    /// Runs a transaction: all of one branch or nothing.
    ///
    /// # Errors
    /// [`EtcdError::Lost`] when it may have been carried out; any other when it was not.
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError>;

    /// Reads keys in order.
    ///
    /// # Errors
    /// [`EtcdError::Compacted`] when the revision asked for is history no more; or any other.
    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError>;

    /// Watches all keys that begin with `prefix`, from revision `from` on.
    ///
    /// # Errors
    /// As [`EtcdWatch::next`].
    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError>;

    /// Makes a lease of at least `ttl`, rounded up to what etcd grants.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses.
    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError>;

    /// Renews a lease: from some moment during this call it lasts for the time given back, or
    /// `None` when it has expired.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses.
    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError>;

    /// Ends a lease and deletes its keys. One that has ended is no error.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses.
    async fn revoke(&self, lease: i64) -> Result<(), EtcdError>;

    /// Forgets the history before `revision`.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses; [`EtcdError::Compacted`] when it was done already.
    async fn compact(&self, revision: i64) -> Result<(), EtcdError>;

    /// How full the database is.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses.
    async fn status(&self) -> Result<EtcdStatus, EtcdError>;

    /// Where rows that were read are decoded: by default on the caller, as simulations need it.
    fn pace(&self) -> Pace {
        Pace::Inline
    }

    /// A clock that never goes back and also runs while the machine sleeps; leases are judged by it.
    fn now(&self) -> Duration;
}

/// Events of a watch, in the order of their revisions; those of one revision in the order of the
/// transaction's operations.
#[async_trait]
pub trait EtcdWatch: Send {
    /// The next events; waits for them. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`EtcdError::Compacted`] when history that was not yet given is gone; any other when the
    /// watch broke and may be opened again.
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError>;
}

/// Compares, and what to do if all of them hold, and if not.
#[derive(Debug, Clone, Default)]
pub struct EtcdTxn {
    /// All must hold.
    pub compares: Vec<EtcdCompare>,
    /// Done if they do.
    pub then: Vec<EtcdOp>,
    /// Done if they do not.
    pub or_else: Vec<EtcdOp>,
}

/// One condition of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdCompare {
    /// The key was created at this revision; 0: it does not exist.
    Created(Vec<u8>, i64),
    /// The key exists and holds this.
    Value(Vec<u8>, Vec<u8>),
}

/// One operation of a transaction. None touches a key that another writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdOp {
    /// Writes a key, under a lease unless that is 0.
    Put {
        /// The key.
        key: Vec<u8>,
        /// What it holds from now on.
        value: Vec<u8>,
        /// The lease that it ends with, or 0.
        lease: i64,
    },
    /// Deletes a key, if it is there.
    Delete(Vec<u8>),
    /// Deletes all keys that begin so.
    DeletePrefix(Vec<u8>),
    /// Reads a key.
    Get(Vec<u8>),
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdAnswer {
    /// Whether all compares held.
    pub succeeded: bool,
    /// etcd's revision after it.
    pub revision: i64,
    /// For each [`EtcdOp::Get`] of the branch that ran, in order, the key if it is there.
    pub found: Vec<Option<EtcdPair>>,
}

/// A stretch of keys to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdRange {
    /// The first key.
    pub from: Vec<u8>,
    /// The key behind the last.
    pub to: Vec<u8>,
    /// At most so many keys.
    pub limit: u32,
    /// As of this revision; 0 for the newest.
    pub revision: i64,
}

/// Keys that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdPage {
    /// The keys, in order.
    pub pairs: Vec<EtcdPair>,
    /// Whether the stretch has more.
    pub more: bool,
    /// etcd's newest revision at that time.
    pub revision: i64,
}

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdPair {
    /// The key.
    pub key: Vec<u8>,
    /// What it holds.
    pub value: Vec<u8>,
    /// The revision that created it.
    pub created: i64,
    /// The revision that last wrote it.
    pub modified: i64,
    /// Its lease, or 0.
    pub lease: i64,
}

/// One key's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdEvent {
    /// Whether the key was deleted; then only `pair.key` and `pair.modified` tell anything.
    pub deleted: bool,
    /// The key after the change.
    pub pair: EtcdPair,
}

/// A lease that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdLease {
    /// Its id.
    pub id: i64,
    /// How long it lasts without being renewed.
    pub ttl: Duration,
}

/// How full etcd's database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdStatus {
    /// The database's size, which is what etcd holds against its quota.
    pub size_bytes: u64,
    /// How much of it is in use; defragmenting gives the rest back.
    pub used_bytes: u64,
    /// The quota, if this etcd tells it.
    pub quota_bytes: Option<u64>,
}

/// Why etcd did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// No answer came: it may have been done.
    #[error("{0}")]
    Lost(String),
    /// etcd refused: nothing was done.
    #[error("{0}")]
    Refused(String),
    /// The database has reached its quota: nothing was done.
    #[error("its database has reached its quota")]
    Full,
    /// The revision is history no more.
    #[error("the history asked for is compacted")]
    Compacted,
}

impl EtcdOp {
    pub(crate) fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self::Put { key, value, lease: 0 }
    }
}
