//! A thread of its own for what talks to etcd.
//!
//! On the server's runtime the answer to a pack would wait behind all that callers have to do, and
//! etcd for the next pack; and so would the renewal of the lease (docs/decisions/0062).

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::store::StoreError;

/// Keeps the thread; it ends some time after this is dropped.
pub(crate) struct OwnThread {
    _end: oneshot::Sender<()>,
}

impl OwnThread {
    /// Starts it, with a runtime on it.
    pub(crate) fn start() -> Result<(Self, Handle), StoreError> {
        let failed = |source| StoreError::Thread { source };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let handle = runtime.handle().clone();
        let (sender, end) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("ledger-etcd".to_owned())
            .spawn(move || {
                // An error: the sender is gone, which is what is waited for.
                let _ = runtime.block_on(end);
                runtime.shutdown_background();
            })
            .map_err(failed)?;
        Ok((Self { _end: sender }, handle))
    }
}
