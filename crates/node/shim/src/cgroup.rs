//! The cgroups of one container or task, in version 1 (one tree a controller) and version 2.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the kernel's cgroup trees are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hierarchies {
    /// Version 1, hybrid included: each controller with its mount point.
    V1(Vec<(String, PathBuf)>),
    /// Version 2: one tree.
    V2(PathBuf),
}

/// How often a cgroup is tried to be emptied before giving up.
const KILL_ROUNDS_MAX: u32 = 100;

/// Controllers of version 1 in which containers are put; `name=systemd` is left to systemd.
const V1_CONTROLLERS: &[&str] = &[
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "pids",
    "blkio",
    "devices",
    "freezer",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
];

impl Hierarchies {
    /// Reads them from `/proc/self/mountinfo`.
    ///
    /// # Errors
    /// Fails if it cannot be read, or no cgroup tree is mounted.
    pub fn detect() -> io::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/self/mountinfo")?).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "no cgroups are mounted; mount /sys/fs/cgroup, as every init system does",
            )
        })
    }

    fn parse(mountinfo: &str) -> Option<Self> {
        let mut v1 = Vec::new();
        let mut v2 = None;
        for line in mountinfo.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let Some(mount_point) = place.split(' ').nth(4) else { continue };
            let mut kind = kind.split(' ');
            match (kind.next(), kind.nth(1)) {
                (Some("cgroup2"), _) => v2 = v2.or(Some(PathBuf::from(mount_point))),
                (Some("cgroup"), Some(options)) => {
                    for controller in options.split(',').filter(|o| V1_CONTROLLERS.contains(o)) {
                        if !v1.iter().any(|(known, _)| known == controller) {
                            v1.push((controller.to_owned(), PathBuf::from(mount_point)));
                        }
                    }
                }
                _ => {}
            }
        }
        if v1.iter().any(|(controller, _)| controller == "memory") {
            return Some(Self::V1(v1));
        }
        v2.map(Self::V2)
    }

    /// The directories of a cgroup, one a tree.
    pub fn directories(&self, cgroup: &str) -> Vec<PathBuf> {
        let below = cgroup.trim_start_matches('/');
        match self {
            Self::V2(mount) => vec![mount.join(below)],
            Self::V1(trees) => {
                let mut all: Vec<PathBuf> = trees.iter().map(|(_, m)| m.join(below)).collect();
                all.sort();
                all.dedup();
                all
            }
        }
    }

    /// The directory where one controller's files are; none if it is not there (version 1).
    pub fn directory(&self, controller: &str, cgroup: &str) -> Option<PathBuf> {
        let below = cgroup.trim_start_matches('/');
        match self {
            Self::V2(mount) => Some(mount.join(below)),
            Self::V1(trees) => {
                trees.iter().find(|(name, _)| name == controller).map(|(_, m)| m.join(below))
            }
        }
    }

    /// Puts a process into a cgroup; trees in which it does not exist are passed over.
    ///
    /// # Errors
    /// Fails if the kernel refuses.
    pub fn join(&self, cgroup: &str, pid: i32) -> io::Result<()> {
        for directory in self.directories(cgroup) {
            match fs::write(directory.join("cgroup.procs"), pid.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The processes in a cgroup itself, those of the cgroups below it not counted.
    pub fn processes(&self, cgroup: &str) -> Vec<i32> {
        let mut all = Vec::new();
        for directory in self.directories(cgroup) {
            let Ok(text) = fs::read_to_string(directory.join("cgroup.procs")) else { continue };
            all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|p| *p > 0));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How many processes of a cgroup the kernel killed for want of memory.
    pub fn oom_kills(&self, cgroup: &str) -> u64 {
        let Some(directory) = self.directory("memory", cgroup) else { return 0 };
        let name = match self {
            Self::V1(_) => "memory.oom_control",
            Self::V2(_) => "memory.events",
        };
        fs::read_to_string(directory.join(name))
            .ok()
            .and_then(|text| field(&text, "oom_kill"))
            .unwrap_or(0)
    }

    /// Kills every process of a cgroup with `kill`, again and again until none is left; processes
    /// that cannot be killed at once (in the kernel, or not yet reaped) end it after a while.
    /// Says whether the cgroup is empty.
    pub fn kill_all(&self, cgroup: &str, kill: impl Fn(i32), pause: impl Fn()) -> bool {
        for _ in 0..KILL_ROUNDS_MAX {
            let processes = self.processes(cgroup);
            if processes.is_empty() {
                return true;
            }
            processes.into_iter().for_each(&kill);
            pause();
        }
        self.processes(cgroup).is_empty()
    }

    /// Removes a cgroup and those below it, in every tree. What is not there is success.
    ///
    /// # Errors
    /// Fails if a process is still in one.
    pub fn remove(&self, cgroup: &str) -> io::Result<()> {
        for directory in self.directories(cgroup) {
            remove_tree(&directory)?;
        }
        Ok(())
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => {}
    }
    if let Ok(entries) = fs::read_dir(directory) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&entry.path())?;
            }
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The number after `name` in a text of lines `name number`.
pub fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn trees_are_found_in_mountinfo() {
        let hybrid = "25 24 0:21 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      26 24 0:22 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
                      27 24 0:23 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,name=systemd\n\
                      28 24 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = Hierarchies::parse(hybrid).unwrap();
        assert_eq!(
            found.directories("/ecs/t"),
            [PathBuf::from("/sys/fs/cgroup/cpu/ecs/t"), "/sys/fs/cgroup/memory/ecs/t".into()]
        );
        let unified = "25 24 0:21 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(Hierarchies::parse(unified), Some(Hierarchies::V2("/sys/fs/cgroup".into())));
        assert_eq!(Hierarchies::parse("1 0 8:1 / / rw - ext4 /dev/root rw\n"), None);
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), Some(3));
        assert_eq!(field(text, "oom"), None);
    }
}
