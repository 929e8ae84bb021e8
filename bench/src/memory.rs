//! Memory of processes, from `/proc`.

use std::fs;
use std::path::{Path, PathBuf};

/// A process as `/proc` shows it.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: u32,
    /// Its parent's id.
    pub parent: u32,
    /// The file it runs.
    pub program: PathBuf,
}

/// All processes whose data can be read.
pub fn processes() -> Vec<Entry> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            let parent = field(&path.join("status"), "PPid:")? as u32;
            Some(Entry { id, parent, program: fs::read_link(path.join("exe")).ok()? })
        })
        .collect()
}

/// Resident memory in KiB.
pub fn rss_kib(id: u32) -> Option<u64> {
    field(Path::new(&format!("/proc/{id}/status")), "VmRSS:")
}

/// Memory in KiB with what is shared divided among those that share it.
pub fn pss_kib(id: u32) -> Option<u64> {
    field(Path::new(&format!("/proc/{id}/smaps_rollup")), "Pss:")
}

fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
