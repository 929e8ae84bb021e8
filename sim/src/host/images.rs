//! Images: there or not, at once or slowly.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use runtime::images::{
    Held, ImageError, LoadError, Progress, Pruned, PullError, PullEvent, Pulled, RegistryAuth,
    SnapshotError,
};
use runtime::{ContainerId, Image, ImageConfig, ImageReference, Images, RootFs};

use super::Seen;

fn image(reference: &ImageReference) -> Image {
    let digest = |fill: &str| {
        let text = format!("sha256:{}", fill.repeat(32));
        text.parse().expect("64 hexadecimal digits")
    };
    Image {
        reference: reference.clone(),
        digest: digest("aa"),
        config_digest: digest("bb"),
        layers: Arc::from([]),
        config: Arc::new(ImageConfig::default()),
    }
}

#[async_trait]
impl Images for Seen {
    async fn pull(
        &self,
        reference: &ImageReference,
        _: &RegistryAuth,
        progress: Progress,
    ) -> Result<Pulled, PullError> {
        let world = &self.host.world;
        let name = reference.familiar().to_string();
        self.life.pass().await;
        let was_cached = self.host.state.lock().images.contains(&name);
        if !was_cached {
            let digest = image(reference).digest;
            progress.tell(PullEvent::Resolved { digest, total_bytes: 1, layers: 1 });
            if world.strikes(|faults| faults.slow_pull) {
                world.tally("slow pull", format!("{} {name}", self.host.name));
                let wait = world.draw(|chance| chance.millis(5_000, 60_000));
                tokio::time::sleep(wait).await;
            }
        }
        let refused = world.strikes(|faults| faults.pull_fails) && !was_cached;
        self.effect(&format!("pulls {name}"), |state| _ = state.images.insert(name.clone())).await;
        if refused || reference.repository().ends_with("missing") {
            world.tally("pull fails", &name);
            self.host.state.lock().images.remove(&name);
            let message = "no such image".to_owned();
            return Err(PullError::NotFound { reference: reference.clone(), message });
        }
        Ok(Pulled { image: image(reference), was_cached })
    }

    async fn find(&self, reference: &ImageReference) -> Result<Option<Image>, ImageError> {
        self.life.pass().await;
        Ok(Some(image(reference)))
    }

    async fn list(&self) -> Result<Vec<Image>, ImageError> {
        Ok(Vec::new())
    }

    async fn load(&self, _: &Path, _: Option<&ImageReference>) -> Result<Vec<Image>, LoadError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &ImageReference) -> Result<bool, ImageError> {
        Ok(false)
    }

    async fn snapshot(&self, _: &Image, id: &ContainerId) -> Result<RootFs, SnapshotError> {
        let what = format!("makes the root of {}", id.short());
        self.effect(&what, |state| _ = state.snapshots.insert(id.clone())).await;
        Ok(RootFs::default())
    }

    async fn release(&self, id: &ContainerId) -> Result<(), SnapshotError> {
        let what = format!("removes the root of {}", id.short());
        self.effect(&what, |state| _ = state.snapshots.remove(id)).await;
        Ok(())
    }

    async fn written(&self, _: &ContainerId) -> Result<u64, SnapshotError> {
        Ok(0)
    }

    async fn snapshots(&self) -> Result<Vec<ContainerId>, SnapshotError> {
        Ok(self.host.state.lock().snapshots.iter().cloned().collect())
    }

    async fn inventory(&self) -> Result<Vec<Held>, ImageError> {
        Ok(Vec::new())
    }

    async fn keep(&self, _: &[ImageReference]) -> Result<(), ImageError> {
        Ok(())
    }

    async fn prune(&self) -> Result<Pruned, ImageError> {
        Ok(Pruned::default())
    }
}
