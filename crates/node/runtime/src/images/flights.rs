//! Work that many may ask for at once, and that is done once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{Progress, PullEvent};

/// What is under way, by key.
pub(super) struct Flights<K, V> {
    running: Mutex<HashMap<K, Weak<Flight<V>>>>,
}

/// One piece of work. It ends early when nobody waits for it any more.
struct Flight<V> {
    result: watch::Receiver<Option<V>>,
    listeners: Listeners,
    task: AbortHandle,
}

impl<V> Drop for Flight<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everybody who wants to hear how it goes.
#[derive(Clone, Default)]
pub(super) struct Listeners(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    listeners: Vec<Progress>,
    /// What stays true: who comes later hears it too. One event a layer, and one more.
    lasting: Vec<PullEvent>,
}

impl Listeners {
    fn add(&self, progress: Progress) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.lasting.iter().for_each(|event| progress.tell(event.clone()));
        heard.listeners.push(progress);
    }

    /// Tells all of them.
    pub(super) fn tell(&self, event: &PullEvent) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.listeners.iter().for_each(|progress| progress.tell(event.clone()));
        if matches!(event, PullEvent::Resolved { .. } | PullEvent::Ready { .. }) {
            heard.lasting.push(event.clone());
        }
    }
}

impl<K: Hash + Eq + Clone, V: Clone + Send + Sync + 'static> Flights<K, V> {
    pub(super) fn new() -> Self {
        Self { running: Mutex::default() }
    }

    /// The result of the work under way for `key`; `start` begins it if there is none.
    pub(super) async fn join<F>(
        &self,
        key: K,
        progress: Progress,
        start: impl FnOnce(Listeners) -> F,
    ) -> V
    where
        F: Future<Output = V> + Send + 'static,
    {
        let flight = self.board(key, progress, start);
        let mut result = flight.result.clone();
        let value = result.wait_for(Option::is_some).await;
        let value = value.expect("the task is aborted only when nobody waits, and does not panic");
        value.clone().expect("waited for")
    }

    fn board<F>(
        &self,
        key: K,
        progress: Progress,
        start: impl FnOnce(Listeners) -> F,
    ) -> Arc<Flight<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let current = running.get(&key).and_then(Weak::upgrade);
        if let Some(flight) = current.filter(|flight| flight.result.borrow().is_none()) {
            flight.listeners.add(progress);
            return flight;
        }
        running.retain(|_, flight| flight.strong_count() > 0);
        let listeners = Listeners::default();
        listeners.add(progress);
        let (sender, result) = watch::channel(None);
        let work = start(listeners.clone());
        let task = tokio::spawn(async move {
            let value = work.await;
            let _ = sender.send(Some(value));
        });
        let flight = Arc::new(Flight { result, listeners, task: task.abort_handle() });
        running.insert(key, Arc::downgrade(&flight));
        flight
    }
}

/// Locks by key: one at a time for each, many at once for all.
pub(super) struct Locks<K> {
    held: Mutex<HashMap<K, Weak<tokio::sync::Mutex<()>>>>,
}

impl<K: Hash + Eq + Clone> Locks<K> {
    pub(super) fn new() -> Self {
        Self { held: Mutex::default() }
    }

    pub(super) async fn lock(&self, key: &K) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.get(key).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    held.retain(|_, lock| lock.strong_count() > 0);
                    let lock = Arc::default();
                    held.insert(key.clone(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }
}
