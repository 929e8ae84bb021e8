//! The trail: lines in files, each chained to the one before.

mod chain;
mod everywhere;
mod files;
mod keeper;
mod others;
mod reading;
mod verifying;

pub use everywhere::{Line, Page, Places, Silent, Start, places, tag, written};
pub use keeper::Trail;
pub use others::{Answer, Others, Question, SERVERS_PATH, SERVERS_PATHS};
pub use reading::{Entry, Filter, Place, read};
pub use verifying::{Verified, verify};

/// Why the trail cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    /// A file or the folder cannot be read or written.
    #[error("{what}")]
    Io {
        /// What was to be done, and with which file.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The chain is broken.
    #[error("{file}, line {line}: {what}")]
    Broken {
        /// The file's name.
        file: String,
        /// The line, counted from one.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl TrailError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
