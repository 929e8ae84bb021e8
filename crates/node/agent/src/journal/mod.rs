//! What must survive the agent: records appended in order, replayed at the next start.

mod file;
mod medium;
mod memory;

use async_trait::async_trait;

use crate::engine::Record;

pub use file::{FileJournal, LineJournal};
pub use medium::{DiskFile, Medium};
pub use memory::MemoryJournal;

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be read or written.
    #[error("cannot {action} the agent's journal {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// There is no room for what must be kept. Nothing more is done until there is: what is not in
    /// the journal has not happened.
    #[error(
        "no space left for the agent's journal {path}; make room (`longshore image prune` removes \
         images that nothing uses) and start again: running containers are found again"
    )]
    DiskFull {
        /// The file.
        path: String,
    },
    /// A record in the middle is not what was written.
    #[error(
        "the agent's journal {path} is damaged at byte {offset}; move the file away to begin anew \
         (containers that it knew are removed then)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// Where the bad record begins.
        offset: u64,
    },
    /// Another process writes it.
    #[error(
        "the agent's journal {path} is in use by another process; give each agent a data directory or a name of its own"
    )]
    InUse {
        /// The file.
        path: String,
    },
}

impl JournalError {
    fn of(action: &'static str, path: String, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

/// Where an agent's records are kept. One writer.
#[async_trait]
pub trait Journal: Send {
    /// All records, in the order in which they were written.
    async fn load(&mut self) -> Result<Vec<Record>, JournalError>;

    /// Appends records; when `durable`, they and all before them are on disk when it returns.
    async fn append(&mut self, records: Vec<Record>, durable: bool) -> Result<(), JournalError>;

    /// Whether the journal holds so much that is out of date that it should be written anew.
    fn wants_compaction(&self) -> bool;

    /// Puts these records in the place of all, durably.
    async fn compact(&mut self, records: Vec<Record>) -> Result<(), JournalError>;
}
