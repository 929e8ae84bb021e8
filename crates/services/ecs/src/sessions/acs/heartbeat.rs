//! Pure: when to send a heartbeat, and when to give the agent up.

use std::time::Duration;

use terms::Timestamp;

/// Time between two heartbeats. The agent hangs up after 60 s without a message
/// (agent-protocol §2.3).
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(30);

/// With so many heartbeats in a row without an ack the connection is closed (1000).
const UNANSWERED_MAX: u32 = 2;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a heartbeat.
    Send,
    /// The agent no longer answers.
    Dead,
}

/// The heartbeats of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeats {
    due: Timestamp,
    unanswered: u32,
}

impl Heartbeats {
    /// The first heartbeat is due at once.
    pub(crate) fn starting(now: Timestamp) -> Self {
        Self { due: now, unanswered: 0 }
    }

    /// What is due now; a heartbeat that is due counts as sent.
    pub(crate) fn beat(&mut self, now: Timestamp) -> Beat {
        if now < self.due {
            return Beat::Wait;
        }
        if self.unanswered >= UNANSWERED_MAX {
            return Beat::Dead;
        }
        self.unanswered += 1;
        self.due = now + HEARTBEAT_EVERY;
        Beat::Send
    }

    /// An ack came.
    pub(crate) fn answered(&mut self) {
        self.unanswered = 0;
    }

    /// When to ask [`Self::beat`] again.
    pub(crate) fn due(&self) -> Timestamp {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_missed_acks_are_the_end() {
        let start = Timestamp::from_millis(0);
        let mut beats = Heartbeats::starting(start);
        assert_eq!(beats.beat(start), Beat::Send);
        assert_eq!(beats.beat(start), Beat::Wait);
        let second = start + HEARTBEAT_EVERY;
        assert_eq!(beats.beat(second), Beat::Send);
        beats.answered();
        let third = second + HEARTBEAT_EVERY;
        assert_eq!(beats.beat(third), Beat::Send);
        assert_eq!(beats.beat(third + HEARTBEAT_EVERY), Beat::Send);
        assert_eq!(beats.beat(third + HEARTBEAT_EVERY * 2), Beat::Dead);
    }
}
