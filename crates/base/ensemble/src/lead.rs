//! What only the leading server does.

use std::time::Duration;

use ledger::{Ledger, LedgerError};
use tokio_util::sync::CancellationToken;

/// After work that ended by itself while the server went on to lead: how long until it begins
/// again.
const AGAIN: Duration = Duration::from_millis(100);

/// Does `work` whenever this server leads, until `shutdown`. The token that `work` gets is
/// cancelled when the leadership ends, and the next leadership begins when it has ended.
///
/// # Errors
/// What `work` failed with, if no other server can do better.
pub async fn lead<W>(
    ledger: &Ledger,
    work: impl Fn(CancellationToken) -> W,
    shutdown: CancellationToken,
) -> Result<(), LedgerError>
where
    W: Future<Output = Result<(), LedgerError>>,
{
    let mut leadership = ledger.leadership();
    while !shutdown.is_cancelled() {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            led = leadership.wait_for(|leadership| leadership.is_leading()) => {
                if led.is_err() { return Ok(()) }
            }
        }
        tracing::info!("this server leads");
        let term = shutdown.child_token();
        let working = work(term.clone());
        tokio::pin!(working);
        let outcome = tokio::select! {
            biased;
            outcome = &mut working => outcome,
            // Any change: who leads again meanwhile began anew.
            _ = leadership.changed() => {
                term.cancel();
                working.await
            }
        };
        match outcome {
            Ok(()) => {}
            Err(error) if passes(&error) => {
                tracing::info!(%error, "what the leading server does ended early");
            }
            Err(error) => return Err(error),
        }
        if !shutdown.is_cancelled() {
            tracing::info!("this server leads no more");
            tokio::time::sleep(AGAIN).await;
        }
    }
    Ok(())
}

/// Whether the error is of a leadership that ended, or of a store that is away for a while.
fn passes(error: &LedgerError) -> bool {
    matches!(
        error,
        LedgerError::NotLeading { .. }
            | LedgerError::OutcomeUnknown
            | LedgerError::Unreachable { .. }
            | LedgerError::StoreNearlyFull { .. }
            | LedgerError::Crowded
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use ledger::{MemoryStore, Schema};
    use terms::{Clock, IdSource, Timestamp};

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
    }

    impl IdSource for Still {
        fn next(&self) -> [u8; 16] {
            [0; 16]
        }
    }

    /// One that leads always.
    fn ledger() -> Ledger {
        let store = Box::new(MemoryStore::new());
        Ledger::open(Schema::new(), store, Arc::new(Still), Arc::new(Still)).unwrap()
    }

    #[tokio::test]
    async fn work_that_loses_its_leadership_begins_again_and_other_failures_end() {
        let ledger = ledger();
        let tries = AtomicU32::new(0);
        let work = |_| async {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => Err(LedgerError::NotLeading { leader: None }),
                1 => Err(LedgerError::OutcomeUnknown),
                _ => Err(LedgerError::Contradiction { name: "test" }),
            }
        };
        let ended = lead(&ledger, work, CancellationToken::new()).await;
        assert!(ended.unwrap_err().to_string().contains("contradicts"));
        assert_eq!(tries.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn work_ends_at_shutdown() {
        let ledger = ledger();
        let shutdown = CancellationToken::new();
        let end = shutdown.clone();
        let work = |term: CancellationToken| {
            end.cancel();
            async move {
                term.cancelled().await;
                Ok(())
            }
        };
        lead(&ledger, work, shutdown.clone()).await.unwrap();
    }
}
