//! Makes what is behind volumes ready, before the first container that has one is created.

use agent_protocol::task::{Task, Volume};

use crate::effects::Tools;
use crate::engine::Failure;
use crate::spec::Mounted;
use crate::volumes::{self, Places, Provisioned, Source};

impl Tools {
    /// Where volumes are.
    pub(crate) fn places(&self) -> Places<'_> {
        Places { own: &self.volumes, stand_ins: &self.stand_ins }
    }

    /// Makes what is behind volumes; Docker makes absent folders too. Behind a shared volume that
    /// is there already is what it was made with, whatever the task's definition says.
    pub(crate) async fn make_volumes(
        &self,
        task: &Task,
        volumes: &mut [Mounted],
    ) -> Result<(), Failure> {
        for Mounted { volume, source, .. } in volumes {
            if let Some(existing) = self.provision(volume).await? {
                let docker = volume.docker_volume_configuration.get_or_insert_default();
                docker.driver_opts = existing.driver_opts;
                *source = volumes::source(task, volume, self.places())?;
            }
            let made = match &*source {
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
    /// is: its settings are answered, if a task made it.
    async fn provision(&self, volume: &Volume) -> Result<Option<Provisioned>, Failure> {
        let Some(shared) = volumes::shared(volume, self.places()) else {
            return Ok(None);
        };
        let failed = |error: &dyn std::fmt::Display| {
            let what = format!("volume '{}': {error}", volume.name);
            Failure::new("CannotCreateVolumeError", what)
        };
        if !shared.is_made {
            let kept = self.folders.kept(&shared.file).await.map_err(|error| failed(&error))?;
            return match kept {
                Some(kept) => serde_json::from_str(&kept).map(Some).map_err(|error| failed(&error)),
                None if self.folders.expect(&shared.folder).await.is_ok() => {
                    Ok(Some(Provisioned::default()))
                }
                None => Err(volumes::is_not_there(volume)),
            };
        }
        let text = serde_json::to_string(&shared.wanted).map_err(|error| failed(&error))?;
        let kept = self.folders.keep(&shared.file, &text).await.map_err(|error| failed(&error))?;
        let existing = serde_json::from_str(&kept).map_err(|error| failed(&error))?;
        volumes::matches(&existing, &shared.wanted).map(|()| None)
    }
}
