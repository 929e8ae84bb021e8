//! From the edge to the files: a queue that nobody waits for, and who writes it down.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::json;
use terms::{Clock, Timestamp};
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use wire::{AuditedCall, Auditor, Caller, CallerKind, Service};

use super::files::{Files, Limits};
use super::verifying::verify_to;
use super::{Entry, Filter, Others, Place, SERVERS_PATHS, TrailError, Verified, read};
use crate::{api, model};

/// Calls that wait to be written; what comes when there are as many is counted as lost.
const QUEUE_MAX: usize = 16 * 1024;
/// Calls that are written at once.
const BATCH_MAX: usize = 1024;
/// How long the first of them waits for more: who writes each by itself takes as long for that as the
/// whole call did. What has not been written is lost with the process.
const GATHER: Duration = Duration::from_millis(10);
/// How long lines are kept (CloudTrail's event history: 90 days).
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);
/// What all files may take of the disk, about; the oldest go first.
const KEEP_BYTES: u64 = 4 << 30;
/// How often the disk is made to take what was written: what a machine's crash may take back.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How long a disk that could not be written is left alone.
const RETRY_EVERY: Duration = Duration::from_secs(5);

/// The trail of one server. Cheap to clone.
#[derive(Clone)]
pub struct Trail {
    folder: Arc<Path>,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<AuditedCall>,
    lost: Arc<AtomicU64>,
    writer: Arc<Mutex<Option<Writer>>>,
    pub(super) others: Arc<OnceLock<Arc<dyn Others>>>,
}

struct Writer {
    files: Files,
    queue: mpsc::Receiver<AuditedCall>,
    /// Whether the disk may not have taken all that was written, and when it is made to.
    is_behind: bool,
    sync_at: Instant,
    /// When what is too old is looked for.
    prune_at: Instant,
}

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trail").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Auditor for Trail {
    fn record(&self, call: AuditedCall) {
        // What servers ask each other for somebody is in the trail of the one that was asked first.
        let is_servers = |caller: &Arc<Caller>| caller.kind == CallerKind::Server;
        if call.operation.starts_with(SERVERS_PATHS) && call.caller.as_ref().is_some_and(is_servers)
        {
            return;
        }
        if self.queue.try_send(call).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Trail {
    /// The trail in a folder, which is made if it is not there. Its first line tells where it went on
    /// from.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, TrailError> {
        let (limits, now) = (Limits { bytes: KEEP_BYTES, age: KEEP }, clock.now());
        let (mut files, found) = Files::open(&folder, limits, now)?;
        let told = json!({ "continuesAfter": found.last, "cutBytes": found.cut_bytes });
        let begin = model::of_ours("BeginTrail", now, told, files.next()).to_string();
        files.append([begin.as_str()].into_iter(), now)?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = Arc::new(Mutex::new(Some(Writer::new(files, waiting))));
        Ok(Self {
            folder: folder.into(),
            clock,
            queue,
            lost: Arc::default(),
            writer,
            others: Arc::default(),
        })
    }

    /// Writes what comes until `shutdown`, and then what is left. A disk that fails, or is full,
    /// interrupts the trail, with a warning, and nothing else; what does not find room meanwhile is
    /// counted, and the count is written when the disk works again.
    pub async fn run(self, shutdown: CancellationToken) {
        let Some(mut writer) = self.writer.lock().await.take() else { return };
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let is_last = tokio::select! {
                biased;
                count = writer.queue.recv_many(&mut batch, BATCH_MAX) => count == 0,
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(SYNC_EVERY) => false,
            };
            if !is_last && !batch.is_empty() && batch.len() < BATCH_MAX {
                gather(&mut writer.queue, &mut batch, &shutdown).await;
            }
            let lost = self.lost.swap(0, Ordering::Relaxed);
            let records = self.records(&mut batch, lost, writer.files.next());
            if !records.is_empty() || writer.is_due() {
                let Some(returned) = self.write(writer, records, &shutdown).await else { return };
                writer = returned;
            }
            if is_last && writer.queue.is_empty() {
                let _ = writer.files.sync();
                return;
            }
        }
    }

    /// The lines of what waits.
    fn records(&self, batch: &mut Vec<AuditedCall>, lost: u64, next: u64) -> Vec<String> {
        let mut records = Vec::with_capacity(batch.len() + 1);
        if lost > 0 {
            tracing::warn!(lost, "calls are not in the trail: more came than could be written");
            let told = json!({ "calls": lost });
            let line = model::of_ours("LoseCalls", self.clock.now(), told, next);
            records.push(line.to_string());
        }
        records.extend(batch.drain(..).map(|call| model::of_call(&call)));
        records
    }

    /// Writes lines, as often as it takes; none if it was told to end first.
    async fn write(
        &self,
        mut writer: Writer,
        records: Vec<String>,
        shutdown: &CancellationToken,
    ) -> Option<Writer> {
        let records = Arc::new(records);
        loop {
            let (now, lines) = (self.clock.now(), Arc::clone(&records));
            let written = tokio::task::spawn_blocking(move || {
                let outcome = writer.write(&lines, now);
                (writer, outcome)
            });
            let (returned, outcome) = written.await.ok()?;
            writer = returned;
            let Err(error) = outcome else { return Some(writer) };
            tracing::warn!(%error, "the trail cannot be written for now");
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = tokio::time::sleep(RETRY_EVERY) => {}
            }
        }
    }

    /// The operations of CloudTrail that are built.
    pub fn service(&self) -> Service {
        api::service(self)
    }

    /// Lines of this server's that are wanted, from `place` on, and where to go on if there may be more.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub async fn look(
        &self,
        filter: Filter,
        place: Place,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<Place>), TrailError> {
        let folder = Arc::clone(&self.folder);
        let look = move || read(&folder, &filter, place, limit);
        tokio::task::spawn_blocking(look).await.unwrap_or_else(|_| Ok((Vec::new(), None)))
    }

    /// Follows the chain; tells besides whether a line has the hash that was noted.
    ///
    /// # Errors
    /// Where it breaks, or which file cannot be read.
    pub async fn verify(&self, noted: Option<String>) -> Result<(Verified, bool), TrailError> {
        let folder = Arc::clone(&self.folder);
        let follow = move || verify_to(&folder, noted.as_deref());
        match tokio::task::spawn_blocking(follow).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let what = "following the chain".to_owned();
                Err(TrailError::Io { what, source: std::io::Error::other(error) })
            }
        }
    }
}

/// Waits a moment for more to write at once.
async fn gather(
    queue: &mut mpsc::Receiver<AuditedCall>,
    batch: &mut Vec<AuditedCall>,
    shutdown: &CancellationToken,
) {
    let moment = async {
        tokio::time::sleep(GATHER).await;
        while batch.len() < BATCH_MAX
            && let Ok(call) = queue.try_recv()
        {
            batch.push(call);
        }
    };
    shutdown.run_until_cancelled(moment).await;
}

impl Writer {
    fn new(files: Files, queue: mpsc::Receiver<AuditedCall>) -> Self {
        let now = Instant::now();
        let (sync_at, prune_at) = (now + SYNC_EVERY, now + PRUNE_EVERY);
        Self { files, queue, is_behind: true, sync_at, prune_at }
    }

    /// Whether there is something to do besides what comes.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        (self.is_behind && now >= self.sync_at) || now >= self.prune_at
    }

    /// Adds lines, and looks after the files. An error is of the lines alone: who tries again would
    /// write twice what is there already.
    fn write(&mut self, records: &[String], now: Timestamp) -> Result<(), TrailError> {
        if !records.is_empty() {
            self.files.append(records.iter().map(String::as_str), now)?;
            self.is_behind = true;
        }
        if let Err(error) = self.tend(now) {
            tracing::warn!(%error, "the trail's files are looked after again later");
        }
        Ok(())
    }

    /// Has the disk take what was written, and drops what is too old, each when it is time.
    fn tend(&mut self, now: Timestamp) -> Result<(), TrailError> {
        if self.is_behind && Instant::now() >= self.sync_at {
            self.sync_at = Instant::now() + SYNC_EVERY;
            self.files.sync()?;
            self.is_behind = false;
        }
        if Instant::now() >= self.prune_at {
            self.prune_at = Instant::now() + PRUNE_EVERY;
            if let Some(first) = self.files.prune(now)? {
                let told = json!({ "before": first });
                let line = model::of_ours("DropOldest", now, told, self.files.next()).to_string();
                self.files.append([line.as_str()].into_iter(), now)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{files, verify};
    use super::*;

    #[test]
    fn lines_are_written_once_though_what_is_old_cannot_be_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 0, age: KEEP };
        let now = Timestamp::from_millis(0);
        let (mut opened, _) = Files::open(folder.path(), limits, now).unwrap();
        // Enough for a second file, and in place of the first something that is no file.
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(17 << 20));
        opened.append([long.as_str()].into_iter(), now).unwrap();
        opened.append(["{}"].into_iter(), now).unwrap();
        let (_, first) = files::list(folder.path()).unwrap().pop_first().unwrap();
        let kept = folder.path().join("kept");
        std::fs::rename(&first, &kept).unwrap();
        std::fs::create_dir(&first).unwrap();
        let mut writer = Writer::new(opened, mpsc::channel(1).1);
        writer.prune_at = Instant::now();
        assert!(writer.write(&["{}".to_owned()], now).is_ok());
        assert!(writer.prune_at > Instant::now(), "it was tried");
        std::fs::remove_dir(&first).unwrap();
        std::fs::rename(&kept, &first).unwrap();
        assert_eq!(verify(folder.path()).unwrap().lines, 3);
        writer.prune_at = Instant::now();
        writer.write(&[], now).unwrap();
        let left = verify(folder.path()).unwrap();
        assert_eq!((left.first, left.last), (2, 4), "the first is gone, and a line tells so");
    }
}
