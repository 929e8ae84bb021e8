//! `longshore store`: backup, restore, moving between stores, and a look for damage.

mod check;
mod export;
mod import;
mod source;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::output::Format;

/// Flags of `longshore store`.
#[derive(Args, Debug)]
pub struct StoreCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Write everything that the control plane knows into one file
    Export(export::Export),
    /// Fill a store from such a file; its server must not run
    Import(import::Import),
    /// Look whether everything in a store or a file can be read and makes sense
    Check(check::Check),
}

impl StoreCommand {
    /// Carries it out.
    ///
    /// # Errors
    /// If a store or a file cannot be read or written, or a check finds something.
    pub async fn run(self, format: Format) -> Result<()> {
        match self.action {
            Action::Export(export) => export.run(format).await,
            Action::Import(import) => import.run(format),
            Action::Check(check) => check.run(format).await,
        }
    }
}
