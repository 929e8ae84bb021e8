//! One append-only file: a line a record, `<checksum in hex> <JSON>`.
//!
//! A torn last line is what a crash leaves of an unfinished write and is dropped; a bad line before
//! a good one is damage and an error. The file is written anew, beside, and renamed over when most
//! of it is out of date.

use std::io;
use std::path::Path;

use async_trait::async_trait;

use super::medium::{DiskFile, Medium};
use super::{Journal, JournalError};
use crate::engine::Record;

/// Below this size in bytes the file is never written anew.
const COMPACT_MIN_BYTES: u64 = 1024 * 1024;
/// The file is written anew when it has grown by this factor.
const COMPACT_FACTOR: u64 = 4;

/// The journal of one agent, as lines on a medium.
#[derive(Debug)]
pub struct LineJournal<M> {
    medium: M,
    /// Bytes after the last compaction, and now.
    base: u64,
    length: u64,
}

/// The journal of one agent on disk.
pub type FileJournal = LineJournal<DiskFile>;

impl FileJournal {
    /// Opens the journal at `path`, made if absent, and holds it until dropped.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (medium, length) = DiskFile::open(path)?;
        Ok(Self { medium, base: length, length })
    }
}

impl<M: Medium> LineJournal<M> {
    /// The journal on a medium, which nobody else writes.
    pub fn on(medium: M) -> Self {
        Self { medium, base: 0, length: 0 }
    }

    fn error(&self, action: &'static str, source: io::Error) -> JournalError {
        JournalError::of(action, self.medium.name(), source)
    }
}

#[async_trait]
impl<M: Medium> Journal for LineJournal<M> {
    async fn load(&mut self) -> Result<Vec<Record>, JournalError> {
        let bytes = self.medium.read().await.map_err(|source| self.error("read", source))?;
        let (records, good) = match parse(&bytes) {
            Ok(parsed) => parsed,
            Err(offset) => return Err(JournalError::Damaged { path: self.medium.name(), offset }),
        };
        // What a crash left of the last write goes, or the next record would be glued to it.
        self.medium.truncate(good).await.map_err(|source| self.error("mend", source))?;
        self.length = good;
        Ok(records)
    }

    async fn append(&mut self, records: Vec<Record>, durable: bool) -> Result<(), JournalError> {
        let bytes = encode(&records);
        self.length += bytes.len() as u64;
        let written = self.medium.append(bytes, durable).await;
        written.map_err(|source| self.error("write", source))
    }

    fn wants_compaction(&self) -> bool {
        self.length > COMPACT_MIN_BYTES.max(self.base.saturating_mul(COMPACT_FACTOR))
    }

    async fn compact(&mut self, records: Vec<Record>) -> Result<(), JournalError> {
        let bytes = encode(&records);
        let length = bytes.len() as u64;
        let replaced = self.medium.replace(bytes).await;
        replaced.map_err(|source| self.error("write anew", source))?;
        (self.base, self.length) = (length, length);
        Ok(())
    }
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let json = serde_json::to_vec(record).expect("records are plain JSON data");
        bytes.extend_from_slice(format!("{:016x} ", checksum(&json)).as_bytes());
        bytes.extend_from_slice(&json);
        bytes.push(b'\n');
    }
    bytes
}

/// The records and the length of the good part; the offset of a bad record before a good one.
fn parse(bytes: &[u8]) -> Result<(Vec<Record>, u64), u64> {
    let mut records = Vec::new();
    let mut good = 0;
    let mut bad = None;
    let mut offset = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        match parse_line(line) {
            Some(record) => {
                if let Some(at) = bad {
                    return Err(at);
                }
                records.push(record);
                good = offset + line.len() as u64;
            }
            None => _ = bad.get_or_insert(offset),
        }
        offset += line.len() as u64;
    }
    Ok((records, good))
}

fn parse_line(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = line.split_at_checked(17)?;
    let sum = std::str::from_utf8(sum.strip_suffix(b" ")?).ok()?;
    let sum = u64::from_str_radix(sum, 16).ok()?;
    (sum == checksum(json)).then(|| serde_json::from_slice(json).ok())?
}

/// FNV-1a, 64 bits: tells a torn or overwritten line from a whole one.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use nix::mount::{MntFlags, MsFlags, mount, umount2};

    use super::*;

    fn sequence(numbers: std::ops::Range<i64>) -> Vec<Record> {
        numbers.map(Record::Sequence).collect()
    }

    #[tokio::test]
    async fn records_come_back_after_any_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = FileJournal::open(&path).unwrap();
        assert_eq!(journal.load().await.unwrap(), []);
        journal.append(sequence(0..3), true).await.unwrap();
        journal.append(sequence(3..5), false).await.unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = FileJournal::open(&path).unwrap();
            let kept = journal.load().await.unwrap();
            assert_eq!(kept, sequence(0..kept.len() as i64));
            assert_eq!(kept.len(), whole[..cut].iter().filter(|&&byte| byte == b'\n').count());
            journal.append(sequence(100..101), true).await.unwrap();
            let mut again = sequence(0..kept.len() as i64);
            again.extend(sequence(100..101));
            assert_eq!(journal.load().await.unwrap(), again);
        }
    }

    /// A file system of a few pages that goes away with the test. As root.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn mount(size: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            // Not by a command: a fork would hold the locks of other tests' journals for a moment.
            let (kind, none) = (Some("tmpfs"), MsFlags::empty());
            mount(kind, folder.path(), kind, none, Some(size))
                .expect("tests of a full disk need root");
            Self(folder)
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_said_and_loses_nothing_acknowledged() {
        let disk = SmallDisk::mount("size=64k");
        let (path, ballast) = (disk.0.path().join("journal"), disk.0.path().join("ballast"));
        std::fs::write(&ballast, [0; 4096]).unwrap();
        let mut journal = FileJournal::open(&path).unwrap();
        let mut kept: i64 = 0;
        let error = loop {
            match journal.append(sequence(kept..kept + 10), true).await {
                Ok(()) => kept += 10,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
        assert!(kept > 0);
        let error = journal.compact(sequence(0..10_000)).await.unwrap_err();
        assert!(error.to_string().contains("longshore image prune"), "{error}");
        drop(journal);
        // Full as it is, the journal is read; with some room it goes on.
        let mut journal = FileJournal::open(&path).unwrap();
        let found = journal.load().await.unwrap();
        assert!(found.len() >= usize::try_from(kept).unwrap(), "acknowledged records are lost");
        assert_eq!(found, sequence(0..i64::try_from(found.len()).unwrap()));
        std::fs::remove_file(&ballast).unwrap();
        journal.append(sequence(0..1), true).await.unwrap();
        assert_eq!(journal.load().await.unwrap().len(), found.len() + 1);
    }

    #[tokio::test]
    async fn a_full_disk_has_room_for_the_journal() {
        let disk = SmallDisk::mount("size=8m");
        let path = disk.0.path().join("journal");
        let mut journal = FileJournal::open(&path).unwrap();
        let reserve = disk.0.path().join("journal.reserve");
        assert!(reserve.exists());
        let hog = disk.0.path().join("hog");
        let mut filled = Vec::new();
        while std::fs::write(&hog, &filled).is_ok() {
            filled.resize(filled.len() + 64 * 1024, 0);
        }
        for number in 0..100 {
            journal.append(sequence(number * 10..number * 10 + 10), number % 2 == 0).await.unwrap();
        }
        assert!(!reserve.exists(), "its room was given back");
        assert_eq!(journal.load().await.unwrap(), sequence(0..1000));
        std::fs::remove_file(&hog).unwrap();
        journal.compact(sequence(0..10)).await.unwrap();
        assert!(reserve.exists(), "with room, it is kept again");
    }

    #[tokio::test]
    async fn damage_before_a_good_record_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = FileJournal::open(&path).unwrap();
        journal.append(sequence(0..3), true).await.unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let mut journal = FileJournal::open(&path).unwrap();
        let error = journal.load().await.unwrap_err();
        assert!(matches!(error, JournalError::Damaged { offset: 0, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_compacted_journal_holds_the_new_records_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = FileJournal::open(&path).unwrap();
        journal.append(sequence(0..50), true).await.unwrap();
        journal.compact(sequence(7..8)).await.unwrap();
        journal.append(sequence(8..9), true).await.unwrap();
        assert!(matches!(FileJournal::open(&path), Err(JournalError::InUse { .. })));
        drop(journal);
        let mut journal = FileJournal::open(&path).unwrap();
        assert_eq!(journal.load().await.unwrap(), sequence(7..9));
    }
}
