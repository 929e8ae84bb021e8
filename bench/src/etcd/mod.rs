//! The ledger on an etcd, against a bare loop of `etcd-client` in the same run: one connection
//! each, the same comparisons, sizes and rows in a transaction, as many rows on their way.

mod peer;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use etcd_client::Client;
use ledger::{EtcdSettings, Leadership, Ledger, Member, Schema, Table};

use crate::clock::WallClock;
use crate::longshore::Place;
use crate::process::Usage;
use crate::report::{Report, Sample, ms};
use crate::writes::{Numbers, Small, drive};

pub use server::Server;

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
/// The database may grow so far: minutes of nothing but writes are more than etcd expects.
const QUOTA_BYTES: u64 = 8 << 30;
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

/// One round: ours, and the peer's behind it.
struct Round {
    rate: f64,
    /// The peer's rate with one transaction after the other.
    bare: f64,
    /// And with as many on their way as the callers could fill, in any order.
    beside: f64,
    sample: Sample,
    shape: peer::Shape,
    /// Microseconds of processor time for a row: of this process, and of etcd.
    ours: [f64; 2],
    theirs: [f64; 2],
}

/// Processor time that this process and etcd have used.
struct Costs([Usage; 2]);

impl Costs {
    fn now(etcd: u32) -> Result<Self> {
        Ok(Self([Usage::of(std::process::id())?, Usage::of(etcd)?]))
    }

    /// Microseconds for each of `rows` since then.
    fn until_now(&self, etcd: u32, rows: usize) -> Result<[f64; 2]> {
        let Self([own, other]) = Self::now(etcd)?;
        let each = |now: Usage, then: &Usage| now.since(then).processor_seconds * 1e6;
        let rows = rows.max(1) as f64;
        Ok([each(own, &self.0[0]) / rows, each(other, &self.0[1]) / rows])
    }
}

struct Joined {
    ledger: Ledger,
    table: Table<u64, Small>,
}

impl Etcd {
    /// Measures.
    pub fn run(&self, place: &Place) -> Result<Report> {
        let mut report = Report::new("etcd: small durable transactions, Debian's etcd, loopback");
        let etcd = Server::start(place, Some(QUOTA_BYTES))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.measure(&etcd.endpoint, etcd.id(), &mut report))?;
        Ok(report)
    }

    async fn measure(&self, endpoint: &str, etcd: u32, report: &mut Report) -> Result<()> {
        let leader = join(endpoint, "leader").await?;
        leader.ledger.leadership().wait_for(Leadership::is_leading).await?;
        let mut bare = Client::connect([endpoint], None).await?;
        let time = Duration::from_secs(self.seconds);
        let Joined { ledger, table } = &leader;
        drive(ledger, *table, ROWS, self.callers, Duration::from_secs(1)).await?;
        let value_bytes = peer::value_bytes(&mut bare).await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let before = peer::revision(&mut bare).await?;
            let start = Costs::now(etcd)?;
            let (rate, sample) = drive(ledger, *table, ROWS, self.callers, time).await?;
            let ours = start.until_now(etcd, sample.len())?;
            let commits = peer::revision(&mut bare).await? - before;
            let batch = (sample.len() as f64 / commits.max(1) as f64).round().max(1.0);
            // As many as the callers keep on their way in transactions of this size.
            let flights = (f64::from(self.callers) / batch).round() as usize;
            let (flights, batch) = (flights.clamp(1, FLIGHTS), batch as usize);
            let shape = peer::Shape { batch, flights: 1, rows: u64::from(ROWS), value_bytes };
            let start = Costs::now(etcd)?;
            let alone = peer::drive(&mut bare, shape, time).await?;
            let theirs = start.until_now(etcd, (alone * time.as_secs_f64()) as usize)?;
            let shape = peer::Shape { flights, ..shape };
            let beside = peer::drive(&mut bare, shape, time).await?;
            rounds.push(Round { rate, bare: alone, beside, sample, shape, ours, theirs });
        }
        self.tell(&rounds, report)?;
        let (_, alone) = drive(ledger, *table, ROWS, 1, time).await?;
        report.add_sample("a transaction, one caller", &alone);
        if self.hold > 0 {
            self.load(endpoint, &leader, report).await?;
        }
        leader.ledger.resign().await;
        Ok(())
    }

    fn tell(&self, rounds: &[Round], report: &mut Report) -> Result<()> {
        let median_of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
        let last = rounds.last().context("at least one round")?;
        let note = format!(
            "p50 {:.1} ms, p99 {:.1} ms, {} rows in a transaction of etcd",
            ms(last.sample.median()),
            ms(last.sample.quantile(0.99)),
            last.shape.batch,
        );
        let what = format!("transactions, {} callers", self.callers);
        report.add(&what, median_of(|round| round.rate), "/s", note);
        let cost =
            |[own, etcd]: [f64; 2]| format!("{own:.1} µs of this process, {etcd:.1} of etcd");
        report.add("    processor time of one", last.ours.iter().sum(), "µs", cost(last.ours));
        let rows = median_of(|round| round.bare);
        report.add("rows of a bare loop of etcd-client", rows, "/s", "one after the other");
        report.add("    processor time of one", last.theirs.iter().sum(), "µs", cost(last.theirs));
        let ratios: Vec<f64> = rounds.iter().map(|round| round.rate / round.bare).collect();
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        report.add("lowest ratio of a round", low, "", format!("highest {high:.2}"));
        report.target("against the bare loop", median(ratios), GOAL, false, "");
        let what = format!("rows of {} such loops, in any order", last.shape.flights);
        let ratio = median_of(|round| round.rate / round.beside);
        let note = format!("against these {ratio:.2}");
        report.add(&what, median_of(|round| round.beside), "/s", note);
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
    let quota_bytes = QUOTA_BYTES;
    let settings =
        EtcdSettings { quota_bytes, ..EtcdSettings::new(vec![endpoint.to_owned()], member) };
    let (clock, ids) = (Arc::new(WallClock), Arc::new(Numbers::default()));
    Ok(Joined { ledger: Ledger::join(schema, settings, clock, ids).await?, table })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
