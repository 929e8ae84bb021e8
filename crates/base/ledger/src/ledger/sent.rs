//! What is on its way to the store: others may show it before the answer is back here
//! (docs/decisions/0039).

use std::sync::Arc;

use super::{Base, Durable, Shared, Writer};

impl Shared {
    /// What the first run of a transaction starts from: what is shown, unless more is on its way
    /// to a store that others follow. They may show that already, so to answer from less would take
    /// back what a client has seen.
    pub(super) fn first_base(&self) -> Base {
        if matches!(self.writer, Writer::Cluster(_)) {
            let head = self.head.lock();
            if head.sent > self.published.load().revision {
                return Base { state: Arc::new(head.state.clone()), term: Some(head.term) };
            }
        }
        Base { state: self.published.load_full(), term: None }
    }

    /// Waits until everything is shown that was sent to the store before the call; false if that
    /// may never be.
    pub(crate) async fn shows_what_was_sent(&self) -> bool {
        let durable = {
            let mut head = self.head.lock();
            let sent = head.sent;
            self.durable_at(&mut head, sent)
        };
        match durable {
            Durable::Already => true,
            Durable::After(receiver) => matches!(receiver.await, Ok(Ok(()))),
        }
    }
}
