//! `longshore map`: which way requests go, from load balancers to tasks.

mod chart;
mod look;
mod places;
mod svg;
mod text;
mod words;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::connection::Connection;
use crate::output::{self, Format, say};

/// Flags of `longshore map`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  longshore map                         (load balancers, rules, target groups, services, tasks)
  longshore map --cluster prod
  longshore map --svg map.svg           (a drawing for a browser)
  longshore map --print-hosts | sudo tee -a /etc/hosts
  longshore map --output json")]
pub struct Map {
    /// Show the services and tasks of this cluster alone [default: all]
    #[arg(long)]
    cluster: Option<String>,
    /// Draw it into this file, as SVG; `-` for standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the names of load balancers with their addresses, as lines of /etc/hosts
    #[arg(long, conflicts_with_all = ["cluster", "svg"])]
    print_hosts: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Map {
    /// Prints or draws the way of requests.
    ///
    /// # Errors
    /// If the server cannot be reached, or the file not be written.
    pub async fn run(self, format: Format) -> Result<()> {
        let client = self.connection.client()?;
        let found = look::look(&client, self.cluster.as_deref()).await?;
        if self.print_hosts {
            let chart = chart::Chart::of(&found);
            text::hosts(&chart).iter().for_each(|line| say!("{line}"));
            return Ok(());
        }
        if format == Format::Json && self.svg.is_none() {
            return Ok(output::json(&found)?);
        }
        let chart = chart::Chart::of(&found);
        match &self.svg {
            None => text::lines(&chart).iter().for_each(|line| say!("{line}")),
            Some(file) if file.as_os_str() == "-" => say!("{}", svg::drawing(&chart)),
            Some(file) => {
                let what = || format!("writing {}", file.display());
                std::fs::write(file, svg::drawing(&chart)).with_context(what)?;
                say!("{} is drawn: open it in a browser", file.display());
            }
        }
        Ok(())
    }
}
