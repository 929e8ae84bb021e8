//! `longshore man`: the manual pages, one for each command.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

/// Flags of `longshore man`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  longshore man /usr/local/share/man/man1 && man longshore-plan-run-task")]
pub struct Man {
    /// The folder to write them into; it is made if need be
    folder: PathBuf,
}

impl Man {
    /// Writes `longshore.1`, and a page for each command below it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn run(self, command: clap::Command) -> Result<()> {
        let write = || {
            std::fs::create_dir_all(&self.folder)?;
            clap_mangen::generate_to(command, &self.folder)
        };
        write().with_context(|| format!("writing {}", self.folder.display()))
    }
}
