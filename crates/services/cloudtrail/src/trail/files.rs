//! The files that are written: one at a time, the oldest dropped when they are old or too much.
//!
//! They are named by the number of their first line, so that their order is that of their names.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use terms::Timestamp;

use super::TrailError;
use super::chain::{Head, parts};

/// A file that is larger is followed by a new one, in bytes.
const FILE_MAX_BYTES: u64 = 16 << 20;
/// What a file's name ends with.
const ENDING: &str = ".trail";

/// The files of a folder by the numbers of their first lines.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn list(folder: &Path) -> Result<BTreeMap<u64, PathBuf>, TrailError> {
    let what = || format!("reading the folder {}", folder.display());
    let entries = fs::read_dir(folder).map_err(TrailError::io(what()))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(TrailError::io(what()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(ENDING).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            found.insert(number, entry.path());
        }
    }
    Ok(found)
}

/// How much may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

/// A file and how much is in it.
struct Open {
    file: File,
    path: PathBuf,
    bytes: u64,
}

/// The files as their writer has them.
pub(super) struct Files {
    folder: PathBuf,
    limits: Limits,
    head: Head,
    open: Option<Open>,
    /// Bytes, and when the last line was written, of the files before the open one.
    closed: BTreeMap<u64, (u64, Timestamp)>,
}

/// What was found when files were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The number of the last line; zero if there is none.
    pub(super) last: u64,
    /// Bytes of a line that was not written to its end, and was cut off.
    pub(super) cut_bytes: u64,
}

impl Files {
    /// Opens the files of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder or its last file cannot be read or written.
    pub(super) fn open(
        folder: &Path,
        limits: Limits,
        now: Timestamp,
    ) -> Result<(Self, Found), TrailError> {
        let what = || format!("making the folder {}", folder.display());
        fs::create_dir_all(folder).map_err(TrailError::io(what()))?;
        let mut closed = BTreeMap::new();
        let listed = list(folder)?;
        for (number, path) in &listed {
            let about = fs::metadata(path).map_err(TrailError::io(reading(path)))?;
            closed.insert(*number, (about.len(), modified(&about).unwrap_or(now)));
        }
        let (mut head, mut cut_bytes) = (Head::BEGINNING, 0);
        let mut open = None;
        if let Some((number, path)) = listed.last_key_value() {
            let text = fs::read(path).map_err(TrailError::io(reading(path)))?;
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            cut_bytes = (text.len() - whole) as u64;
            // One without a whole first line was begun and no more: it is made anew.
            match last_head(&text[..whole]) {
                Some(found) => {
                    head = found;
                    let file = OpenOptions::new().append(true).open(path);
                    let file = file.map_err(TrailError::io(writing(path)))?;
                    file.set_len(whole as u64).map_err(TrailError::io(writing(path)))?;
                    open = Some(Open { file, path: path.clone(), bytes: whole as u64 });
                }
                None if closed.len() == 1 => {
                    fs::remove_file(path).map_err(TrailError::io(writing(path)))?;
                }
                None => {
                    let text = "the last file has no line that can be gone on from; move it away";
                    let file = path.display().to_string();
                    return Err(TrailError::Broken { file, line: 1, what: text.to_owned() });
                }
            }
            closed.remove(number);
        }
        let found = Found { last: head.next - 1, cut_bytes };
        Ok((Self { folder: folder.to_owned(), limits, head, open, closed }, found))
    }

    /// The number of the next line.
    pub(super) fn next(&self) -> u64 {
        self.head.next
    }

    /// Adds records; all of them or, after an error, an unknown part, of which the next try writes
    /// what is missing.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) -> Result<(), TrailError> {
        if self.open.as_ref().is_none_or(|open| open.bytes >= FILE_MAX_BYTES) {
            self.begin_file(now)?;
        }
        let (mut head, mut text) = (self.head, String::new());
        records.for_each(|record| head.write(record, &mut text));
        let Some(open) = &mut self.open else { return Ok(()) };
        let written = open.file.write_all(text.as_bytes());
        if let Err(source) = written {
            // What was written of it goes: the next try begins where this one did.
            let _ = open.file.set_len(open.bytes);
            return Err(TrailError::Io { what: writing(&open.path), source });
        }
        open.bytes += text.len() as u64;
        self.head = head;
        Ok(())
    }

    /// Has the disk take what was written.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn sync(&self) -> Result<(), TrailError> {
        let Some(open) = &self.open else { return Ok(()) };
        open.file.sync_data().map_err(TrailError::io(writing(&open.path)))
    }

    /// Drops files that are old, or too much; tells the number of the first line that is left, if any
    /// went.
    ///
    /// # Errors
    /// If one cannot be removed.
    pub(super) fn prune(&mut self, now: Timestamp) -> Result<Option<u64>, TrailError> {
        let mut went = false;
        while let Some((number, (_, written_at))) = self.closed.first_key_value() {
            let open = self.open.as_ref().map_or(0, |open| open.bytes);
            let bytes: u64 = open + self.closed.values().map(|(bytes, _)| bytes).sum::<u64>();
            if now.since(*written_at) < self.limits.age && bytes <= self.limits.bytes {
                break;
            }
            let path = self.path(*number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(TrailError::io(writing(&path)))?,
            }
            self.closed.pop_first();
            went = true;
        }
        let first = self.closed.keys().next().copied();
        Ok(went.then(|| first.unwrap_or(self.head.next)))
    }

    fn path(&self, number: u64) -> PathBuf {
        // Wide enough that the order of names is that of numbers.
        self.folder.join(format!("{number:020}{ENDING}"))
    }

    fn begin_file(&mut self, now: Timestamp) -> Result<(), TrailError> {
        if let Some(open) = &self.open {
            open.file.sync_data().map_err(TrailError::io(writing(&open.path)))?;
        }
        let path = self.path(self.head.next);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let mut file = file.map_err(TrailError::io(writing(&path)))?;
        let heading = self.head.heading();
        let write = file.set_len(0).and_then(|()| file.write_all(heading.as_bytes()));
        write.map_err(TrailError::io(writing(&path)))?;
        let bytes = heading.len() as u64;
        if let Some(before) = self.open.replace(Open { file, path, bytes }) {
            let name = before.path.file_name().map(|name| name.to_string_lossy().into_owned());
            let number = name.and_then(|name| name.strip_suffix(ENDING)?.parse().ok());
            if let Some(number) = number {
                self.closed.insert(number, (before.bytes, now));
            }
        }
        Ok(())
    }
}

/// Where a file's last line leaves the chain; its heading if it has no line yet.
fn last_head(text: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(text).ok()?;
    let first = Head::of_heading(text.lines().next()?)?;
    match text.lines().skip(1).last() {
        None => Some(first),
        Some(line) => {
            let (hash, number, _) = parts(line)?;
            Some(Head { next: number + 1, hash })
        }
    }
}

fn modified(about: &fs::Metadata) -> Option<Timestamp> {
    let since = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

fn reading(path: &Path) -> String {
    format!("reading {}", path.display())
}

fn writing(path: &Path) -> String {
    format!("writing {}", path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::verify;
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1 << 30, age: Duration::from_secs(3600) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_line_that_was_cut_short_goes_and_the_chain_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, found) = Files::open(folder.path(), LIMITS, at(0)).unwrap();
        assert_eq!(found, Found { last: 0, cut_bytes: 0 });
        files.append(["{}", "{}"].into_iter(), at(0)).unwrap();
        drop(files);
        let path = list(folder.path()).unwrap().pop_first().unwrap().1;
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"0011 3 {\"half").unwrap();
        let (mut files, found) = Files::open(folder.path(), LIMITS, at(0)).unwrap();
        assert_eq!(found, Found { last: 2, cut_bytes: 13 });
        files.append(["{}"].into_iter(), at(0)).unwrap();
        assert_eq!(verify(folder.path()).unwrap().lines, 3);
    }

    #[test]
    fn files_that_are_old_go_and_the_rest_still_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = Files::open(folder.path(), LIMITS, at(0)).unwrap();
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        for hour in 0..3 {
            for _ in 0..17 {
                files.append([long.as_str()].into_iter(), at(hour * 3600)).unwrap();
            }
        }
        assert_eq!(list(folder.path()).unwrap().len(), 4);
        assert_eq!(files.prune(at(1)).unwrap(), None);
        let first = files.prune(at(3600 + 1800)).unwrap().unwrap();
        assert!(first > 1, "{first}");
        let left = verify(folder.path()).unwrap();
        assert_eq!((left.first, left.last), (first, 51));
        // And for their size.
        let small = Limits { bytes: 20 << 20, age: Duration::from_secs(1 << 30) };
        drop(files);
        let (mut files, _) = Files::open(folder.path(), small, at(0)).unwrap();
        assert!(files.prune(at(0)).unwrap().is_some());
        assert!(verify(folder.path()).unwrap().lines < 34);
    }
}
