//! Which requests are worked on, and which are told to come again (decision 0024).
//!
//! Each class of requests has its own seats, so that API clients never take those of agents, and
//! neither keeps a health check waiting. Within a class [`seats`] shares them fairly over clients.
//! What finds no seat in time is refused with the throttling error that every AWS SDK backs off
//! from, with advice how long.

mod refusal;
mod seats;
mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

pub(crate) use refusal::throttled;
use seats::{Arrival, ClientKey, Seats};
use turns::Turns;

use super::counters::Counters;
use super::{EdgeLimits, SeatLimits};
use crate::{Caller, CallerKind};

/// A refusal to a client that does not wait between its tries is held back for so long: it costs
/// a timer, and keeps that client from asking again at once.
const HOLD: Duration = Duration::from_millis(200);

/// The most refusals that are held back at a time; others go out at once.
const HELD_MAX: usize = 8_192;

/// The shortest advice to a refused client, before its spread.
const ADVICE_MIN: Duration = Duration::from_millis(500);

/// The longest, when the line is full. SDKs of today listen to at most five seconds more than
/// they would have waited anyway.
const ADVICE_MAX: Duration = Duration::from_secs(4);

/// What a request is to the operator when not all can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Health, readiness, metrics: never waits, is never refused. Must be cheap.
    Vital,
    /// What agents report and ask, and the joining of nodes.
    Agents,
    /// All else.
    Api,
}

impl Priority {
    /// The class of a caller's requests: nodes sign what their agents report.
    pub(crate) fn of(caller: &Caller) -> Self {
        match caller.kind {
            CallerKind::Node { .. } | CallerKind::Server => Self::Agents,
            CallerKind::Operator
            | CallerKind::Task { .. }
            | CallerKind::User(_)
            | CallerKind::UserSession(_)
            | CallerKind::Role(_)
            | CallerKind::Federated(_)
            | CallerKind::Anonymous
            | CallerKind::Open => Self::Api,
        }
    }
}

/// There is no seat: try again after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub(crate) retry_after: Duration,
}

/// The seats of all classes.
#[derive(Debug)]
pub(crate) struct Admission {
    api: Arc<Class>,
    agents: Arc<Class>,
    turns: Arc<Turns>,
    held: AtomicUsize,
    counters: Arc<Counters>,
}

#[derive(Debug)]
struct Class {
    limits: SeatLimits,
    seats: Mutex<Seats<oneshot::Sender<Seat>>>,
}

/// A place among the requests that are worked on; given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    place: Option<(Arc<Class>, ClientKey)>,
    /// Where API clients take turns at the processors.
    turns: Option<Arc<Turns>>,
}

impl Seat {
    /// Nobody waits for it.
    const VITAL: Self = Self { place: None, turns: None };

    fn of(class: Arc<Class>, client: ClientKey) -> Self {
        Self { place: Some((class, client)), turns: None }
    }

    /// Does the work of the request that sits here, when it is its client's turn.
    pub(crate) async fn work<F: Future>(&self, work: F) -> F::Output {
        match (&self.place, &self.turns) {
            (Some((_, client)), Some(turns)) => turns.work(client, work).await,
            _ => work.await,
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: &EdgeLimits, counters: Arc<Counters>) -> Self {
        let class = |limits| Arc::new(Class { limits, seats: Mutex::new(Seats::new(limits)) });
        let (api, agents) = (class(limits.api), class(limits.agents));
        let turns = Arc::new(Turns::new(crate::edge::limits::processors()));
        Self { api, agents, turns, held: AtomicUsize::new(0), counters }
    }

    /// Waits for a seat, in fair order, up to the class's limit. `jitter` (0 to 255) spreads the
    /// advice to those that are refused.
    pub(crate) async fn admit(
        &self,
        priority: Priority,
        client: &str,
        jitter: u8,
    ) -> Result<Seat, Throttled> {
        if priority == Priority::Vital {
            return Ok(Seat::VITAL);
        }
        let seat = self.class(priority).admit(client).await;
        let mut seat = seat.ok_or_else(|| self.refuse(priority, jitter))?;
        seat.turns = (priority == Priority::Api).then(|| self.turns.clone());
        Ok(seat)
    }

    /// Counts a refusal, with the advice for it.
    pub(crate) fn refuse(&self, priority: Priority, jitter: u8) -> Throttled {
        self.counters.throttled(priority);
        Throttled { retry_after: self.class(priority).advice(jitter) }
    }

    fn class(&self, priority: Priority) -> &Arc<Class> {
        match priority {
            Priority::Vital | Priority::Agents => &self.agents,
            Priority::Api => &self.api,
        }
    }

    /// Holds a refusal back for a moment, if not too many are held already.
    pub(crate) async fn hold(&self) {
        struct Held<'a>(&'a AtomicUsize);
        impl Drop for Held<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        let _held = Held(&self.held);
        if before < HELD_MAX {
            tokio::time::sleep(HOLD).await;
        }
    }

    /// Requests that are worked on and that wait: of API clients, then of agents.
    pub(crate) fn occupancy(&self) -> [(usize, usize); 2] {
        [&self.api, &self.agents].map(|class| {
            let seats = class.seats.lock();
            (seats.in_use(), seats.waiting())
        })
    }
}

impl Class {
    async fn admit(self: &Arc<Self>, client: &str) -> Option<Seat> {
        let client: ClientKey = client.into();
        let (sender, receiver) = oneshot::channel();
        let arrival = self.seats.lock().arrive(&client, || sender);
        let ticket = match arrival {
            Arrival::Seated => return Some(Seat::of(self.clone(), client)),
            Arrival::Refused => return None,
            // Dropping the displaced one's sender tells it.
            Arrival::Waiting { ticket, displaced: _ } => ticket,
        };
        let waiting = Waiting { class: self, client, ticket, receiver };
        waiting.seat().await
    }

    /// How long a refused client is to wait: more, the longer the line; spread by half of it in
    /// both directions, so that those who were refused together do not come back together.
    fn advice(&self, jitter: u8) -> Duration {
        let waiting = self.seats.lock().waiting();
        let full = waiting as f64 / self.limits.waiting.max(1) as f64;
        let wait = ADVICE_MIN + (ADVICE_MAX - ADVICE_MIN).mul_f64(full.min(1.0));
        wait.mul_f64(0.5 + f64::from(jitter) / 255.0)
    }
}

/// A request in line; leaves it when dropped.
struct Waiting<'c> {
    class: &'c Arc<Class>,
    client: ClientKey,
    ticket: u64,
    receiver: oneshot::Receiver<Seat>,
}

impl Waiting<'_> {
    async fn seat(mut self) -> Option<Seat> {
        let wait = self.class.limits.wait;
        tokio::time::timeout(wait, &mut self.receiver).await.ok()?.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A seat that came meanwhile is in the channel, and given up with it.
        self.class.seats.lock().abandon(&self.client, self.ticket);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((class, client)) = self.place.take() else { return };
        let next = class.seats.lock().leave(&client);
        if let Some((client, waiter)) = next {
            // One that has just given up drops the seat, which goes to the next.
            let _ = waiter.send(Seat::of(class, client));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn admission(seats: usize) -> Admission {
        let limits = SeatLimits {
            seats,
            seats_per_client: seats,
            waiting: 4,
            waiting_per_client: 3,
            wait: Duration::from_secs(3),
        };
        let limits = EdgeLimits { api: limits, agents: limits, ..EdgeLimits::default() };
        Admission::new(&limits, Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_seat_and_not_for_ever() {
        let admission = admission(1);
        let seat = admission.admit(Priority::Api, "a", 0).await.unwrap();
        let (second, ()) = tokio::join!(admission.admit(Priority::Api, "a", 0), async {
            assert_eq!(admission.occupancy()[0], (1, 1));
            drop(seat);
        });
        let second = second.unwrap();
        let refused = admission.admit(Priority::Api, "b", 0).await.unwrap_err();
        assert_eq!(refused.retry_after, ADVICE_MIN / 2);
        assert_eq!(admission.occupancy()[0], (1, 0));
        drop(second);
        assert_eq!(admission.occupancy()[0], (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn classes_do_not_wait_for_each_other() {
        let admission = admission(1);
        let _api = admission.admit(Priority::Api, "a", 0).await.unwrap();
        let _agent = admission.admit(Priority::Agents, "a", 0).await.unwrap();
        let _first = admission.admit(Priority::Vital, "a", 0).await.unwrap();
        let _second = admission.admit(Priority::Vital, "a", 0).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_that_give_up_leave_no_trace() {
        let admission = admission(1);
        let seat = admission.admit(Priority::Api, "a", 0).await.unwrap();
        {
            let mut gives_up = Box::pin(admission.admit(Priority::Api, "b", 0));
            let poll = futures_poll(gives_up.as_mut());
            assert!(poll.is_pending());
            assert_eq!(admission.occupancy()[0], (1, 1));
        }
        assert_eq!(admission.occupancy()[0], (1, 0));
        // The seat is given to one that does not look any more: it goes back.
        let mut late = Box::pin(admission.admit(Priority::Api, "b", 0));
        assert!(futures_poll(late.as_mut()).is_pending());
        drop(seat);
        assert_eq!(admission.occupancy()[0], (1, 0));
        drop(late);
        assert_eq!(admission.occupancy()[0], (0, 0));
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
