//! What a folder holds of its disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `st_blocks` counts in these, whatever the disk has (`man 2 stat`).
const BLOCK_BYTES: u64 = 512;

/// The bytes of the disk that a folder and all in it take; what is mounted in it is not its own, and
/// what goes meanwhile is not counted. 0 if it is not there.
pub fn usage(folder: &Path) -> io::Result<u64> {
    let own = match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    let mut bytes = own.blocks() * BLOCK_BYTES;
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.dev() != own.dev() {
                continue;
            }
            // A file of several names is shared among them.
            let names = if found.is_dir() { 1 } else { found.nlink().max(1) };
            bytes += found.blocks() * BLOCK_BYTES / names;
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_count_by_what_they_take() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(usage(&folder.path().join("none")).unwrap(), 0);
        let before = usage(folder.path()).unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/file"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(folder.path().join("below/file"), folder.path().join("same")).unwrap();
        let hollow = fs::File::create(folder.path().join("hollow")).unwrap();
        hollow.set_len(1 << 30).unwrap();
        hollow.sync_all().unwrap();
        let grown = usage(folder.path()).unwrap() - before;
        assert!((1 << 20..3 << 19).contains(&grown), "{grown}");
    }
}
