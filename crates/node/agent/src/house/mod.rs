//! The agent's house: its disk is watched, and what nobody needs goes, by age and when the disk is
//! low (docs/decisions/0073). A full disk takes no new tasks.
//!
//! **Invariant:** nothing goes that a container has, that a task here names, or that did not come
//! from a registry.

mod decide;
mod settings;
mod storage;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime::{ImageReference, Images};
use terms::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

pub(crate) use settings::size;
pub use settings::{Floor, House, ImageCleanup};
pub(crate) use storage::limit as storage_of;

use crate::core::Handle;
use crate::engine::{Event, Status};
use crate::folders::{Folders, Room};
use crate::view::View;
use decide::Standing;

/// Time between two looks at the disk.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// What keeps the house.
pub(crate) struct Keeper {
    pub(crate) house: House,
    pub(crate) images: Arc<dyn Images>,
    pub(crate) folders: Arc<dyn Folders>,
    pub(crate) view: Arc<View>,
    pub(crate) core: Handle,
    pub(crate) clock: Arc<dyn Clock>,
    /// Folders on the disks that are watched.
    pub(crate) watched: Vec<PathBuf>,
    /// Where the volumes of tasks are.
    pub(crate) volumes: PathBuf,
    /// Told why the disk takes nothing new, and when that is over.
    pub(crate) tell: Box<dyn Fn(Option<String>) + Send + Sync>,
}

/// What it remembers from one look to the next.
#[derive(Default)]
struct Memory {
    standing: Standing,
    cleaned_at: Option<Timestamp>,
    /// Images went whose layers could not go yet.
    has_layers_left: bool,
}

impl Keeper {
    /// Keeps it until `ended`.
    pub(crate) async fn run(&self, ended: &CancellationToken) {
        // Nothing is cleaned up before the first interval is over, as with Amazon's agent.
        let mut memory = Memory { cleaned_at: Some(self.clock.now()), ..Memory::default() };
        loop {
            self.look(&mut memory).await;
            tokio::select! {
                biased;
                () = ended.cancelled() => return,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        self.house.images.map_or(LOOK_EVERY, |cleanup| cleanup.interval.min(LOOK_EVERY))
    }

    async fn look(&self, memory: &mut Memory) {
        let now = self.clock.now();
        let (standing, reason) = self.disk(memory.standing).await;
        if standing != memory.standing {
            self.turned(standing, reason).await;
        }
        memory.standing = standing;
        self.measure(&self.view).await;
        let needed = self.needed();
        if let Err(error) = self.images.keep(&needed).await {
            tracing::warn!(%error, "the images that tasks need cannot be marked");
        }
        let since = memory.cleaned_at.map_or(Duration::MAX, |at| now.since(at));
        let is_due = self.house.images.is_some_and(|cleanup| since >= cleanup.interval);
        if is_due || standing >= Standing::Low {
            if is_due {
                memory.cleaned_at = Some(now);
            }
            memory.has_layers_left |= self.clean(&needed, standing, now).await;
        }
        if memory.has_layers_left {
            memory.has_layers_left = !self.prune().await;
        }
    }

    /// The disk that stands worst, and why it is full if it is.
    async fn disk(&self, before: Standing) -> (Standing, Option<String>) {
        let mut worst = (Standing::Well, None);
        for folder in &self.watched {
            let room: Room = match self.folders.room(folder).await {
                Ok(room) => room,
                Err(error) => {
                    tracing::warn!(folder = %folder.display(), %error, "a disk's room is unknown");
                    continue;
                }
            };
            let standing = decide::standing(&room, &self.house, before);
            if standing > worst.0 {
                let path = folder.display().to_string();
                let reason =
                    (standing == Standing::Full).then(|| decide::reason(&path, &room, &self.house));
                worst = (standing, reason);
            }
        }
        worst
    }

    async fn turned(&self, standing: Standing, reason: Option<String>) {
        match &reason {
            Some(reason) => tracing::error!(reason, "this instance takes no new tasks"),
            None => tracing::info!(?standing, "the disk stands otherwise than before"),
        }
        meters::agent().disk_standing.set(standing as i64);
        (self.tell)(reason.clone());
        let is_low = standing >= Standing::Low;
        self.core.tell(Event::Disk { is_low, full: reason }).await;
    }

    /// The images of tasks that have not stopped.
    fn needed(&self) -> Vec<ImageReference> {
        let tasks = self.view.tasks();
        let live = tasks.iter().filter(|task| task.status() != Status::Stopped);
        let images = live.flat_map(|task| task.task.containers.iter().map(|c| c.image.parse()));
        let unique: BTreeSet<ImageReference> = images.filter_map(Result::ok).collect();
        unique.into_iter().collect()
    }

    /// Whether any image went.
    async fn clean(&self, needed: &[ImageReference], standing: Standing, now: Timestamp) -> bool {
        let held = match self.images.inventory().await {
            Ok(held) => held,
            Err(error) => {
                tracing::warn!(%error, "the images cannot be listed");
                return false;
            }
        };
        let needed: BTreeSet<ImageReference> = needed.iter().cloned().collect();
        let going = decide::images(&held, &needed, &self.house, standing, now);
        let mut gone = 0;
        for reference in &going {
            match self.images.remove(reference).await {
                Ok(_) => {
                    gone += 1;
                    tracing::info!(image = %reference, "an image that nobody needs is removed");
                }
                Err(error) => tracing::warn!(image = %reference, %error, "an image stays"),
            }
        }
        meters::agent().images_removed.inc_by(gone);
        gone > 0
    }

    /// Whether what the images left could be taken away.
    async fn prune(&self) -> bool {
        match self.images.prune().await {
            Ok(pruned) => {
                let (layers, bytes) = (pruned.layers, pruned.bytes);
                tracing::info!(layers, bytes, "the layers of removed images are gone");
                true
            }
            // A pull or a start is under way: at the next look.
            Err(error) => {
                tracing::debug!(%error, "the layers of removed images go later");
                false
            }
        }
    }
}
