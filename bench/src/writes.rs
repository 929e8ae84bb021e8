//! Durable writes: small transactions of many waiting callers straight into the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use ledger::{EmbeddedStore, Ledger, Record, Schema, Table};
use serde::{Deserialize, Serialize};
use terms::IdSource;

use crate::clock::WallClock;
use crate::disk;
use crate::longshore::Place;
use crate::report::{Report, Sample, ms};

/// The goal.
const GOAL: f64 = 20_000.0;

/// Small durable transactions a second of many waiting callers
#[derive(Args, Debug)]
pub struct Writes {
    /// Callers, each with one transaction under way
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    callers: u16,
    /// Seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rows that the callers write over, each in turn
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rows: u32,
}

/// A small row: about 130 bytes in the store.
#[derive(Serialize, Deserialize)]
pub struct Small {
    /// How often it was written.
    pub counter: u64,
    /// Its bulk.
    pub text: String,
}

impl Record for Small {}

/// Ids that count.
#[derive(Default)]
pub struct Numbers(AtomicU64);

impl IdSource for Numbers {
    fn next(&self) -> [u8; 16] {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)).to_be_bytes()
    }
}

impl Writes {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("writes: small durable transactions, embedded store");
        let time = Duration::from_secs(self.seconds);
        let disk = disk::sync_rate(&place.work, 1, Duration::from_secs(2))?;
        report.add("disk: append + fdatasync, one caller", disk, "/s", "");
        let folder = tempfile::Builder::new().prefix("writes-").tempdir_in(&place.work)?;
        let mut schema = Schema::new();
        let table = schema.table::<u64, Small>("bench.small");
        let store = EmbeddedStore::open(folder.path())?;
        let ids = Arc::new(Numbers::default());
        let ledger = Ledger::open(schema, Box::new(store), Arc::new(WallClock), ids)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for callers in [1, self.callers] {
            let (rate, latency) =
                runtime.block_on(drive(&ledger, table, self.rows, callers, time))?;
            let note = format!(
                "p50 {:.2} ms, p99 {:.2} ms",
                ms(latency.median()),
                ms(latency.quantile(0.99))
            );
            report.add(&format!("transactions, {callers} callers"), rate, "/s", note);
            if callers == self.callers && callers > 1 {
                report.target("against its goal", rate, GOAL, false, "/s");
            }
        }
        Ok(report)
    }
}

/// Writes small rows over from many callers at once; gives transactions a second, and how long
/// each took.
pub async fn drive(
    ledger: &Ledger,
    table: Table<u64, Small>,
    rows: u32,
    callers: u16,
    time: Duration,
) -> Result<(f64, Sample)> {
    let start = Instant::now();
    let rows = u64::from(rows);
    let caller = |number: u16| {
        let ledger = ledger.clone();
        async move {
            let mut latencies = Vec::new();
            let mut row = u64::from(number);
            while start.elapsed() < time {
                let begin = Instant::now();
                let write = |tx: &mut ledger::Tx<'_>| {
                    let counter = tx.get(&table, &row).map_or(0, |small| small.counter);
                    let text = "x".repeat(100);
                    tx.put(&table, row, Small { counter: counter + 1, text });
                    Ok::<_, std::convert::Infallible>(())
                };
                ledger.transact("write", write).await.context("a transaction")?;
                latencies.push(begin.elapsed());
                row = (row + u64::from(callers)) % rows.max(1);
            }
            anyhow::Ok(latencies)
        }
    };
    let tasks: Vec<_> = (0..callers).map(|number| tokio::spawn(caller(number))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let rate = latencies.len() as f64 / start.elapsed().as_secs_f64();
    Ok((rate, Sample::new(latencies)))
}
