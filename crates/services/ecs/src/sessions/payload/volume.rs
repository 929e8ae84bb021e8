//! The volumes of a payload.

use agent_protocol::task::{DockerVolume, HostVolume, Volume};
use serde_json::{Value, json};
use shapes_ecs as shapes;

/// One volume. What is configured at launch comes without a kind: its attachment says more.
pub(super) fn volume(volume: &shapes::Volume) -> Volume {
    let bare = Volume { name: volume.name.clone().unwrap_or_default(), ..Volume::default() };
    let of_kind = |kind: &str| Volume { kind: Some(kind.to_owned()), ..bare.clone() };
    if volume.configured_at_launch == Some(true) {
        return bare;
    }
    if let Some(docker) = &volume.docker_volume_configuration {
        return Volume {
            docker_volume_configuration: Some(docker_volume(docker)),
            ..of_kind("docker")
        };
    }
    if let Some(efs) = &volume.efs_volume_configuration {
        return Volume { efs_volume_configuration: Some(efs_volume(efs)), ..of_kind("efs") };
    }
    // A volume without any configuration is an empty one of the task's life.
    let source_path = volume.host.as_ref().and_then(|host| host.source_path.clone());
    Volume { host: Some(HostVolume { source_path }), ..of_kind("host") }
}

fn docker_volume(docker: &shapes::DockerVolumeConfiguration) -> DockerVolume {
    DockerVolume {
        scope: docker.scope.as_ref().map_or("task", |scope| scope.as_str()).to_owned(),
        autoprovision: docker.autoprovision.unwrap_or(false),
        driver: docker.driver.clone().unwrap_or_else(|| "local".to_owned()),
        driver_opts: docker.driver_opts.clone().unwrap_or_default(),
        labels: docker.labels.clone().unwrap_or_default(),
    }
}

fn efs_volume(efs: &shapes::EFSVolumeConfiguration) -> Value {
    let mut value = json!({
        "fileSystemId": efs.file_system_id,
        "rootDirectory": efs.root_directory.as_deref().unwrap_or("/"),
    });
    if let Some(encryption) = &efs.transit_encryption {
        value["transitEncryption"] = encryption.as_str().into();
    }
    if let Some(port) = efs.transit_encryption_port {
        value["transitEncryptionPort"] = port.into();
    }
    if let Some(authorization) = &efs.authorization_config {
        value["authorizationConfig"] = json!({
            "accessPointId": authorization.access_point_id,
            "iam": authorization.iam.as_ref().map(|iam| iam.as_str()),
        });
    }
    value
}
