//! `longshore down`: clears what a crash left on this machine.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;

use crate::clock::SystemClock;
use crate::data_dir::DataDir;
use crate::instances;
use crate::output::{self, Format, say};
use crate::settings;

/// Flags of `longshore down`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  longshore down --data-dir /var/lib/longshore")]
pub struct Down {
    /// The data folder to clear after [default: /var/lib/longshore]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Down {
    /// Kills the containers of this data folder and takes away their networks, mounts and
    /// cgroups. Images and the ledger stay.
    ///
    /// # Errors
    /// If a server still runs with the folder, or something cannot be removed.
    pub async fn run(self, format: Format) -> Result<()> {
        let data = DataDir::at(settings::data_dir(self.data_dir)?);
        if let Some(running) = data.running()
            && is_alive(running.pid)
        {
            bail!(
                "the server at {} (pid {}) still runs; end it first with 'kill {}'",
                running.endpoint,
                running.pid,
                running.pid
            );
        }
        data.retract();
        let nodes = data.nodes();
        let held = nodes.iter().map(|name| instances::hold(&data.node(name)));
        let _held: Vec<_> = held.collect::<Result<_>>()?;
        let mut containers = 0;
        for name in &nodes {
            let (folder, run) = (data.node(name), data.run(name));
            let clock = Arc::new(SystemClock);
            containers += runtime::sweep(&folder, &data.programs(), &run, clock).await?;
        }
        if format == Format::Json {
            let done = serde_json::json!({"instances": nodes, "containers": containers});
            return Ok(output::json(&done)?);
        }
        let of = data.path().display();
        match (nodes.len(), containers) {
            (0, _) => say!("no container instance has run in {of}: there is nothing to clear"),
            (_, 0) => say!("no container of {of} was left; its networks are cleared"),
            (_, 1) => say!("removed 1 container of {of}, and its networks"),
            (_, count) => say!("removed {count} containers of {of}, and their networks"),
        }
        Ok(())
    }
}

/// Whether a process of this id is a longshore that has not ended. One that was killed and that
/// nobody has asked for its exit status yet (state Z) has ended.
fn is_alive(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.starts_with("Name:\tlongshore") && !status.contains("\nState:\tZ")
}
