//! A leader's answers while what it has written is on its way: a follower may show it already, and
//! who has seen it there is not to find it gone on the leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ledger::{
    Etcd, EtcdAnswer, EtcdError, EtcdLease, EtcdOp, EtcdPage, EtcdRange, EtcdStatus, EtcdTxn,
    EtcdWatch, MemoryEtcd, TransactError,
};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::world::{World, key, settings, ship};

/// An etcd whose answers to writes can be held back.
#[derive(Clone)]
struct Holding {
    etcd: MemoryEtcd,
    holds: Arc<AtomicBool>,
    released: Arc<Notify>,
}

impl Holding {
    fn release(&self) {
        self.holds.store(false, Ordering::Relaxed);
        self.released.notify_waiters();
    }
}

#[async_trait]
impl Etcd for Holding {
    async fn txn(&self, txn: EtcdTxn) -> Result<EtcdAnswer, EtcdError> {
        let writes = txn.then.iter().any(|op| matches!(op, EtcdOp::Put { .. }));
        let answer = self.etcd.txn(txn).await;
        while writes && self.holds.load(Ordering::Relaxed) {
            self.released.notified().await;
        }
        answer
    }

    async fn range(&self, range: EtcdRange) -> Result<EtcdPage, EtcdError> {
        self.etcd.range(range).await
    }

    async fn watch(&self, prefix: &[u8], from: i64) -> Result<Box<dyn EtcdWatch>, EtcdError> {
        self.etcd.watch(prefix, from).await
    }

    async fn grant(&self, ttl: Duration) -> Result<EtcdLease, EtcdError> {
        self.etcd.grant(ttl).await
    }

    async fn keep_alive(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        self.etcd.keep_alive(lease).await
    }

    async fn revoke(&self, lease: i64) -> Result<(), EtcdError> {
        self.etcd.revoke(lease).await
    }

    async fn compact(&self, revision: i64) -> Result<(), EtcdError> {
        self.etcd.compact(revision).await
    }

    async fn status(&self) -> Result<EtcdStatus, EtcdError> {
        self.etcd.status().await
    }

    fn now(&self) -> Duration {
        self.etcd.now()
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_answers_with_no_less_than_a_follower_has_shown() {
    let (holds, released) = (Arc::default(), Arc::default());
    let holding = Holding { etcd: MemoryEtcd::new(), holds, released };
    let etcd = Arc::new(holding.etcd.clone());
    let one = World::join(Some(Arc::new(holding.clone())), settings("one", "", "/test"));
    let one = one.await.unwrap();
    one.put_when_leading(key("red", 1)).await;
    let other = World::join(Some(etcd), settings("other", "", "/test")).await.unwrap();
    let mut feed = other.ledger.subscribe();

    holding.holds.store(true, Ordering::Relaxed);
    let (ledger, ships) = (one.ledger.clone(), one.ships);
    let put = tokio::spawn(async move {
        let put = ledger.transact("put", |tx| {
            tx.put(&ships, key("red", 2), ship("Oslo", 1));
            Ok::<_, ()>(())
        });
        put.await.unwrap().revision
    });
    assert_eq!(feed.next().await.unwrap().revision(), 2, "the follower shows it");

    let read = one.ledger.current();
    let look = one
        .ledger
        .transact("look", |tx| Err::<(), bool>(tx.get(&one.ships, &key("red", 2)).is_some()));
    tokio::pin!(read, look);
    let early = timeout(Duration::from_millis(300), &mut read).await;
    assert!(early.is_err(), "the leader reads {early:?}");
    let early = timeout(Duration::from_millis(300), &mut look).await;
    assert!(early.is_err(), "a refusal comes early");
    holding.release();
    assert_eq!(read.await.unwrap().revision(), 2);
    assert!(matches!(look.await, Err(TransactError::Rejected(true))));
    assert_eq!(put.await.unwrap(), 2);
}
