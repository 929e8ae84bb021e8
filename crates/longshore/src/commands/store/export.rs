//! `longshore store export`: everything in one file.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use ledger::ArchiveStore;
use serde_json::json;

use super::source::{Draft, EtcdFlags, Source};
use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore store export`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore store export backup.longshore
  longshore store export backup.longshore --profile production
  longshore store export backup.longshore --store etcd://10.0.0.1:2379,10.0.0.2:2379
  longshore store export - | ssh vault 'cat > backup.longshore'

A running server writes on meanwhile: the file is of one revision. Secrets stay sealed; keep the
key that they are sealed with as well, but elsewhere.")]
pub struct Export {
    /// The file, or - for standard output
    file: PathBuf,
    #[command(flatten)]
    etcd: EtcdFlags,
    #[command(flatten)]
    connection: Connection,
}

impl Export {
    /// Writes the archive, and reads it again before it gets its name.
    ///
    /// # Errors
    /// If the store cannot be read or the file cannot be written.
    pub async fn run(self, format: Format) -> Result<()> {
        let mut source = Source::open(&self.connection, &self.etcd)?;
        if self.file == Path::new("-") {
            return source.write(BufWriter::new(io::stdout().lock())).await;
        }
        let draft = Draft::begin(&self.file)?;
        let mut out = BufWriter::new(draft.file());
        source.write(&mut out).await?;
        out.flush()?;
        drop(out);
        let archive = ArchiveStore::open(draft.draft())?;
        let contents = archive.read(&mut |_| Ok(()))?;
        let bytes = draft.file().metadata().context("looking at the file")?.len();
        draft.keep()?;
        let file = self.file.display();
        match format {
            Format::Json => output::json(&json!({
                "file": self.file, "bytes": bytes, "header": archive.header(),
                "contents": contents, "rows": contents.rows(),
            }))?,
            Format::Text => say!(
                "{file} has {} rows of {} tables at revision {}, {bytes} bytes, from {}.",
                contents.rows(),
                contents.tables.len(),
                contents.revision,
                archive.header().source,
            ),
        }
        Ok(())
    }
}
