//! Volumes (ECS semantics §3.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use crate::error::Error;

/// Checks the volumes and gives their names.
pub(crate) fn names(volumes: &[shapes::Volume]) -> Result<BTreeSet<&str>, Error> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = volume.name.as_deref().unwrap_or("");
        let good = (1..=255).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !good {
            return Err(Error::client(format!(
                "Volume name '{name}' is wrong: 1 to 255 letters, digits, hyphens and \
                 underscores are allowed."
            )));
        }
        if !names.insert(name) {
            return Err(Error::client(format!("Volume name '{name}' comes twice.")));
        }
        check_kind(volume, name)?;
    }
    let at_launch = volumes.iter().filter(|volume| volume.configured_at_launch == Some(true));
    if at_launch.count() > 1 {
        return Err(Error::client("Only one volume can be configured at launch."));
    }
    Ok(names)
}

fn check_kind(volume: &shapes::Volume, name: &str) -> Result<(), Error> {
    let kinds = [
        volume.host.is_some(),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ];
    if kinds.into_iter().filter(|&given| given).count() > 1 {
        return Err(Error::client(format!("Volume '{name}' must have exactly one configuration.")));
    }
    let Some(docker) = &volume.docker_volume_configuration else { return Ok(()) };
    let shared = docker.scope.is_some_and(|scope| scope.as_str() == "shared");
    if docker.autoprovision == Some(true) && !shared {
        return Err(Error::client(format!(
            "Volume '{name}': autoprovision is only supported with scope 'shared'."
        )));
    }
    Ok(())
}
