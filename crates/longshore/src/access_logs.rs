//! Access logs of load balancers, where AWS would deliver them to S3: below the folder that stands in for
//! it, one file for each load balancer and five minutes (Application Load Balancer guide, "Access log
//! files").

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use balancer::{Journal, LogPlace};
use flate2::Compression;
use flate2::write::GzEncoder;
use terms::{Clock, IdSource, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines that wait to be written; more are lost, for no request waits for them.
const WAITING: usize = 16 * 1024;
/// How often what came is written.
const FLUSH: Duration = Duration::from_secs(5);
/// How much is collected before that, in bytes.
const COLLECT: usize = 1024 * 1024;
/// What one file is of, in milliseconds.
const WINDOW_MS: i64 = 5 * 60 * 1000;

type Line = (LogPlace, String);

/// Takes lines where requests are answered.
pub struct AccessLogs {
    sender: mpsc::Sender<Line>,
    lost: AtomicU64,
}

/// Writes them.
pub struct Writer {
    lines: mpsc::Receiver<Line>,
    files: Files,
}

/// Files below a folder.
struct Files {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    /// Tells the files of this process from those of others.
    mark: String,
    waiting: BTreeMap<LogPlace, Vec<u8>>,
}

impl Journal for AccessLogs {
    fn write(&self, place: &LogPlace, line: String) {
        if self.sender.try_send((place.clone(), line)).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                tracing::warn!(lost, "lines of access logs are lost: they come too fast");
            }
        }
    }
}

/// Access logs below `root`, and who writes them.
pub fn access_logs(
    root: PathBuf,
    clock: Arc<dyn Clock>,
    ids: &dyn IdSource,
) -> (Arc<AccessLogs>, Writer) {
    let (sender, lines) = mpsc::channel(WAITING);
    let mark = ids.next().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let files = Files { root, clock, mark, waiting: BTreeMap::new() };
    (Arc::new(AccessLogs { sender, lost: AtomicU64::new(0) }), Writer { lines, files })
}

impl Writer {
    /// Writes until `shutdown`, and then what has come until then.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(FLUSH);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {
                    let files = self.files;
                    let Ok(files) = tokio::task::spawn_blocking(move || files.flushed()).await else {
                        return tracing::error!("access logs end: their writer failed");
                    };
                    self.files = files;
                }
                Some((place, line)) = self.lines.recv() => self.files.add(place, &line),
            }
        }
        while let Ok((place, line)) = self.lines.try_recv() {
            self.files.add(place, &line);
        }
        self.files.flushed();
    }
}

impl Files {
    fn add(&mut self, place: LogPlace, line: &str) {
        let waiting = self.waiting.entry(place).or_default();
        if waiting.len() < COLLECT * 16 {
            waiting.extend_from_slice(line.as_bytes());
            waiting.push(b'\n');
        }
    }

    /// Writes what waits; what cannot be written is lost.
    fn flushed(mut self) -> Self {
        for (place, lines) in std::mem::take(&mut self.waiting) {
            let Some(file) = self.file(&place) else {
                tracing::warn!(folder = place.folder, "access logs cannot go to this place");
                continue;
            };
            if let Err(error) = append(&file, &lines) {
                tracing::warn!(file = %file.display(), %error, "access logs cannot be written");
            }
        }
        self
    }

    /// The file of a place now; none if the place leads elsewhere.
    fn file(&self, place: &LogPlace) -> Option<PathBuf> {
        let now = self.clock.now().millis();
        let end = Timestamp::from_millis((now.div_euclid(WINDOW_MS) + 1) * WINDOW_MS).to_string();
        let (day, time) = end.split_once('T')?;
        let (day, minute): (String, String) =
            (day.replace('-', "/"), time.get(..5)?.replace(':', ""));
        let LogPlace { folder, file, node, .. } = place;
        let (stamp, mark) = (day.replace('/', ""), &self.mark);
        let below = format!("{folder}/{day}/{file}_{stamp}T{minute}Z_{node}_{mark}.log.gz");
        let is_below =
            Path::new(&below).components().all(|one| matches!(one, Component::Normal(_)));
        is_below.then(|| self.root.join(below))
    }
}

/// Adds lines to a file as a part of their own: gzip's parts are read as one.
fn append(file: &Path, lines: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(lines)?;
    let packed = packed.finish()?;
    OpenOptions::new().create(true).append(true).open(file)?.write_all(&packed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;

    use super::*;
    use crate::clock::{RandomIds, SystemClock};

    fn place(folder: &str) -> LogPlace {
        LogPlace {
            folder: folder.to_owned(),
            file: "000000000000_elasticloadbalancing_us-east-1_app.web.1".to_owned(),
            load_balancer: "app/web/1".to_owned(),
            node: "127.64.0.1".to_owned(),
        }
    }

    #[tokio::test]
    async fn lines_are_in_files_of_gzip_when_the_writer_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (logs, writer) = access_logs(folder.path().into(), Arc::new(SystemClock), &RandomIds);
        for number in 0..3 {
            logs.write(&place("bucket/AWSLogs"), format!("line {number}"));
        }
        logs.write(&place("bucket/../.."), "nowhere".to_owned());
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(stop).await;
        let mut found = vec![folder.path().join("bucket/AWSLogs")];
        // Year, month, day, file.
        for _ in 0..4 {
            let entries = found.iter().flat_map(|one| std::fs::read_dir(one).unwrap());
            found = entries.map(|entry| entry.unwrap().path()).collect();
        }
        assert_eq!(found.len(), 1);
        let name = found[0].file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.contains("_app.web.1_2") && name.ends_with(".log.gz"), "{name}");
        let mut text = String::new();
        let file = std::fs::File::open(&found[0]).unwrap();
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "line 0\nline 1\nline 2\n");
    }
}
