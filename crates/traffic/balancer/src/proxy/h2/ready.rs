//! Which of a connection's streams can go on: each has a waker of its own, and all of them wake the
//! one task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// What was woken since it was asked for last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Woken {
    pub(super) streams: Places,
    signals: u64,
}

/// Some of a connection's places for streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(u128);

/// What a connection waits for beside its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Something can be read.
    Read,
    /// Something can be written.
    Write,
    /// It is time to look who is late.
    Time,
    /// The listener ends.
    End,
}

/// Where wakers leave word. There are at most 128 places.
pub(super) struct Readiness {
    words: [AtomicU64; 3],
    task: Mutex<Waker>,
}

/// The word of the signals.
const SIGNALS: usize = 2;

struct Bell {
    readiness: Arc<Readiness>,
    word: usize,
    bit: u64,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = self.readiness.words[self.word].fetch_or(self.bit, Ordering::AcqRel);
        // Who left word before has woken the task, which has not asked since.
        if before & self.bit == 0 {
            self.readiness.task.lock().wake_by_ref();
        }
    }
}

impl Readiness {
    pub(super) fn new() -> Arc<Self> {
        let words = [const { AtomicU64::new(0) }; 3];
        Arc::new(Self { words, task: Mutex::new(Waker::noop().clone()) })
    }

    /// The waker of a place.
    pub(super) fn of_place(self: &Arc<Self>, place: usize) -> Waker {
        self.bell(place / 64 % SIGNALS, 1 << (place % 64))
    }

    /// The waker of a signal.
    pub(super) fn of_signal(self: &Arc<Self>, signal: Signal) -> Waker {
        self.bell(SIGNALS, 1 << signal as u64)
    }

    fn bell(self: &Arc<Self>, word: usize, bit: u64) -> Waker {
        Waker::from(Arc::new(Bell { readiness: self.clone(), word, bit }))
    }

    /// From now on this task is woken; gives what was woken until now.
    pub(super) fn take(&self, task: &Waker) -> Woken {
        {
            let mut known = self.task.lock();
            if !known.will_wake(task) {
                known.clone_from(task);
            }
        }
        let word = |word: &AtomicU64| match word.load(Ordering::Acquire) {
            0 => 0,
            _ => word.swap(0, Ordering::AcqRel),
        };
        let [low, high, signals] = &self.words;
        let streams = Places(u128::from(word(high)) << 64 | u128::from(word(low)));
        Woken { streams, signals: word(signals) }
    }
}

impl Woken {
    /// Whether a signal was given.
    pub(super) fn has(self, signal: Signal) -> bool {
        self.signals & (1 << signal as u64) != 0
    }
}

impl Places {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn add(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    pub(super) fn join(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// The first at or behind `from`, or the first at all; it is not among them any more.
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let behind = self.0.checked_shr(from as u32).unwrap_or(0);
        let place = match behind {
            0 => self.0.trailing_zeros() as usize,
            _ => from + behind.trailing_zeros() as usize,
        };
        self.0 &= !(1 << place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn who_is_woken_is_told_once() {
        let task = Arc::new(Task::default());
        let waker = Waker::from(task.clone());
        let readiness = Readiness::new();
        let wakers: Vec<Waker> = (0..128).map(|place| readiness.of_place(place)).collect();
        assert!(readiness.take(&waker).streams.is_empty());
        for place in [127, 3, 64, 3] {
            wakers[place].wake_by_ref();
        }
        readiness.of_signal(Signal::Time).wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 4, "3 is woken already");
        let woken = readiness.take(&waker);
        assert!(woken.has(Signal::Time) && !woken.has(Signal::Read));
        let mut places = woken.streams;
        let mut order = Vec::new();
        while let Some(place) = places.next(60) {
            order.push(place);
        }
        assert_eq!(order, [64, 127, 3]);
        assert_eq!(readiness.take(&waker), Woken::default());
        wakers[3].wake_by_ref();
        assert_eq!(task.0.load(Ordering::SeqCst), 5);
    }
}
