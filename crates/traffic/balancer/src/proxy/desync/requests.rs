//! The requests of a connection: how many there are, and which is the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::Class;

/// The requests of a connection, as the stream and those who answer them see them.
pub(crate) struct Requests {
    /// How many are answered just now.
    under_way: AtomicUsize,
    /// How many were let through, and how many of these are being answered or have been.
    passed: AtomicU64,
    taken: AtomicU64,
    /// How many of them were answered: their answers are with whoever writes them.
    ended: AtomicU64,
    /// The number of the one after which the connection ends.
    last: AtomicU64,
    /// Whether other bytes than HTTP follow.
    tunnel: AtomicBool,
    /// Whether a client owed bytes for too long.
    is_late: AtomicBool,
    /// When one began or ended.
    moved: Mutex<Instant>,
    /// Who waits for all to have ended.
    waiting: Mutex<Option<Waker>>,
    /// The number of the last one that was not as it should be, and what is wrong with it.
    odd: Mutex<Option<(u64, Class, &'static str)>>,
    /// Whether there was any.
    is_odd: AtomicBool,
}

impl Requests {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            passed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            last: AtomicU64::new(u64::MAX),
            tunnel: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            moved: Mutex::new(Instant::now()),
            waiting: Mutex::default(),
            odd: Mutex::default(),
            is_odd: AtomicBool::new(false),
        }
    }

    /// The one of this number is not as it should be.
    pub(super) fn note(&self, number: u64, class: Class, reason: &'static str) {
        *self.odd.lock() = Some((number, class, reason));
        self.is_odd.store(true, Ordering::Relaxed);
    }

    /// One begins; it is under way until what this gives is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let number = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        UnderWay { requests: self.clone(), number }
    }

    /// How many were answered, though the answer may not have been written yet.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether none is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    /// When one ended last, or the connection began.
    pub(crate) fn moved(&self) -> Instant {
        *self.moved.lock()
    }

    /// From now on the bytes are no HTTP.
    pub(crate) fn become_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Whether the bytes are no HTTP any more.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// One is let through; gives its number.
    pub(super) fn pass(&self) -> u64 {
        self.passed.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The last that was let through was not, after all.
    pub(super) fn take_back(&self) {
        self.passed.fetch_sub(1, Ordering::Relaxed);
    }

    /// The connection ends with this one.
    pub(super) fn end_with(&self, number: u64) {
        self.last.store(number, Ordering::Relaxed);
    }

    /// Whether the last one was let through.
    pub(super) fn is_over(&self) -> bool {
        self.last.load(Ordering::Relaxed) == self.passed.load(Ordering::Relaxed)
    }

    /// The client owed bytes for too long.
    pub(super) fn be_late(&self) {
        self.is_late.store(true, Ordering::Relaxed);
    }

    /// Ready when none is under way. One task waits.
    pub(super) fn poll_quiet(&self, cx: &mut Context<'_>) -> Poll<()> {
        *self.waiting.lock() = Some(cx.waker().clone());
        match self.is_quiet() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Whether the client owed bytes for too long.
    pub(crate) fn is_late(&self) -> bool {
        self.is_late.load(Ordering::Relaxed)
    }
}

/// A request that is under way until this is dropped.
pub(crate) struct UnderWay {
    requests: Arc<Requests>,
    number: u64,
}

impl UnderWay {
    /// Whether the connections that it takes are to end with it: it was ambiguous.
    pub(crate) fn is_last(&self) -> bool {
        self.requests.last.load(Ordering::Relaxed) == self.number
    }

    /// What is wrong with it, if it is not as it should be.
    pub(crate) fn oddity(&self) -> Option<(Class, &'static str)> {
        if !self.requests.is_odd.load(Ordering::Relaxed) {
            return None;
        }
        let odd = *self.requests.odd.lock();
        odd.filter(|(number, ..)| *number == self.number).map(|(_, class, reason)| (class, reason))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.requests.moved.lock() = Instant::now();
        self.requests.ended.fetch_add(1, Ordering::Relaxed);
        self.requests.under_way.fetch_sub(1, Ordering::Relaxed);
        if let Some(waiting) = self.requests.waiting.lock().take() {
            waiting.wake();
        }
    }
}
