//! `longshore recover`: a new key for the administrator, for who has the machine and no key that may do
//! anything any more.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::settings;

/// Flags of `longshore recover`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  longshore recover && systemctl restart longshore

The next start of the server that uses the data folder makes the administrator a new key and writes it to
the folder's 'credentials'; keys that it had before work no more. Of several servers with one store any
will do; the others write the new key to their folders when they start again.")]
pub struct Recover {
    /// The server's data folder [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Take the wish back
    #[arg(long)]
    cancel: bool,
}

impl Recover {
    /// Leaves the wish where only the machine's root, or the folder's owner, can.
    ///
    /// # Errors
    /// If there is no such folder, or it cannot be written.
    pub fn run(self, format: Format) -> Result<()> {
        let data = DataDir::at(settings::data_dir(self.data_dir.clone())?);
        let path = data.path().display().to_string();
        if !data.path().is_dir() {
            bail!("there is no data folder {path}; name it with --data-dir");
        }
        data.wish_for_administrator(!self.cancel)?;
        let next = match (self.cancel, data.running()) {
            (true, _) => "Nothing will be done.",
            (false, Some(_)) => "Restart the server that runs on it now.",
            (false, None) => "Start the server.",
        };
        match format {
            Format::Json => output::json(&json!({ "folder": path, "wished": !self.cancel }))?,
            Format::Text if self.cancel => say!("{next}"),
            Format::Text => say!(
                "The next start makes the administrator a new key, in {path}/credentials. {next}"
            ),
        }
        Ok(())
    }
}
