//! How a container's output is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A log file's default size: 10 MiB.
pub const LOG_SIZE_BYTES_DEFAULT: u64 = 10 * 1024 * 1024;
/// The default number of log files of one container.
pub const LOG_FILES_DEFAULT: u32 = 3;

/// How a container's output is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// The size in bytes at which a file is turned over.
    pub size_max_bytes: u64,
    /// How many files are kept, the current one included; at least 1.
    pub files_max: u32,
    /// What stands in each line as `attrs`: labels and variables that the json-file driver was
    /// asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// What the files are for.
    #[serde(default)]
    pub keep: Keep,
    /// Whether older files are compressed, as `output.json.1.gz`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
}

/// What the files of a container's output are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// They are the log.
    #[default]
    Log,
    /// Nothing is kept.
    Nothing,
    /// Somebody reads them and sends the lines on.
    ///
    /// Then the first line of each file begins with `{"n":N,`, where N is how many bytes all files
    /// before it had: a line is found again by its place, whatever its file is called now. Who
    /// sends puts into [`file::SENT`](crate::file::SENT), as decimal digits, up to which place all
    /// is sent.
    Unsent(Unsent),
}

/// How much may wait to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsent {
    /// How much, in bytes of the files.
    pub bytes_max: u64,
    /// What happens then.
    pub when_full: WhenFull,
}

/// What happens to output when as much waits to be sent as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenFull {
    /// It is not read, so that who writes it waits.
    Wait,
    /// Lines are dropped, without a word in the log, as Docker does.
    Drop,
}

/// Files that what may wait is cut into.
const SPOOL_FILES: u64 = 4;
/// With [`WhenFull::Wait`] no file is smaller, in bytes: what is in the container's pipes when it
/// ends comes on top, and 64 KiB of empty lines are 5 MiB of JSON.
const SPOOL_FILE_BYTES_MIN: u64 = 4 * 1024 * 1024;

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            size_max_bytes: LOG_SIZE_BYTES_DEFAULT,
            files_max: LOG_FILES_DEFAULT,
            attributes: BTreeMap::new(),
            keep: Keep::Log,
            compress: false,
        }
    }
}

impl LogOptions {
    /// Files in which all that waits to be sent has room, and that are not turned over before it
    /// is sent.
    pub fn unsent(unsent: Unsent) -> Self {
        let least = match unsent.when_full {
            WhenFull::Wait => SPOOL_FILE_BYTES_MIN,
            WhenFull::Drop => 1,
        };
        // The oldest may be sent in part, and four are for what comes on top.
        let files_max = SPOOL_FILES as u32 + 5;
        let size_max_bytes = (unsent.bytes_max / SPOOL_FILES).max(least);
        Self { size_max_bytes, files_max, keep: Keep::Unsent(unsent), ..Self::default() }
    }
}
