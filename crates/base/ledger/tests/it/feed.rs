//! The change feed.

use ledger::{FEED_COMMITS, Lagged};

use crate::world::{Backend, Memory, World, key, run, ship};

#[test]
fn commits_come_in_order_with_rows_before_and_after() {
    let world = Memory::default().world();
    run(async {
        world.put(key("red", 1), ship("Oslo", 1)).await;
        let mut feed = world.ledger.subscribe();
        assert_eq!(feed.snapshot().revision(), 1);
        world.put(key("red", 1), ship("Oslo", 2)).await;
        let both = world.ledger.transact("both", |tx| {
            tx.delete(&world.ships, &key("red", 1));
            tx.put(&world.ships, key("red", 2), ship("Oslo", 3));
            Ok::<_, ()>(())
        });
        both.await.unwrap();

        let commit = feed.next().await.unwrap();
        assert_eq!((commit.revision(), commit.name()), (2, "put"));
        let change = commit.changes_of(&world.ships).next().unwrap();
        assert_eq!(change.before.as_ref().map(|row| (row.cargo, row.version())), Some((1, 1)));
        assert_eq!(change.after.as_ref().map(|row| (row.cargo, row.version())), Some((2, 2)));

        let commit = feed.next().await.unwrap();
        assert_eq!((commit.revision(), commit.name()), (3, "both"));
        assert!(commit.touches(&world.ships));
        let changes: Vec<_> = commit
            .changes_of(&world.ships)
            .map(|change| (change.key, change.before.is_some(), change.after.is_some()))
            .collect();
        assert_eq!(changes, [(key("red", 1), true, false), (key("red", 2), false, true)]);
    });
}

#[test]
fn a_slow_reader_is_told_and_starts_again() {
    let world = Memory::default().world();
    run(async {
        let mut feed = world.ledger.subscribe();
        fill(&world, FEED_COMMITS + 1).await;
        assert_eq!(feed.next().await.unwrap_err(), Lagged);
        assert_eq!(feed.next().await.unwrap_err(), Lagged, "until it starts again");
        let snapshot = feed.restart().clone();
        assert_eq!(snapshot.revision(), FEED_COMMITS as u64 + 1);
        let revision = world.put(key("red", 0), ship("Oslo", 0)).await;
        assert_eq!(feed.next().await.unwrap().revision(), revision);
    });
}

#[test]
fn a_reader_need_not_wait() {
    let world = Memory::default().world();
    run(async {
        let mut feed = world.ledger.subscribe();
        assert!(feed.try_next().unwrap().is_none());
        fill(&world, 2).await;
        assert_eq!(feed.try_next().unwrap().unwrap().revision(), 1);
        assert_eq!(feed.next().await.unwrap().revision(), 2);
        assert!(feed.try_next().unwrap().is_none());
        fill(&world, FEED_COMMITS + 1).await;
        assert_eq!(feed.try_next().unwrap_err(), Lagged);
        assert_eq!(feed.next().await.unwrap_err(), Lagged, "until it starts again");
        feed.restart();
        assert!(feed.try_next().unwrap().is_none());
    });
}

#[test]
fn a_reader_just_fast_enough_misses_nothing() {
    let world = Memory::default().world();
    run(async {
        let mut feed = world.ledger.subscribe();
        fill(&world, FEED_COMMITS).await;
        for revision in 1..=FEED_COMMITS as u64 {
            assert_eq!(feed.next().await.unwrap().revision(), revision);
        }
    });
}

async fn fill(world: &World, commits: usize) {
    for _ in 0..commits {
        world.put(key("red", 1), ship("Oslo", 0)).await;
    }
}
