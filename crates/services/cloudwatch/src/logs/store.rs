//! Log events and streams on disk: a fjall database of its own (decision 0048).
//!
//! `streams` holds a row for each stream, under the id of its group's incarnation, so that a
//! group that is deleted and made again begins empty. Events lie in segments by when they came,
//! which end at a size; the oldest goes when there are too many. Within a segment a stream's
//! events stand together: stream, timestamp, sequence, each eight bytes, big endian.
//!
//! **Invariant:** what was acknowledged is on the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

/// All events take about this much of the disk at most; the oldest go first.
pub const LOGS_MAX_BYTES: u64 = 8 << 30;
/// A segment that is larger is followed by a new one.
const SEGMENT_MAX_BYTES: u64 = LOGS_MAX_BYTES / 16;
/// Memory for what is not yet in sorted files.
const MEMTABLE_BYTES: u64 = 8 << 20;
const CACHE_BYTES: u64 = 8 << 20;
/// The least that fjall takes.
const JOURNAL_BYTES: u64 = 64 << 20;
const SEGMENT_PREFIX: &str = "events-";
const NEXT: &[u8] = b"next";

/// The disk failed, or what is on it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The files cannot be used.
    #[error("the log store cannot be read or written")]
    Files(#[from] fjall::Error),
    /// A row is damaged.
    #[error("a row of the log store does not decode")]
    Row(#[from] serde_json::Error),
}

/// The identity of a group from its making to its deletion.
pub(crate) type GroupId = [u8; 16];

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// What its events are found by.
    pub(crate) id: u64,
    /// When it was made, in milliseconds since 1970, as all times here.
    pub(crate) created_at: i64,
    /// The earliest timestamp.
    pub(crate) first_at: Option<i64>,
    /// The latest timestamp.
    pub(crate) last_at: Option<i64>,
    /// When events came last.
    pub(crate) ingested_at: Option<i64>,
}

/// A place among a stream's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The event's timestamp.
    pub(crate) at: i64,
    /// Its number among all events that ever came.
    pub(crate) sequence: u64,
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEvent {
    /// Where it stands.
    pub(crate) position: Position,
    /// When it came.
    pub(crate) ingested_at: i64,
    /// What it says.
    pub(crate) message: String,
}

/// The files.
pub struct LogStore {
    database: Database,
    streams: Keyspace,
    meta: Keyspace,
    segments: RwLock<BTreeMap<u64, Keyspace>>,
    /// What the next stream, event or segment gets; held while a batch is put together.
    next: Mutex<u64>,
    /// Batches that were handed to the files, and of these those that are surely on the disk.
    written: AtomicU64,
    synced: Mutex<u64>,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogStore(…)")
    }
}

impl LogStore {
    /// Opens the store in a folder, or begins one.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: &Path) -> Result<Self, LogsError> {
        let database = Database::builder(folder)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .open()?;
        let streams = database.keyspace("streams", options)?;
        let meta = database.keyspace("meta", options)?;
        let mut segments = BTreeMap::new();
        for name in database.list_keyspace_names() {
            let number = name.strip_prefix(SEGMENT_PREFIX).and_then(|number| number.parse().ok());
            if let Some(number) = number {
                segments.insert(number, database.keyspace(&name, options)?);
            }
        }
        let next =
            meta.get(NEXT)?.and_then(|bytes| Some(u64::from_be_bytes((*bytes).try_into().ok()?)));
        Ok(Self {
            database,
            streams,
            meta,
            segments: RwLock::new(segments),
            next: Mutex::new(next.unwrap_or(1)),
            written: AtomicU64::new(0),
            synced: Mutex::new(0),
        })
    }

    /// The stream of a name.
    pub(crate) fn stream(&self, group: &GroupId, name: &str) -> Result<Option<Stream>, LogsError> {
        let row = self.streams.get(stream_key(group, name))?;
        row.map(|row| Ok(serde_json::from_slice(&row)?)).transpose()
    }

    /// The streams whose names begin so, in the order of their names, behind `after`.
    pub(crate) fn streams(
        &self,
        group: &GroupId,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Stream)>, LogsError> {
        let mut found = Vec::new();
        let begin = after.filter(|after| *after > prefix).map_or_else(
            || stream_key(group, prefix),
            |after| [stream_key(group, after).as_slice(), &[0]].concat(),
        );
        for row in self.streams.range(begin..) {
            let (key, value) = row.into_inner()?;
            let name = key.strip_prefix(group).and_then(|name| std::str::from_utf8(name).ok());
            let Some(name) = name.filter(|name| name.starts_with(prefix)) else { break };
            if found.len() == most {
                break;
            }
            found.push((name.to_owned(), serde_json::from_slice(&value)?));
        }
        Ok(found)
    }

    /// Makes a stream; false if it is there already. On the disk when this returns.
    pub(crate) fn create(&self, group: &GroupId, name: &str, now: i64) -> Result<bool, LogsError> {
        let ticket = {
            let mut next = self.next.lock();
            if self.stream(group, name)?.is_some() {
                return Ok(false);
            }
            let (id, created_at) = (*next, now);
            *next += 1;
            let stream =
                Stream { id, created_at, first_at: None, last_at: None, ingested_at: None };
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            batch.insert(&self.streams, stream_key(group, name), serde_json::to_vec(&stream)?);
            batch.insert(&self.meta, NEXT, next.to_be_bytes());
            batch.commit()?;
            self.written.fetch_add(1, Ordering::SeqCst) + 1
        };
        self.sync(ticket)?;
        Ok(true)
    }

    /// Adds events to a stream, each with its timestamp; false if there is no such stream. On the
    /// disk when this returns.
    pub(crate) fn append(
        &self,
        group: &GroupId,
        name: &str,
        events: &[(i64, &str)],
        now: i64,
    ) -> Result<bool, LogsError> {
        let ticket = {
            let mut next = self.next.lock();
            let Some(mut stream) = self.stream(group, name)? else { return Ok(false) };
            let segment = self.segment(&mut next)?;
            let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
            for (at, message) in events {
                let position = Position { at: *at, sequence: *next };
                *next += 1;
                let value = [&now.to_be_bytes(), message.as_bytes()].concat();
                batch.insert(&segment, event_key(stream.id, position), value);
                stream.first_at = Some(stream.first_at.map_or(*at, |first| first.min(*at)));
                stream.last_at = Some(stream.last_at.map_or(*at, |last| last.max(*at)));
            }
            stream.ingested_at = Some(now);
            batch.insert(&self.streams, stream_key(group, name), serde_json::to_vec(&stream)?);
            batch.insert(&self.meta, NEXT, next.to_be_bytes());
            batch.commit()?;
            self.written.fetch_add(1, Ordering::SeqCst) + 1
        };
        self.sync(ticket)?;
        Ok(true)
    }

    /// Deletes a stream with its events; false if it is not there.
    pub(crate) fn delete(&self, group: &GroupId, name: &str) -> Result<bool, LogsError> {
        let Some(stream) = self.stream(group, name)? else { return Ok(false) };
        {
            let _next = self.next.lock();
            self.streams.remove(stream_key(group, name))?;
            for segment in self.segments.read().values() {
                for row in segment.prefix(stream.id.to_be_bytes()) {
                    segment.remove(row.key()?)?;
                }
            }
        }
        let ticket = self.written.fetch_add(1, Ordering::SeqCst) + 1;
        self.sync(ticket)?;
        Ok(true)
    }

    /// Deletes all streams of a group.
    pub(crate) fn delete_all(&self, group: &GroupId) -> Result<(), LogsError> {
        /// Streams that are looked up at once.
        const AT_ONCE: usize = 256;
        loop {
            let streams = self.streams(group, "", None, AT_ONCE)?;
            if streams.is_empty() {
                return Ok(());
            }
            for (name, _) in streams {
                self.delete(group, &name)?;
            }
        }
    }

    /// The events of a stream after `from` and before `to`, the oldest first, in every segment.
    pub(crate) fn forwards(&self, stream: u64, from: Bound, to: Bound) -> Merged {
        self.merged(stream, from, to, false)
    }

    /// The same, the newest first.
    pub(crate) fn backwards(&self, stream: u64, from: Bound, to: Bound) -> Merged {
        self.merged(stream, from, to, true)
    }

    fn merged(&self, stream: u64, from: Bound, to: Bound, reversed: bool) -> Merged {
        let begin = match from {
            Bound::At(at) => event_key(stream, Position { at, sequence: 0 }),
            Bound::Beside(position) => [event_key(stream, position).as_slice(), &[0]].concat(),
        };
        let end = match to {
            Bound::At(at) => event_key(stream, Position { at, sequence: 0 }),
            Bound::Beside(position) => event_key(stream, position),
        };
        let walks = if begin < end {
            let segments = self.segments.read();
            segments.values().map(|segment| segment.range(begin.clone()..end.clone())).collect()
        } else {
            Vec::new()
        };
        let mut merged = Merged { heads: walks.iter().map(|_| None).collect(), walks, reversed };
        for index in 0..merged.walks.len() {
            merged.heads[index] = merged.step(index);
        }
        merged
    }

    /// The segment that is written to.
    fn segment(&self, next: &mut u64) -> Result<Keyspace, LogsError> {
        if let Some((_, segment)) = self.segments.read().last_key_value()
            && segment.disk_space() < SEGMENT_MAX_BYTES
        {
            return Ok(segment.clone());
        }
        let mut segments = self.segments.write();
        while segments.values().map(Keyspace::disk_space).sum::<u64>()
            > LOGS_MAX_BYTES - SEGMENT_MAX_BYTES
        {
            let Some((_, segment)) = segments.pop_first() else { break };
            self.database.delete_keyspace(segment)?;
        }
        let number = *next;
        *next += 1;
        let segment = self.database.keyspace(&format!("{SEGMENT_PREFIX}{number:020}"), options)?;
        segments.insert(number, segment.clone());
        Ok(segment)
    }

    /// Waits until the batch with this ticket is on the disk; one wait serves all that were
    /// written before it begins.
    fn sync(&self, ticket: u64) -> Result<(), LogsError> {
        let mut synced = self.synced.lock();
        if *synced >= ticket {
            return Ok(());
        }
        let written = self.written.load(Ordering::SeqCst);
        self.database.persist(PersistMode::SyncData)?;
        *synced = written;
        Ok(())
    }
}

/// Where a walk begins or ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// At a timestamp; as an end, without it.
    At(i64),
    /// Beside an event, without it.
    Beside(Position),
}

/// Events of one stream out of all segments, in order.
pub(crate) struct Merged {
    walks: Vec<fjall::Iter>,
    heads: Vec<Option<Result<LogEvent, LogsError>>>,
    reversed: bool,
}

impl Merged {
    fn step(&mut self, index: usize) -> Option<Result<LogEvent, LogsError>> {
        let walk = &mut self.walks[index];
        let row = if self.reversed { walk.next_back() } else { walk.next() }?;
        let read = row.into_inner().map_err(LogsError::from);
        Some(read.map(|(key, value)| event(&key, &value)))
    }
}

impl Iterator for Merged {
    type Item = Result<LogEvent, LogsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = |head: &Option<Self::Item>| match head {
            Some(Ok(event)) => Some(event.position),
            _ => None,
        };
        let failed = self.heads.iter().position(|head| matches!(head, Some(Err(_))));
        let heads = self.heads.iter().enumerate();
        let places = heads.filter_map(|(index, head)| Some((place(head)?, index)));
        let chosen = match self.reversed {
            _ if failed.is_some() => failed,
            true => places.max().map(|(_, index)| index),
            false => places.min().map(|(_, index)| index),
        }?;
        let next = self.step(chosen);
        std::mem::replace(&mut self.heads[chosen], next)
    }
}

fn event(key: &[u8], value: &[u8]) -> LogEvent {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap_or_default());
    let part = |range: std::ops::Range<usize>| key.get(range).map_or(0, number);
    let position = Position { at: part(8..16) as i64, sequence: part(16..24) };
    let (ingested_at, message) = value.split_at_checked(8).unwrap_or((&[0; 8], value));
    LogEvent {
        position,
        ingested_at: number(ingested_at) as i64,
        message: String::from_utf8_lossy(message).into_owned(),
    }
}

fn stream_key(group: &GroupId, name: &str) -> Vec<u8> {
    [group, name.as_bytes()].concat()
}

/// Timestamps are not negative, so their bytes sort as they do.
fn event_key(stream: u64, position: Position) -> Vec<u8> {
    let at = u64::try_from(position.at).unwrap_or(0);
    [stream.to_be_bytes(), at.to_be_bytes(), position.sequence.to_be_bytes()].concat()
}

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}
