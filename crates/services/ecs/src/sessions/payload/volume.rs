//! The volumes of a payload.

use agent_protocol::STORAGE_ATTACHMENT;
use agent_protocol::task::{Attachment, AttachmentProperty, DockerVolume, HostVolume, Volume};
use serde_json::{Value, json};
use shapes_ecs as shapes;
use terms::TaskArn;

use crate::model::TaskDisk;

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
    if let Some(fsx) = &volume.fsx_windows_file_server_volume_configuration {
        let fsx_volume_configuration = Some(json!({
            "fileSystemId": fsx.file_system_id,
            "rootDirectory": fsx.root_directory,
            "authorizationConfig": {
                "credentialsParameter": fsx.authorization_config.credentials_parameter,
                "domain": fsx.authorization_config.domain,
            },
        }));
        return Volume { fsx_volume_configuration, ..of_kind("fsxWindowsFileServer") };
    }
    // A volume without any configuration is an empty one of the task's life.
    let source_path = volume.host.as_ref().and_then(|host| host.source_path.clone());
    Volume { host: Some(HostVolume { source_path }), ..of_kind("host") }
}

/// The attachment of an EBS volume: what Amazon's agent reads, and whether it is to stay, which in
/// AWS only the control plane must know.
pub(super) fn disk(task: &TaskArn, disk: &TaskDisk) -> Attachment {
    let TaskArn { region, account, .. } = task;
    let property = |name: &str, value: &str| AttachmentProperty {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let host_path = format!("{}_{}", task.id, disk.id);
    let mut attachment_properties = vec![
        property("volumeId", &disk.id),
        property("volumeSizeGib", &disk.size_gib.to_string()),
        property("deviceName", "/dev/sdf"),
        property("volumeName", &disk.name),
        property("sourceVolumeHostPath", &host_path),
        property("deleteOnTermination", if disk.is_kept { "false" } else { "true" }),
    ];
    attachment_properties
        .extend(disk.file_system.iter().map(|format| property("fileSystem", format)));
    let attachment = disk.attachment;
    Attachment {
        attachment_arn: format!("arn:aws:ecs:{region}:{account}:attachment/{attachment}"),
        attachment_type: "amazonebs".to_owned(),
        attachment_properties,
    }
}

/// How much of its node's disk a task may take.
pub(super) fn storage(size_gib: u32) -> Attachment {
    let size = AttachmentProperty { name: "sizeGib".to_owned(), value: size_gib.to_string() };
    Attachment {
        attachment_arn: String::new(),
        attachment_type: STORAGE_ATTACHMENT.to_owned(),
        attachment_properties: vec![size],
    }
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
