//! How many transactions a second 64 waiting callers get from each store, behind the real ledger.
//!
//! `cargo run --release --manifest-path bench/stores/Cargo.toml -- DIR [SECONDS]`; put
//! `taskset -c 0` in front to hold it to one core. DIR must be on the disk that is meant.

mod candidates;

use std::cell::Cell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use candidates::{Fjall, Log, Redb};
use ledger::{
    Batch, EmbeddedStore, Ledger, LoadedRow, MemoryStore, Record, Schema, Store, StoreError,
    StoredRow, Write as RowWrite,
};
use serde::{Deserialize, Serialize};
use terms::{Clock, IdSource, Timestamp};

const CALLERS: usize = 64;
const BODY_BYTES: usize = 1500;

#[derive(Serialize, Deserialize)]
struct Family {
    newest: u64,
}
impl Record for Family {}

#[derive(Serialize, Deserialize)]
struct Definition {
    document: String,
}
impl Record for Definition {}

struct Fixed(AtomicU64);
impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }
}
impl IdSource for Fixed {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }
}

/// Transactions a second, and their mean latency: each registers the next revision in one of
/// `families` families, as RegisterTaskDefinition does.
fn measure(store: Box<dyn Store>, families: usize, time: Duration) -> (f64, Duration) {
    let mut schema = Schema::new();
    let heads = schema.table::<u64, Family>("families");
    let definitions = schema.table::<(u64, u64), Definition>("definitions");
    let fixed = Arc::new(Fixed(AtomicU64::new(0)));
    let ledger = Ledger::open(schema, store, fixed.clone(), fixed).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    let done = Rc::new(Cell::new(0_u64));
    let start = Instant::now();
    let local = tokio::task::LocalSet::new();
    for caller in 0..CALLERS {
        let (ledger, done) = (ledger.clone(), done.clone());
        local.spawn_local(async move {
            let family = (caller % families) as u64;
            while start.elapsed() < time {
                let registered = ledger.transact("register", |tx| {
                    let newest = tx.get(&heads, &family).map_or(0, |row| row.newest) + 1;
                    tx.put(&heads, family, Family { newest });
                    let document = "x".repeat(BODY_BYTES);
                    tx.put(&definitions, (family, newest), Definition { document });
                    Ok::<_, std::convert::Infallible>(newest)
                });
                registered.await.expect("commits");
                done.set(done.get() + 1);
            }
        });
    }
    runtime.block_on(local);
    let elapsed = start.elapsed();
    (done.get() as f64 / elapsed.as_secs_f64(), elapsed * CALLERS as u32 / done.get() as u32)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("usage: bench-stores DIR [SECONDS]");
    let seconds = arguments.next().map_or(5, |text| text.parse().expect("a number of seconds"));
    let time = Duration::from_secs(seconds);
    type Open<'a> = Box<dyn Fn(&Path) -> Box<dyn Store> + 'a>;
    let stores: [(&str, Open<'_>); 8] = [
        ("memory", Box::new(|_| Box::new(MemoryStore::new()))),
        ("log, no sync", Box::new(|dir| Box::new(Log::open(dir, false, false)))),
        ("log, growing file", Box::new(|dir| Box::new(Log::open(dir, false, true)))),
        ("log, written before", Box::new(|dir| Box::new(Log::open(dir, true, true)))),
        (
            "fjall, SyncData",
            Box::new(|dir| Box::new(Fjall::open(dir, fjall::PersistMode::SyncData))),
        ),
        ("fjall, SyncAll", Box::new(|dir| Box::new(Fjall::open(dir, fjall::PersistMode::SyncAll)))),
        ("embedded, as built", Box::new(|dir| Box::new(EmbeddedStore::open(dir).expect("opens")))),
        ("redb, Immediate", Box::new(|dir| Box::new(Redb::open(dir)))),
    ];
    time_openings(&Path::new(&dir).join("openings"));
    println!("one writer, 4 KiB and fdatasync: {:.0}/s", fdatasyncs(Path::new(&dir), time));
    println!(
        "{CALLERS} callers, {BODY_BYTES} bytes a record, two rows a transaction, {seconds} s each"
    );
    for families in [64, 1] {
        for (name, open) in &stores {
            let place = Path::new(&dir).join(name.replace([' ', ','], "-"));
            let _ = std::fs::remove_dir_all(&place);
            let before = cpu();
            let (rate, latency) = measure(open(&place), families, time);
            let cost = (cpu() - before) / (rate * seconds as f64);
            println!(
                "{families:2} families  {name:20} {rate:8.0}/s  {:7.2} ms  {:6.1} µs CPU",
                latency.as_secs_f64() * 1e3,
                cost * 1e6
            );
            let _ = std::fs::remove_dir_all(&place);
        }
    }
}

/// What the disk itself allows: commits a second of one writer that shares them with nobody.
fn fdatasyncs(dir: &Path, time: Duration) -> f64 {
    std::fs::create_dir_all(dir).expect("creates");
    let path = dir.join("fdatasync");
    let mut file = std::fs::File::create(&path).expect("creates");
    let (start, mut count) = (Instant::now(), 0_u32);
    while start.elapsed() < time {
        file.write_all(&[7; 4096]).expect("writes");
        file.sync_data().expect("syncs");
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("removes");
    rate
}

/// How long the embedded store takes to make, and to open again with 0 and with 10,000 rows.
fn time_openings(dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
    for rows in [0, 10_000, 0] {
        let start = Instant::now();
        let mut store = EmbeddedStore::open(dir).expect("opens");
        let mut loaded = 0;
        let count = &mut |_: LoadedRow<'_>| -> Result<(), StoreError> { Ok(loaded += 1) };
        let revision = store.load(count).expect("loads");
        println!(
            "opening with {loaded} rows: {:.1} ms, RSS {} KiB",
            start.elapsed().as_secs_f64() * 1e3,
            rss_kib()
        );
        let row =
            StoredRow { created: 1, version: 1, record_version: 1, body: [7; BODY_BYTES].into() };
        let write = |key: u32| RowWrite {
            table: "rows",
            key: key.to_be_bytes().into(),
            row: Some(row.clone()),
        };
        store
            .commit(&Batch { revision: revision + 1, writes: (0..rows).map(write).collect() })
            .expect("commits");
    }
    std::fs::remove_dir_all(dir).expect("removes");
}

fn rss_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("reads");
    let pages: u64 = statm.split(' ').nth(1).expect("has").parse().expect("number");
    pages * 4
}

/// CPU seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("reads");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("has").split(' ').collect();
    let ticks: f64 =
        fields[11].parse::<f64>().expect("number") + fields[12].parse::<f64>().expect("number");
    ticks / 100.0
}
