//! Where the two ends of a session meet: each end's socket, if it is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::SessionKey;

/// Frames that wait for an end that reads slowly; then the other end waits too.
pub(super) const FRAMES_MAX: usize = 64;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Who asked for the session.
    Client,
    /// Who runs its command.
    Agent,
}

/// What an end's socket is to send, in its order; closed after the last, when all senders are gone.
pub(super) type Outbox = mpsc::Sender<Bytes>;

/// All sessions that an end is there of.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    sessions: Mutex<HashMap<SessionKey, Meeting>>,
    generations: AtomicU64,
}

#[derive(Debug, Default)]
struct Meeting {
    client: Option<End>,
    agent: Option<End>,
    /// Whether what the agent sends is for the client that is there now.
    flows: bool,
}

#[derive(Debug)]
struct End {
    generation: u64,
    outbox: Outbox,
}

/// An end that is there; gives up its place when dropped.
pub(super) struct Seat {
    meetings: Arc<Meetings>,
    key: SessionKey,
    who: Who,
    generation: u64,
}

impl Meetings {
    /// Seats an end; an older socket of the same end loses its outbox, and so closes. Gives also
    /// the other end's outbox, if it is there.
    pub(super) fn seat(
        self: &Arc<Self>,
        key: &SessionKey,
        who: Who,
        outbox: Outbox,
    ) -> (Seat, Option<Outbox>) {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions.lock();
        let meeting = sessions.entry(key.clone()).or_default();
        meeting.flows = false;
        let end = Some(End { generation, outbox });
        let other = match who {
            Who::Client => {
                meeting.client = end;
                &meeting.agent
            }
            Who::Agent => {
                meeting.agent = end;
                &meeting.client
            }
        };
        let other = other.as_ref().map(|end| end.outbox.clone());
        count(&sessions);
        (Seat { meetings: Arc::clone(self), key: key.clone(), who, generation }, other)
    }

    /// The outbox of an end, if it is there.
    pub(super) fn outbox(&self, key: &SessionKey, who: Who) -> Option<Outbox> {
        let sessions = self.sessions.lock();
        let meeting = sessions.get(key)?;
        let end = match who {
            Who::Client => &meeting.client,
            Who::Agent => &meeting.agent,
        };
        end.as_ref().map(|end| end.outbox.clone())
    }

    /// Where a frame of the agent goes; none while the client does not take what was sent before it
    /// came.
    pub(super) fn client_of(&self, key: &SessionKey) -> Option<Outbox> {
        let sessions = self.sessions.lock();
        let meeting = sessions.get(key).filter(|meeting| meeting.flows)?;
        meeting.client.as_ref().map(|end| end.outbox.clone())
    }

    /// The agent knows of the client that is there.
    pub(super) fn flow(&self, key: &SessionKey) {
        if let Some(meeting) = self.sessions.lock().get_mut(key) {
            meeting.flows = true;
        }
    }

    /// Lets both ends go: they close when what waits is sent.
    pub(super) fn part(&self, key: &SessionKey) {
        let mut sessions = self.sessions.lock();
        sessions.remove(key);
        count(&sessions);
    }
}

fn count(sessions: &HashMap<SessionKey, Meeting>) {
    let count = i64::try_from(sessions.len()).unwrap_or(i64::MAX);
    meters::ecs().exec_sessions_open.set(count);
}

impl Seat {
    /// Whether no newer socket of this end took over, and the ends were not parted.
    pub(super) fn is_current(&self) -> bool {
        let sessions = self.meetings.sessions.lock();
        let Some(meeting) = sessions.get(&self.key) else { return false };
        let end = match self.who {
            Who::Client => &meeting.client,
            Who::Agent => &meeting.agent,
        };
        end.as_ref().is_some_and(|end| end.generation == self.generation)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.is_current() {
            return;
        }
        let mut sessions = self.meetings.sessions.lock();
        let Some(meeting) = sessions.get_mut(&self.key) else { return };
        match self.who {
            Who::Client => meeting.client = None,
            Who::Agent => meeting.agent = None,
        }
        meeting.flows = false;
        if meeting.client.is_none() && meeting.agent.is_none() {
            sessions.remove(&self.key);
            count(&sessions);
        }
    }
}
