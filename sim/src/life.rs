//! One life of a process: from its start to a crash.
//!
//! A crash aborts what the simulation itself has spawned; what the process spawned inside cannot be
//! aborted, so it is cut off instead: whatever it does next never comes back.

use tokio_util::sync::CancellationToken;

/// Whether one process still lives. Clones are the same life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life(CancellationToken);

impl Life {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_cancelled()
    }

    /// The process dies here.
    pub(crate) fn kill(&self) {
        self.0.cancel();
    }

    /// Returns when it is over.
    pub(crate) async fn over(&self) {
        self.0.cancelled().await;
    }

    /// Passes while the process lives, and never returns afterwards.
    pub(crate) async fn pass(&self) {
        if self.is_over() {
            std::future::pending::<()>().await;
        }
    }
}
