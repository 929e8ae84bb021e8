//! The question which revision is the newest, shared by all who wait with it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::bounded;
use crate::error::LedgerError;
use crate::head::MAX_WAITING;
use crate::role::Member;
use crate::store::etcd::layout::{Announcement, Keys};
use crate::store::{Etcd, EtcdError, EtcdOp, EtcdTxn};

/// What etcd says is so, after the question was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newest {
    /// The revision that last wrote the head.
    pub(super) head: i64,
    /// The lease and the name of the leader.
    pub(super) leader: Option<(i64, Member)>,
    /// The revision that created the leader's key, 0 without a leader.
    pub(super) term: i64,
}

type Asker = oneshot::Sender<Result<Newest, LedgerError>>;

#[derive(Clone)]
pub(super) struct Barrier {
    inner: Arc<Inner>,
}

struct Inner {
    etcd: Arc<dyn Etcd>,
    question: EtcdTxn,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    askers: Vec<Asker>,
    closed: bool,
}

impl Barrier {
    pub(super) fn new(etcd: Arc<dyn Etcd>, keys: &Keys) -> Self {
        let gets = vec![EtcdOp::Get(keys.head()), EtcdOp::Get(keys.leader())];
        let question = EtcdTxn { then: gets, ..EtcdTxn::default() };
        let (waiting, wake) = (Mutex::default(), Notify::new());
        Self { inner: Arc::new(Inner { etcd, question, waiting, wake }) }
    }

    /// The answer to a question that is put to etcd after this call began.
    pub(super) async fn ask(&self) -> Result<Newest, LedgerError> {
        let (asker, answer) = oneshot::channel();
        {
            let mut waiting = self.inner.waiting.lock();
            if waiting.askers.len() >= MAX_WAITING {
                return Err(LedgerError::Crowded);
            }
            if waiting.closed {
                return Err(closed());
            }
            waiting.askers.push(asker);
        }
        self.inner.wake.notify_one();
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// The task that asks: one question at a time, each for all who came before it was put.
    pub(super) fn asker(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let inner = self.inner.clone();
        async move {
            loop {
                inner.wake.notified().await;
                let (askers, is_closed) = {
                    let mut waiting = inner.waiting.lock();
                    (std::mem::take(&mut waiting.askers), waiting.closed)
                };
                if is_closed {
                    return;
                }
                if askers.is_empty() {
                    continue;
                }
                let newest = inner.newest().await;
                let answer = newest
                    .map_err(|error| LedgerError::Unreachable { reason: error.to_string().into() });
                // One who no longer listens has been cancelled.
                askers.into_iter().for_each(|asker| drop(asker.send(answer.clone())));
            }
        }
    }

    /// Puts a question of its own.
    pub(super) async fn newest(&self) -> Result<Newest, EtcdError> {
        self.inner.newest().await
    }

    pub(super) fn close(&self) {
        let mut waiting = self.inner.waiting.lock();
        waiting.closed = true;
        waiting.askers.clear();
        drop(waiting);
        self.inner.wake.notify_one();
    }
}

fn closed() -> LedgerError {
    LedgerError::Unreachable { reason: "this ledger is closed".into() }
}

impl Inner {
    async fn newest(&self) -> Result<Newest, EtcdError> {
        let mut answer = bounded(self.etcd.txn(self.question.clone())).await?;
        let leader = answer.found.pop().flatten();
        let head = answer.found.pop().flatten();
        let missing = || EtcdError::Refused("its keys are gone".to_owned());
        let term = leader.as_ref().map_or(0, |pair| pair.created);
        let leader =
            leader.and_then(|pair| Some((pair.lease, Announcement::decode(&pair.value)?.member)));
        Ok(Newest { head: head.ok_or_else(missing)?.modified, leader, term })
    }
}
