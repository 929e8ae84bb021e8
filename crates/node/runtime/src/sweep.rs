//! Clears what a crash left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use terms::Clock;

use crate::containers::{CallError, Containers, LinuxContainers, OpenError};
use crate::mounts;
use crate::networks::{self, NetworkError};

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The containers could not be found.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One could not be removed.
    #[error(transparent)]
    Container(#[from] CallError),
    /// A network could not be removed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A volume could not be taken off.
    #[error("cannot unmount a volume: {0}")]
    Mounts(#[source] std::io::Error),
}

/// Kills and removes every container of an instance, running or not, with its cgroups, and then its
/// network. No other process may be using the instance's folders. How many containers there were.
///
/// # Errors
/// Fails at the first thing that cannot be removed; what was removed before stays so.
pub async fn sweep(
    node_folder: &Path,
    program_folder: &Path,
    run_folder: &Path,
    clock: Arc<dyn Clock>,
) -> Result<usize, SweepError> {
    let containers = LinuxContainers::open(node_folder, program_folder, clock).await?;
    let all = containers.list().await;
    for status in &all {
        containers.remove(&status.id, false).await?;
    }
    let mut tasks: BTreeSet<String> = all.iter().map(|status| status.task.clone()).collect();
    tasks.extend(containers.sharing_tasks()?);
    for task in &tasks {
        containers.remove_task(task).await?;
    }
    networks::sweep(node_folder, run_folder).await?;
    mounts::unmount_below(node_folder).map_err(SweepError::Mounts)?;
    Ok(all.len())
}
