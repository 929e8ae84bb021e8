//! Work that one does and many wait for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// What is under way, by what it is for.
pub(super) struct Flights<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// What `work` comes to: done by one of those that ask at the same time. If that one goes away,
    /// the next one does it. With `keeps`, those who ask later get the same until [`Flights::end`].
    pub(super) async fn join(
        &self,
        key: K,
        keeps: impl Fn(&V) -> bool,
        work: impl Future<Output = V>,
    ) -> V {
        let cell = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        let value = cell.get_or_init(|| work).await.clone();
        if !keeps(&value) {
            let mut known = self.0.lock();
            if known.get(&key).is_some_and(|known| Arc::ptr_eq(known, &cell)) {
                known.remove(&key);
            }
        }
        value
    }

    /// Nobody gets to know of it any more.
    pub(super) fn end(&self, key: &K) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_works_and_all_get_it() {
        let (flights, done) = (Flights::<u8, usize>::default(), AtomicUsize::new(0));
        let ask = || {
            flights.join(1, |_| false, async {
                tokio::task::yield_now().await;
                done.fetch_add(1, Ordering::SeqCst) + 1
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!((a, b, c, done.load(Ordering::SeqCst)), (1, 1, 1, 1));
        assert_eq!(ask().await, 2, "it is over");
        let kept = flights.join(2, |_| true, async { 7 }).await;
        assert_eq!((kept, flights.join(2, |_| true, async { 8 }).await), (7, 7));
        flights.end(&2);
        assert_eq!(flights.join(2, |_| true, async { 9 }).await, 9);
    }

    #[tokio::test]
    async fn the_next_goes_on_if_the_first_goes_away() {
        let flights = Flights::<u8, u8>::default();
        let first = flights.join(1, |_| false, std::future::pending());
        let second = flights.join(1, |_| false, async { 2 });
        let mut first = Box::pin(first);
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await, 2);
    }
}
