//! What tasks used of Fargate is told task by task for a time, and then by the day.

use std::time::Duration;

use ledger::{Ledger, TransactError, Tx};
use terms::Timestamp;

use crate::decide::usage;
use crate::error::Error;
use crate::tables::{Tables, UsedDay};

/// How long what a task used is told by itself.
const TASKS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How long days are told of: thirteen months, so that a month can be held against that of a year ago.
const DAYS_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Tasks that one transaction sums up: with their days they are fewer rows than etcd takes at once.
const BATCH: usize = 20;

/// Sums up what is old.
///
/// # Errors
/// If the ledger fails.
pub(crate) async fn round(ledger: &Ledger, tables: &Tables) -> Result<(), TransactError<Error>> {
    let sum = |tx: &mut Tx<'_>| Ok(sum_up(tx, tables) + forget(tx, tables));
    while ledger.transact("sum up use", sum).await?.value >= BATCH {}
    Ok(())
}

/// Moves a batch of uses into their days; how many.
fn sum_up(tx: &mut Tx<'_>, tables: &Tables) -> usize {
    let old = ..=(tx.now() - TASKS_KEPT);
    let rows: Vec<_> = tx.index_range(&tables.usage_by_age, old).take(BATCH).collect();
    for (key, row) in &rows {
        let of = &row.of;
        let service = of.service.as_ref().map(|name| name.as_str()).unwrap_or_default();
        let spot = if of.spot.is_some() { "spot" } else { "" };
        // None of these names has a slash.
        let words = format!("{}/{}/{service}/{spot}", of.cluster, of.family);
        for (day, more) in usage::by_day(row) {
            let day: (_, Timestamp, _) = (key.0.clone(), day, words.clone());
            let known = tx.get(&tables.used_days, &day);
            let mut amount = known.map(|row| row.amount).unwrap_or_default();
            amount.add(more);
            tx.put(&tables.used_days, day, UsedDay { of: of.clone(), amount });
        }
        tx.delete(&tables.usage, key);
    }
    rows.len()
}

fn forget(tx: &mut Tx<'_>, tables: &Tables) -> usize {
    let old = ..=(tx.now() - DAYS_KEPT);
    let rows: Vec<_> = tx.index_range(&tables.used_days_by_age, old).take(BATCH).collect();
    rows.iter().for_each(|(key, _)| tx.delete(&tables.used_days, key));
    rows.len()
}
