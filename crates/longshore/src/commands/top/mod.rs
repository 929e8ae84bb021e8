//! `longshore top`: clusters, services, tasks and instances, live.

mod frame;
mod look;
mod terminal;
mod watch;

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use clap::{Args, ValueEnum};
use console::Term;
use serde_json::json;

use self::frame::{View, summary, table};
use self::look::{Found, look};
use self::terminal::Borrowed;
use self::watch::Watch;
use crate::connection::Connection;
use crate::output::{self, Format};

/// Flags of `longshore top`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore top
  longshore top --cluster shop --view tasks
  longshore top --view instances | cat        (one look, as a plain table)
  longshore top --output json                 (one look)

Keys: q or Esc ends; Tab, ← and → or 1 to 4 choose what is shown; ↑, ↓, Page Up, Page Down, Home and
End scroll. A look asks for 100 rows at most, in at most 31 calls, and the next begins a second later.")]
pub struct Top {
    /// Show this cluster alone [default: all]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// What to show first
    #[arg(long, value_enum, default_value_t, value_name = "VIEW")]
    view: View,
    #[command(flatten)]
    connection: Connection,
}

impl ValueEnum for View {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl Top {
    /// Draws until somebody ends it; where nobody watches, prints one look.
    ///
    /// # Errors
    /// If the server cannot be reached at the first look.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let found = look(&client, self.view, self.cluster.as_deref()).await?;
        if format == Format::Json {
            return Ok(output::json(&json!({
                "clusters": found.clusters,
                self.view.name(): found.shown(self.view),
                "total": found.total,
            }))?);
        }
        if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return print(self.view, &found);
        }
        let term = Term::stdout();
        let borrowed = Borrowed::enter(&term)?;
        let outcome = Watch::new(client, self.cluster, self.view, found).until_ended(&term).await;
        borrowed.leave(&term)?;
        outcome?;
        // The thread that waits for keys never ends by itself.
        std::process::exit(0)
    }
}

fn print(view: View, found: &Found) -> Result<()> {
    let (headings, rows) = table(view, found);
    let mut out = io::stdout().lock();
    writeln!(out, "{}\n\n{headings}", summary(found))?;
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
    let more = found.total.saturating_sub(rows.len() as u64);
    if more > 0 && view != View::Clusters {
        writeln!(out, "and {more} more")?;
    }
    Ok(())
}
