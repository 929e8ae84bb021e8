//! From the ledger's feed to the files, in batches.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use ecs::{Ecs, Happening, Witness};
use ledger::{Commit, Feed, Lagged, Ledger};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use super::store::{Entry, HistoryStore, Request};
use crate::observe::figures::{self, Source};

/// The most commits that one write carries.
const BATCH_COMMITS: usize = 1_024;
/// How often what is too old is looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How long a disk that could not be written is left alone.
const REOPEN_EVERY: Duration = Duration::from_secs(5);

/// Follows the feed. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    witness: Arc<Mutex<Witness>>,
    store: Arc<Mutex<HistoryStore>>,
    ledger: Ledger,
    /// Taken when the recording begins; made before anything is written, so that nothing is missed.
    feed: Arc<Mutex<Option<Feed>>>,
}

impl Recorder {
    /// A recorder whose files are in `folder`.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub fn open(folder: &Path, retention: Duration, ledger: Ledger, ecs: &Ecs) -> Result<Self> {
        let store = HistoryStore::open(folder, retention)?;
        let witness = Arc::new(Mutex::new(ecs.witness()));
        let feed = Arc::new(Mutex::new(Some(ledger.subscribe())));
        Ok(Self { witness, store: Arc::new(Mutex::new(store)), ledger, feed })
    }

    /// The files, to be read.
    pub fn store(&self) -> Arc<Mutex<HistoryStore>> {
        self.store.clone()
    }

    /// Records until `shutdown`, and then what is left. A disk that fails, or is full, interrupts
    /// the recording, with a warning, and nothing else: the server goes on, and the files are
    /// opened anew until it works. What changed meanwhile is noted then.
    pub async fn run(self, shutdown: CancellationToken) {
        while let Err(error) = self.follow(&shutdown).await {
            tracing::warn!(%error, "history is not recorded for now");
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(REOPEN_EVERY) => {}
                }
                match self.blocking(|store, _| store.reopen()).await {
                    Ok(()) => break,
                    Err(error) => tracing::debug!(%error, "the history cannot be opened"),
                }
            }
            tracing::info!("history is recorded again");
        }
    }

    async fn follow(&self, shutdown: &CancellationToken) -> Result<()> {
        let feed = self.feed.lock().take();
        let mut feed = feed.unwrap_or_else(|| self.ledger.subscribe());
        self.catch_up(&feed).await?;
        let mut pruned = Instant::now();
        loop {
            let first = tokio::select! {
                biased;
                () = shutdown.cancelled() => None,
                commit = feed.next() => Some(commit),
            };
            let is_last = first.is_none();
            match self.gather(first.and_then(Result::ok), &mut feed) {
                Ok(entries) => self.write(entries, feed.position()).await?,
                Err(Lagged) => {
                    tracing::warn!(
                        "the history fell behind the ledger and reads on from what is there"
                    );
                    feed.restart();
                    self.catch_up(&feed).await?;
                }
            }
            if is_last {
                return Ok(());
            }
            if pruned.elapsed() >= PRUNE_EVERY {
                pruned = Instant::now();
                self.blocking(HistoryStore::prune).await?;
            }
        }
    }

    /// What is to be written of the commits at hand.
    fn gather(&self, first: Option<Arc<Commit>>, feed: &mut Feed) -> Result<Vec<Entry>, Lagged> {
        let now = self.ledger.clock().now();
        let mut entries = Vec::new();
        let mut witness = self.witness.lock();
        let mut next = match first {
            Some(commit) => Some(commit),
            None => feed.try_next()?,
        };
        let mut seen = 0;
        while let Some(commit) = next {
            let told = witness.see(&commit);
            entries.extend(told.into_iter().map(|told| of_commit(told, &commit, now)));
            seen += 1;
            next = if seen < BATCH_COMMITS { feed.try_next()? } else { None };
        }
        Ok(entries)
    }

    /// Notes what changed while nobody followed: since the last write before a crash, or while the
    /// feed was lost.
    async fn catch_up(&self, feed: &Feed) -> Result<()> {
        let (snapshot, now) = (feed.snapshot().clone(), self.ledger.clock().now());
        let (witness, store) = (self.witness.clone(), self.store.clone());
        let caught = tokio::task::spawn_blocking(move || {
            let mut witness = witness.lock();
            witness.look_around(&snapshot);
            let mut store = store.lock();
            let revision = snapshot.revision();
            let missed = match store.position()? {
                Some(position) if position < revision => witness.found_after(&snapshot, position),
                _ => Vec::new(),
            };
            drop(witness);
            let entries: Vec<Entry> =
                missed.into_iter().map(|told| found(told, revision, now)).collect();
            if !entries.is_empty() {
                tracing::info!(
                    resources = entries.len(),
                    "changes that were not followed are noted"
                );
            }
            store.append(&entries, revision, now)
        });
        caught.await?
    }

    async fn write(&self, entries: Vec<Entry>, position: u64) -> Result<()> {
        self.blocking(move |store, now| store.append(&entries, position, now)).await
    }

    async fn blocking<F>(&self, f: F) -> Result<()>
    where
        F: FnOnce(&mut HistoryStore, Timestamp) -> Result<()> + Send + 'static,
    {
        let (store, now) = (self.store.clone(), self.ledger.clock().now());
        tokio::task::spawn_blocking(move || f(&mut store.lock(), now)).await?
    }

    /// Tasks and instances by state, and the history's own size.
    pub fn figures(&self) -> Source {
        let this = self.clone();
        Box::new(move |registry| this.add_figures(registry))
    }

    fn add_figures(&self, registry: &mut Registry) {
        let (tasks, instances) = {
            let witness = self.witness.lock();
            (witness.tasks(), witness.instances())
        };
        figures::counts(registry, "ecs_tasks", "Tasks by cluster and status", tasks);
        let help = "Container instances by cluster and status";
        figures::counts(registry, "ecs_instances", help, instances);
        let (bytes, position) = {
            let store = self.store.lock();
            (store.bytes(), store.position().ok().flatten().unwrap_or_default())
        };
        figures::figure(registry, "history_bytes", "Disk space of the history", bytes);
        let behind = self.ledger.snapshot().revision().saturating_sub(position);
        let help = "Commits that are not in the history yet";
        figures::figure(registry, "history_behind_commits", help, behind);
    }
}

fn of_commit(told: Happening, commit: &Commit, now: Timestamp) -> Entry {
    let request = commit.cause().map(|cause| Request {
        id: cause.request_id.to_string(),
        operation: format!("{}:{}", cause.service, cause.operation),
        caller: cause.caller.clone(),
    });
    let Happening { arn, what, text, .. } = told;
    Entry {
        at: now.millis(),
        revision: commit.revision(),
        arn,
        what: what.to_owned(),
        text,
        transaction: commit.name().to_owned(),
        request,
    }
}

fn found(told: Happening, revision: u64, now: Timestamp) -> Entry {
    let Happening { arn, what, text, .. } = told;
    let (what, transaction) = (what.to_owned(), String::new());
    Entry { at: now.millis(), revision, arn, what, text, transaction, request: None }
}
