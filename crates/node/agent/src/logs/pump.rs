//! One container's output on its way: read, put together, sent, put down as sent.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lines::{Joiner, Line};
use super::multiline::Multiline;
use super::spool::Spool;
use super::{Destination, Job, SendError, sent_path};

/// How often a file is looked at that changed lately, and ...
const LOOK: Duration = Duration::from_millis(200);
/// ... one that did not.
const LOOK_IDLE: Duration = Duration::from_secs(1);
/// A file is idle after this long without a change.
const IDLE_AFTER: Duration = Duration::from_secs(5);

pub(super) struct Pump {
    job: Job,
    destination: Box<dyn Destination>,
    joiner: Joiner,
    multiline: Option<Multiline>,
    /// Whole lines that wait to be sent, and their bytes.
    queue: VecDeque<Line>,
    bytes: usize,
    /// When the first of them, or of an event that waits for more lines, was read.
    since: Option<Instant>,
    /// What was put down last as sent.
    sent: u64,
}

/// Why a pump stops before all is sent.
struct Stopped;

impl Pump {
    pub(super) fn new(job: Job, destination: Box<dyn Destination>) -> Self {
        let multiline = job.shipping.begins.clone().map(Multiline::new);
        Self {
            job,
            destination,
            joiner: Joiner::default(),
            multiline,
            queue: VecDeque::new(),
            bytes: 0,
            since: None,
            sent: 0,
        }
    }

    /// Sends until the container has ended and all is sent, or the agent ends (`false`).
    pub(super) async fn run(
        mut self,
        mut ended: watch::Receiver<bool>,
        shutdown: CancellationToken,
    ) -> bool {
        let sent = tokio::fs::read_to_string(sent_path(&self.job.path)).await;
        self.sent = sent.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let mut spool = Spool::new(&self.job.path, self.sent);
        let mut changed_at = Instant::now();
        loop {
            // Looked at before the files: what was written before the end is there then.
            let has_ended = *ended.borrow_and_update();
            let (back, is_at_end) = match self.fill(spool).await {
                Ok(filled) => filled,
                Err(error) => {
                    let path = self.job.path.display();
                    tracing::warn!(id = %self.job.id, %path, %error, "output cannot be read");
                    (Spool::new(&self.job.path, self.sent), true)
                }
            };
            spool = back;
            if has_ended && is_at_end {
                self.close();
            }
            if self.is_due(has_ended) {
                if self.send(spool.position(), &shutdown).await.is_err() {
                    return false;
                }
                changed_at = Instant::now();
                continue;
            }
            if !is_at_end {
                continue;
            }
            if has_ended && self.queue.is_empty() {
                // What is no line, at the end of a file, is nothing that anybody waits for.
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = self.destination.finish() => {}
                }
                return true;
            }
            let is_idle = changed_at.elapsed() >= IDLE_AFTER;
            let look = if is_idle { LOOK_IDLE } else { LOOK };
            let due = self.since.map(|since| since + self.destination.pace().interval);
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return false,
                _ = ended.changed(), if !has_ended => {}
                () = wait(&spool, look, due) => {}
            }
            if spool.has_changed() {
                changed_at = Instant::now();
            }
        }
    }

    /// Reads up to a full queue; whether there is no more for now.
    async fn fill(&mut self, mut spool: Spool) -> io::Result<(Spool, bool)> {
        let pace = self.destination.pace();
        if self.bytes >= pace.bytes_max || self.queue.len() >= pace.lines_max {
            return Ok((spool, false));
        }
        if !spool.has_changed() {
            return Ok((spool, true));
        }
        let most = pace.bytes_max;
        let read = tokio::task::spawn_blocking(move || {
            let entries = spool.read(most);
            (spool, entries)
        });
        let (spool, entries) = read.await.map_err(io::Error::other)?;
        let entries = entries?;
        let is_at_end = entries.is_empty() || !spool.has_changed();
        for entry in entries {
            if let Some(line) = self.joiner.take(entry) {
                self.line(line);
            }
        }
        Ok((spool, is_at_end))
    }

    fn line(&mut self, line: Line) {
        let event = match &mut self.multiline {
            Some(multiline) => multiline.take(line),
            None => Some(line),
        };
        self.since.get_or_insert_with(Instant::now);
        if let Some(event) = event {
            self.push(event);
        }
    }

    fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.queue.push_back(line);
    }

    /// Nothing more comes.
    fn close(&mut self) {
        for line in self.joiner.finish() {
            self.line(line);
        }
        self.close_event();
    }

    fn close_event(&mut self) {
        if let Some(event) = self.multiline.as_mut().and_then(Multiline::finish) {
            self.push(event);
        }
    }

    /// Whether it is time to send; an event that waited long enough for more lines is whole then.
    fn is_due(&mut self, has_ended: bool) -> bool {
        let pace = self.destination.pace();
        let is_full = self.bytes >= pace.bytes_max || self.queue.len() >= pace.lines_max;
        let is_old = self.since.is_some_and(|since| since.elapsed() >= pace.interval);
        if is_old && !is_full {
            self.close_event();
        }
        !self.queue.is_empty() && (is_full || is_old || has_ended)
    }

    /// Sends all of the queue, however long that takes.
    async fn send(&mut self, read_to: u64, shutdown: &CancellationToken) -> Result<(), Stopped> {
        let (first, most) = (self.destination.retry_wait(), self.destination.retry_max());
        let mut wait = first;
        while !self.queue.is_empty() {
            let lines = self.queue.make_contiguous();
            let sent = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                sent = self.destination.send(lines) => sent,
            };
            match sent {
                Ok(count) => {
                    self.drop_front(count.max(1));
                    self.put_down(read_to).await;
                    wait = first;
                }
                Err(SendError::Never(error)) => {
                    let count = self.queue.len();
                    tracing::error!(id = %self.job.id, count, %error, "lines of output are lost");
                    self.drop_front(count);
                    self.put_down(read_to).await;
                }
                Err(SendError::Later(error)) => {
                    if wait == first {
                        tracing::warn!(id = %self.job.id, %error, "output waits to be sent");
                    }
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return Err(Stopped),
                        () = tokio::time::sleep(wait) => {}
                    }
                    wait = (wait * 2).min(most.max(first));
                }
            }
        }
        let waits = self.multiline.as_ref().is_some_and(|multiline| multiline.pending().is_some());
        self.since = waits.then(Instant::now);
        Ok(())
    }

    fn drop_front(&mut self, count: usize) {
        for line in self.queue.drain(..count.min(self.queue.len())) {
            self.bytes -= line.text.len();
        }
    }

    /// Puts down up to where all is sent; `read_to` is where reading stands.
    async fn put_down(&mut self, read_to: u64) {
        // A stopped reader goes on at the first line that was not sent, and sends those behind it
        // again that were.
        let multiline = self.multiline.as_ref().and_then(Multiline::pending);
        let queued = self.queue.iter().map(|line| line.start).min();
        let open = self.joiner.pending().into_iter().chain(multiline).chain(queued).min();
        let sent = open.unwrap_or(read_to).min(read_to);
        if sent <= self.sent {
            return;
        }
        self.sent = sent;
        if let Err(error) = store(sent_path(&self.job.path), sent).await {
            tracing::warn!(id = %self.job.id, %error, "what is sent cannot be put down");
        }
    }
}

/// Waits for a change or until something is due.
async fn wait(spool: &Spool, look: Duration, due: Option<Instant>) {
    loop {
        let next = Instant::now() + look;
        tokio::time::sleep_until(due.map_or(next, |due| due.min(next))).await;
        if spool.has_changed() || due.is_some_and(|due| due <= Instant::now()) {
            return;
        }
    }
}

/// Whole or not at all. It is not synced: a container does not outlive its host, and what is sent
/// twice after a power cut is not lost.
async fn store(path: PathBuf, sent: u64) -> io::Result<()> {
    let temporary = path.with_extension("sent.new");
    tokio::fs::write(&temporary, sent.to_string()).await?;
    tokio::fs::rename(temporary, path).await
}
