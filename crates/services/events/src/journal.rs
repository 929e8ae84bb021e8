//! The newest events of this server's term, for people who look: in memory, bounded, and decided
//! upon by nobody.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use terms::Timestamp;
use tokio::sync::{broadcast, watch};

use crate::model::{Event, Moment};
use crate::tables::Scope;

/// How many events are kept.
pub const KEPT_MAX: usize = 2_000;
/// How far one who follows may be behind.
const BEHIND_MAX: usize = 1_024;

/// The newest events. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kept: Mutex<VecDeque<Arc<Noted>>>,
    news: broadcast::Sender<Arc<Noted>>,
    /// Counts up when those who follow are to go.
    ended: watch::Sender<u64>,
}

/// An event, or what one can be made of.
#[derive(Debug)]
pub(crate) enum Noted {
    Event(Event),
    Moment { moment: Moment, id: String, time: Timestamp },
}

impl Noted {
    /// The event. Makes it, if nobody has yet.
    pub(crate) fn event(&self) -> Event {
        match self {
            Self::Event(event) => event.clone(),
            Self::Moment { moment, id, time } => moment.event(id.clone(), *time),
        }
    }

    /// Whether it belongs there.
    pub(crate) fn is_in(&self, scope: &Scope) -> bool {
        match self {
            Self::Event(event) => event.account == scope.account && event.region == scope.region,
            Self::Moment { moment, .. } => moment.scope == *scope,
        }
    }
}

/// Reads on as events come.
pub(crate) struct Following {
    pub(crate) news: broadcast::Receiver<Arc<Noted>>,
    pub(crate) ended: watch::Receiver<u64>,
}

impl Default for Journal {
    fn default() -> Self {
        let (kept, news) = (Mutex::default(), broadcast::Sender::new(BEHIND_MAX));
        Self(Arc::new(Inner { kept, news, ended: watch::Sender::new(0) }))
    }
}

impl Journal {
    /// Notes an event.
    pub(crate) fn note(&self, event: Event) {
        self.add(Noted::Event(event));
    }

    /// Notes what an event can be made of.
    pub(crate) fn note_moment(&self, moment: Moment, id: String, time: Timestamp) {
        self.add(Noted::Moment { moment, id, time });
    }

    fn add(&self, noted: Noted) {
        let noted = Arc::new(noted);
        let mut kept = self.0.kept.lock();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(noted.clone());
        // Nobody may be following.
        let _ = self.0.news.send(noted);
    }

    /// What is kept, the oldest first, and what comes after it.
    pub(crate) fn read(&self) -> (Vec<Arc<Noted>>, Following) {
        let kept = self.0.kept.lock();
        let following =
            Following { news: self.0.news.subscribe(), ended: self.0.ended.subscribe() };
        (kept.iter().cloned().collect(), following)
    }

    /// Sends those who follow away: they would hold up the server's end.
    pub(crate) fn end_following(&self) {
        self.0.ended.send_modify(|count| *count += 1);
    }
}
