//! Images on their way here: fetched for a container, and told to people while it lasts: on the node
//! channel, and in this instance's log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_protocol::node::{MAX_PULLS, PullUnderWay, PullsUnderWay};
use agent_protocol::task::Task;
use parking_lot::Mutex;
use runtime::images::{Progress, PullError, PullEvent, RegistryAuth};
use runtime::{Image, ImageReference};
use terms::Timestamp;
use tokio::sync::watch;

use crate::core::Handle;
use crate::effects::Tools;
use crate::engine::{ContainerRef, Event, Failure, PulledImage};
use crate::house::size;

/// Events of a pull that wait to be looked at; more are dropped.
const PULL_EVENTS_MAX: usize = 256;
/// Time between two lines of the log on one pull.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The pulls under way.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    under_way: Mutex<BTreeMap<ContainerRef, Standing>>,
    /// Counts what happened to them.
    changes: watch::Sender<u64>,
}

/// How far one has come.
#[derive(Debug, Default)]
struct Standing {
    container: String,
    image: String,
    total_bytes: u64,
    layers: usize,
    bytes: BTreeMap<String, u64>,
    ready: BTreeSet<String>,
    trouble: Option<String>,
}

/// One pull; it is under way no more when this is gone. It counts from its first event on: of an
/// image that is here already, nobody is told.
struct Under<'a> {
    pulls: &'a Pulls,
    container: &'a ContainerRef,
    name: &'a str,
    image: &'a str,
    logged_at: Timestamp,
}

impl Pulls {
    /// Who wants to hear of changes; changed already if there are pulls under way.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.subscribe();
        if !self.under_way.lock().is_empty() {
            changes.mark_changed();
        }
        changes
    }

    /// All of them, as the server is told.
    pub(crate) fn told(&self) -> PullsUnderWay {
        let under_way = self.under_way.lock();
        let pulls = under_way.iter().take(MAX_PULLS).map(|(container, standing)| PullUnderWay {
            task_arn: container.task.clone(),
            container: standing.container.clone(),
            image: standing.image.clone(),
            bytes: standing.bytes.values().sum(),
            total_bytes: standing.total_bytes,
            layers_ready: standing.ready.len() as u32,
            layers: standing.layers as u32,
            trouble: standing.trouble.clone(),
        });
        PullsUnderWay { pulls: pulls.collect() }
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }
}

impl Standing {
    fn hear(&mut self, event: &PullEvent) {
        match event {
            PullEvent::Resolved { total_bytes, layers, .. } => {
                (self.total_bytes, self.layers) = (*total_bytes, *layers);
            }
            PullEvent::Fetching { layer, bytes, .. } => {
                self.trouble = None;
                self.bytes.insert(layer.to_string(), *bytes);
            }
            PullEvent::Unpacking { .. } => self.trouble = None,
            PullEvent::Ready { layer, bytes } => {
                self.bytes.insert(layer.to_string(), *bytes);
                self.ready.insert(layer.to_string());
            }
            PullEvent::Retrying { cause, attempt } => {
                self.trouble = Some(format!("attempt {attempt}: {cause}"));
            }
        }
    }
}

impl Under<'_> {
    fn hear(&mut self, event: &PullEvent, now: Timestamp) {
        let mut under_way = self.pulls.under_way.lock();
        let standing = under_way.entry(self.container.clone()).or_insert_with(|| Standing {
            container: self.name.to_owned(),
            image: self.image.to_owned(),
            ..Standing::default()
        });
        standing.hear(event);
        if now.since(self.logged_at) >= LOG_EVERY {
            self.logged_at = now;
            let bytes: u64 = standing.bytes.values().sum();
            let (ready, layers) = (standing.ready.len(), standing.layers);
            let (here, all) = (size(bytes), size(standing.total_bytes));
            let trouble = standing.trouble.as_deref();
            tracing::info!(image = self.image, here, all, ready, layers, trouble, "pulling");
        }
        drop(under_way);
        self.pulls.changed();
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        let gone = self.pulls.under_way.lock().remove(self.container);
        if gone.is_some() {
            self.pulls.changed();
        }
    }
}

impl Tools {
    /// Fetches the image of a container, unless it is here.
    pub(crate) async fn pull(
        &self,
        container: &ContainerRef,
        task: &Task,
        core: &Handle,
    ) -> Result<PulledImage, Failure> {
        let definition = &task.containers[container.index];
        let text = &definition.image;
        let reference: ImageReference = text.parse().map_err(|error| {
            Failure::new("CannotPullContainerError", format!("invalid image '{text}': {error}"))
        })?;
        let started = self.clock.now();
        let (progress, mut events) = Progress::channel(PULL_EVENTS_MAX);
        let own = self.resources.registry(task, container.index).await?;
        let ours = self.registries.get(reference.registry()).unwrap_or(&RegistryAuth::Anonymous);
        let _seeking = self.peers.as_ref().map(|peers| peers.seeking(&reference, &task.arn));
        let pull = self.images.pull(&reference, own.as_ref().unwrap_or(ours), progress);
        let (pulls, name) = (&self.pulls, definition.name.as_str());
        let mut under = Under { pulls, container, name, image: text, logged_at: started };
        let watch = async {
            while let Some(event) = events.recv().await {
                under.hear(&event, self.clock.now());
                if let PullEvent::Resolved { digest, .. } = event {
                    let (container, digest) = (container.clone(), digest.to_string());
                    core.tell(Event::Resolved { container, digest }).await;
                }
            }
        };
        let (pulled, ()) = tokio::join!(pull, watch);
        drop(under);
        let pulled = pulled.map_err(|error| failure(&error))?;
        let stopped = self.clock.now();
        let image = pulled.image;
        let answer = PulledImage {
            digest: image.digest.to_string(),
            image_id: image.config_digest.to_string(),
            stop_signal: image.config.stop_signal.clone(),
            pulled: (!pulled.was_cached).then_some((started, stopped)),
        };
        if !pulled.was_cached {
            let seconds = stopped.since(started).as_secs_f64();
            tracing::info!(image = text, seconds, "pulled");
        }
        self.pulled.lock().insert(container.clone(), image);
        Ok(answer)
    }

    /// The image that was pulled for the container; after a restart it is looked up again.
    pub(crate) async fn image(
        &self,
        container: &ContainerRef,
        task: &Task,
    ) -> Result<Image, Failure> {
        if let Some(image) = self.pulled.lock().remove(container) {
            return Ok(image);
        }
        let text = &task.containers[container.index].image;
        let gone = |what: &dyn std::fmt::Display| {
            Failure::new("CannotCreateContainerError", format!("image '{text}': {what}"))
        };
        let reference: ImageReference = text.parse().map_err(|error| gone(&error))?;
        let image = self.images.find(&reference).await.map_err(|error| gone(&error))?;
        image.ok_or_else(|| gone(&"it is not in the image store any more"))
    }
}

fn failure(error: &PullError) -> Failure {
    Failure::new(error.ecs_name(), error)
}
