//! `longshore store check`: whether everything can be read and makes sense.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ledger::{ArchiveStore, Examined, Store, examine};
use serde_json::{Value, json};

use super::source::{Draft, EtcdFlags, Source, waiting};
use crate::connection::Connection;
use crate::output::{self, Format};
use crate::{exit, tables};

/// Flags of `longshore store check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore store check
  longshore store check backup.longshore --output json

Ends with code 0 when everything is in order, 3 when something was found, 1 when it could not look.
Every row is decoded, and rows are held against each other: no task without its instance, nothing
over-committed, no address given out twice. Sealed rows are only counted.")]
pub struct Check {
    /// A file that 'longshore store export' wrote [default: the store of the data folder or server]
    file: Option<PathBuf>,
    #[command(flatten)]
    etcd: EtcdFlags,
    #[command(flatten)]
    connection: Connection,
}

impl Check {
    /// Looks and tells.
    ///
    /// # Errors
    /// If the store or the file cannot be read; [`exit::Exit`] if something was found.
    pub async fn run(self, format: Format) -> Result<()> {
        let (examined, name) = match &self.file {
            Some(file) => look(&mut ArchiveStore::open(file)?, file.display().to_string())?,
            None => match Source::open(&self.connection, &self.etcd)? {
                Source::Offline { mut store, name } => look(&mut *store, name)?,
                mut server => {
                    let draft = Draft::begin(&std::env::temp_dir().join(draft_name()))?;
                    server.write(draft.file()).await?;
                    look(&mut ArchiveStore::open(draft.draft())?, "the running server".to_owned())?
                }
            },
        };
        match format {
            Format::Json => output::json(&report(&examined, &name))?,
            Format::Text => tell(&examined, &name)?,
        }
        exit::unless(examined.findings.is_empty())
    }
}

fn draft_name() -> String {
    format!("longshore-check-{}", std::process::id())
}

/// What the ledger finds in each row, then what services find between them.
fn look(store: &mut dyn Store, name: String) -> Result<(Examined, String)> {
    let (schema, tables) = tables::without_secrets();
    let mut examined = waiting(|| examine(&schema, store))?;
    tables.check(&examined.snapshot, &mut examined.findings);
    Ok((examined, name))
}

fn report(examined: &Examined, name: &str) -> Value {
    json!({
        "store": name,
        "ok": examined.findings.is_empty(),
        "revision": examined.contents.revision,
        "rows": examined.contents.rows(),
        "tables": examined.contents.tables,
        "recordVersions": examined.record_versions,
        "unknownTables": examined.strangers,
        "findings": examined.findings,
    })
}

fn tell(examined: &Examined, name: &str) -> Result<()> {
    let contents = &examined.contents;
    println!("{name} has {} rows at revision {}.\n", contents.rows(), contents.revision);
    let row = |(table, one): (&String, &ledger::TableContents)| {
        let versions = examined.record_versions.get(table);
        let versions = versions.into_iter().flatten().map(|(version, _)| version.to_string());
        vec![
            table.clone(),
            one.rows.to_string(),
            one.bytes.to_string(),
            versions.collect::<Vec<_>>().join(", "),
            one.sum.to_string(),
        ]
    };
    let headings = ["table", "rows", "bytes", "record version", "sum"];
    output::table(&headings, contents.tables.iter().map(row).collect())?;
    for table in &examined.strangers {
        println!("\nThis program does not know the table {table}; its rows are left as they are.");
    }
    if examined.findings.is_empty() {
        println!("\nEverything is in order.");
        return Ok(());
    }
    for (rule, count) in &examined.findings.counts {
        println!("\n{count} × {rule}");
        for finding in examined.findings.told.iter().filter(|finding| finding.rule == *rule) {
            println!("  {}: {}", finding.subject, finding.problem);
        }
    }
    Ok(())
}
