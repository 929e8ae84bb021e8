//! Volumes, and where containers mount them (ECS semantics §3.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use super::task::{Task, items, wrong};
use super::{log_options, names};
use crate::error::Error;

/// Checks the volumes and gives their names.
pub(super) fn names(volumes: &[shapes::Volume]) -> Result<BTreeSet<&str>, Error> {
    let mut names = BTreeSet::new();
    for volume in volumes {
        let name = names::name("Volume.name", volume.name.as_deref())?;
        if !names.insert(name) {
            return Err(Error::client(format!(
                "Volume names must be unique within a task definition: '{name}'."
            )));
        }
        kind(volume)?;
        docker(volume)?;
        efs(volume)?;
        s3_files(volume)?;
    }
    let at_launch = volumes.iter().filter(|volume| volume.configured_at_launch == Some(true));
    if at_launch.count() > 1 {
        let text = "Only one volume of a task definition can be configured at launch.";
        return Err(Error::client(text));
    }
    Ok(names)
}

fn kind(volume: &shapes::Volume) -> Result<(), Error> {
    let kinds = [
        volume.host.is_some(),
        volume.docker_volume_configuration.is_some(),
        volume.efs_volume_configuration.is_some(),
        volume.fsx_windows_file_server_volume_configuration.is_some(),
        volume.s3files_volume_configuration.is_some(),
        volume.configured_at_launch == Some(true),
    ];
    if kinds.into_iter().filter(|&given| given).count() > 1 {
        // Observed: cloudposse/terraform-aws-ecs-alb-service-task issue 185.
        return Err(Error::client(
            "When the volume parameter is specified, only one volume configuration type should \
             be used.",
        ));
    }
    let path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
    if path.is_some_and(|path| path.trim().is_empty()) {
        // Observed: aws/amazon-ecs-cli issue 11.
        return Err(Error::client("host.sourcePath should not be blank."));
    }
    Ok(())
}

fn docker(volume: &shapes::Volume) -> Result<(), Error> {
    let Some(docker) = &volume.docker_volume_configuration else { return Ok(()) };
    if docker.driver.as_deref().is_some_and(|driver| driver.trim().is_empty()) {
        // Observed: aws/amazon-ecs-cli issue 927.
        return Err(Error::client(
            "volume.dockerVolumeConfiguration.driver should not be null or empty.",
        ));
    }
    if docker.autoprovision == Some(true) && docker.scope == Some(shapes::Scope::Task) {
        return Err(Error::client(
            "volume.dockerVolumeConfiguration.autoprovision is only supported when the scope is \
             'shared'.",
        ));
    }
    match docker.driver.as_deref() {
        None | Some("local") => local(volume.name.as_deref().unwrap_or_default(), docker),
        Some(_) => Ok(()),
    }
}

/// The options of Docker's `local` driver, and those that each of them needs.
const LOCAL_OPTIONS: [(&str, &[&str]); 4] =
    [("type", &["device"]), ("device", &["type"]), ("o", &["device", "type"]), ("size", &[])];

/// In Docker's words: it would refuse the volume when the task's first container is made.
fn local(volume: &str, docker: &shapes::DockerVolumeConfiguration) -> Result<(), Error> {
    let wrong = |why: String| {
        Error::client(format!("Invalid 'driverOpts' setting for volume '{volume}': {why}."))
    };
    let Some(options) = &docker.driver_opts else { return Ok(()) };
    for name in options.keys() {
        let known = LOCAL_OPTIONS.iter().find(|(known, _)| known == name);
        let (_, needed) = known.ok_or_else(|| wrong(format!("invalid option: \"{name}\"")))?;
        if let Some(missing) = needed.iter().find(|needed| !options.contains_key(**needed)) {
            return Err(wrong(format!("missing required option: \"{missing}\"")));
        }
    }
    let size = options.get("size");
    if size.is_some_and(|size| !log_options::is_size(size)) {
        return Err(wrong("the size must be a number of bytes, as in 10g".to_owned()));
    }
    if size.is_some() && options.contains_key("device") {
        let text = "the size of what is mounted cannot be limited: use an option of the mount";
        return Err(wrong(text.to_owned()));
    }
    Ok(())
}

/// The texts but that of the access point's encryption were observed.
fn efs(volume: &shapes::Volume) -> Result<(), Error> {
    let Some(efs) = &volume.efs_volume_configuration else { return Ok(()) };
    if !efs.file_system_id.starts_with("fs-") {
        let id = &efs.file_system_id;
        return Err(Error::client(format!("Invalid EFS file system ID: '{id}'.")));
    }
    let encrypted = efs.transit_encryption == Some(shapes::EFSTransitEncryption::Enabled);
    port(efs.transit_encryption_port)?;
    if efs.transit_encryption_port.is_some() && !encrypted {
        return Err(Error::client(
            "TransitEncryptionPort requires that TransitEncryption is enabled.",
        ));
    }
    let Some(authorization) = &efs.authorization_config else { return Ok(()) };
    if authorization.iam == Some(shapes::EFSAuthorizationConfigIAM::Enabled) && !encrypted {
        return Err(Error::client(
            "EFS IAM authorization requires TransitEncryption to be enabled.",
        ));
    }
    if authorization.access_point_id.as_deref().is_none_or(str::is_empty) {
        return Ok(());
    }
    if efs.root_directory.as_deref().is_some_and(|path| !matches!(path, "" | "/")) {
        return Err(Error::client(
            "When using an EFS access point, the root directory must either be set to \"/\" or \
             be omitted.",
        ));
    }
    if !encrypted {
        let text = "EFS access points require TransitEncryption to be enabled.";
        return Err(Error::client(text));
    }
    Ok(())
}

fn s3_files(volume: &shapes::Volume) -> Result<(), Error> {
    let Some(files) = &volume.s3files_volume_configuration else { return Ok(()) };
    let access_point = files.access_point_arn.as_deref().filter(|arn| !arn.is_empty());
    if names::arn(&files.file_system_arn).is_none()
        || access_point.is_some_and(|arn| names::arn(arn).is_none())
    {
        return Err(names::invalid_arn());
    }
    if access_point.is_some()
        && files.root_directory.as_deref().is_some_and(|path| !matches!(path, "" | "/"))
    {
        return Err(Error::client(
            "When using an S3 Files access point, the root directory must either be set to \"/\" \
             or be omitted.",
        ));
    }
    port(files.transit_encryption_port)
}

fn port(port: Option<i32>) -> Result<(), Error> {
    let good = port.is_none_or(|port| (1..=65_535).contains(&port));
    let text = "TransitEncryptionPort must be between 1 and 65535.";
    good.then_some(()).ok_or_else(|| Error::client(text))
}

/// Paths of Windows are absolute too: its definitions need not say that they are for Windows
/// (Datadog's for ECS mounts `\\.\pipe\docker_engine` so).
fn is_absolute(path: &str) -> bool {
    let is_drive = |bytes: &[u8]| matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    path.starts_with('/') || path.starts_with("\\\\") || is_drive(path.as_bytes())
}

/// Checks that a container mounts what there is.
pub(super) fn check_mounts(
    one: &shapes::ContainerDefinition,
    task: &Task<'_>,
) -> Result<(), Error> {
    let name = one.name.as_deref().unwrap_or("");
    let mut paths = BTreeSet::new();
    for mount in items(&one.mount_points) {
        let volume = mount.source_volume.as_deref();
        if !volume.is_some_and(|volume| task.volumes.contains(volume)) {
            // Observed, with `null` too: blinkist/terraform-aws-airship-ecs-service issue 46.
            let volume = volume.unwrap_or("null");
            return Err(Error::client(format!("Unknown volume '{volume}'.")));
        }
        let path = mount.container_path.as_deref().unwrap_or("");
        if path.is_empty() {
            return Err(Error::client("MountPoint.containerPath should not be null or empty."));
        }
        if !task.is_windows() && !is_absolute(path) {
            return Err(wrong(name, "'containerPath' of a mount point must be an absolute path."));
        }
        if !paths.insert(path) {
            return Err(wrong(name, &format!("Two mount points have the path '{path}'.")));
        }
    }
    for from in items(&one.volumes_from) {
        let source = from.source_container.as_deref();
        if !source.is_some_and(|source| source != name && task.has_container(source)) {
            // Observed.
            let source = source.unwrap_or("null");
            return Err(Error::client(format!(
                "Invalid 'volumesFrom' setting. Unknown container: '{source}'."
            )));
        }
    }
    Ok(())
}
