//! `kill -9` at any moment loses no acknowledged write and leaves none half.
//!
//! A child process writes with many tasks and prints each acknowledgement; the parent kills it
//! after some number of them, opens the same directory, and compares. `LEDGER_CRASH_ROUNDS`
//! sets how often.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use ledger::{EmbeddedStore, Ledger, Table};

use crate::world::{Key, Ship, World, key, run, ship};

const DIRECTORY: &str = "LEDGER_CRASH_DIRECTORY";
const ROUNDS: u64 = 36;
const ROUNDS_ON_ONE_DIRECTORY: u64 = 6;
const WRITERS: u32 = 64;

#[test]
fn acknowledged_writes_survive_kill_9() {
    let rounds = std::env::var("LEDGER_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let (mut directory, mut acknowledged) = (tempfile::tempdir().unwrap(), BTreeMap::new());
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut writes = 0;
    for round in 0..rounds {
        if round % ROUNDS_ON_ONE_DIRECTORY == 0 {
            (directory, acknowledged) = (tempfile::tempdir().unwrap(), BTreeMap::new());
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
        // Few acknowledgements in one round of four, so that recovery itself is hit as well.
        let patience = (seed >> 33) % if round % 4 == 0 { 3 } else { 1_000 };
        let total = run_and_kill(directory.path(), patience, &mut acknowledged);
        check(directory.path(), &acknowledged, round);
        assert!(total >= patience, "the child ended by itself in round {round}");
        writes += total;
    }
    eprintln!("{rounds} kills, {writes} acknowledged writes");
    assert!(writes > rounds, "only {writes} writes were acknowledged");
}

/// Lets a child write until `patience` acknowledgements were read, kills it, and reads the rest.
fn run_and_kill(directory: &Path, patience: u64, acknowledged: &mut BTreeMap<u32, u32>) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut total = 0;
    if patience == 0 {
        child.kill().unwrap();
    }
    for line in lines.map_while(Result::ok) {
        let Some((writer, count)) = line.strip_prefix("ack ").and_then(|ack| ack.split_once(' '))
        else {
            continue;
        };
        acknowledged.insert(writer.parse().unwrap(), count.parse().unwrap());
        total += 1;
        if total == patience {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    total
}

/// Each writer's rows are 1, 2, … without gaps, as many as its counter says, and at least as
/// many as were acknowledged; at most one more was on its way.
fn check(directory: &Path, acknowledged: &BTreeMap<u32, u32>, round: u64) {
    let world = World::open(Box::new(EmbeddedStore::open(directory).unwrap()));
    let snapshot = world.ledger.snapshot();
    let mut total = 0;
    for writer in 0..WRITERS {
        let counter = snapshot.get(&world.ships, &key("counter", writer));
        let count = counter.map_or(0, |row| row.cargo);
        let promised = acknowledged.get(&writer).copied().unwrap_or(0);
        assert!(
            count >= u64::from(promised),
            "round {round}: writer {writer} was told of {promised} writes, {count} are left"
        );
        let rows = snapshot.prefix(&world.ships, &fleet(writer));
        let numbers: Vec<u32> = rows.map(|((_, number), _)| number).collect();
        assert!(numbers.into_iter().eq(1..=u32::try_from(count).unwrap()), "round {round}");
        total += count;
    }
    let all = snapshot.get(&world.ships, &key("total", 0)).map_or(0, |row| row.cargo);
    assert_eq!(all, total, "round {round}: a transaction was torn");
    assert_eq!(snapshot.revision(), total);
}

fn fleet(writer: u32) -> String {
    format!("writer {writer}")
}

/// Not a test of its own: what the child of the test above does.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let world = World::open(Box::new(EmbeddedStore::open(Path::new(&directory)).unwrap()));
    // The test harness has begun a line of its own.
    println!();
    run(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(world.ledger.clone(), world.ships, writer));
        }
        while writers.join_next().await.is_some() {}
    });
}

async fn write(ledger: Ledger, ships: Table<Key, Ship>, writer: u32) {
    loop {
        let write = ledger.transact("write", |tx| {
            let add = |fleet: &str, number| {
                let key = key(fleet, number);
                let cargo = tx.get(&ships, &key).map_or(0, |row| row.cargo) + 1;
                (key, cargo)
            };
            let (total, all) = add("total", 0);
            let (counter, count) = add("counter", writer);
            let number = u32::try_from(count).unwrap();
            tx.put(&ships, total, ship("Oslo", all));
            tx.put(&ships, counter, ship("Oslo", count));
            tx.put(&ships, key(&fleet(writer), number), ship(&"x".repeat(500), count));
            Ok::<_, ()>(number)
        });
        let number = write.await.unwrap().value;
        // One call, so that a line is never half.
        let line = format!("ack {writer} {number}\n");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}
