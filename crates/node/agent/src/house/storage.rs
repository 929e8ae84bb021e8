//! Tasks that hold more of the disk than their ephemeral storage is (docs/decisions/0078).

use agent_protocol::STORAGE_ATTACHMENT;
use agent_protocol::task::Task;

use super::{Keeper, size};
use crate::engine::{Event, Status};
use crate::view::View;

const GIB: u64 = 1 << 30;

/// The bytes that a task may hold, if somebody said so.
pub(crate) fn limit(task: &Task) -> Option<u64> {
    let of_storage = |kind: &str| kind == STORAGE_ATTACHMENT;
    let attachment = task.attachments.iter().find(|a| of_storage(&a.attachment_type))?;
    let given = attachment.attachment_properties.iter().find(|p| p.name == "sizeGib")?;
    given.value.parse::<u64>().ok().map(|gib| gib.saturating_mul(GIB))
}

impl Keeper {
    /// Stops tasks that hold too much: what their containers wrote into their roots, and the volumes
    /// that live as long as the task.
    pub(super) async fn measure(&self, view: &View) {
        for task in view.tasks() {
            let Some(limit) = limit(&task.task) else { continue };
            if task.status() == Status::Stopped {
                continue;
            }
            let held = async {
                let mut held = 0;
                for container in &task.containers {
                    held += self.images.written(&container.id).await.unwrap_or_default();
                }
                let volumes = self.volumes.join(task.task.arn.id.to_string());
                held + self.folders.used(&volumes).await.unwrap_or_default()
            };
            let held = held.await;
            view.measured(&task.task.arn, held);
            if held > limit {
                let reason = format!(
                    "EphemeralStorageExceeded: the task holds {}, more than its ephemeral storage \
                     of {}",
                    size(held),
                    size(limit),
                );
                let task = task.task.arn.clone();
                self.core.tell(Event::Outgrown { task, reason }).await;
            }
        }
    }
}
