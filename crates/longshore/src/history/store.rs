//! The files of the history: a fjall database of its own, in segments by time.
//!
//! A segment is a keyspace named by its first instant. Keys: the subject's text, a zero byte, the
//! time, the revision and the number of the entry within it (8, 8 and 2 bytes, big endian); values
//! are entries as JSON. So one subject's entries stand together, in order, and what is too old
//! goes a whole segment at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use serde::{Deserialize, Serialize};
use terms::Timestamp;

/// The history takes at most about this much of the disk; the oldest segment goes first.
pub const HISTORY_MAX_BYTES: u64 = 4 << 30;
/// A segment that is larger is followed by a new one, as every day is.
const SEGMENT_MAX_BYTES: u64 = HISTORY_MAX_BYTES / 16;
/// How long a segment is written to.
const SEGMENT_MAX_TIME: Duration = Duration::from_secs(24 * 3600);
/// Memory for what is not yet in sorted files.
const MEMTABLE_BYTES: u64 = 4 << 20;
const CACHE_BYTES: u64 = 1 << 20;
/// The least that fjall takes.
const JOURNAL_BYTES: u64 = 64 << 20;
/// The most entries that one question is answered with; the newest are left out.
pub const ENTRIES_MAX: usize = 10_000;
/// The most subjects that a prefix may mean before it is refused.
const MATCHES_MAX: usize = 8;

const META: &str = "meta";
const POSITION: &[u8] = b"position";
const SEGMENT_PREFIX: &str = "from-";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The ledger's revision that it came with.
    pub revision: u64,
    /// The resource.
    pub arn: String,
    /// A word for scripts.
    pub what: String,
    /// A sentence for people.
    pub text: String,
    /// The transaction that did it.
    pub transaction: String,
    /// The request in whose name it ran.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<Request>,
}

impl Entry {
    /// Whether it was written by the server that led then, which knows what the change was made for.
    pub fn is_of_leader(&self) -> bool {
        !self.transaction.is_empty() && self.transaction != ledger::REPLICATED
    }
}

/// A request as a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its id.
    pub id: String,
    /// Service and operation, as in `ecs:RunTask`.
    pub operation: String,
    /// The caller's ARN.
    pub caller: String,
}

/// What a history is of: `task/<id>`, `instance/<id>`, `cluster/<ARN>` or `service/<ARN>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject(String);

impl Subject {
    /// The subject that an ARN names, if it is a task's, an instance's, a cluster's or a service's.
    pub fn of_arn(arn: &str) -> Option<Self> {
        let resource = arn.splitn(6, ':').nth(5)?;
        let (kind, rest) = resource.split_once('/')?;
        let id = rest.rsplit('/').next().filter(|id| !id.is_empty())?;
        match kind {
            "task" => Some(Self(format!("task/{id}"))),
            "container-instance" => Some(Self(format!("instance/{id}"))),
            "cluster" | "service" => Some(Self(format!("{kind}/{arn}"))),
            _ => None,
        }
    }

    /// Subjects whose ids begin so may be meant.
    pub fn prefixes(id: &str) -> [String; 2] {
        [format!("task/{id}"), format!("instance/{id}")]
    }

    /// Its kind and id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn key(&self, entry: &Entry, number: u16) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.0.len() + 19);
        key.extend_from_slice(self.0.as_bytes());
        key.push(0);
        key.extend_from_slice(&entry.at.max(0).to_be_bytes());
        key.extend_from_slice(&entry.revision.to_be_bytes());
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    fn start(&self, since: Timestamp) -> Vec<u8> {
        let mut key = [self.0.as_bytes(), &[0]].concat();
        key.extend_from_slice(&since.millis().max(0).to_be_bytes());
        key
    }

    fn end(&self) -> Vec<u8> {
        [self.0.as_bytes(), &[1]].concat()
    }
}

/// The history of one server.
pub struct HistoryStore {
    /// None after it could not be opened again.
    open: Option<Open>,
    folder: PathBuf,
    retention: Duration,
}

struct Open {
    /// By their first instant.
    segments: BTreeMap<i64, Keyspace>,
    meta: Keyspace,
    database: Database,
}

impl HistoryStore {
    /// Opens the history in a folder, or begins one.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: &Path, retention: Duration) -> Result<Self> {
        let open = Some(Open::of(folder)?);
        Ok(Self { open, folder: folder.to_owned(), retention })
    }

    /// Opens the files anew, after a write that failed: the database takes none after that, though
    /// the disk may have room again.
    ///
    /// # Errors
    /// If the folder cannot be used; it may be tried again.
    pub fn reopen(&mut self) -> Result<()> {
        // The old one holds the folder's lock.
        self.open = None;
        self.open = Some(Open::of(&self.folder)?);
        Ok(())
    }

    fn opened(&self) -> Result<&Open> {
        self.open.as_ref().context("the history's files are not open")
    }

    /// The ledger's revision up to which everything is here; none if nothing ever was.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn position(&self) -> Result<Option<u64>> {
        let bytes = self.opened()?.meta.get(POSITION)?;
        Ok(bytes.and_then(|bytes| Some(u64::from_be_bytes((*bytes).try_into().ok()?))))
    }

    /// Adds entries, and with them that everything up to `position` is here: both or neither. What
    /// the machine's own crash takes back, the recorder finds again.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub fn append(&mut self, entries: &[Entry], position: u64, now: Timestamp) -> Result<()> {
        let retention = self.retention;
        let open = self.open.as_mut().context("the history's files are not open")?;
        open.append(entries, position, now, retention)
    }

    /// Drops the segments that are old, or too much.
    ///
    /// # Errors
    /// If the disk cannot be written.
    pub fn prune(&mut self, now: Timestamp) -> Result<()> {
        let retention = self.retention;
        self.open.as_mut().map_or(Ok(()), |open| open.prune(now, retention))
    }

    /// What is on the disk, without the journal.
    pub fn bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, Open::bytes)
    }

    /// The first instant of the oldest segment.
    pub fn since(&self) -> Option<Timestamp> {
        self.open.as_ref()?.segments.keys().next().copied().map(Timestamp::from_millis)
    }

    /// The entries of a subject from `since` on, the oldest first, at most [`ENTRIES_MAX`].
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn entries(&self, subject: &Subject, since: Timestamp) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for segment in self.opened()?.segments.values() {
            for row in segment.range(subject.start(since)..subject.end()) {
                let (_, value) = row.into_inner()?;
                entries.push(serde_json::from_slice(&value)?);
                if entries.len() == ENTRIES_MAX {
                    return Ok(entries);
                }
            }
        }
        Ok(entries)
    }

    /// The tasks and instances whose ids begin so; one more than [`MATCHES_MAX`] if there are more.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn matches(&self, id: &str) -> Result<Vec<Subject>> {
        let mut found = std::collections::BTreeSet::new();
        for (segment, prefix) in self.opened()?.segments.values().flat_map(|segment| {
            Subject::prefixes(id).into_iter().map(move |prefix| (segment, prefix))
        }) {
            let mut from = prefix.clone().into_bytes();
            while found.len() <= MATCHES_MAX {
                let Some(row) = segment.range(from..).next() else { break };
                let (key, _) = row.into_inner()?;
                let name = key.split(|&byte| byte == 0).next().unwrap_or_default();
                let Ok(name) = std::str::from_utf8(name) else { break };
                if !name.starts_with(&prefix) {
                    break;
                }
                let subject = Subject(name.to_owned());
                from = subject.end();
                found.insert(subject);
            }
        }
        Ok(found.into_iter().collect())
    }
}

impl Open {
    fn of(folder: &Path) -> Result<Self> {
        let database = Database::builder(folder)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .open()
            .with_context(|| format!("opening the history in {}", folder.display()))?;
        let meta = database.keyspace(META, options)?;
        let mut segments = BTreeMap::new();
        for name in database.list_keyspace_names() {
            let start = name.strip_prefix(SEGMENT_PREFIX).and_then(|start| start.parse().ok());
            if let Some(start) = start {
                segments.insert(start, database.keyspace(&name, options)?);
            }
        }
        Ok(Self { segments, meta, database })
    }

    fn append(
        &mut self,
        entries: &[Entry],
        position: u64,
        now: Timestamp,
        retention: Duration,
    ) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        if !entries.is_empty() {
            let segment = self.segment(now, retention)?;
            for (number, entry) in entries.iter().enumerate() {
                let Some(subject) = Subject::of_arn(&entry.arn) else { continue };
                let number = u16::try_from(number % usize::from(u16::MAX)).unwrap_or_default();
                let value = serde_json::to_vec(entry)?;
                batch.insert(&segment, subject.key(entry, number), value);
            }
        }
        batch.insert(&self.meta, POSITION, position.to_be_bytes());
        Ok(batch.commit()?)
    }

    /// The segment that is written to.
    fn segment(&mut self, now: Timestamp, retention: Duration) -> Result<Keyspace> {
        if let Some((start, segment)) = self.segments.last_key_value() {
            let is_young = now.since(Timestamp::from_millis(*start)) < SEGMENT_MAX_TIME;
            if is_young && segment.disk_space() < SEGMENT_MAX_BYTES {
                return Ok(segment.clone());
            }
        }
        self.prune(now, retention)?;
        let start = now.millis();
        let segment = self.database.keyspace(&format!("{SEGMENT_PREFIX}{start}"), options)?;
        self.segments.insert(start, segment.clone());
        Ok(segment)
    }

    fn prune(&mut self, now: Timestamp, retention: Duration) -> Result<()> {
        while self.segments.len() > 1 {
            // A segment ends where the next begins.
            let ends = self.segments.keys().nth(1).copied().map(Timestamp::from_millis);
            let is_old = ends.is_some_and(|ends| now.since(ends) >= retention);
            if !is_old && self.bytes() <= HISTORY_MAX_BYTES {
                return Ok(());
            }
            if let Some((_, segment)) = self.segments.pop_first() {
                self.database.delete_keyspace(segment)?;
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(Keyspace::disk_space).sum()
    }
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TASK: &str =
        "arn:aws:ecs:us-east-1:000000000000:task/default/5f3b2a1c4d5e6f708192a3b4c5d6e7f8";
    const DAY_MS: i64 = 24 * 3_600_000;

    fn entry(arn: &str, at: i64, revision: u64) -> Entry {
        let text = format!("at {revision}");
        let (arn, what, transaction) = (arn.to_owned(), "status".to_owned(), "test".to_owned());
        Entry { at, revision, arn, what, text, transaction, request: None }
    }

    fn revisions(store: &HistoryStore, since: i64) -> Vec<u64> {
        let subject = Subject::of_arn(TASK).unwrap();
        let entries = store.entries(&subject, Timestamp::from_millis(since)).unwrap();
        entries.into_iter().map(|entry| entry.revision).collect()
    }

    #[test]
    fn entries_and_the_position_outlive_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let open = || HistoryStore::open(folder.path(), Duration::from_secs(3600)).unwrap();
        let mut store = open();
        assert_eq!(store.position().unwrap(), None);
        let other = TASK.replace("5f3b", "5f3c");
        let both = [entry(TASK, 10, 1), entry(&other, 10, 1), entry(TASK, 10, 2)];
        store.append(&both, 7, Timestamp::from_millis(10)).unwrap();
        drop(store);
        let store = open();
        assert_eq!(store.position().unwrap(), Some(7));
        assert_eq!(revisions(&store, 0), [1, 2]);
        assert_eq!(revisions(&store, 11), [0; 0]);
        assert_eq!(store.matches("5f3").unwrap().len(), 2);
        assert_eq!(store.matches("5f3b").unwrap(), [Subject::of_arn(TASK).unwrap()]);
    }

    #[test]
    fn files_are_opened_anew_while_the_process_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("history");
        let mut store = HistoryStore::open(&inner, Duration::from_secs(3600)).unwrap();
        store.append(&[entry(TASK, 10, 1)], 1, Timestamp::from_millis(10)).unwrap();
        // What is in the way: tried again, and it works once that is gone.
        let aside = folder.path().join("aside");
        std::fs::rename(&inner, &aside).unwrap();
        std::fs::write(&inner, "").unwrap();
        assert!(store.reopen().is_err() && store.position().is_err());
        assert!(store.append(&[], 2, Timestamp::from_millis(20)).is_err());
        std::fs::remove_file(&inner).unwrap();
        std::fs::rename(&aside, &inner).unwrap();
        store.reopen().unwrap();
        assert_eq!(store.position().unwrap(), Some(1));
        store.append(&[entry(TASK, 20, 2)], 2, Timestamp::from_millis(20)).unwrap();
        assert_eq!(revisions(&store, 0), [1, 2]);
    }

    #[test]
    fn old_segments_go() {
        let folder = tempfile::tempdir().unwrap();
        let retention = Duration::from_secs(3 * 24 * 3600);
        let mut store = HistoryStore::open(folder.path(), retention).unwrap();
        for day in 0..10 {
            let at = day * DAY_MS;
            let now = Timestamp::from_millis(at);
            store.append(&[entry(TASK, at, day as u64)], day as u64, now).unwrap();
        }
        store.prune(Timestamp::from_millis(9 * DAY_MS)).unwrap();
        let left = revisions(&store, 0);
        assert_eq!(left, (6..10).collect::<Vec<_>>(), "{left:?}");
    }

    #[test]
    fn subjects_are_tasks_instances_and_clusters() {
        let check = |arn: &str, expected: Option<&str>| {
            let subject = Subject::of_arn(arn);
            assert_eq!(subject.as_ref().map(Subject::as_str), expected, "{arn}");
        };
        let ours = "arn:aws:ecs:us-east-1:000000000000:";
        check(TASK, Some("task/5f3b2a1c4d5e6f708192a3b4c5d6e7f8"));
        check(&format!("{ours}container-instance/default/ab"), Some("instance/ab"));
        let cluster = format!("{ours}cluster/default");
        check(&cluster, Some(&format!("cluster/{cluster}")));
        check(&format!("{ours}task-definition/web:1"), None);
        check("web", None);
    }
}
