//! Makes what is behind volumes ready, before the first container that has one is created.

use agent_protocol::task::Volume;

use crate::effects::Tools;
use crate::engine::Failure;
use crate::spec::Mounted;
use crate::volumes::{self, Places, Source};

impl Tools {
    /// Where volumes are.
    pub(crate) fn places(&self) -> Places<'_> {
        Places { own: &self.volumes, stand_ins: &self.stand_ins }
    }

    /// Makes what is behind volumes; Docker makes absent folders too.
    pub(crate) async fn make_volumes(&self, volumes: &[Mounted]) -> Result<(), Failure> {
        for Mounted { volume, source, .. } in volumes {
            self.provision(volume).await?;
            let made = match source {
                Source::Folder(path) => self.folders.make(path).await,
                Source::Existing(path) => self.folders.expect(path).await,
                Source::Mounted { at, what } => self.folders.mount(what, at).await,
                Source::Disk { at, disk } => self.folders.mount_disk(disk, at).await,
            };
            made.map_err(|error| {
                let (name, path) = (&volume.name, source.path().display());
                let what = format!("volume '{name}' at {path}: {error}");
                Failure::new("CannotCreateVolumeError", what)
            })?;
        }
        Ok(())
    }

    /// A shared volume keeps the settings that it was first made with. One that the task does not
    /// make must be there, made by another task or by whoever runs the machine, and is taken as it
    /// is.
    async fn provision(&self, volume: &Volume) -> Result<(), Failure> {
        let Some(shared) = volumes::shared(volume, self.places()) else {
            return Ok(());
        };
        let failed = |error: &dyn std::fmt::Display| {
            let what = format!("volume '{}': {error}", volume.name);
            Failure::new("CannotCreateVolumeError", what)
        };
        if !shared.is_made {
            let kept = self.folders.kept(&shared.file).await.map_err(|error| failed(&error))?;
            let is_there = kept.is_some() || self.folders.expect(&shared.folder).await.is_ok();
            return if is_there { Ok(()) } else { Err(volumes::is_not_there(volume)) };
        }
        let text = serde_json::to_string(&shared.wanted).map_err(|error| failed(&error))?;
        let kept = self.folders.keep(&shared.file, &text).await.map_err(|error| failed(&error))?;
        let existing = serde_json::from_str(&kept).map_err(|error| failed(&error))?;
        volumes::matches(&existing, &shared.wanted)
    }
}
