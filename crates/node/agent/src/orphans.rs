//! What is on the machine for no task: containers that an agent left whose journal was moved away,
//! and everything of an instance that was deregistered ([`leave`]).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use runtime::{ContainerId, ContainerState, Containers, Images, Networks, Signal};
use terms::TaskArn;
use tokio_util::sync::CancellationToken;

use crate::config::{AgentError, Remains};
use crate::engine::{Capacity, Engine, Event, Settings};
use crate::folders::Folders;
use crate::journal::Journal;
use crate::volumes::{self, Places};

/// What works on the machine.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) images: Arc<dyn Images>,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) networks: Arc<dyn Networks>,
    pub(crate) folders: Arc<dyn Folders>,
}

/// Takes away all that the journal's instance has on this machine, and empties the journal last: the
/// next agent joins as a new instance. For an instance that was deregistered, whose tasks nobody
/// wants any more. A crash in the middle is made good by calling it again. `folder` is the agent's
/// own, as in [`crate::Config::folder`].
///
/// # Errors
/// If the journal cannot be read or written, or something could not be removed in a minute; the
/// journal is as it was then.
pub async fn leave(
    mut journal: Box<dyn Journal>,
    remains: Remains,
    folder: &Path,
) -> Result<(), AgentError> {
    let Remains { images, containers, networks, folders, stand_ins, clock } = remains;
    let ground = Ground { images, containers, networks, folders };
    let records = journal.load().await?;
    let mut engine = Engine::replay(Settings::default(), Capacity::default(), records);
    // First of all: an agent that starts in the middle of this must not make again what is gone.
    let arns: Vec<TaskArn> = engine.tasks().map(|task| task.task.arn.clone()).collect();
    let stops = arns
        .into_iter()
        .flat_map(|task| engine.handle(Event::StopRequested { task }, clock.now()).records);
    journal.append(stops.collect(), true).await?;
    let mut all: BTreeSet<ContainerId> = engine.container_ids().into_iter().collect();
    all.extend(ground.containers.list().await.into_iter().map(|status| status.id));
    all.extend(ground.networks.list().await.into_iter().map(|attachment| attachment.container));
    let mut tasks: BTreeSet<String> =
        engine.tasks().map(|task| task.task.arn.id.to_string()).collect();
    tasks.extend(ground.networks.task_networks().await.into_iter().map(|network| network.task));
    let mut left: Vec<ContainerId> = all.into_iter().collect();
    let tries = async {
        loop {
            left = try_all(&ground, std::mem::take(&mut left)).await;
            if left.is_empty() {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    if tokio::time::timeout(REMOVAL_MAX, tries).await.is_err() {
        return Err(AgentError::Remains { what: format!("{} containers", left.len()) });
    }
    let own = folder.join("volumes");
    let places = Places { own: &own, stand_ins: &stand_ins };
    let remains = engine.tasks().flat_map(|task| volumes::remains(&task.task, places));
    for path in remains.collect::<Vec<_>>() {
        let failed = |error: std::io::Error| AgentError::Remains { what: error.to_string() };
        ground.folders.remove(&path).await.map_err(failed)?;
    }
    for task in tasks {
        let failed = |what: String| AgentError::Remains { what };
        ground.networks.detach_task(&task).await.map_err(|error| failed(error.to_string()))?;
        ground.containers.remove_task(&task).await.map_err(|error| failed(error.to_string()))?;
        let volumes = folder.join("volumes").join(&task);
        ground.folders.remove(&volumes).await.map_err(|error| failed(error.to_string()))?;
    }
    Ok(journal.compact(Vec::new()).await?)
}

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
pub(crate) async fn remove(ground: &Ground, orphans: Vec<ContainerId>, ended: &CancellationToken) {
    let mut left = orphans;
    let tries = async {
        loop {
            left = try_all(ground, std::mem::take(&mut left)).await;
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
    let (ground, ended) = (ground.clone(), ended.clone());
    tokio::spawn(async move {
        while !left.is_empty() {
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(RETRY_LATER) => {}
            }
            left = try_all(&ground, left).await;
        }
    });
}

/// Gives those that are still there.
async fn try_all(ground: &Ground, orphans: Vec<ContainerId>) -> Vec<ContainerId> {
    let mut left = Vec::new();
    for id in orphans {
        if let Err(error) = try_one(ground, &id).await {
            tracing::warn!(%id, error, "a container of no task is not removed yet");
            left.push(id);
        }
    }
    left
}

/// The container itself goes last: by it the next start finds what a crash leaves of the rest.
async fn try_one(ground: &Ground, id: &ContainerId) -> Result<(), String> {
    tracing::warn!(%id, "a container that belongs to no task is removed");
    kill(ground, id).await?;
    ground.images.release(id).await.map_err(|error| error.to_string())?;
    ground.networks.detach(id).await.map_err(|error| error.to_string())?;
    ground.containers.remove(id, false).await.map_err(|error| error.to_string())
}

/// Returns once nothing of it runs.
async fn kill(ground: &Ground, id: &ContainerId) -> Result<(), String> {
    for poll in 0..EXIT_POLLS_MAX {
        match ground.containers.status(id).await.map(|status| status.state) {
            None | Some(ContainerState::Exited(_)) => return Ok(()),
            Some(ContainerState::Created { .. } | ContainerState::Running { .. }) => {}
        }
        if poll == 0 {
            let killed = ground.containers.signal(id, Signal::KILL).await;
            killed.map_err(|error| error.to_string())?;
        }
        tokio::time::sleep(EXIT_POLL).await;
    }
    Err("it does not end".to_owned())
}
