//! One life of a process: from its start to a crash, with pauses.
//!
//! A crash aborts what the simulation itself has spawned; what the process spawned inside cannot be
//! aborted, so it is cut off instead: whatever it does next never comes back. A pause (a machine
//! that sleeps, a process that is not scheduled) holds up all that goes out of it and comes in; its
//! timers go on.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Default)]
struct Pauses {
    resumes: Option<Instant>,
    /// All of them together.
    slept: Duration,
}

/// Whether one process still lives. Clones are the same life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    over: CancellationToken,
    pauses: Arc<Mutex<Pauses>>,
}

impl Life {
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// The process dies here.
    pub(crate) fn kill(&self) {
        self.over.cancel();
    }

    /// Returns when it is over.
    pub(crate) async fn over(&self) {
        self.over.cancelled().await;
    }

    /// The process stands still for a time.
    pub(crate) fn pause(&self, time: Duration) {
        let mut pauses = self.pauses.lock();
        pauses.resumes = Some(Instant::now() + time);
        pauses.slept += time;
    }

    /// When it goes on, if it stands still.
    pub(crate) fn resumes(&self) -> Option<Instant> {
        self.pauses.lock().resumes.filter(|at| *at > Instant::now())
    }

    /// For how long it has stood still so far.
    pub(crate) fn slept(&self) -> Duration {
        self.pauses.lock().slept
    }

    /// Passes while the process lives, and never returns afterwards.
    pub(crate) async fn pass(&self) {
        loop {
            if self.is_over() {
                std::future::pending::<()>().await;
            }
            match self.resumes() {
                Some(at) => tokio::time::sleep_until(at).await,
                None => return,
            }
        }
    }
}
