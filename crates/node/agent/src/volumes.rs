//! What is behind a task's volumes on this machine (docs/decisions/0067-volumes.md).
//!
//! A volume is a folder of the host: one that the definition names, one of ours that lives as long
//! as the task or as the instance, or one that a file system is mounted on first. File systems of
//! EFS and FSx, which are somewhere else in AWS, have a folder each below one that the agent was
//! told; disks of EBS are files.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use agent_protocol::task::{Attachment, DockerVolume, Task, Volume};
use runtime::mounts::{Disk, FileSystem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::Failure;
use crate::logs::values;

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// No file system is made that is smaller.
const DISK_BYTES_MIN: u64 = MIB;
/// `mkfs.xfs` makes none that is smaller.
const XFS_BYTES_MIN: u64 = 300 * MIB;
/// Beside volumes with a size: the folder of their disks. No volume has a name with a dot.
const DISKS: &str = ".disks";
/// The attachment that an EBS volume comes with (agent-protocol §2.5).
const EBS: &str = "amazonebs";

/// Where storage stands that is not a disk of its host in AWS; none: there is none here, and
/// definitions that need it find no place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandIns {
    /// A folder with a folder for each file system of EFS, by its id.
    pub efs: Option<PathBuf>,
    /// The same for FSx.
    pub fsx: Option<PathBuf>,
    /// A folder for the disks of EBS.
    pub ebs: Option<PathBuf>,
}

/// Where volumes are on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Volumes without a path of their own.
    pub own: &'a Path,
    /// What stands in for AWS's storage.
    pub stand_ins: &'a StandIns,
}

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder that is made if it is not there.
    Folder(PathBuf),
    /// Something of the host that must be there.
    Existing(PathBuf),
    /// A folder on which a file system is mounted first.
    Mounted {
        /// The folder.
        at: PathBuf,
        /// The file system.
        what: FileSystem,
    },
    /// A folder on which a disk is mounted first.
    Disk {
        /// The folder.
        at: PathBuf,
        /// The disk.
        disk: Disk,
    },
}

impl Source {
    /// The path that containers see.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Existing(path) => path,
            Self::Mounted { at, .. } | Self::Disk { at, .. } => at,
        }
    }
}

fn refused(volume: &Volume, what: impl std::fmt::Display) -> Failure {
    Failure::new("CannotCreateVolumeError", format!("volume '{}': {what}", volume.name))
}

/// What is behind a volume of the task.
pub fn source(task: &Task, volume: &Volume, places: Places<'_>) -> Result<Source, Failure> {
    let own = |scope: &str, name: &str| own(places.own, scope, name).map(Source::Folder);
    let of_task = task.arn.id.to_string();
    if let Some(disk) = disk_of(task, volume) {
        return disk.source(task, places, volume);
    }
    match volume.kind.as_deref() {
        None | Some("host") => {
            let path = volume.host.as_ref().and_then(|host| host.source_path.clone());
            match path.filter(|path| !path.is_empty()) {
                Some(path) if path.starts_with('/') => Ok(Source::Folder(PathBuf::from(path))),
                Some(path) => own("shared", &path),
                None => own(&of_task, &volume.name),
            }
        }
        Some("docker") => {
            let docker = volume.docker_volume_configuration.clone().unwrap_or_default();
            if !is_local(&docker) {
                let driver = &docker.driver;
                let what = format!("there is no volume driver '{driver}' here; use 'local'");
                return Err(refused(volume, what));
            }
            let scope = if docker.scope == "shared" { "shared" } else { &of_task };
            let at = self::own(places.own, scope, &volume.name)?;
            match docker.driver_opts.get("size").filter(|_| docker.driver_opts.len() == 1) {
                Some(size) => sized(volume, size, at),
                None => local(volume, &docker.driver_opts, at),
            }
        }
        Some("efs") => {
            let settings = volume.efs_volume_configuration.as_ref();
            let root = places.stand_ins.efs.as_deref();
            let root = root.ok_or_else(|| refused(volume, "this instance has no EFS"))?;
            elsewhere(volume, root, settings)
        }
        Some("fsxWindowsFileServer") => {
            let settings = volume.fsx_volume_configuration.as_ref();
            let root = places.stand_ins.fsx.as_deref();
            let root = root.ok_or_else(|| refused(volume, "this instance has no FSx"))?;
            elsewhere(volume, root, settings)
        }
        Some(kind) => Err(refused(volume, format!("'{kind}' volumes are not supported here"))),
    }
}

fn is_local(docker: &DockerVolume) -> bool {
    matches!(docker.driver.as_str(), "" | "local")
}

/// A folder of ours.
fn own(volumes: &Path, scope: &str, name: &str) -> Result<PathBuf, Failure> {
    let wrong =
        || Failure::new("InvalidVolumeError", format!("'{name}' is not a usable volume name"));
    is_name(name).then(|| volumes.join(scope).join(name)).ok_or_else(wrong)
}

/// Whether a text can name a folder in another one.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '\0']) && text != "." && text != ".."
}

/// A volume of Docker's `local` driver with a size: a disk in a file beside the volume's folder,
/// which goes with it. (Docker has quotas of projects for it, where the file system has.)
fn sized(volume: &Volume, size: &str, at: PathBuf) -> Result<Source, Failure> {
    let size_bytes = values::size(size).filter(|&bytes| bytes >= DISK_BYTES_MIN);
    let wrong = || refused(volume, format!("the size '{size}' is less than 1 MiB, or none"));
    let size_bytes = size_bytes.ok_or_else(wrong)?;
    let (folder, name) = (at.parent().unwrap_or(&at), at.file_name().unwrap_or_default());
    let image = folder.join(DISKS).join(format!("{}.img", name.to_string_lossy()));
    let format = (size_bytes < XFS_BYTES_MIN).then(|| "ext4".to_owned());
    Ok(Source::Disk { at, disk: Disk { image, size_bytes, format } })
}

/// A volume of Docker's `local` driver: its options are those of `mount`.
fn local(
    volume: &Volume,
    options: &BTreeMap<String, String>,
    at: PathBuf,
) -> Result<Source, Failure> {
    let known = ["type", "device", "o", "size"];
    if let Some(unknown) = options.keys().find(|name| !known.contains(&name.as_str())) {
        // Docker's own words.
        return Err(refused(volume, format!("invalid option: \"{unknown}\"")));
    }
    if options.contains_key("size") {
        return Err(refused(volume, "the size of what is mounted cannot be limited"));
    }
    let text = |name: &str| options.get(name).cloned().unwrap_or_default();
    let (kind, device, flags) = (text("type"), text("device"), text("o"));
    if options.is_empty() {
        return Ok(Source::Folder(at));
    }
    if device.is_empty() {
        return Err(refused(volume, "missing device in volume options"));
    }
    let binds = flags.split(',').any(|flag| flag == "bind" || flag == "rbind");
    let plain = flags.split(',').all(|flag| matches!(flag, "bind" | "rbind" | "rw"));
    if binds && plain && device.starts_with('/') {
        return Ok(Source::Existing(PathBuf::from(device)));
    }
    let kind = if kind == "none" { String::new() } else { kind };
    Ok(Source::Mounted { at, what: FileSystem { kind, device, options: flags } })
}

/// A file system's folder below `root`, and in it the access point's, or the root directory.
fn elsewhere(volume: &Volume, root: &Path, settings: Option<&Value>) -> Result<Source, Failure> {
    let text = |pointer: &str| settings.and_then(|all| all.pointer(pointer)?.as_str());
    let id = text("/fileSystemId").filter(|id| is_name(id));
    let id = id.ok_or_else(|| refused(volume, "it names no file system"))?;
    let mut path = root.join(id);
    if let Some(point) = text("/authorizationConfig/accessPointId").filter(|id| !id.is_empty()) {
        if !is_name(point) {
            return Err(refused(volume, format!("'{point}' is no access point")));
        }
        return Ok(Source::Folder(path.join(".access-points").join(point)));
    }
    // FSx has the paths of Windows.
    let inner = text("/rootDirectory").unwrap_or("/").replace('\\', "/");
    for part in Path::new(&inner).components() {
        match part {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(part) => path.push(part),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(refused(volume, format!("'{inner}' leads out of the file system")));
            }
        }
    }
    Ok(Source::Folder(path))
}

/// An EBS volume as its attachment tells it.
struct EbsVolume<'a> {
    attachment: &'a Attachment,
}

fn disk_of<'a>(task: &'a Task, volume: &Volume) -> Option<EbsVolume<'a>> {
    disks(task).find(|disk| disk.property("volumeName") == Some(&volume.name))
}

fn disks(task: &Task) -> impl Iterator<Item = EbsVolume<'_>> {
    let attachments = task.attachments.iter();
    let of_ebs = attachments.filter(|attachment| attachment.attachment_type == EBS);
    of_ebs.map(|attachment| EbsVolume { attachment })
}

impl EbsVolume<'_> {
    fn property(&self, name: &str) -> Option<&str> {
        let properties = &self.attachment.attachment_properties;
        properties.iter().find(|property| property.name == name).map(|p| p.value.as_str())
    }

    fn image(&self, places: Places<'_>) -> Option<PathBuf> {
        let id = self.property("volumeId").filter(|id| is_name(id))?;
        Some(places.stand_ins.ebs.as_ref()?.join(format!("{id}.img")))
    }

    /// Whether it goes with its task.
    fn is_deleted(&self) -> bool {
        self.property("deleteOnTermination") != Some("false")
    }

    fn source(&self, task: &Task, places: Places<'_>, volume: &Volume) -> Result<Source, Failure> {
        let image = self.image(places);
        let image = image.ok_or_else(|| refused(volume, "this instance has no EBS"))?;
        let gib = self.property("volumeSizeGib").and_then(|gib| gib.parse::<u64>().ok());
        let gib = gib.filter(|&gib| gib > 0);
        let gib = gib.ok_or_else(|| refused(volume, "its attachment tells no size"))?;
        let format = self.property("fileSystem").map(str::to_owned);
        if let Some(other) = format.as_deref().filter(|f| !matches!(*f, "ext3" | "ext4" | "xfs")) {
            return Err(refused(volume, format!("'{other}' is no file system of a volume")));
        }
        let at = own(places.own, &task.arn.id.to_string(), &volume.name)?;
        Ok(Source::Disk { at, disk: Disk { image, size_bytes: gib * GIB, format } })
    }
}

/// What goes with a task: folders, and files of disks.
pub fn remains(task: &Task, places: Places<'_>) -> Vec<PathBuf> {
    let mut all = vec![places.own.join(task.arn.id.to_string())];
    all.extend(disks(task).filter(EbsVolume::is_deleted).filter_map(|disk| disk.image(places)));
    all
}

/// What Docker keeps of a volume that has a name beyond its task, to compare it with later ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provisioned {
    /// The driver's options.
    pub driver_opts: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// A volume of Docker's that tasks share, by its name.
pub struct Shared {
    /// Its folder, if it has one of ours.
    pub folder: PathBuf,
    /// Where it is put down what it is, once a task has made it.
    pub file: PathBuf,
    /// What the definition means.
    pub wanted: Provisioned,
    /// Whether the task makes it if it is not there.
    pub is_made: bool,
}

/// The volume as one that is shared; none for others.
pub fn shared(volume: &Volume, places: Places<'_>) -> Option<Shared> {
    let docker = volume.docker_volume_configuration.as_ref()?;
    let is_shared = volume.kind.as_deref() == Some("docker") && docker.scope == "shared";
    if !is_shared || !is_local(docker) {
        return None;
    }
    let folder = own(places.own, "shared", &volume.name).ok()?;
    let file = places.own.join("provisioned").join(format!("{}.json", volume.name));
    let (driver_opts, labels) = (docker.driver_opts.clone(), docker.labels.clone());
    let wanted = Provisioned { driver_opts, labels };
    Some(Shared { folder, file, wanted, is_made: docker.autoprovision })
}

/// Whether a volume that exists is the one that is meant: as Amazon's agent compares them, in its
/// words.
pub fn matches(existing: &Provisioned, wanted: &Provisioned) -> Result<(), Failure> {
    let differs = |what: &str, existing: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        let text = format!(
            "intialize volume: non-autoprovisioned volume does not match existing volume {what}: \
             existing: {existing:?}, expected: {wanted:?}"
        );
        Err(Failure::new("CannotCreateVolumeError", text))
    };
    if existing.labels != wanted.labels {
        return differs("labels", &existing.labels, &wanted.labels);
    }
    if existing.driver_opts != wanted.driver_opts {
        return differs("options", &existing.driver_opts, &wanted.driver_opts);
    }
    Ok(())
}

/// What a task is told whose volume is to be there and is not: the words of Amazon's agent.
pub fn is_not_there(volume: &Volume) -> Failure {
    let what = format!(
        "initialize volume: volume detection failed, volume '{}' does not exist and autoprovision \
         is set to false",
        volume.name
    );
    Failure::new("CannotCreateVolumeError", what)
}
