//! What the first server of a ledger makes, and the others find.

use std::time::Duration;

use anyhow::Result;
use iam::IamError;
use ledger::LedgerError;

/// How often a server that waits for the first leader looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After this long it says what it waits for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why something was not made.
pub enum Unsettled {
    /// This server could not write, or does not know whether it did.
    Again(LedgerError),
    /// No later try changes it.
    Failed(anyhow::Error),
}

impl From<LedgerError> for Unsettled {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::NotLeading { .. }
            | LedgerError::OutcomeUnknown
            | LedgerError::Unreachable { .. } => Self::Again(error),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<IamError> for Unsettled {
    fn from(error: IamError) -> Self {
        match error {
            IamError::Ledger(error) => error.into(),
            other => Self::Failed(other.into()),
        }
    }
}

/// Tries until it is settled: each try reads before it writes, so that it may be the leader's
/// write that it finds.
///
/// # Errors
/// What no later try changes.
pub async fn settled<T, E: Into<Unsettled>>(
    tried: impl AsyncFn() -> std::result::Result<T, E>,
) -> Result<T> {
    let since = tokio::time::Instant::now();
    let mut said = false;
    loop {
        match tried().await.map_err(E::into) {
            Ok(settled) => return Ok(settled),
            Err(Unsettled::Failed(error)) => return Err(error),
            Err(Unsettled::Again(error)) => {
                if !said && since.elapsed() >= PATIENCE {
                    said = true;
                    tracing::warn!(%error, "this server waits for one that leads");
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}
