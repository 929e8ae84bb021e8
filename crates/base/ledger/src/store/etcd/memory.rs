//! An etcd in memory: for tests, and for simulations with faults around it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::api::{
    Etcd, EtcdAnswer, EtcdCompare, EtcdError, EtcdEvent, EtcdLease, EtcdOp, EtcdPage, EtcdPair,
    EtcdRange, EtcdStatus, EtcdTxn, EtcdWatch,
};
use super::layout::behind;

/// As etcd's own limit.
const MAX_OPS: usize = 128;

/// As etcd's own limit.
const MAX_REQUEST_BYTES: usize = 1_572_864;

/// One etcd, without faults. Clones are the same one. Its time is tokio's, so it stands still
/// when that is paused.
#[derive(Clone)]
pub struct MemoryEtcd {
    inner: Arc<Inner>,
}

struct Inner {
    kept: Mutex<Kept>,
    news: Notify,
    start: Instant,
}

#[derive(Default)]
struct Kept {
    revision: i64,
    compacted: i64,
    /// For each key its versions: the revision, and the key then or `None` when deleted.
    keys: BTreeMap<Vec<u8>, Vec<(i64, Option<EtcdPair>)>>,
    history: Vec<EtcdEvent>,
    leases: BTreeMap<i64, Lease>,
    granted: i64,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Lease {
    ttl: Duration,
    expires: Duration,
}

impl Default for MemoryEtcd {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryEtcd {
    /// An empty one.
    pub fn new() -> Self {
        let kept = Mutex::new(Kept::default());
        Self { inner: Arc::new(Inner { kept, news: Notify::new(), start: Instant::now() }) }
    }

    /// Its keys and values, to look at.
    pub fn dump(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let kept = self.inner.kept.lock();
        let newest = kept.keys.values().filter_map(|versions| versions.last()?.1.as_ref());
        newest.map(|pair| (pair.key.clone(), pair.value.clone())).collect()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept, Duration) -> T) -> T {
        let now = self.inner.start.elapsed();
        let mut kept = self.inner.kept.lock();
        let before = kept.revision;
        kept.expire(now);
        let outcome = work(&mut kept, now);
        let has_news = kept.revision > before;
        drop(kept);
        if has_news {
            self.inner.news.notify_waiters();
        }
        outcome
    }
}

impl Kept {
    fn get(&self, key: &[u8], at: i64) -> Option<&EtcdPair> {
        let versions = self.keys.get(key)?;
        versions.iter().rev().find(|(revision, _)| *revision <= at)?.1.as_ref()
    }

    fn expire(&mut self, now: Duration) {
        let expired: Vec<i64> = self
            .leases
            .iter()
            .filter(|(_, lease)| lease.expires <= now)
            .map(|(id, _)| *id)
            .collect();
        expired.into_iter().for_each(|lease| self.revoke(lease));
    }

    fn revoke(&mut self, lease: i64) {
        if self.leases.remove(&lease).is_none() {
            return;
        }
        let newest = self.keys.values().filter_map(|versions| versions.last()?.1.as_ref());
        let held: Vec<Vec<u8>> =
            newest.filter(|pair| pair.lease == lease).map(|pair| pair.key.clone()).collect();
        if !held.is_empty() {
            self.revision += 1;
            held.iter().for_each(|key| self.delete(key));
        }
    }

    fn note(&mut self, key: Vec<u8>, event: EtcdEvent) {
        let pair = (!event.deleted).then(|| event.pair.clone());
        self.keys.entry(key).or_default().push((self.revision, pair));
        self.history.push(event);
    }

    fn delete(&mut self, key: &[u8]) {
        if self.get(key, i64::MAX).is_none() {
            return;
        }
        let pair = EtcdPair {
            key: key.to_vec(),
            value: Vec::new(),
            created: 0,
            modified: self.revision,
            lease: 0,
        };
        self.note(key.to_vec(), EtcdEvent { deleted: true, pair });
    }

    fn put(&mut self, key: &[u8], value: &[u8], lease: i64) {
        let created = self.get(key, i64::MAX).map_or(self.revision, |pair| pair.created);
        let (key, value, modified) = (key.to_vec(), value.to_vec(), self.revision);
        self.bytes += (key.len() + value.len()) as u64;
        let pair = EtcdPair { key: key.clone(), value, created, modified, lease };
        self.note(key, EtcdEvent { deleted: false, pair });
    }

    fn holds(&self, compare: &EtcdCompare) -> bool {
        match compare {
            EtcdCompare::Created(key, revision) => {
                self.get(key, i64::MAX).map_or(0, |pair| pair.created) == *revision
            }
            EtcdCompare::Value(key, value) => {
                self.get(key, i64::MAX).is_some_and(|pair| pair.value == *value)
            }
        }
    }

    fn check(&self, txn: &EtcdTxn) -> Result<(), EtcdError> {
        let refuse = |text: &str| Err(EtcdError::Refused(text.to_owned()));
        if txn.then.len().max(txn.or_else.len()).max(txn.compares.len()) > MAX_OPS {
            return refuse("etcdserver: too many operations in txn request");
        }
        let size = |op: &EtcdOp| match op {
            EtcdOp::Put { key, value, .. } => key.len() + value.len(),
            EtcdOp::Delete(key) | EtcdOp::DeletePrefix(key) | EtcdOp::Get(key) => key.len(),
        };
        if txn.then.iter().map(size).sum::<usize>() > MAX_REQUEST_BYTES {
            return refuse("etcdserver: request is too large");
        }
        let mut written: Vec<&[u8]> = txn.then.iter().filter_map(EtcdOp::written_key).collect();
        written.sort_unstable();
        if written.windows(2).any(|two| two[0] == two[1]) {
            return refuse("etcdserver: duplicate key given in txn request");
        }
        let lost = |op: &&EtcdOp| matches!(op, EtcdOp::Put { lease, .. } if *lease != 0 && !self.leases.contains_key(lease));
        match txn.then.iter().find(lost) {
            Some(_) => refuse("etcdserver: requested lease not found"),
            None => Ok(()),
        }
    }

    fn txn(&mut self, txn: &EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        let succeeded = txn.compares.iter().all(|compare| self.holds(compare));
        if succeeded {
            self.check(txn)?;
        }
        let ops = if succeeded { &txn.then } else { &txn.or_else };
        let before = self.history.len();
        self.revision += 1;
        let mut found = Vec::new();
        for op in ops {
            match op {
                EtcdOp::Put { key, value, lease } => self.put(key, value, *lease),
                EtcdOp::Delete(key) => self.delete(key),
                EtcdOp::DeletePrefix(prefix) => {
                    let keys = self.keys.range(prefix.clone()..behind(prefix));
                    let keys: Vec<Vec<u8>> = keys.map(|(key, _)| key.clone()).collect();
                    keys.iter().for_each(|key| self.delete(key));
                }
                EtcdOp::Get(key) => found.push(self.get(key, i64::MAX).cloned()),
            }
        }
        if self.history.len() == before {
            self.revision -= 1;
        }
        Ok(EtcdAnswer { succeeded, revision: self.revision, found })
    }
}

impl EtcdOp {
    fn written_key(&self) -> Option<&[u8]> {
        match self {
            Self::Put { key, .. } | Self::Delete(key) => Some(key),
            Self::DeletePrefix(_) | Self::Get(_) => None,
        }
    }
}

#[async_trait]
impl Etcd for MemoryEtcd {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        self.with(|kept, _| kept.txn(&txn))
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        self.with(|kept, _| {
            let at = if range.revision == 0 { kept.revision } else { range.revision };
            if at < kept.compacted {
                return Err(EtcdError::Compacted);
            }
            let keys = kept.keys.range(range.from..range.to).map(|(key, _)| key);
            let mut pairs: Vec<EtcdPair> = keys
                .filter_map(|key| kept.get(key, at).cloned())
                .take(range.limit as usize + 1)
                .collect();
            let more = pairs.len() > range.limit as usize;
            pairs.truncate(range.limit as usize);
            Ok(EtcdPage { pairs, more, revision: kept.revision })
        })
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        let etcd = self.clone();
        Ok(Box::new(Watching { etcd, prefix: prefix.to_vec(), next: from.max(1) }))
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        self.with(|kept, now| {
            kept.granted += 1;
            let id = kept.granted;
            kept.leases.insert(id, Lease { ttl, expires: now + ttl });
            Ok(EtcdLease { id, ttl })
        })
        .inspect(|_| self.inner.news.notify_waiters())
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        self.with(|kept, now| {
            let Some(lease) = kept.leases.get_mut(&lease) else { return Ok(None) };
            lease.expires = now + lease.ttl;
            Ok(Some(lease.ttl))
        })
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        self.with(|kept, _| kept.revoke(lease));
        Ok(())
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.with(|kept, _| {
            if revision <= kept.compacted {
                return Err(EtcdError::Compacted);
            }
            kept.compacted = revision;
            kept.history.retain(|event| event.pair.modified > revision);
            Ok(())
        })
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        let bytes = self.inner.kept.lock().bytes;
        Ok(EtcdStatus { size_bytes: bytes, used_bytes: bytes, quota_bytes: None })
    }

    fn now(&self) -> Duration {
        self.inner.start.elapsed()
    }
}

struct Watching {
    etcd: MemoryEtcd,
    prefix: Vec<u8>,
    next: i64,
}

impl Watching {
    fn ready(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        let (prefix, next) = (&self.prefix, self.next);
        let (events, newest) = self.etcd.with(|kept, _| {
            if next <= kept.compacted {
                return Err(EtcdError::Compacted);
            }
            let from = kept.history.partition_point(|event| event.pair.modified < next);
            let events = kept.history[from..].iter();
            let events = events.filter(|event| event.pair.key.starts_with(prefix)).cloned();
            Ok((events.collect::<Vec<_>>(), kept.revision))
        })?;
        self.next = self.next.max(newest + 1);
        Ok(events)
    }
}

#[async_trait]
impl EtcdWatch for Watching {
    async fn next(&mut self) -> Result<Vec<EtcdEvent>, EtcdError> {
        let inner = self.etcd.inner.clone();
        loop {
            let news = inner.news.notified();
            let events = self.ready()?;
            if !events.is_empty() {
                return Ok(events);
            }
            // A lease that expires is news, too, and only who looks finds it.
            let expires = inner.kept.lock().leases.values().map(|lease| lease.expires).min();
            match expires {
                Some(at) => _ = tokio::time::timeout_at(inner.start + at, news).await,
                None => news.await,
            }
        }
    }
}
