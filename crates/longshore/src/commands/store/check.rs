//! `longshore store check`: whether everything can be read and makes sense.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use ledger::{ArchiveStore, Examined, SecretsKeys, Store, examine};
use serde_json::{Value, json};

use super::source::{Draft, EtcdFlags, Source, waiting};
use crate::connection::Connection;
use crate::data_dir::DataDir;
use crate::output::{self, Format, say};
use crate::security::{self, SecurityFlags, SecuritySettings};
use crate::settings::Resolver;
use crate::{exit, settings, tables};

/// Flags of `longshore store check`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore store check
  longshore store check backup.longshore --output json

Ends with code 0 when everything is in order, 3 when something was found, 1 when it could not look.
Every row is decoded, and rows are held against each other: no task without its instance, nothing
over-committed, no address given out twice, no two keys of one owner. Rows that are sealed with a key
that is not at hand are only counted, and that is told.")]
pub struct Check {
    /// A file that 'longshore store export' wrote [default: the store of the data folder or server]
    file: Option<PathBuf>,
    /// The keys that secrets are sealed with, to look into sealed rows too [default:
    /// LONGSHORE_SECRETS_KEY; for the store of the data folder or server, those of its server]
    #[arg(long, value_name = "FILE")]
    secrets_key_file: Option<PathBuf>,
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
        let keys = self.keys()?;
        let look = |store: &mut dyn Store, name| look(store, name, keys);
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

    /// The keys that are named; else, for what is this machine's own, those of its server.
    fn keys(&self) -> Result<Option<SecretsKeys>> {
        let is_named = self.secrets_key_file.is_some()
            || std::env::var_os(security::SECRETS_KEY_VARIABLE).is_some();
        let is_own = self.file.is_none() && !self.etcd.is_named();
        if !is_named && !is_own {
            return Ok(None);
        }
        let flags = SecurityFlags {
            secrets_key_file: self.secrets_key_file.clone(),
            ..SecurityFlags::default()
        };
        let settings = SecuritySettings::resolve(&flags, &mut Resolver::open(None)?)?;
        let data = DataDir::at(settings::data_dir(self.connection.data_dir.clone())?);
        match settings.secrets(&data, false) {
            Ok(keys) => Ok(Some(keys)),
            Err(error) if is_named => Err(error),
            Err(_) => Ok(None),
        }
    }
}

fn draft_name() -> String {
    format!("longshore-check-{}", std::process::id())
}

/// What the ledger finds in each row, then what services find between them.
fn look(
    store: &mut dyn Store,
    name: String,
    keys: Option<SecretsKeys>,
) -> Result<(Examined, String)> {
    let (schema, tables) = keys.map_or_else(tables::without_secrets, tables::looking_into_secrets);
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
        "sealedRowsNotRead": examined.sealed,
        "findings": examined.findings,
    })
}

fn tell(examined: &Examined, name: &str) -> Result<()> {
    let contents = &examined.contents;
    say!("{name} has {} rows at revision {}.\n", contents.rows(), contents.revision);
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
        say!("\nThis program does not know the table {table}; its rows are left as they are.");
    }
    if examined.sealed > 0 {
        say!(
            "\n{} rows are sealed with a key that is not at hand, and were only counted; \
             --secrets-key-file names the key.",
            examined.sealed
        );
    }
    if examined.findings.is_empty() {
        say!("\nEverything is in order.");
        return Ok(());
    }
    for (rule, count) in &examined.findings.counts {
        say!("\n{count} × {rule}");
        for finding in examined.findings.told.iter().filter(|finding| finding.rule == *rule) {
            say!("  {}: {}", finding.subject, finding.problem);
        }
    }
    Ok(())
}
