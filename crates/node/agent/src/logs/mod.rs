//! Log drivers: where containers' output goes besides the disk.
//!
//! Shims write all output to files; for a driver that sends it somewhere else, one pump for each
//! container reads these files and sends what is in them. What was taken at the other end is put
//! down beside the files after that, so whoever is killed in between, a line is sent again rather
//! than lost (docs/decisions/0070). The shim holds the container back, or drops lines, when more
//! waits than may ([`runtime::containers::Unsent`]).
//!
//! - `options`: what a definition says, checked as Docker does.
//! - `spool`, `lines`, `multiline`: from files to lines to events.
//! - `pump`: one container's, from its start until all is sent.
//! - `awslogs`, `syslog`, `fluentd`: the destinations. `firelens`: routers and their settings.

pub mod awslogs;
mod creating;
pub mod firelens;
pub mod fluentd;
pub mod lines;
pub mod multiline;
pub mod options;
#[cfg(test)]
mod options_tests;
mod pump;
#[cfg(test)]
mod pump_tests;
pub mod spool;
pub mod syslog;
pub mod tag;
pub mod values;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use runtime::ContainerId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use lines::Line;
use options::{Kind, Shipping};
use pump::Pump;
pub(crate) use wanted::Wanted;

use crate::folders::Folders;
use crate::transport::Transport;
use crate::view::CredentialStore;

/// The first wait after a failure, of destinations that name no other.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// The longest wait after a failure, likewise, unless the first one is longer.
const RETRY_MAX: Duration = Duration::from_secs(15);
/// The longest wait for a program on this machine, which may just be starting.
const RETRY_MAX_NEAR: Duration = Duration::from_secs(1);
/// How long a container's removal waits for its output to be sent, in one try.
const DRAIN_AT_REMOVAL: Duration = Duration::from_secs(5);
/// How long a router is kept from its signal while output waits for it. A router may take some
/// seconds until it listens, and what it is not given then is lost with it.
const DRAIN_OF_ROUTED: Duration = Duration::from_secs(15);
/// Output that nobody took for so long after its container ended goes with the container.
const UNSENT_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Why lines could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A later try may succeed.
    #[error("{0}")]
    Later(String),
    /// These lines will never be taken.
    #[error("{0}")]
    Never(String),
}

/// How much is sent at once, and how long lines wait for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The longest that a line waits for more.
    pub interval: Duration,
    /// The most bytes at once.
    pub bytes_max: usize,
    /// The most lines at once.
    pub lines_max: usize,
}

/// Where lines go.
#[async_trait]
pub trait Destination: Send {
    /// What must work before the container may start.
    ///
    /// # Errors
    /// In plain words, as Docker's drivers put it.
    async fn prepare(&mut self) -> Result<(), String>;

    /// Sends some lines from the front, at least one; answers how many are done with.
    ///
    /// # Errors
    /// If none was taken.
    async fn send(&mut self, lines: &[Line]) -> Result<usize, SendError>;

    /// After the last line: waits a while until the other side has it in hand, where it is one that
    /// may be ended because nobody has anything more for it.
    async fn finish(&mut self) {}

    /// How it wants its lines.
    fn pace(&self) -> Pace;

    /// How long to wait after a first failure; each further wait is twice as long.
    fn retry_wait(&self) -> Duration {
        RETRY_FIRST
    }

    /// The longest wait after a failure, unless the first one is longer.
    fn retry_max(&self) -> Duration {
        RETRY_MAX
    }
}

/// What is to be sent of one container.
#[derive(Clone, Debug)]
struct Job {
    /// The container.
    id: ContainerId,
    /// The current file of its output.
    path: PathBuf,
    /// Where to, and how.
    shipping: Shipping,
    /// Id of the credentials of its task's execution role, if the driver is to use them.
    credentials: Option<String>,
}

/// How a pump is spoken to.
#[derive(Debug)]
struct Entry {
    ended: watch::Sender<bool>,
    done: watch::Receiver<bool>,
    /// The folder of the router that it sends to.
    router: Option<PathBuf>,
    /// When its container's removal was first asked for.
    since: Option<tokio::time::Instant>,
}

/// The pumps of one agent.
pub(crate) struct Logs {
    transport: Arc<dyn Transport>,
    credentials: Arc<CredentialStore>,
    folders: Arc<dyn Folders>,
    /// Configurations and sockets of routers: `<folder>/<task id>`.
    firelens: PathBuf,
    pumps: Mutex<BTreeMap<ContainerId, Entry>>,
    /// Containers that are routers.
    routers: Mutex<BTreeSet<ContainerId>>,
    running: TaskTracker,
    shutdown: CancellationToken,
    /// Whether nobody waits for the rest any longer.
    closing: AtomicBool,
}

impl Logs {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        credentials: Arc<CredentialStore>,
        folders: Arc<dyn Folders>,
        firelens: PathBuf,
    ) -> Self {
        Self {
            transport,
            credentials,
            folders,
            firelens,
            pumps: Mutex::default(),
            routers: Mutex::default(),
            running: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            closing: AtomicBool::new(false),
        }
    }

    /// The folder of a task's router.
    pub(crate) fn router_folder(&self, task: &str) -> PathBuf {
        self.firelens.join(task)
    }

    fn destination(&self, job: &Job) -> Box<dyn Destination> {
        match &job.shipping.kind {
            Kind::Awslogs(options) => Box::new(awslogs::Awslogs::new(
                options.clone(),
                Arc::clone(&self.transport),
                Arc::clone(&self.credentials),
                job.credentials.clone(),
            )),
            Kind::Syslog(options) => Box::new(syslog::Syslog::new(options.clone())),
            Kind::Fluentd(options) => Box::new(fluentd::Fluentd::new(options.clone())),
        }
    }

    /// Begins to send the output of a container whose current file is `path`, if its driver sends
    /// any; before it starts, so what must work is tried first.
    ///
    /// # Errors
    /// In plain words: the container must not start.
    pub(crate) async fn start(&self, id: &ContainerId, path: PathBuf) -> Result<(), String> {
        if self.is_there(id).await {
            return Ok(());
        }
        let Some(job) = self.job(id, path).await? else { return Ok(()) };
        let mut destination = self.destination(&job);
        if job.shipping.must_work_at_start {
            destination.prepare().await?;
        }
        self.pump(job, destination, false);
        Ok(())
    }

    /// Whether a pump goes on for a container that starts again.
    async fn is_there(&self, id: &ContainerId) -> bool {
        if !self.pumps.lock().contains_key(id) {
            return false;
        }
        self.drain(std::slice::from_ref(id), DRAIN_AT_REMOVAL).await;
        let mut pumps = self.pumps.lock();
        match pumps.get(id) {
            Some(entry) if !*entry.done.borrow() => {
                _ = entry.ended.send(false);
                true
            }
            _ => {
                pumps.remove(id);
                false
            }
        }
    }

    /// Goes on with what an earlier agent began; `ended` if the container has.
    pub(crate) async fn resume(&self, id: &ContainerId, path: PathBuf, ended: bool) {
        match self.job(id, path).await {
            Ok(Some(job)) => {
                let destination = self.destination(&job);
                self.pump(job, destination, ended);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%id, %error, "output is not sent"),
        }
    }

    async fn job(&self, id: &ContainerId, path: PathBuf) -> Result<Option<Job>, String> {
        let Some(wanted) = Wanted::read(&*self.folders, &path).await? else { return Ok(None) };
        let credentials = wanted.credentials.clone();
        let Some(shipping) = wanted.plan()?.shipping else { return Ok(None) };
        Ok(Some(Job { id: id.clone(), path, shipping, credentials }))
    }

    fn pump(&self, job: Job, destination: Box<dyn Destination>, has_ended: bool) {
        let mut pumps = self.pumps.lock();
        if pumps.contains_key(&job.id) {
            return;
        }
        let (ended, told) = watch::channel(has_ended);
        let (tells, done) = watch::channel(false);
        let router = match &job.shipping.kind {
            Kind::Fluentd(options) => options.router(),
            Kind::Awslogs(_) | Kind::Syslog(_) => None,
        };
        pumps.insert(job.id.clone(), Entry { ended, done, router, since: None });
        let pump = Pump::new(job, destination);
        let shutdown = self.shutdown.clone();
        self.running.spawn(async move {
            if pump.run(told, shutdown).await {
                _ = tells.send(true);
            }
        });
    }

    /// Tells that a container has ended: what it wrote is all there.
    pub(crate) fn ended(&self, id: &ContainerId) {
        if let Some(entry) = self.pumps.lock().get(id) {
            _ = entry.ended.send(true);
        }
    }

    /// Waits until all is sent of those of the containers that have ended, up to `limit`.
    pub(crate) async fn drain(&self, ids: &[ContainerId], limit: Duration) {
        let waits: Vec<_> = {
            let pumps = self.pumps.lock();
            let ended = ids.iter().filter_map(|id| pumps.get(id));
            ended.filter(|entry| *entry.ended.borrow()).map(|entry| entry.done.clone()).collect()
        };
        let all = async {
            for mut done in waits {
                // A pump that is gone has nothing more to send.
                _ = done.wait_for(|done| *done).await;
            }
        };
        _ = tokio::time::timeout(limit, all).await;
    }

    /// Before a container is removed: whether all that it wrote is sent, or nobody waits any
    /// longer for that.
    pub(crate) async fn may_go(&self, id: &ContainerId) -> bool {
        self.ended(id);
        self.drain(std::slice::from_ref(id), DRAIN_AT_REMOVAL).await;
        let mut pumps = self.pumps.lock();
        let Some(entry) = pumps.get_mut(id) else { return true };
        let is_done = *entry.done.borrow();
        let since = *entry.since.get_or_insert_with(tokio::time::Instant::now);
        let is_over = since.elapsed() >= UNSENT_KEPT || self.closing.load(Ordering::Relaxed);
        let goes = is_done || is_over;
        if goes {
            if !is_done {
                tracing::warn!(%id, "the container goes, and output of it that nobody took");
            }
            self.routers.lock().remove(id);
            pumps.remove(id);
        }
        goes
    }

    /// Notes that a container is its task's router.
    pub(crate) fn routes(&self, id: &ContainerId) {
        self.routers.lock().insert(id.clone());
    }

    /// Before a container is told to end: a router first gets what those that ended had to say.
    pub(crate) async fn before_signal(&self, id: &ContainerId, task: &str) {
        if !self.routers.lock().contains(id) {
            return;
        }
        let socket = self.router_folder(task);
        let of_task: Vec<ContainerId> = {
            let pumps = self.pumps.lock();
            let routed = pumps.iter().filter(|(_, entry)| entry.router.as_ref() == Some(&socket));
            routed.map(|(id, _)| id.clone()).collect()
        };
        self.drain(&of_task, DRAIN_OF_ROUTED).await;
    }

    /// From now on removal waits for nobody: the agent ends, and takes all away.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Ends all pumps; what is not sent stays on the disk for the next start.
    pub(crate) async fn end(&self, limit: Duration) {
        let ids: Vec<ContainerId> = self.pumps.lock().keys().cloned().collect();
        self.drain(&ids, limit).await;
        self.shutdown.cancel();
        self.running.close();
        _ = tokio::time::timeout(limit, self.running.wait()).await;
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The file that says up to which place of a container's output all is sent.
fn sent_path(log: &Path) -> PathBuf {
    log.with_file_name(runtime::containers::SENT_FILE)
}
