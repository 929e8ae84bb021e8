//! Reads the files that a shim writes for somebody who sends them on, by the places of their lines
//! (`shim::Keep::Unsent`): whatever a file is called meanwhile, a line is found again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::lines::{Entry, Source};

/// Older files that are looked at: the shim keeps fewer.
const FILES_MAX: u32 = 16;
/// How much is read of a file at once: more than the longest line, which is 16 KiB before JSON
/// makes up to six bytes of each.
const CHUNK_BYTES: usize = 256 * 1024;
/// How a file's first line begins.
const PLACE: &[u8] = b"{\"n\":";

/// A line as the shim writes it.
#[derive(Deserialize)]
struct Written {
    log: String,
    stream: Source,
    time: String,
}

/// A container's output, from a place on.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    /// The place of the next line.
    position: u64,
    /// The current file when it was last read to its end: inode and length.
    seen: Option<(u64, u64)>,
}

/// A file, the place of its first line, and whether it is the current one.
struct Part {
    file: File,
    base: u64,
    length: u64,
    is_current: bool,
}

impl Spool {
    /// The output in `path` and the older files beside it, from `position` on.
    pub fn new(path: &Path, position: u64) -> Self {
        Self { path: path.to_owned(), position, seen: None }
    }

    /// The place of the next line to be read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Whether there may be something new; cheap.
    pub fn has_changed(&self) -> bool {
        match std::fs::metadata(&self.path) {
            Ok(found) => self.seen != Some((found.ino(), found.len())),
            // Between two files, or not begun.
            Err(_) => self.seen.is_some(),
        }
    }

    /// The next lines, about as many as `most` bytes have; none at the end.
    ///
    /// # Errors
    /// As the files do.
    pub fn read(&mut self, most: usize) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut taken = 0;
        while taken < most {
            let Some(mut part) = self.find()? else { break };
            let before = self.position;
            let at_end = self.read_part(&mut part, &mut entries)?;
            taken += (self.position - before) as usize;
            if !at_end {
                continue;
            }
            if part.is_current {
                let read = self.position - part.base;
                self.seen = Some((part.file.metadata()?.ino(), read));
                break;
            }
            // What is left of an older file is no line and never will be.
            self.position = self.position.max(part.base + part.length);
        }
        Ok(entries)
    }

    /// Reads a chunk; whether the file's last whole line was in it.
    fn read_part(&mut self, part: &mut Part, entries: &mut Vec<Entry>) -> io::Result<bool> {
        part.file.seek(SeekFrom::Start(self.position - part.base))?;
        let mut bytes = Vec::with_capacity(CHUNK_BYTES.min(8192));
        let count = (&part.file).take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut at = self.position;
        for line in bytes[..whole].split_inclusive(|byte| *byte == b'\n') {
            let end = at + line.len() as u64;
            if let Ok(written) = serde_json::from_slice::<Written>(line) {
                let at_ns = nanoseconds(&written.time).unwrap_or_default();
                let (text, source) = (written.log, written.stream);
                entries.push(Entry { at_ns, source, text, start: at, end });
            }
            at = end;
        }
        self.position = at;
        // A chunk without an end of a line is nothing that a shim writes.
        Ok(count < CHUNK_BYTES || whole == 0)
    }

    /// The file that has the next place, if there is something in it.
    fn find(&mut self) -> io::Result<Option<Part>> {
        let mut newer: Option<Part> = None;
        for age in 0..FILES_MAX {
            let part = match open(&self.path, age) {
                Ok(Some(part)) => part,
                // It may be between two names, or empty still.
                Ok(None) if age == 0 => continue,
                Ok(None) => break,
                Err(error) => return Err(error),
            };
            if part.base > self.position {
                newer = Some(part);
                continue;
            }
            if self.position < part.base + part.length {
                return Ok(Some(part));
            }
            break;
        }
        if let Some(newer) = &newer {
            // Nothing is between them, unless a disk was full or somebody took a file away.
            self.position = newer.base;
        }
        Ok(newer)
    }
}

fn open(path: &Path, age: u32) -> io::Result<Option<Part>> {
    let path = match age {
        0 => path.to_owned(),
        _ => {
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{age}"));
            PathBuf::from(name)
        }
    };
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let length = file.metadata()?.len();
    let mut head = [0; 32];
    let count = file.read(&mut head)?;
    let digits = head[..count].strip_prefix(PLACE).unwrap_or_default();
    let digits = digits.split(|byte| *byte == b',').next().unwrap_or_default();
    let base = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Ok(base.map(|base| Part { file, base, length, is_current: age == 0 }))
}

/// Nanoseconds since 1970 of `2026-01-02T03:04:05.678901234Z`.
fn nanoseconds(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = whole.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let digits = fraction.get(..9).unwrap_or(fraction);
    let scale = 10_i64.checked_pow(9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?)?;
    let nanos = digits.parse::<i64>().ok()? * scale;
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Days since the epoch of a day in the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(base: Option<u64>, text: &str) -> String {
        let place = base.map_or(String::new(), |base| format!("\"n\":{base},"));
        format!(
            "{{{place}\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.000000001Z\"}}\n"
        )
    }

    fn texts(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.text.trim_end()).collect()
    }

    #[test]
    fn lines_are_found_by_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.json");
        let mut spool = Spool::new(&path, 0);
        assert!(spool.read(1 << 20).unwrap().is_empty());
        let first = format!("{}{}", line(Some(0), "a"), line(None, "b"));
        std::fs::write(&path, &first).unwrap();
        assert!(spool.has_changed());
        let entries = spool.read(1 << 20).unwrap();
        assert_eq!(texts(&entries), ["a", "b"]);
        assert_eq!(entries[0].at_ns, 1_767_323_045_000_000_001);
        assert_eq!((entries[0].start, entries[1].end), (0, first.len() as u64));
        assert!(!spool.has_changed());
        // The half of a line is no line yet, and a file that was turned over is read to its end.
        let whole = format!("{first}{}", line(None, "c"));
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        assert!(spool.read(1 << 20).unwrap().is_empty());
        std::fs::write(&path, &whole).unwrap();
        std::fs::rename(&path, folder.path().join("output.json.1")).unwrap();
        let base = whole.len() as u64;
        std::fs::write(&path, line(Some(base), "d")).unwrap();
        assert_eq!(texts(&spool.read(1 << 20).unwrap()), ["c", "d"]);
        // Another reader goes on where this one began.
        let mut other = Spool::new(&path, entries[1].start);
        assert_eq!(texts(&other.read(1 << 20).unwrap()), ["b", "c", "d"]);
        assert_eq!(other.position(), spool.position());
    }

    #[test]
    fn a_bounded_read_comes_to_all_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output.json");
        let mut base = 0;
        for (age, part) in [(2, 0..200), (1, 200..300), (0, 300..305)] {
            let text: String = part
                .enumerate()
                .map(|(n, number)| line((n == 0).then_some(base), &number.to_string()))
                .collect();
            base += text.len() as u64;
            let name =
                if age == 0 { "output.json".to_owned() } else { format!("output.json.{age}") };
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut spool = Spool::new(&path, 0);
        let mut all = Vec::new();
        loop {
            let entries = spool.read(1).unwrap();
            if entries.is_empty() {
                break;
            }
            all.extend(entries);
        }
        let expected: Vec<String> = (0..305).map(|number| number.to_string()).collect();
        assert_eq!(texts(&all), expected);
        // What was taken away is passed over.
        std::fs::remove_file(folder.path().join("output.json.2")).unwrap();
        assert_eq!(Spool::new(&path, 0).read(1 << 20).unwrap().len(), 105);
    }
}
