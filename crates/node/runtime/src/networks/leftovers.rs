//! What is found of earlier processes, and how it is taken away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use super::bridge::{self, io_error};
use super::linux::blocking;
use super::netlink::{Family, Socket};
use super::{Attachment, NetworkError, firewall, links, namespaces, place};

/// The name of the host's end of a container's pair: addresses differ, so names do.
pub(super) fn interface(address: Ipv4Addr) -> String {
    format!("ls{:08x}", u32::from(address))
}

pub(super) fn remove_namespace(route: &Socket, path: &Path, address: Ipv4Addr) -> bool {
    let removed = links::remove(route, &interface(address)).and_then(|()| namespaces::remove(path));
    if let Err(error) = &removed {
        tracing::warn!(%address, %error, "a network namespace is left");
    }
    removed.is_ok()
}

pub(super) fn take_down_bridge(
    route: &Socket,
    folder: &Path,
    name: &str,
) -> Result<(), NetworkError> {
    firewall::remove(name)?;
    firewall::close_iptables(name);
    links::remove(route, name).map_err(io_error(format!("cannot remove bridge {name}")))?;
    bridge::forget(folder);
    Ok(())
}

/// The attachments on disk whose namespaces still are.
pub(super) fn recall(folder: &Path) -> Vec<Attachment> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        let text = fs::read(&path).unwrap_or_default();
        let Ok(attachment) = serde_json::from_slice::<Attachment>(&text) else { continue };
        match namespaces::is_namespace(&attachment.namespace) {
            true => found.push(attachment),
            // The host has been down: nothing of it is left but this.
            false => drop(fs::remove_file(path)),
        }
    }
    found
}

/// Removes the namespaces that are at none of these addresses: those that were ready for use.
pub(super) fn forget_unused(route: &Socket, namespaces: &Path, used: &BTreeSet<Ipv4Addr>) {
    let Ok(entries) = fs::read_dir(namespaces) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(address) = name.parse::<Ipv4Addr>() else { continue };
        if !used.contains(&address) {
            remove_namespace(route, &entry.path(), address);
        }
    }
}

fn forget_namespaces(namespaces: &Path) -> Result<(), NetworkError> {
    for entry in fs::read_dir(namespaces).into_iter().flatten().flatten() {
        let path = entry.path();
        namespaces::remove(&path).map_err(io_error(format!("cannot remove {}", path.display())))?;
    }
    Ok(())
}

/// Takes away everything that instances of these folders left, attached or not. Their containers
/// must be gone.
///
/// # Errors
/// Fails if something could not be removed.
pub async fn sweep(node_folder: &Path, run_folder: &Path) -> Result<(), NetworkError> {
    let (folder, run_folder) = (node_folder.join("networks"), run_folder.to_owned());
    let namespaces = run_folder.join("netns");
    blocking(move || {
        // As it is known in the VPC.
        let folder = folder.canonicalize().unwrap_or(folder);
        let place = place::recall(&folder);
        // The bridge of an instance's own namespace goes with that, as do the ends of its pairs;
        // those of the same name on the host are another's.
        match place.own {
            Some(_) => forget_namespaces(&namespaces)?,
            None => {
                let route = Socket::open(Family::Route)
                    .map_err(io_error("cannot reach the kernel's routes"))?;
                forget_unused(&route, &namespaces, &BTreeSet::new());
                if let Some(bridge) = bridge::recall(&folder) {
                    take_down_bridge(&route, &folder, &bridge.name)?;
                }
            }
        }
        place.clear(&folder, &run_folder)?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(format!("cannot remove {}", folder.display()))(error))
            }
            _ => Ok(()),
        }
    })
    .await
}
