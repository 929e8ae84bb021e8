//! The rows in etcd as a plain [`Store`]: for archives that are written and read by commands.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::fence::{Ended, Fence};
use super::pages::Pages;
use super::{LIMITS, bounded, connect, mirror, store_error};
use crate::role::Member;
use crate::state::Revision;
use crate::store::etcd::layout::{
    Announcement, FORMAT, HeadRecord, Keys, Place, StagedKey, decode_row, encode_row, staged_writes,
};
use crate::store::{
    Batch, Etcd, EtcdCompare, EtcdError, EtcdOp, EtcdPair, EtcdSettings, EtcdTxn, LoadedRow, Pace,
    Store, StoreError,
};

/// The lease of a command that writes. It is renewed with every commit.
const LEASE: Duration = Duration::from_secs(60);

/// The rows that servers share on an etcd. Reading goes on beside them; the first commit takes
/// the leadership, and is refused while a server lives.
pub struct EtcdStore {
    settings: EtcdSettings,
    keys: Keys,
    etcd: Arc<dyn Etcd>,
    /// Calls run on it from threads of their own, so that a caller may itself be on a runtime.
    runtime: Option<Runtime>,
    writing: Option<Writing>,
}

struct Writing {
    fence: Fence,
    lease: i64,
    head: HeadRecord,
}

impl EtcdStore {
    /// Connects, and begins the keys in an empty etcd.
    ///
    /// # Errors
    /// When etcd cannot be reached or refuses, or a newer program wrote its keys.
    pub fn open(settings: EtcdSettings) -> Result<Self, StoreError> {
        let keys = Keys::new(&settings.prefix);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| StoreError::Thread { source })?;
        let opened = wait(&runtime, async {
            let etcd = connect(&settings).await?;
            mirror::begin_format(&*etcd, &keys, &settings).await?;
            Ok(etcd)
        });
        let etcd = match opened {
            Ok(etcd) => etcd,
            Err(error) => {
                // Dropped, it would wait, which a caller on another runtime must not do.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self { settings, keys, etcd, runtime: Some(runtime), writing: None })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("taken when dropped")
    }

    fn explain(&self, error: &EtcdError) -> StoreError {
        store_error(&self.settings, error)
    }

    async fn pages(
        &self,
        prefix: &[u8],
        take: &mut (dyn FnMut(EtcdPair) + Send),
    ) -> Result<(), StoreError> {
        let mut pages = Pages::of(prefix);
        while let Some(pairs) =
            pages.next(&*self.etcd).await.map_err(|error| self.explain(&error))?
        {
            pairs.into_iter().for_each(&mut *take);
        }
        Ok(())
    }

    /// Everything at one revision: the head, the pairs, and the staged parts that it names.
    async fn read(&self) -> Result<(HeadRecord, Vec<EtcdPair>), StoreError> {
        let (mut pairs, mut head) = (Vec::new(), HeadRecord::default());
        self.pages(self.keys.all(), &mut |pair| match self.keys.place(&pair.key) {
            Place::Head => head = HeadRecord::decode(&pair.value).unwrap_or_default(),
            Place::Row { .. } | Place::Staged(_) => pairs.push(pair),
            Place::Leader | Place::Member(_) | Place::Other => {}
        })
        .await?;
        Ok((head, pairs))
    }

    /// Takes the leadership, if no server lives, and finishes what the last one left.
    async fn begin(&self) -> Result<Writing, StoreError> {
        let mut alive = Vec::new();
        let members = self.keys.member("");
        self.pages(&members, &mut |pair| {
            if let Some(server) = Announcement::decode(&pair.value) {
                alive.push(server.member.to_string());
            }
        })
        .await?;
        let in_use = |servers: String| StoreError::Etcd {
            endpoints: self.settings.endpoints.join(","),
            problem: format!("it is in use by {servers}; stop it first"),
        };
        if !alive.is_empty() {
            return Err(in_use(alive.join(", ")));
        }
        let lease = bounded(self.etcd.grant(LEASE)).await.map_err(|error| self.explain(&error))?;
        let member = Member { name: "a command".to_owned(), url: String::new() };
        let own = Announcement { member, format: FORMAT, records: Default::default() };
        let (key, value) = (self.keys.leader(), own.encode());
        let take = EtcdTxn {
            compares: vec![EtcdCompare::Created(key.clone(), 0)],
            then: vec![EtcdOp::Put { key, value, lease: lease.id }, EtcdOp::Get(self.keys.head())],
            or_else: Vec::new(),
        };
        let taken = bounded(self.etcd.txn(take)).await.map_err(|error| self.explain(&error))?;
        if !taken.succeeded {
            return Err(in_use("a server that leads".to_owned()));
        }
        let head = taken.found.into_iter().flatten().next();
        let head = head.and_then(|pair| HeadRecord::decode(&pair.value)).unwrap_or_default();
        let (etcd, keys) = (self.etcd.clone(), self.keys.clone());
        let fence = Fence { etcd, keys, created: taken.revision };
        let settled = fence.settle(head).await.map_err(|ended| self.ended(ended))?;
        let head = settled.map_or(head, |(head, _)| head);
        Ok(Writing { fence, lease: lease.id, head })
    }

    fn ended(&self, ended: Ended) -> StoreError {
        let problem = match ended {
            Ended::Unknown => "it did not answer a commit, which may have been made or not",
            Ended::Fenced | Ended::Resigned => "another server leads, or it refused a commit",
        };
        self.explain(&EtcdError::Refused(problem.to_owned()))
    }

    async fn write(&self, mut writing: Writing, batch: &Batch) -> Result<Writing, StoreError> {
        let renewed = bounded(self.etcd.keep_alive(writing.lease)).await;
        renewed.map_err(|error| self.explain(&error))?;
        let Writing { fence, head, .. } = &mut writing;
        let base = *head;
        let bytes: usize = batch.writes.iter().map(crate::store::Write::size_bytes).sum();
        let next = HeadRecord { revision: batch.revision, term: fence.created, staged: 0 };
        // A commit of a revision that is there already would not differ from the last one.
        let written = if batch.writes.len() > LIMITS.rows || bytes > LIMITS.bytes {
            match fence.stage(&base, batch.revision, &batch.writes).await {
                Ok((valid, _)) => fence.settle(valid).await.map(|settled| {
                    *head = settled.map_or(valid, |(head, _)| head);
                }),
                Err(ended) => Err(ended),
            }
        } else {
            let op = |write: &crate::store::Write| {
                let key = self.keys.row(write.table, &write.key);
                match &write.row {
                    Some(row) => EtcdOp::put(key, encode_row(row)),
                    None => EtcdOp::Delete(key),
                }
            };
            let mut ops: Vec<EtcdOp> = batch.writes.iter().map(op).collect();
            ops.push(EtcdOp::put(self.keys.head(), next.encode()));
            fence.step(&base, &next, ops).await.map(|_| *head = next)
        };
        written.map_err(|ended| self.ended(ended))?;
        Ok(writing)
    }
}

/// Runs `work` to its end, wherever the caller is.
fn wait<T: Send>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    std::thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(work)).join().unwrap_or(Err(StoreError::Stopped))
    })
}

impl Store for EtcdStore {
    fn load(
        &mut self,
        sink: &mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>,
    ) -> Result<Revision, StoreError> {
        let (head, pairs) = wait(self.runtime(), self.read())?;
        let damaged = || self.explain(&EtcdError::Refused("a row is damaged".to_owned()));
        // What a staged commit writes stands in its parts, wherever its rows are by now.
        let part_of = |pair: &EtcdPair| match self.keys.place(&pair.key) {
            Place::Staged(StagedKey { term, revision, number }) => {
                (term, revision) == (head.term, head.revision) && number < head.staged
            }
            _ => false,
        };
        let parts: Vec<&EtcdPair> = pairs.iter().filter(|pair| part_of(pair)).collect();
        let mut staged = std::collections::BTreeMap::new();
        for part in parts {
            for write in staged_writes(&part.value).ok_or_else(damaged)? {
                staged.insert((write.table, write.key), write.row);
            }
        }
        for pair in &pairs {
            let Place::Row { table, key } = self.keys.place(&pair.key) else { continue };
            if !staged.contains_key(&(table, key)) {
                sink(decode_row(table, key, &pair.value).ok_or_else(damaged)?)?;
            }
        }
        for ((table, key), row) in staged {
            if let Some(row) = row {
                sink(decode_row(table, key, row).ok_or_else(damaged)?)?;
            }
        }
        Ok(head.revision)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let writing = match self.writing.take() {
            Some(writing) => writing,
            None => wait(self.runtime(), self.begin())?,
        };
        self.writing = Some(wait(self.runtime(), self.write(writing, batch))?);
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}

impl Drop for EtcdStore {
    /// Gives the leadership back; if that fails, it runs out by itself.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if let Some(writing) = self.writing.take() {
            let revoke = bounded(self.etcd.revoke(writing.lease));
            let revoked = wait(&runtime, async { Ok(revoke.await) });
            if !matches!(revoked, Ok(Ok(()))) {
                tracing::warn!("a lease could not be given back");
            }
        }
        runtime.shutdown_background();
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtcdStore({} at {})", self.settings.prefix, self.settings.endpoints.join(","))
    }
}
