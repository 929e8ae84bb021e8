//! The control plane of ECS: placements, agents' sessions, loops.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use crate::{Catalogue, Counts, Direction, Histograms, Reason, Word};

/// A message of an agent's session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Message {
    /// `acs`, `tcs` or `node`.
    pub session: &'static str,
    /// `in` from agents, `out` to them.
    pub direction: &'static str,
}

/// Which session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Session {
    /// `acs`, `tcs` or `node`.
    pub session: &'static str,
}

/// Which loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Loop {
    /// Its name.
    pub name: &'static str,
}

/// Why a task found no place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refused {
    /// The code of the refusal, such as `RESOURCE:MEMORY`.
    pub reason: Word,
}

/// Meters of ECS.
#[derive(Debug)]
pub struct Ecs {
    /// Finding places for the tasks of one request.
    pub plan_seconds: Histogram,
    /// Tasks that found a place.
    pub placed: Counter,
    /// Tasks that found none, by the reason that most instances gave.
    pub unplaced: Counts<Refused>,
    /// Choices that were made again because another task was faster.
    pub placed_again: Counter,
    /// From a task's creation to RUNNING.
    pub start_seconds: Histogram,
    /// Tasks that stopped, by their stop code.
    pub stopped: Counts<Reason>,
    /// Sessions that began.
    pub sessions_begun: Counts<Session>,
    /// Messages of sessions.
    pub messages: Counts<Message>,
    /// Payloads of one task that were sent again, for no ack came.
    pub payloads_again: Counter,
    /// Sessions of ECS Exec that were made.
    pub exec_sessions: Counter,
    /// Those whose client or agent is connected here.
    pub exec_sessions_open: Gauge,
    /// Bytes of their frames: `in` from clients, `out` to them.
    pub exec_bytes: Counts<Direction>,
    /// Runs of loops.
    pub loop_seconds: Histograms<Loop>,
}

impl Ecs {
    pub(crate) fn register(catalogue: &mut Catalogue) -> Self {
        let r = &mut catalogue.group("ecs");
        Self {
            plan_seconds: r.histogram(
                "plan",
                Unit::Seconds,
                "Finding places for the tasks of one request",
            ),
            placed: r.counter("tasks_placed", "Tasks that found a place"),
            unplaced: r.counters("tasks_unplaced", "Tasks that found no place, by reason"),
            placed_again: r.counter("placements_again", "Choices that were made again"),
            start_seconds: r.histogram(
                "task_start",
                Unit::Seconds,
                "From a task's creation to RUNNING",
            ),
            stopped: r.counters("tasks_stopped", "Tasks that stopped, by their stop code"),
            sessions_begun: r.counters("sessions_begun", "Sessions of agents that began"),
            messages: r.counters("session_messages", "Messages of agents' sessions"),
            payloads_again: r.counter("payloads_again", "Tasks that were sent again, unacked"),
            exec_sessions: r.counter("exec_sessions", "Sessions of ECS Exec that were made"),
            exec_sessions_open: r
                .gauge("exec_sessions_open", "Sessions of ECS Exec connected here"),
            exec_bytes: r.counters("exec_bytes", "Bytes of the frames of ECS Exec's sessions"),
            loop_seconds: r.timers("loop", "Runs of loops"),
        }
    }

    /// Counts a message.
    pub fn message(&self, session: &'static str, direction: &'static str) {
        self.messages.get_or_create(&Message { session, direction }).inc();
    }
}
