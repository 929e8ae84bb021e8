//! Stores that are slow, or fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ledger::{
    Batch, LedgerError, LoadedRow, MAX_WAITING, MemoryStore, Pace, Revision, Store, StoreError,
    TransactError,
};

use crate::world::{Backend, Memory, World, key, run, ship, start};

type Sink<'a> = &'a mut dyn FnMut(LoadedRow<'_>) -> Result<(), StoreError>;

/// Commits only when told to, on the ledger's thread; the message says whether it works.
struct Gate {
    inner: MemoryStore,
    entered: SyncSender<usize>,
    leave: Receiver<bool>,
}

impl Store for Gate {
    fn load(&mut self, sink: Sink<'_>) -> Result<Revision, StoreError> {
        self.inner.load(sink)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let _ = self.entered.send(batch.writes.len());
        match self.leave.recv() {
            Ok(true) => self.inner.commit(batch),
            _ => Err(StoreError::Full { dir: "/data".into() }),
        }
    }

    fn pace(&self) -> Pace {
        Pace::OwnThread
    }
}

fn gate(inner: MemoryStore) -> (World, Receiver<usize>, SyncSender<bool>) {
    let (entered, entries) = sync_channel(16);
    let (open, leave) = sync_channel(16);
    (World::open(Box::new(Gate { inner, entered, leave })), entries, open)
}

#[test]
fn transactions_that_wait_share_a_commit_and_nothing_shows_before_it() {
    let (world, entries, open) = gate(MemoryStore::new());
    run(async {
        let mut feed = world.ledger.subscribe();
        start(world.put(key("red", 1), ship("Oslo", 1)));
        assert_eq!(entries.recv().unwrap(), 1);
        for number in 2..=9 {
            start(world.put(key("red", number), ship("Oslo", 1)));
        }
        start(world.put(key("red", 9), ship("Oslo", 2)));
        start(feed.next());
        assert_eq!(world.ledger.snapshot().revision(), 0);
        assert!(world.all().is_empty());

        open.send(true).unwrap();
        assert_eq!(entries.recv().unwrap(), 8, "eight rows, one of them written twice");
        assert_eq!(world.ledger.snapshot().revision(), 1);
        open.send(true).unwrap();
        for revision in 1..=10 {
            assert_eq!(feed.next().await.unwrap().revision(), revision);
        }
        assert_eq!(world.ledger.snapshot().len(&world.ships), 9);
    });
}

#[test]
fn a_read_only_transaction_does_not_wait_for_the_store() {
    let (world, entries, open) = gate(MemoryStore::new());
    start(world.put(key("red", 1), ship("Oslo", 1)));
    entries.recv().unwrap();
    let seen = run(world
        .ledger
        .transact("look", |tx| Ok::<_, ()>(tx.get(&world.ships, &key("red", 1)).is_some())));
    assert_eq!(seen.unwrap(), ledger::Committed { value: false, revision: 0 });
    open.send(true).unwrap();
}

#[test]
fn a_failing_store_ends_all_writing() {
    let kept = MemoryStore::new();
    let (world, entries, open) = gate(kept.clone());
    run(async {
        open.send(true).unwrap();
        world.put(key("red", 1), ship("Oslo", 1)).await;
        entries.recv().unwrap();

        let put = |number| {
            let (ledger, ships) = (world.ledger.clone(), world.ships);
            let (sent, received) = sync_channel(1);
            let task = tokio::spawn(async move {
                let put = ledger.transact("put", |tx| {
                    let _ = sent.try_send(());
                    tx.put(&ships, key("red", number), ship("Oslo", 1));
                    Ok::<_, ()>(())
                });
                put.await
            });
            (task, received)
        };
        let (in_batch, _ran) = put(2);
        tokio::task::yield_now().await;
        entries.recv().unwrap();
        let (behind_it, ran) = put(3);
        tokio::task::yield_now().await;
        ran.recv().unwrap();
        open.send(false).unwrap();
        for task in [in_batch, behind_it, put(4).0] {
            let Err(TransactError::Ledger(error)) = task.await.unwrap() else { panic!("refused") };
            assert!(matches!(error, LedgerError::StoreFailed(_)), "{error:?}");
            assert_eq!(
                error.to_string(),
                "the ledger takes no more writes until it is restarted, because its store \
                 failed: the disk that holds /data is full; free some space and start again"
            );
        }
        assert_eq!(world.all(), [(key("red", 1), ship("Oslo", 1))], "reads go on");
    });
    drop(world);
    assert_eq!(World::open(Box::new(kept)).all(), [(key("red", 1), ship("Oslo", 1))]);
}

/// Fails at one commit, inline: what a simulation does to a server.
struct FailsAt(MemoryStore, u64, Arc<AtomicU64>);

impl Store for FailsAt {
    fn load(&mut self, sink: Sink<'_>) -> Result<Revision, StoreError> {
        self.0.load(sink)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if self.2.fetch_add(1, Ordering::Relaxed) + 1 == self.1 {
            return Err(StoreError::Full { dir: "/data".into() });
        }
        self.0.commit(batch)
    }

    fn pace(&self) -> Pace {
        Pace::Inline
    }
}

#[test]
fn an_inline_store_may_fail_too() {
    let kept = MemoryStore::new();
    let commits = Arc::new(AtomicU64::new(0));
    let world = World::open(Box::new(FailsAt(kept.clone(), 2, commits.clone())));
    run(async {
        world.put(key("red", 1), ship("Oslo", 1)).await;
        for number in 2..4 {
            let put = world.ledger.transact("put", |tx| {
                tx.put(&world.ships, key("red", number), ship("Oslo", 1));
                Ok::<_, ()>(())
            });
            assert!(matches!(put.await, Err(TransactError::Ledger(LedgerError::StoreFailed(_)))));
        }
    });
    assert_eq!(commits.load(Ordering::Relaxed), 2, "nothing is tried after a failure");
    assert_eq!(world.all(), [(key("red", 1), ship("Oslo", 1))]);
}

#[test]
fn a_crowd_before_the_store_is_refused() {
    let (world, entries, open) = gate(MemoryStore::new());
    start(world.put(key("red", 0), ship("Oslo", 0)));
    entries.recv().unwrap();
    for _ in 1..MAX_WAITING {
        start(world.put(key("red", 1), ship("Oslo", 1)));
    }
    let one_more = world.ledger.transact("put", |tx| {
        tx.put(&world.ships, key("red", 2), ship("Oslo", 2));
        Ok::<_, ()>(())
    });
    let error = run(one_more).unwrap_err();
    assert!(matches!(error, TransactError::Ledger(LedgerError::Crowded)), "{error:?}");
    (0..2).for_each(|_| open.send(true).unwrap());
    entries.recv().unwrap();
    open.send(true).unwrap();
    assert_eq!(run(world.put(key("red", 3), ship("Oslo", 3))), MAX_WAITING as u64 + 1);
}

#[test]
fn closing_the_ledger_commits_what_waits() {
    let kept = MemoryStore::new();
    let (world, _entries, open) = gate(kept.clone());
    start(world.put(key("red", 1), ship("Oslo", 1)));
    start(world.put(key("red", 2), ship("Oslo", 1)));
    (0..2).for_each(|_| open.send(true).unwrap());
    drop(world);
    assert_eq!(World::open(Box::new(kept)).all().len(), 2);
}

#[test]
fn transactions_can_be_sent_between_threads() {
    fn check<T: Send>(value: T) -> T {
        value
    }
    let world = Memory::default().world();
    run(check(world.ledger.transact("send", |_| Ok::<_, ()>(())))).unwrap();
    check(world.ledger.subscribe());
    check(world.ledger.snapshot());
}
