//! Containers that no task of the journal has: left by an agent whose journal was moved away.

use std::sync::Arc;
use std::time::Duration;

use runtime::{ContainerId, ContainerState, Signal};
use tokio_util::sync::CancellationToken;

use crate::effects::Tools;

/// The wait between two tries at one container.
const RETRY: Duration = Duration::from_secs(1);
/// How long an agent's start waits for them. What they use is not free, so the instance is not
/// offered to the control plane before; but one that cannot be removed is not to keep it away for
/// ever.
const REMOVAL_MAX: Duration = Duration::from_secs(60);
/// The wait between two tries at what could not be removed in that time.
const RETRY_LATER: Duration = Duration::from_secs(60);
/// How often a killed container is looked at, and how many times.
const EXIT_POLL: Duration = Duration::from_millis(50);
const EXIT_POLLS_MAX: u32 = 100;

/// Removes them. What cannot be removed soon is tried again until `ended`.
pub(crate) async fn remove(
    tools: &Arc<Tools>,
    orphans: Vec<ContainerId>,
    ended: &CancellationToken,
) {
    let mut left = orphans;
    let tries = async {
        loop {
            left = try_all(tools, std::mem::take(&mut left)).await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let in_time = tokio::time::timeout(REMOVAL_MAX, tries).await;
    if in_time.is_ok() || left.is_empty() {
        return;
    }
    tracing::error!(?left, "containers of no task cannot be removed; the instance goes on");
    let (tools, ended) = (Arc::clone(tools), ended.clone());
    tokio::spawn(async move {
        while !left.is_empty() {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(RETRY_LATER) => {}
            }
            left = try_all(&tools, left).await;
        }
    });
}

/// Gives those that are still there.
async fn try_all(tools: &Tools, orphans: Vec<ContainerId>) -> Vec<ContainerId> {
    let mut left = Vec::new();
    for id in orphans {
        if let Err(error) = try_one(tools, &id).await {
            tracing::warn!(%id, error, "a container of no task is not removed yet");
            left.push(id);
        }
    }
    left
}

/// The container itself goes last: by it the next start finds what a crash leaves of the rest.
async fn try_one(tools: &Tools, id: &ContainerId) -> Result<(), String> {
    tracing::warn!(%id, "a container that belongs to no task is removed");
    kill(tools, id).await?;
    tools.images.release(id).await.map_err(|error| error.to_string())?;
    tools.networks.detach(id).await.map_err(|error| error.to_string())?;
    tools.containers.remove(id, false).await.map_err(|error| error.to_string())
}

/// Returns once nothing of it runs.
async fn kill(tools: &Tools, id: &ContainerId) -> Result<(), String> {
    for poll in 0..EXIT_POLLS_MAX {
        match tools.containers.status(id).await.map(|status| status.state) {
            None | Some(ContainerState::Exited(_)) => return Ok(()),
            Some(ContainerState::Created { .. } | ContainerState::Running { .. }) => {}
        }
        if poll == 0 {
            let killed = tools.containers.signal(id, Signal::KILL).await;
            killed.map_err(|error| error.to_string())?;
        }
        tokio::time::sleep(EXIT_POLL).await;
    }
    Err("it does not end".to_owned())
}
