//! The ledger on an etcd, against a bare loop of `etcd-client` in the same run: the same
//! connection, as many transactions on their way, the same keys, sizes and rows in each.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use etcd_client::{Client, Compare, CompareOp, Txn, TxnOp};
use ledger::{EtcdSettings, Leadership, Ledger, Member, Schema, Table};

use crate::clock::WallClock;
use crate::longshore::Place;
use crate::process::Process;
use crate::report::{Report, Sample, ms};
use crate::writes::{Numbers, Small, drive};

/// The goal, against the bare loop.
const GOAL: f64 = 0.8;
/// Rows that the callers write over.
const ROWS: u32 = 20_000;
/// Rows that a transaction writes while the store is filled.
const FILL_ROWS: u64 = 100;
/// Transactions on their way while the store is filled.
const FILLERS: u64 = 8;
/// The body of a row that stands for a task, in bytes.
const TASK_BYTES: usize = 1_000;
/// Bodies as [`Small`] comes to in the store, in bytes.
const BODY_BYTES: usize = 130;
/// What the ledger has on its way at most.
const FLIGHTS: usize = 4;

/// Durable writes on etcd against a bare loop; loading what etcd holds
#[derive(Args, Debug)]
pub struct Etcd {
    /// Callers, each with one transaction under way
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    callers: u16,
    /// Seconds of each of the two, in each round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds; the median of their ratios counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// Rows of 1 kB to write, and load in another server; 0 for none
    #[arg(long, default_value_t = 200_000)]
    hold: u64,
}

struct Joined {
    ledger: Ledger,
    table: Table<u64, Small>,
}

impl Etcd {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("etcd: small durable transactions, Debian's etcd, loopback");
        let folder = tempfile::Builder::new().prefix("etcd-").tempdir_in(&place.work)?;
        let ports = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let [client, peer] = [ports[0].local_addr()?, ports[1].local_addr()?];
        drop(ports);
        let (endpoint, peer) = (format!("http://{client}"), format!("http://{peer}"));
        let mut command = Command::new("etcd");
        command.args(["--name", "bench", "--logger", "zap", "--log-level", "error", "--data-dir"]);
        command.arg(folder.path().join("data"));
        command.args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("bench={peer}")]);
        let mut etcd = Process::start(command, &folder.path().join("log"), None)?;
        etcd.wait_until(Duration::from_secs(30), || std::net::TcpStream::connect(client).is_ok())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.measure(&endpoint, &mut report))?;
        Ok(report)
    }

    async fn measure(&self, endpoint: &str, report: &mut Report) -> Result<()> {
        let leader = join(endpoint, "leader").await?;
        leader.ledger.leadership().wait_for(Leadership::is_leading).await?;
        let mut bare = Client::connect([endpoint], None).await?;
        let time = Duration::from_secs(self.seconds);
        let Joined { ledger, table } = &leader;
        drive(ledger, *table, ROWS, self.callers, Duration::from_secs(1)).await?;
        let (mut ratios, mut rates, mut bares) = (Vec::new(), Vec::new(), Vec::new());
        let (mut batch, mut latency) = (1, None);
        for _ in 0..self.rounds {
            let before = revision(&mut bare).await?;
            let (rate, sample) = drive(ledger, *table, ROWS, self.callers, time).await?;
            let commits = revision(&mut bare).await? - before;
            batch = (sample.len() as f64 / commits.max(1) as f64).round().max(1.0) as usize;
            latency = Some(sample);
            // As many as the callers keep on their way in batches of this size.
            let flights = usize::from(self.callers).div_ceil(batch).clamp(1, FLIGHTS);
            let peer = bare_loop(&bare, batch, flights, time).await?;
            ratios.push(rate / peer);
            rates.push(rate);
            bares.push(peer);
        }
        let latency = latency.context("at least one round")?;
        let note = format!(
            "p50 {:.1} ms, p99 {:.1} ms, {batch} rows in a transaction of etcd",
            ms(latency.median()),
            ms(latency.quantile(0.99)),
        );
        report.add(&format!("transactions, {} callers", self.callers), median(rates), "/s", note);
        report.add("rows of a bare loop of etcd-client", median(bares), "/s", "");
        let (low, high) = (
            ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        );
        report.add("lowest ratio of a round", low, "", format!("highest {high:.2}"));
        report.target("against the bare loop", median(ratios), GOAL, false, "");
        let (_, alone) = drive(ledger, *table, ROWS, 1, time).await?;
        report.add_sample("a transaction, one caller", &alone);
        if self.hold > 0 {
            self.load(endpoint, &leader, report).await?;
        }
        leader.ledger.resign().await;
        Ok(())
    }

    /// Fills the store, and joins it with another server.
    async fn load(&self, endpoint: &str, leader: &Joined, report: &mut Report) -> Result<()> {
        let start = Instant::now();
        let filler = |number: u64| {
            let (ledger, table) = (leader.ledger.clone(), leader.table);
            let transactions = self.hold.div_ceil(FILL_ROWS);
            async move {
                for transaction in (number..transactions).step_by(FILLERS as usize) {
                    let fill = |tx: &mut ledger::Tx<'_>| {
                        for row in 0..FILL_ROWS {
                            let key = u64::MAX / 2 + transaction * FILL_ROWS + row;
                            let text = "x".repeat(TASK_BYTES);
                            tx.put(&table, key, Small { counter: key, text });
                        }
                        Ok::<_, std::convert::Infallible>(())
                    };
                    ledger.transact("fill", fill).await.context("filling")?;
                }
                anyhow::Ok(())
            }
        };
        let fillers: Vec<_> = (0..FILLERS).map(|number| tokio::spawn(filler(number))).collect();
        for filler in fillers {
            filler.await??;
        }
        let rate = self.hold as f64 / start.elapsed().as_secs_f64();
        report.add("rows of 1 kB written, 100 in a transaction", rate, "/s", "");
        let start = Instant::now();
        let follower = join(endpoint, "follower").await?;
        let time = start.elapsed().as_secs_f64();
        let rows = follower.ledger.snapshot().len(&follower.table);
        ensure!(rows as u64 >= self.hold, "a server that joined has {rows} rows");
        report.add(&format!("joining a store of {rows} rows"), time, "s", "");
        let mut waits = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            follower.ledger.current().await?;
            waits.push(start.elapsed());
        }
        report.add_sample("a follower's read learns the newest revision", &Sample::new(waits));
        let start = Instant::now();
        leader.ledger.resign().await;
        follower.ledger.leadership().wait_for(Leadership::is_leading).await?;
        report.add("a clean stop until the other leads", ms(start.elapsed()), "ms", "");
        Ok(())
    }
}

async fn join(endpoint: &str, name: &str) -> Result<Joined> {
    let mut schema = Schema::new();
    let table = schema.table::<u64, Small>("bench.small");
    let member = Member { name: name.to_owned(), url: String::new() };
    let settings = EtcdSettings::new(vec![endpoint.to_owned()], member);
    let (clock, ids) = (Arc::new(WallClock), Arc::new(Numbers::default()));
    Ok(Joined { ledger: Ledger::join(schema, settings, clock, ids).await?, table })
}

async fn revision(client: &mut Client) -> Result<i64> {
    let answer = client.get("/bare/head", None).await?;
    Ok(answer.header().context("etcd answers with a header")?.revision())
}

/// Rows a second: each transaction compares one key, writes `batch` rows and then a head.
async fn bare_loop(client: &Client, batch: usize, flights: usize, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let flight = |number: usize| {
        let mut client = client.clone();
        async move {
            let (mut rows, mut row) = (0_u64, number as u64);
            while start.elapsed() < time {
                let mut ops = Vec::with_capacity(batch + 1);
                for _ in 0..batch {
                    let key = [b"/bare/rows/bench.small\0", &row.to_be_bytes()[..]].concat();
                    ops.push(TxnOp::put(key, vec![b'x'; BODY_BYTES], None));
                    row = (row + flights as u64) % u64::from(ROWS);
                }
                ops.push(TxnOp::put(format!("/bare/head/{number}"), vec![1; 21], None));
                let none = Compare::create_revision("/bare/leader", CompareOp::Equal, 0);
                let same = Compare::version("/bare/none", CompareOp::Equal, 0);
                let answer = client.txn(Txn::new().when([none, same]).and_then(ops)).await?;
                ensure!(answer.succeeded(), "nobody else writes these keys");
                rows += batch as u64;
            }
            Ok(rows)
        }
    };
    let tasks: Vec<_> = (0..flights).map(|number| tokio::spawn(flight(number))).collect();
    let mut rows = 0;
    for task in tasks {
        rows += task.await??;
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
