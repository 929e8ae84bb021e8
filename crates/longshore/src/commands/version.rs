//! `longshore version`: this program, and the formats that adjacent programs must share with it.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use ledger::{ARCHIVE_FORMAT, EMBEDDED_FORMAT, ETCD_FORMAT, fingerprint};
use serde_json::json;

use crate::output::{self, Format, say};
use crate::tables;

/// Flags of `longshore version`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore version
  longshore version --formats --output json

Two versions whose formats are the same can be exchanged for each other at any time. What may be
done when they are not: docs/guides/upgrades.md.")]
pub struct Version {
    /// Tell the formats of what is stored and sent, too
    #[arg(long)]
    formats: bool,
}

/// A format and its number.
type Formats = BTreeMap<&'static str, u32>;

/// What is on disks and between processes.
fn formats() -> Formats {
    BTreeMap::from([
        ("data folder (ledger/format)", EMBEDDED_FORMAT),
        ("etcd (key 'format')", ETCD_FORMAT),
        ("archive (store export)", ARCHIVE_FORMAT),
        ("shim socket", runtime::SHIM_PROTOCOL),
    ])
}

impl Version {
    /// Prints them.
    ///
    /// # Errors
    /// If standard output is closed.
    pub fn run(self, format: Format) -> Result<()> {
        let program = env!("CARGO_PKG_VERSION");
        let (schema, _) = tables::without_secrets();
        let records = schema.record_versions();
        if format == Format::Json {
            let mut told = json!({"version": program});
            if self.formats {
                told["formats"] = json!(formats());
                told["records"] = json!(records);
                told["fingerprint"] = fingerprint(&records).into();
            }
            return Ok(output::json(&told)?);
        }
        say!("longshore {program}");
        if !self.formats {
            return Ok(());
        }
        say!();
        let row = |(name, number): (&str, u32)| vec![name.to_owned(), number.to_string()];
        output::table(&["format", "version"], formats().into_iter().map(row).collect())?;
        say!();
        let row = |(name, number): (&String, &u16)| vec![name.clone(), number.to_string()];
        output::table(&["record", "version"], records.iter().map(row).collect())?;
        say!("\nschema {}", fingerprint(&records));
        Ok(())
    }
}
