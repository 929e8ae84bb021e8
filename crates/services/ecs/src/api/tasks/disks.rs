//! `volumeConfigurations`: the EBS volume that a task is launched with (ECS semantics §3.4). It is a
//! disk of the instance's here (docs/decisions/0067-volumes.md), so what only AWS can give is
//! refused: snapshots to begin from, and encryption.

use ledger::Tx;
use shapes_ecs as shapes;
use shapes_ecs::TaskFilesystemType as Format;
use terms::{Text, Uuid};

use super::launch::Launch;
use crate::error::Error;
use crate::model::{TaskDefinition, TaskDisk};

/// Sizes of a general purpose volume, in GiB (API reference, `TaskManagedEBSVolumeConfiguration`).
const SIZE_GIB: std::ops::RangeInclusive<i32> = 1..=16_384;
/// Digits of a volume's id.
const ID_DIGITS: usize = 17;

/// A volume that each task of a launch gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    name: Text,
    size_gib: u32,
    file_system: Option<Text>,
    role: Text,
    is_kept: bool,
}

impl Wanted {
    /// The volume of one task. Part of the transaction that makes the task.
    pub(super) fn disk(&self, tx: &Tx<'_>) -> TaskDisk {
        let digits: String = tx.next_id().iter().map(|byte| format!("{byte:02x}")).collect();
        let id = &digits[..ID_DIGITS];
        TaskDisk {
            attachment: Uuid::from_random(tx.next_id()),
            id: format!("vol-{id}"),
            name: self.name.clone(),
            size_gib: self.size_gib,
            file_system: self.file_system.clone(),
            role: self.role.clone(),
            is_kept: self.is_kept,
        }
    }
}

/// Reads the launch's volumes against the definition's.
///
/// # Errors
/// When the definition's volume has no configuration, or a configuration no volume; the texts are
/// in ECS's style.
pub(super) fn read(
    launch: &Launch<'_>,
    definition: &TaskDefinition,
) -> Result<Option<Wanted>, Error> {
    let mut at_launch = definition.document.volumes.iter().flatten();
    let volume = at_launch.find(|volume| volume.configured_at_launch == Some(true));
    let volume = volume.and_then(|volume| volume.name.as_deref());
    let wanted = match (launch.volumes, volume) {
        ([], None) => return Ok(None),
        ([], Some(volume)) => {
            return Err(Error::invalid(format!(
                "The volume '{volume}' is configured at launch: volumeConfigurations must be \
                 provided for it."
            )));
        }
        ([one], _) => one,
        ([..], _) => {
            return Err(Error::invalid("volumeConfigurations can have at most 1 item."));
        }
    };
    if volume != Some(wanted.name.as_str()) {
        return Err(Error::invalid(format!(
            "The volume '{}' of volumeConfigurations is not configured at launch in the task \
             definition.",
            wanted.name
        )));
    }
    let ebs = wanted.managed_ebs_volume.as_ref();
    let ebs = ebs.ok_or_else(|| {
        Error::invalid(format!("managedEBSVolume must be provided for '{}'.", wanted.name))
    })?;
    read_one(launch.operation, &wanted.name, ebs).map(Some)
}

/// A service's volume as RunTask would have it: it always goes with its task (ECS semantics §3.4).
pub(super) fn of_service(
    volume: &shapes::ServiceVolumeConfiguration,
) -> shapes::TaskVolumeConfiguration {
    let ebs = volume.managed_ebs_volume.clone();
    let ebs = ebs.map(|ebs| shapes::TaskManagedEBSVolumeConfiguration {
        encrypted: ebs.encrypted,
        filesystem_type: ebs.filesystem_type,
        iops: ebs.iops,
        kms_key_id: ebs.kms_key_id,
        role_arn: ebs.role_arn,
        size_in_gi_b: ebs.size_in_gi_b,
        snapshot_id: ebs.snapshot_id,
        tag_specifications: ebs.tag_specifications,
        termination_policy: None,
        throughput: ebs.throughput,
        volume_initialization_rate: ebs.volume_initialization_rate,
        volume_type: ebs.volume_type,
    });
    shapes::TaskVolumeConfiguration { managed_ebs_volume: ebs, name: volume.name.clone() }
}

fn read_one(
    operation: &'static str,
    name: &str,
    ebs: &shapes::TaskManagedEBSVolumeConfiguration,
) -> Result<Wanted, Error> {
    let unbuilt = [
        (ebs.snapshot_id.as_deref().is_some_and(|id| !id.is_empty()), "snapshotId"),
        (ebs.encrypted == Some(true), "encrypted"),
        (ebs.kms_key_id.as_deref().is_some_and(|id| !id.is_empty()), "kmsKeyId"),
        (ebs.volume_initialization_rate.is_some(), "volumeInitializationRate"),
    ];
    if let Some((_, member)) = unbuilt.into_iter().find(|(given, _)| *given) {
        return Err(Error::not_built(operation, format!("managedEBSVolume {member}")));
    }
    if ebs.role_arn.is_empty() {
        return Err(Error::invalid("managedEBSVolume roleArn must be provided."));
    }
    let Some(size) = ebs.size_in_gi_b else {
        let text = "managedEBSVolume must have a sizeInGiB or a snapshotId.";
        return Err(Error::invalid(text));
    };
    let size_gib = u32::try_from(size).ok().filter(|_| SIZE_GIB.contains(&size));
    let size_gib = size_gib.ok_or_else(|| {
        let (least, most) = (SIZE_GIB.start(), SIZE_GIB.end());
        Error::invalid(format!("sizeInGiB must be between {least} and {most}."))
    })?;
    let file_system = match ebs.filesystem_type {
        None => None,
        Some(Format::Ext3 | Format::Ext4 | Format::Xfs) => ebs.filesystem_type,
        Some(Format::Ntfs) => {
            return Err(Error::invalid("filesystemType 'ntfs' is for Windows."));
        }
    };
    let policy = ebs.termination_policy.as_ref();
    Ok(Wanted {
        name: name.into(),
        size_gib,
        file_system: file_system.map(|one| one.as_str().into()),
        role: ebs.role_arn.as_str().into(),
        is_kept: policy.is_some_and(|policy| !policy.delete_on_termination),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_json;

    #[test]
    fn what_a_disk_cannot_be_is_refused() {
        let check = |members: &str, expected: Result<(u32, Option<&str>, bool), &str>| {
            let ebs = parse_json(&format!(r#"{{"roleArn": "r"{members}}}"#));
            let read = read_one("RunTask", "data", &ebs);
            match expected {
                Ok((size, format, is_kept)) => {
                    let wanted = read.unwrap_or_else(|error| panic!("{members}: {error}"));
                    let format = format.map(Text::from);
                    let found = (wanted.size_gib, wanted.file_system, wanted.is_kept);
                    assert_eq!(found, (size, format, is_kept), "{members}");
                }
                Err(part) => {
                    let error = read.expect_err(members).to_string();
                    assert!(error.contains(part), "{members}: {error}");
                }
            }
        };
        check(r#", "sizeInGiB": 10, "iops": 3000, "volumeType": "gp3""#, Ok((10, None, false)));
        let kept = r#", "terminationPolicy": {"deleteOnTermination": false}"#;
        let ext4 = format!(r#", "sizeInGiB": 1, "filesystemType": "ext4"{kept}"#);
        check(&ext4, Ok((1, Some("ext4"), true)));
        check("", Err("sizeInGiB"));
        check(r#", "sizeInGiB": 0"#, Err("between 1 and 16384"));
        check(r#", "sizeInGiB": 1, "filesystemType": "ntfs""#, Err("Windows"));
        check(r#", "sizeInGiB": 1, "encrypted": true"#, Err("encrypted"));
        check(r#", "snapshotId": "snap-1""#, Err("snapshotId"));
    }
}
