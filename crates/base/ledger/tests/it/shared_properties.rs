//! Servers on an etcd with faults, in virtual time, by seeds: nothing acknowledged is lost,
//! nothing refused was written, no read misses what was acknowledged before it, and all end alike.
//!
//! `LEDGER_ETCD_SEEDS` sets how many seeds; a failing one is named and runs again alone with
//! `LEDGER_ETCD_SEED`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ledger::{Etcd, Feed, LedgerError, MemoryEtcd, Snapshot, TransactError};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::sleep;

use crate::faulty_etcd::{Dice, FaultyEtcd};
use crate::world::{Key, Ship, World, key, settings, ship};

const SEEDS: u64 = 12;
const SERVERS: u64 = 3;
const CLIENTS: u32 = 6;
const OPERATIONS: u32 = 60;
/// Rows of a transaction too large for one of etcd's.
const MANY: u32 = 300;
const RUN: Duration = Duration::from_secs(120);

/// One server: its ledger, what it sees of etcd, and a reader of its feed.
struct Server {
    world: World,
    etcd: FaultyEtcd,
    seen: Rc<RefCell<BTreeMap<Key, Ship>>>,
    reader: JoinHandle<()>,
}

struct Run {
    etcd: MemoryEtcd,
    dice: Dice,
    servers: RefCell<Vec<Rc<Server>>>,
    /// The highest count that was acknowledged.
    acknowledged: Cell<u64>,
    written: RefCell<BTreeSet<Key>>,
    refused: RefCell<BTreeSet<Key>>,
    counts: RefCell<BTreeSet<u64>>,
    tally: RefCell<BTreeMap<&'static str, u32>>,
}

impl Run {
    fn any_server(&self) -> Rc<Server> {
        let servers = self.servers.borrow();
        servers[self.dice.roll(servers.len() as u64) as usize].clone()
    }

    async fn join(&self, name: u64) -> Rc<Server> {
        loop {
            let etcd = FaultyEtcd::new(self.etcd.clone(), self.dice.roll(u64::MAX));
            let settings = settings(&format!("server-{name}"), "", "/test");
            // One that cannot join is started again.
            let Ok(world) = World::join(Some(Arc::new(etcd.clone())), settings).await else {
                continue;
            };
            let seen = Rc::new(RefCell::new(BTreeMap::new()));
            let reader = spawn_local(read(world.ledger.subscribe(), world.ships, seen.clone()));
            return Rc::new(Server { world, etcd, seen, reader });
        }
    }

    fn count(&self, what: &'static str) {
        *self.tally.borrow_mut().entry(what).or_default() += 1;
    }

    async fn client(self: Rc<Self>, client: u32) {
        for number in 0..OPERATIONS {
            sleep(self.dice.millis(1_500)).await;
            match self.dice.roll(10) {
                0..=4 => self.add(key("one", client * 1_000 + number), 1).await,
                5 => self.add(key("many", client * 1_000 + number), MANY).await,
                6..=8 => self.look().await,
                _ => self.look_by_transaction().await,
            }
        }
    }

    /// Counts up, and writes rows that belong together.
    async fn add(&self, key: Key, rows: u32) {
        let server = self.any_server();
        let World { ledger, ships, .. } = &server.world;
        let before = self.acknowledged.get();
        let added = ledger.transact("add", |tx| {
            let total = tx.get(ships, &total_key()).map_or(0, |row| row.cargo) + 1;
            tx.put(ships, total_key(), ship("total", total));
            for row in 0..rows {
                tx.put(ships, part(&key, row), ship("part", total));
            }
            Ok::<_, ()>(total)
        });
        match added.await {
            Ok(committed) => {
                self.count("written");
                let total = committed.value;
                assert!(total > before, "a write built on a state before {before}");
                assert!(self.counts.borrow_mut().insert(total), "{total} was counted twice");
                self.acknowledged.set(self.acknowledged.get().max(total));
                self.written.borrow_mut().insert(key);
            }
            Err(TransactError::Ledger(error)) => {
                if matches!(error, LedgerError::OutcomeUnknown) {
                    self.count("unknown");
                } else {
                    self.count("refused");
                    self.refused.borrow_mut().insert(key);
                }
            }
            Err(TransactError::Rejected(())) => unreachable!(),
        }
    }

    async fn look(&self) {
        let before = self.acknowledged.get();
        let server = self.any_server();
        let Ok(snapshot) = server.world.ledger.current().await else {
            return self.count("not read");
        };
        self.count("read");
        let total = snapshot.get(&server.world.ships, &total_key()).map_or(0, |row| row.cargo);
        assert!(total >= before, "a read showed {total} after {before} was acknowledged");
        check_whole(&server.world, &snapshot);
    }

    async fn look_by_transaction(&self) {
        let before = self.acknowledged.get();
        let server = self.any_server();
        let World { ledger, ships, .. } = &server.world;
        let look = ledger.transact("look", |tx| {
            Err::<(), _>(tx.get(ships, &total_key()).map_or(0, |row| row.cargo))
        });
        match look.await {
            Err(TransactError::Rejected(total)) => {
                self.count("rejected");
                assert!(total >= before, "a rejection saw {total} after {before}");
            }
            Err(TransactError::Ledger(_)) => self.count("not rejected"),
            Ok(_) => unreachable!(),
        }
    }

    /// Kills, cuts off and resigns servers, and compacts etcd's history.
    async fn trouble(self: Rc<Self>) {
        for name in SERVERS.. {
            sleep(Duration::from_millis(500) + self.dice.millis(5_000)).await;
            let server = self.any_server();
            match self.dice.roll(8) {
                0 => {
                    self.replace(&server, name).await;
                    server.etcd.kill();
                }
                1 => {
                    self.replace(&server, name).await;
                    server.world.ledger.resign().await;
                }
                2 | 3 => server.etcd.pause(self.dice.millis(6_000)),
                _ => {
                    let newest = self.etcd.txn(ledger::EtcdTxn::default()).await.unwrap().revision;
                    let _ = self.etcd.compact(newest - self.dice.roll(20) as i64).await;
                }
            }
        }
    }

    async fn replace(&self, old: &Rc<Server>, name: u64) {
        let new = self.join(name).await;
        let mut servers = self.servers.borrow_mut();
        servers.retain(|server| !Rc::ptr_eq(server, old));
        servers.push(new);
    }

    /// Lets everything work, and checks that all have the same in the end.
    async fn check(&self) {
        let servers = self.servers.borrow().clone();
        servers.iter().for_each(|server| server.etcd.heal());
        let settings = settings("last", "", "/test");
        let last = World::join(Some(Arc::new(self.etcd.clone())), settings).await.unwrap();
        // Something a leader writes, so that there is one, and what was on its way is over.
        sleep(Duration::from_secs(20)).await;
        let snapshot = last.ledger.current().await.unwrap();
        let rows = last.all();
        check_whole(&last, &snapshot);
        let keys: BTreeSet<&Key> = rows.iter().map(|(key, _)| key).collect();
        for key in &*self.written.borrow() {
            assert!(keys.contains(&part(key, 0)), "{key:?} was acknowledged and is gone");
        }
        for key in &*self.refused.borrow() {
            assert!(!keys.contains(&part(key, 0)), "{key:?} was refused and is there");
        }
        let commits = rows.iter().filter(|(key, _)| key.1 % 1_000 == 0 && key.0 != "total").count();
        let total = snapshot.get(&last.ships, &total_key()).map_or(0, |row| row.cargo);
        assert_eq!(total, commits as u64, "each count stands for one commit");
        assert_eq!(snapshot.revision(), total, "each revision too");
        for server in servers {
            let current = server.world.ledger.current().await.unwrap();
            assert_eq!(current.revision(), snapshot.revision());
            check_same(&server.world.all(), &rows, "another server's state");
            sleep(Duration::from_millis(10)).await;
            let seen: Vec<_> = server.seen.borrow().clone().into_iter().collect();
            check_same(&seen, &rows, "what the feed told");
            server.reader.abort();
        }
        let staged = self.etcd.dump().into_iter();
        let staged = staged.filter(|(key, _)| key.starts_with(b"/test/staged/")).count();
        assert_eq!(staged, 0, "nothing is left of staged commits");
    }
}

fn check_same(one: &[(Key, Ship)], other: &[(Key, Ship)], what: &str) {
    let differs: Vec<_> = one.iter().filter(|row| !other.contains(row)).take(5).collect();
    let misses: Vec<_> = other.iter().filter(|row| !one.contains(row)).take(5).collect();
    assert!(one == other, "{what} has {differs:?} and has not {misses:?}");
}

fn total_key() -> Key {
    key("total", 0)
}

/// A row of what belongs together.
fn part(of: &Key, row: u32) -> Key {
    (of.0.clone(), of.1 * 1_000 + row)
}

/// Large transactions are there whole or not at all.
fn check_whole(world: &World, snapshot: &Snapshot) {
    let mut rows: BTreeMap<u32, u32> = BTreeMap::new();
    for (key, _) in snapshot.prefix(&world.ships, &"many".to_owned()) {
        *rows.entry(key.1 / 1_000).or_default() += 1;
    }
    assert!(rows.values().all(|&rows| rows == MANY), "half a transaction shows: {rows:?}");
}

/// Keeps a copy of the table by the feed alone.
async fn read(
    mut feed: Feed,
    ships: ledger::Table<Key, Ship>,
    seen: Rc<RefCell<BTreeMap<Key, Ship>>>,
) {
    let copy = |snapshot: &Snapshot| -> BTreeMap<Key, Ship> {
        snapshot.range(&ships, ..).map(|(key, row)| (key, Ship::clone(&row))).collect()
    };
    *seen.borrow_mut() = copy(feed.snapshot());
    loop {
        match feed.next().await {
            Err(_) => *seen.borrow_mut() = copy(feed.restart()),
            Ok(commit) => {
                let mut seen = seen.borrow_mut();
                for change in commit.changes_of(&ships) {
                    let before = change.before.map(|row| Ship::clone(&row));
                    let old = match change.after {
                        Some(row) => seen.insert(change.key, Ship::clone(&row)),
                        None => seen.remove(&change.key),
                    };
                    assert_eq!(old, before, "the feed tells what was before");
                }
            }
        }
    }
}

/// Runs one seed; gives how often what happened, and the faults.
fn run(seed: u64) -> (BTreeMap<&'static str, u32>, u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let run = Rc::new(Run {
            etcd: MemoryEtcd::new(),
            dice: Dice::new(seed),
            servers: RefCell::default(),
            acknowledged: Cell::new(0),
            written: RefCell::default(),
            refused: RefCell::default(),
            counts: RefCell::default(),
            tally: RefCell::default(),
        });
        for name in 0..SERVERS {
            let server = run.join(name).await;
            run.servers.borrow_mut().push(server);
        }
        let trouble = spawn_local(run.clone().trouble());
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| spawn_local(run.clone().client(client))).collect();
        for client in clients {
            tokio::time::timeout(RUN * 10, client).await.expect("the clients end").unwrap();
        }
        trouble.abort();
        run.check().await;
        let faults = run.servers.borrow().iter().map(|server| server.etcd.faults()).sum();
        (run.tally.borrow().clone(), faults)
    })
}

#[test]
fn servers_agree_whatever_happens_on_the_way() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("LEDGER_ETCD_SEED") {
        let outcome = run(seed);
        eprintln!("seed {seed}: {outcome:?}");
        return;
    }
    let mut total: BTreeMap<&str, u32> = BTreeMap::new();
    let mut faults = 0;
    for seed in 0..number("LEDGER_ETCD_SEEDS").unwrap_or(SEEDS) {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let (tally, some) = outcome.unwrap_or_else(|_| panic!("seed {seed} fails"));
        tally.into_iter().for_each(|(what, times)| *total.entry(what).or_default() += times);
        faults += some;
    }
    eprintln!("{total:?}, {faults} faults");
    for what in ["written", "unknown", "refused", "read", "rejected"] {
        assert!(total.contains_key(what), "it never happened: {what}");
    }
}
