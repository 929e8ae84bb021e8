//! What happens without being asked: unused blobs go, and then the files that nothing names.
//!
//! **Invariant:** a file goes only if no durable row names it and no request holds it; rows go only
//! in a transaction that saw that nothing needs them.

mod expire;

use std::time::Duration;

use terms::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::Inner;
use crate::decide::unused;
use crate::error::Error;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(600);
/// Rows that one transaction takes away.
const BATCH_MAX: usize = 256;
/// An upload that nobody adds to for so long is over, in milliseconds.
const UPLOAD_IDLE_MS: i64 = 24 * 3_600_000;

/// Looks now and then until `shutdown`.
pub(crate) async fn run(inner: &Inner, shutdown: CancellationToken) {
    loop {
        sweep(inner).await;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Looks once.
pub(crate) async fn sweep(inner: &Inner) {
    let done = async {
        expire::expire(inner).await?;
        collect(inner).await
    };
    if let Err(error) = done.await {
        error.log();
        tracing::warn!(%error, "what the registry does not need is taken away later");
    }
}

async fn collect(inner: &Inner) -> Result<(), Error> {
    let Some(depot) = &inner.setup.depot else { return Ok(()) };
    let tables = inner.tables;
    let now = inner.ledger.clock().now();
    loop {
        let found = unused(&inner.ledger.snapshot(), &tables, now, BATCH_MAX);
        if found.is_empty() {
            break;
        }
        let done = inner.ledger.transact("ecr: unused blobs", |tx| {
            for at in &found {
                let is_named = tx.index(&tables.images_by_child, at).next().is_some();
                let is_kept = tx.get(&tables.layers, at).is_none_or(|row| row.kept_until > now);
                if !is_named && !is_kept {
                    tx.delete(&tables.layers, at);
                }
            }
            Ok::<_, Error>(())
        });
        done.await?;
    }
    let before = Timestamp::from_millis(now.millis() - UPLOAD_IDLE_MS);
    depot.sweep_uploads(before).await?;
    let (files, bytes) = depot.collect(&inner.ledger, tables).await?;
    if files > 0 {
        tracing::info!(files, bytes, "took away blobs of the registry that nothing names");
    }
    Ok(())
}
