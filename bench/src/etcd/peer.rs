//! The peer: a bare loop of `etcd-client` that writes what the ledger writes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use etcd_client::{Client, Compare, CompareOp, GetOptions, Txn, TxnOp};

/// The key that stands for the leader's, as long as the ledger's.
const LEADER: &str = "/bareloops/leader";
/// What its rows begin with, as long as the ledger's prefix.
const ROWS: &[u8] = b"/bareloops/rows/bench.small\0";
/// What the ledger's rows begin with.
const OURS: &[u8] = b"/longshore/rows/bench.small\0";
/// A head of the ledger has so many bytes.
const HEAD_BYTES: usize = 21;

/// What a transaction of the loop is like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Rows that it writes.
    pub batch: usize,
    /// Transactions on their way at once.
    pub flights: usize,
    /// Rows that are written over.
    pub rows: u64,
    /// Bytes of a row's value.
    pub value_bytes: usize,
}

/// How many bytes the ledger's rows have in etcd.
pub async fn value_bytes(client: &mut Client) -> Result<usize> {
    let options = GetOptions::new().with_prefix().with_limit(1);
    let answer = client.get(OURS, Some(options)).await?;
    let row = answer.kvs().first().context("the ledger has written a row")?;
    Ok(row.value().len())
}

/// etcd's revision.
pub async fn revision(client: &mut Client) -> Result<i64> {
    let answer = client.get(LEADER, None).await?;
    Ok(answer.header().context("etcd answers with a header")?.revision())
}

/// Rows a second. Each transaction compares what one of the ledger does (the revision that made
/// the leader's key, and a head's whole value), writes rows and then a head, and would read both
/// if a comparison failed.
pub async fn drive(client: &mut Client, shape: Shape, time: Duration) -> Result<f64> {
    client.put(LEADER, "bench", None).await?;
    let answer = client.get(LEADER, None).await?;
    let created = answer.kvs().first().context("it was put")?.create_revision();
    let start = Instant::now();
    let tasks: Vec<_> = (0..shape.flights)
        .map(|number| tokio::spawn(flight(client.clone(), shape, number as u64, created, time)))
        .collect();
    let mut rows = 0;
    for task in tasks {
        rows += task.await??;
    }
    Ok(rows as f64 / start.elapsed().as_secs_f64())
}

/// One transaction after the other, with a head of its own: nobody waits for another's.
async fn flight(
    mut client: Client,
    shape: Shape,
    number: u64,
    created: i64,
    time: Duration,
) -> Result<u64> {
    let start = Instant::now();
    let head = format!("/bareloops/head{number}");
    let (mut rows, mut row) = (0_u64, number);
    let mut last = vec![0; HEAD_BYTES];
    client.put(head.as_str(), last.clone(), None).await?;
    while start.elapsed() < time {
        let mut ops = Vec::with_capacity(shape.batch + 1);
        for _ in 0..shape.batch {
            let key = [ROWS, &row.to_be_bytes()[..]].concat();
            ops.push(TxnOp::put(key, vec![b'x'; shape.value_bytes], None));
            row = (row + shape.flights as u64) % shape.rows;
        }
        let mut next = last.clone();
        next[..8].copy_from_slice(&rows.to_be_bytes());
        next[HEAD_BYTES - 1] ^= 1;
        ops.push(TxnOp::put(head.as_str(), next.clone(), None));
        let leads = Compare::create_revision(LEADER, CompareOp::Equal, created);
        let same = Compare::value(head.as_str(), CompareOp::Equal, last);
        let gets = [TxnOp::get(LEADER, None), TxnOp::get(head.as_str(), None)];
        let txn = Txn::new().when([leads, same]).and_then(ops).or_else(gets);
        ensure!(client.txn(txn).await?.succeeded(), "nobody else writes these keys");
        (rows, last) = (rows + shape.batch as u64, next);
    }
    Ok(rows)
}
