//! The task that makes batches durable for simulated stores which take the runtime's time.

use std::sync::Arc;

use super::{Shared, Writer};

/// Serves the store until the ledger closes and nothing is left.
pub(super) async fn serve(shared: Arc<Shared>) {
    let Writer::Task(store, wake) = &shared.writer else { return };
    loop {
        let (taken, is_closing) = {
            let mut head = shared.head.lock();
            let taken = head.take();
            // While the store works, nobody needs to wake this task.
            head.wake_at = if taken.is_some() { usize::MAX } else { 1 };
            (taken, head.closing)
        };
        match taken {
            Some(taken) => {
                let wait = store.lock().wait(&taken.batch);
                wait.await;
                shared.conclude(&mut **store.lock(), taken);
            }
            None if is_closing => return,
            None => wake.notified().await,
        }
    }
}
