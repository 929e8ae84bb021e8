//! Mounts of a container.

use anyhow::Result;

use super::value::At;
use crate::commands::import::definition::Volumes;
use crate::commands::import::draft::Draft;

/// Docker names anonymous volumes by so many hexadecimal digits.
const ANONYMOUS_DIGITS: usize = 64;

/// Reads `Mounts`, `HostConfig.Tmpfs` and `HostConfig.VolumesFrom`.
pub(super) fn read(draft: &mut Draft, item: &At<'_>, volumes: &mut Volumes) -> Result<()> {
    for mount in item.get("Mounts").items()? {
        self::mount(draft, &mount, volumes)?;
    }
    let host = item.get("HostConfig");
    for (path, options) in host.get("Tmpfs").map()? {
        draft.tmpfs(host.get("Tmpfs").place(), &path, &options);
    }
    for from in host.get("VolumesFrom").texts()? {
        // What it brings stands among the mounts already.
        let (name, _) = from.split_once(':').unwrap_or((&from, ""));
        host.get("VolumesFrom").note(format!("the volumes of {name} are mounted one by one"));
    }
    Ok(())
}

fn mount(draft: &mut Draft, mount: &At<'_>, volumes: &mut Volumes) -> Result<()> {
    let Some(target) = mount.get("Destination").filled()? else {
        return Err(mount.get("Destination").wrong("a path"));
    };
    let read_only = mount.get("RW").flag()? == Some(false);
    let kind = mount.get("Type").text()?.unwrap_or_default();
    let name = match kind.as_str() {
        "bind" => {
            let Some(source) = mount.get("Source").filled()? else {
                return Err(mount.get("Source").wrong("a path"));
            };
            volumes.host(&source)
        }
        "volume" => {
            let name = mount.get("Name").text()?.unwrap_or_default();
            let hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
            if let Some(driver) = mount.get("Driver").filled()?.filter(|one| one != "local") {
                mount.get("Driver").note(format!("{driver} is left out: the volume is local"));
            }
            if name.is_empty() || (name.len() == ANONYMOUS_DIGITS && hex) {
                mount.note("an anonymous volume: it begins empty and ends with the task");
                volumes.scratch(draft.out.name.as_deref().unwrap_or_default(), &target)
            } else {
                mount
                    .note(format!("the volume {name} begins empty: its data is not brought along"));
                volumes.docker(&name, Default::default(), Default::default())
            }
        }
        "tmpfs" => {
            let options = mount.get("Mode").text()?.unwrap_or_default();
            draft.tmpfs(mount.place(), &target, &options);
            return Ok(());
        }
        other => {
            mount.note(format!("left out: mounts of the type '{other}' are unknown to ECS"));
            return Ok(());
        }
    };
    draft.mount(name, target, read_only);
    Ok(())
}
