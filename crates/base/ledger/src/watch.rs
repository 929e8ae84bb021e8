//! A value that many wait to see change, as `tokio::sync::watch` has it, but for one thing: who
//! waits is woken in the order of waiting. Tokio's wakes them in an order of chance, and a
//! simulation that holds several servers would not run twice alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use tokio::sync::Notify;

/// Looks at a value; while it is held the value does not change. Not to be held over an await.
pub type Ref<'a, T> = MappedRwLockReadGuard<'a, T>;

/// The value will not change any more: nobody is left who could change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left who could change what is watched")]
pub struct Closed;

/// Who changes the value. Clones change the same one.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Who waits for changes, and remembers which of them it has seen.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

#[derive(Debug)]
struct Shared<T> {
    kept: RwLock<Kept<T>>,
    senders: AtomicUsize,
    changed: Notify,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    /// Counts the changes.
    version: u64,
}

impl<T> Sender<T> {
    /// A value to be watched.
    pub fn new(value: T) -> Self {
        let kept = RwLock::new(Kept { value, version: 0 });
        Self(Arc::new(Shared { kept, senders: AtomicUsize::new(1), changed: Notify::new() }))
    }

    /// Someone who has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: self.0.clone(), seen: self.0.kept.read().version }
    }

    /// The present value.
    pub fn borrow(&self) -> Ref<'_, T> {
        RwLockReadGuard::map(self.0.kept.read(), |kept| &kept.value)
    }

    /// Changes the value, and gives the one before.
    pub fn send_replace(&self, value: T) -> T {
        let mut before = value;
        self.send_if_modified(|present| {
            std::mem::swap(present, &mut before);
            true
        });
        before
    }

    /// Wakes those who wait if `change` says that it has changed the value.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) {
        {
            let mut kept = self.0.kept.write();
            if !change(&mut kept.value) {
                return;
            }
            kept.version += 1;
        }
        self.0.changed.notify_waiters();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Receiver<T> {
    /// The present value.
    pub fn borrow(&self) -> Ref<'_, T> {
        RwLockReadGuard::map(self.shared.kept.read(), |kept| &kept.value)
    }

    /// The present value, which counts as seen from now on.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let kept = self.shared.kept.read();
        self.seen = kept.version;
        RwLockReadGuard::map(kept, |kept| &kept.value)
    }

    /// Whether the value has changed since this one saw it; the change counts as seen.
    pub fn take_change(&mut self) -> bool {
        let version = self.shared.kept.read().version;
        std::mem::replace(&mut self.seen, version) != version
    }

    /// Returns when the value has changed since this one saw it; the change counts as seen.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // It is woken by all that comes from here on, also before it is awaited.
            let changed = self.shared.changed.notified();
            let version = self.shared.kept.read().version;
            if version != self.seen {
                self.seen = version;
                return Ok(());
            }
            if self.shared.senders.load(Ordering::Acquire) == 0 {
                return Err(Closed);
            }
            changed.await;
        }
    }

    /// Returns when the value is as `wanted` says, at once if it is so now; that counts as seen.
    ///
    /// # Errors
    /// [`Closed`], if it is not so and will not be.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<(), Closed> {
        loop {
            if wanted(&self.borrow_and_update()) {
                return Ok(());
            }
            self.changed().await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    fn run(work: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, work);
    }

    #[test]
    fn who_waited_first_is_woken_first() {
        run(async {
            let (sender, order) = (Sender::new(0), Rc::new(RefCell::new(Vec::new())));
            for number in 0..40 {
                let (mut receiver, order) = (sender.subscribe(), order.clone());
                spawn_local(async move {
                    assert_eq!(receiver.wait_for(|value| *value > 1).await, Ok(()));
                    order.borrow_mut().push(number);
                });
            }
            for value in 1..4 {
                yield_now().await;
                sender.send_replace(value);
            }
            yield_now().await;
            assert_eq!(*order.borrow(), (0..40).collect::<Vec<_>>());
        });
    }

    #[test]
    fn changes_are_seen_once_and_none_is_missed() {
        run(async {
            let sender = Sender::new("a");
            let mut receiver = sender.subscribe();
            assert_eq!(sender.send_replace("b"), "a");
            assert_eq!(receiver.changed().await, Ok(()));
            sender.send_if_modified(|_| false);
            let waiting = spawn_local(async move { receiver.changed().await });
            yield_now().await;
            assert!(!waiting.is_finished());
            assert_eq!(*sender.borrow(), "b");
            drop(sender);
            assert_eq!(waiting.await.expect("it ends"), Err(Closed));
        });
    }
}
