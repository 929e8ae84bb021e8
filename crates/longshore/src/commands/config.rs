//! `longshore config show`: every setting, its value, and who said so.

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::instances::InstanceFlags;
use crate::output::{self, Format};
use crate::settings::{ServerFlags, ServerSettings};

/// Flags of `longshore config`.
#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Show every setting, its value, and where it came from
    #[command(
        after_help = "Example:\n  longshore config show --config /etc/longshore/longshore.toml"
    )]
    Show(ServerFlags),
}

impl Config {
    /// Prints the settings that `up` and `server` would run with.
    ///
    /// # Errors
    /// If a setting cannot be read.
    pub fn run(self, format: Format) -> Result<()> {
        let Action::Show(flags) = self.action;
        let origins = ServerSettings::resolve(&flags, &InstanceFlags::default())?.origins;
        match format {
            Format::Json => {
                let entry = |o: &crate::settings::Origin| {
                    let told =
                        serde_json::json!({"value": o.value, "source": o.source.to_string()});
                    (o.name.to_owned(), told)
                };
                let all: serde_json::Map<_, _> = origins.iter().map(entry).collect();
                output::json(&all)?;
            }
            Format::Text => {
                let row = |o: &crate::settings::Origin| {
                    vec![o.name.to_owned(), o.value.clone(), o.source.to_string()]
                };
                output::table(&["setting", "value", "from"], origins.iter().map(row).collect())?;
            }
        }
        Ok(())
    }
}
