//! Takes away what is over: parameters that have expired, secrets whose recovery window has ended.

use std::time::Duration;

use ledger::TransactError;
use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Secrets;

/// The pause between two looks. Nobody sees what is over, so it may lie for a while.
const PAUSE: Duration = Duration::from_secs(600);
/// The most that one transaction takes away.
const BATCH_MAX: usize = 64;

/// Looks now and then until `shutdown`.
pub(crate) async fn run(room: &Secrets, shutdown: CancellationToken) {
    loop {
        match sweep(room).await {
            Ok(BATCH_MAX) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what is over is taken away later"),
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Takes a batch away; answers with how many there were.
async fn sweep(room: &Secrets) -> Result<usize, TransactError<std::convert::Infallible>> {
    let tables = &room.tables;
    let is_due = {
        let (snapshot, now) = (room.ledger.snapshot(), room.ledger.clock().now());
        let parameter = snapshot.index_range(&tables.parameters_by_end, ..=now).next().is_some();
        parameter || snapshot.index_range(&tables.secrets_by_end, ..=now).next().is_some()
    };
    if !is_due {
        return Ok(0);
    }
    let done = room.ledger.transact("take away what is over", |tx| {
        let now: Timestamp = tx.now();
        let parameters: Vec<_> = tx
            .index_range(&tables.parameters_by_end, ..=now)
            .take(BATCH_MAX)
            .map(|(key, _)| key)
            .collect();
        let room_left = BATCH_MAX - parameters.len();
        let secrets: Vec<_> = tx
            .index_range(&tables.secrets_by_end, ..=now)
            .take(room_left)
            .map(|(key, row)| (key, row.suffix.clone()))
            .collect();
        for key in &parameters {
            crate::ssm::remove(tx, tables, key);
        }
        for (key, suffix) in &secrets {
            crate::secretsmanager::remove(tx, tables, key, suffix);
        }
        Ok(parameters.len() + secrets.len())
    });
    Ok(done.await?.value)
}
