//! Who uses a VPC, and which of its addresses. Files, so that what a killed process held is known:
//! `users/<digest>` names an instance's networks' folder, `claims/<address>` an address's holder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::networks::NetworkError;
use crate::networks::bridge::{self, io_error};

/// How often a wait for an address looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How often it looks at most: ten seconds' worth.
const LOOKS_MAX: usize = 500;

/// Whose an address is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::networks) struct Holder {
    /// The instance's networks' folder.
    user: PathBuf,
    /// The task; none is the instance itself.
    task: Option<String>,
}

impl Holder {
    /// The instance itself.
    pub(in crate::networks) fn instance(user: &Path) -> Self {
        Self { user: user.to_owned(), task: None }
    }

    /// A task of the instance.
    pub(in crate::networks) fn task(user: &Path, task: &str) -> Self {
        Self { user: user.to_owned(), task: Some(task.to_owned()) }
    }

    fn name(&self) -> String {
        match &self.task {
            Some(task) => format!("task {task} of {}", self.user.display()),
            None => format!("the instance of {}", self.user.display()),
        }
    }
}

pub(super) fn users(folder: &Path) -> PathBuf {
    folder.join("users")
}

pub(super) fn folder(folder: &Path) -> PathBuf {
    folder.join("claims")
}

fn user_file(folder: &Path, user: &Path) -> PathBuf {
    let digest = Sha256::digest(user.as_os_str().as_encoded_bytes());
    let digits: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    users(folder).join(digits)
}

pub(super) fn add_user(folder: &Path, user: &Path) -> Result<(), NetworkError> {
    let file = user_file(folder, user);
    fs::write(&file, user.as_os_str().as_encoded_bytes())
        .map_err(io_error(format!("cannot write {}", file.display())))
}

pub(super) fn remove_user(folder: &Path, user: &Path) {
    let _ = fs::remove_file(user_file(folder, user));
}

pub(super) fn has_users(folder: &Path) -> bool {
    fs::read_dir(users(folder)).is_ok_and(|mut entries| entries.next().is_some())
}

/// Forgets users whose folders are gone: they cannot come back.
pub(super) fn forget_gone_users(folder: &Path) {
    for entry in fs::read_dir(users(folder)).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if !Path::new(&text).exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn file(of: &Path, address: Ipv4Addr) -> PathBuf {
    folder(of).join(address.to_string())
}

/// All addresses in use.
pub(super) fn addresses(of: &Path) -> BTreeSet<Ipv4Addr> {
    let entries = fs::read_dir(folder(of)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The addresses in an instance's use.
pub(super) fn of_user(of: &Path, user: &Path) -> Vec<Ipv4Addr> {
    let is_its = |address: &Ipv4Addr| holder(of, *address).is_some_and(|h| h.user == user);
    addresses(of).into_iter().filter(is_its).collect()
}

/// Whose an address is.
pub(super) fn holder(of: &Path, address: Ipv4Addr) -> Option<Holder> {
    serde_json::from_slice(&fs::read(file(of, address)).ok()?).ok()
}

/// Takes an address that is free. The lock must be held.
pub(super) fn take(of: &Path, address: Ipv4Addr, holder: &Holder) -> Result<(), NetworkError> {
    let path = file(of, address);
    let text = serde_json::to_vec(holder).map_err(io::Error::from);
    text.and_then(|text| fs::write(&path, text))
        .map_err(io_error(format!("cannot write {}", path.display())))
}

/// Gives an address back. The lock must be held.
pub(super) fn give_back(of: &Path, address: Ipv4Addr) {
    let _ = fs::remove_file(file(of, address));
}

/// Takes an address; one that a task is just giving back is waited for.
pub(super) fn await_free(
    of: &Path,
    address: Ipv4Addr,
    wanted: &Holder,
) -> Result<(), NetworkError> {
    let mut looks = 0;
    loop {
        {
            let _lock = bridge::lock()?;
            match holder(of, address) {
                Some(other) if other != *wanted && other.user.exists() => {
                    if looks == LOOKS_MAX {
                        return Err(NetworkError::AddressTaken { address, holder: other.name() });
                    }
                }
                _ => return take(of, address, wanted),
            }
        }
        looks += 1;
        std::thread::sleep(LOOK_AGAIN);
    }
}
