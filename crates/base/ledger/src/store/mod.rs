//! Where commits become durable.

pub(crate) mod directory;
mod embedded;
pub(crate) mod etcd;
mod memory;

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

pub use directory::FORMAT as EMBEDDED_FORMAT;
pub use embedded::EmbeddedStore;
pub use etcd::{
    AddressError, Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage,
    EtcdPair, EtcdRange, EtcdSettings, EtcdStatus, EtcdTls, EtcdTxn, EtcdWatch, MemoryEtcd, Secret,
};
pub use memory::MemoryStore;

use crate::bytes::Bytes;
use crate::state::Revision;

/// What makes commits durable. It stores rows and one revision; everything else is the ledger's.
pub trait Store: Send + 'static {
    /// Gives every stored row to `sink`, in any order, and then the revision of the last batch
    /// (0 when nothing was ever committed). Called once, before any commit.
    ///
    /// # Errors
    /// When the store cannot be read; and what `sink` answers.
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError>;

    /// Makes a batch durable: all of it, or after a crash none of it. Returns when it is.
    ///
    /// # Errors
    /// When the outcome is not sure. The ledger then refuses every further write.
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Where commits run.
    fn pace(&self) -> Pace;

    /// With [`Pace::Task`], what is waited for before [`Store::commit`] of the same batch.
    fn wait(&mut self, _batch: &Batch) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Where a store's commits run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// On a thread of the ledger's, because they wait for a disk or a network. Transactions that
    /// arrive meanwhile share the next commit.
    OwnThread,
    /// On the caller, at once: for stores that never wait. Starts no thread, so a simulation
    /// stays on its own.
    Inline,
    /// On a task of the tokio runtime that the ledger was opened on, after [`Store::wait`]: for
    /// simulations of slow disks, whose time is the runtime's. Otherwise as [`Pace::OwnThread`].
    Task,
}

/// What one commit of the store holds: the rows that one or more transactions changed, each once,
/// as they are after the last of them.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The revision after this batch.
    pub revision: Revision,
    /// The changed rows.
    pub writes: Vec<Write>,
}

/// One row's new state.
#[derive(Debug, Clone)]
pub struct Write {
    /// The table's name.
    pub table: &'static str,
    /// The encoded key.
    pub key: Bytes,
    /// The row, or `None` when it is deleted.
    pub row: Option<StoredRow>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// The revision that created the row.
    pub created: Revision,
    /// The revision that last wrote it.
    pub version: Revision,
    /// [`crate::Record::VERSION`] of its body.
    pub record_version: u16,
    /// The encoded value.
    pub body: Arc<[u8]>,
}

/// A row read back.
#[derive(Debug)]
pub struct LoadedRow<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The encoded key.
    pub key: &'a [u8],
    /// The revision that created the row.
    pub created: Revision,
    /// The revision that last wrote it.
    pub version: Revision,
    /// The record version of its body.
    pub record_version: u16,
    /// The encoded value.
    pub body: &'a [u8],
}

/// A store that cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("{dir} is in use by {holder}; stop that process or choose another data directory", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that holds it, as `process 123`.
        holder: String,
    },
    /// The directory was written by a newer program.
    #[error("{dir} has ledger format {found}, this program reads up to {newest}; use a newer longshore", dir = dir.display())]
    NewerFormat {
        /// The directory.
        dir: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        newest: u32,
    },
    /// The disk is full.
    #[error("the disk that holds {dir} is full; free some space and start again", dir = dir.display())]
    Full {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk or the file system failed.
    #[error("{action} {path} failed", path = path.display())]
    Io {
        /// What was tried, as `writing`.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something in the directory is not what this program writes.
    #[error("{what} in {dir} is damaged: {problem}", dir = dir.display())]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// Which part.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// etcd could not be reached, or refused.
    #[error("etcd at {endpoints}: {problem}")]
    Etcd {
        /// Its endpoints.
        endpoints: String,
        /// What was met.
        problem: String,
    },
    /// The keys in etcd were written by a newer program.
    #[error(
        "the keys under {prefix} in etcd have format {found}, this program reads up to {newest}; use a newer longshore"
    )]
    NewerKeys {
        /// What the keys begin with.
        prefix: String,
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        newest: u32,
    },
    /// The thread that commits could not be started.
    #[error("the ledger's store thread cannot be started")]
    Thread {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The thread that commits has ended by a mistake of the program.
    #[error("the ledger's store thread has stopped")]
    Stopped,
    /// A file that is no archive.
    #[error("{path} is no archive of 'longshore store export'", path = path.display())]
    NoArchive {
        /// The file.
        path: PathBuf,
    },
    /// The archive was written by a newer program.
    #[error("{path} has archive format {found}, this program reads up to {newest}; use a newer longshore", path = path.display())]
    NewerArchive {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this program knows.
        newest: u32,
    },
    /// An archive is being brought into the store, or that was cut short.
    #[error(
        "the store is in the middle of an import; run 'longshore store import' with the same archive again to complete it"
    )]
    Importing,
    /// An import into a store that has rows.
    #[error(
        "the store has {rows} rows already; an import replaces them all only if told to with --replace"
    )]
    NotEmpty {
        /// How many rows.
        rows: u64,
    },
    /// A stored row that this program cannot read.
    #[error("a row of table {table} cannot be read: {problem}")]
    Row {
        /// The table's name.
        table: String,
        /// What is wrong with it.
        problem: String,
    },
}
