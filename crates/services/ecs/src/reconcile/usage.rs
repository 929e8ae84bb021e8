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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use terms::TaskId;

    use super::*;
    use crate::decide::usage::Window;
    use crate::model::{Amount, Size, Usage, UseOf};
    use crate::tables::{Scope, sample};
    use crate::used;

    #[tokio::test]
    async fn days_hold_what_their_tasks_used() {
        let (ledger, tables) = sample::ledger();
        let now = ledger.clock().now();
        let scope = Scope {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
        };
        let ends = |number: u64| now - Duration::from_secs(3_600 * number);
        let usage = |number: u64| Usage {
            of: UseOf {
                cluster: "c".parse().unwrap(),
                family: if number.is_multiple_of(2) { "web" } else { "job" }.parse().unwrap(),
                service: None,
                spot: None,
            },
            started_by: None,
            size: Size { cpu: 256, memory: 512, storage_gib: 3 },
            from: ends(number) - Duration::from_millis(100_000 + number),
            until: ends(number),
        };
        let put = ledger.transact("put", |tx| {
            for number in 0..70_u8 {
                let id = TaskId::from_bytes([number; 16]);
                let usage = usage(number.into());
                tx.put(&tables.usage, (scope.clone(), usage.until, id), usage);
            }
            Ok::<_, Error>(())
        });
        put.await.unwrap();
        let all = || {
            let ever = Window { from: Timestamp::from_millis(0), until: now };
            let mut sum = Amount::default();
            let parts = used::parts(&ledger.snapshot(), &tables, &scope, ever, now);
            parts.iter().for_each(|part| sum.add(part.amount));
            sum
        };
        let before = all();
        assert_eq!((before.tasks, before.seconds), (70, 100 + 69 * 101));
        round(&ledger, &tables).await.unwrap();
        assert_eq!(all(), before);
        // Those of the last day are still told by themselves.
        assert_eq!(ledger.snapshot().len(&tables.usage), 24);
        assert!((4..=10).contains(&ledger.snapshot().len(&tables.used_days)));
    }
}
