//! `longshore store import`: a store as an archive has it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ledger::{ArchiveStore, EmbeddedStore, IfNotEmpty, Store};
use serde_json::json;

use super::source::{EtcdFlags, waiting};
use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::{settings, tables};

/// Flags of `longshore store import`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore store import backup.longshore --data-dir /var/lib/longshore
  longshore store import backup.longshore --replace
  longshore store import backup.longshore --store etcd://10.0.0.1:2379

The file is checked before anything is written. If the import is cut short, no server starts on the
store until the same import has been run again.")]
pub struct Import {
    /// The file that 'longshore store export' wrote
    file: PathBuf,
    /// The data folder to fill; its server must not run [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    data_dir: Option<PathBuf>,
    /// Delete what the store has already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    etcd: EtcdFlags,
}

impl Import {
    /// Brings everything in.
    ///
    /// # Errors
    /// If the file is damaged, or of a newer program; if the store is in use, or not empty.
    pub fn run(self, format: Format) -> Result<()> {
        let archive = ArchiveStore::open(&self.file)?;
        let if_not_empty = if self.replace { IfNotEmpty::Replace } else { IfNotEmpty::Refuse };
        let (schema, _) = tables::without_secrets();
        let fill = |store: &mut dyn Store| {
            waiting(|| ledger::import(&schema, &archive, store, if_not_empty))
        };
        let (contents, name) = match self.etcd.open()? {
            Some((mut store, name)) => (fill(&mut store)?, name),
            None => {
                let data = DataDir::create(&settings::data_dir(self.data_dir.clone())?)?;
                let name = format!("the data folder {}", data.path().display());
                (fill(&mut EmbeddedStore::open(&data.ledger())?)?, name)
            }
        };
        match format {
            Format::Json => output::json(&json!({
                "store": name, "header": archive.header(),
                "contents": contents, "rows": contents.rows(),
            }))?,
            Format::Text => say!(
                "{name} has {} rows of {} tables at revision {}, as {} had them.",
                contents.rows(),
                contents.tables.len(),
                contents.revision,
                self.file.display(),
            ),
        }
        Ok(())
    }
}
