//! How many agents may come at a time: after a restart or a partition thousands return together,
//! and each that is let in costs a write, a manifest and the credentials of its tasks.
//!
//! A token bucket bounds the rate, and a count those that were let in and are not settled yet.
//! Others are told to come back, each at a later time than the one before it: as if they stood in
//! a line that is served at the bound. Amazon's agent does not read that advice and grows its
//! waits from 250 ms to two minutes (agent-protocol §2.3); ours waits as told.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use terms::Timestamp;

/// The longest advice: an agent that waits longer would be missed.
const ADVICE_MAX: Duration = Duration::from_secs(60);

/// How many agents may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrivalLimits {
    /// A second, on the average.
    pub per_second: u32,
    /// At once, after a quiet time.
    pub burst: u32,
    /// Let in and not settled: their connection is not written to the ledger yet.
    pub unsettled: u32,
}

/// Control sessions: 10,000 agents are back in 20 seconds.
impl Default for ArrivalLimits {
    fn default() -> Self {
        Self { per_second: 500, burst: 500, unsettled: 256 }
    }
}

/// Too many come at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many agents come at the moment; come back in {} s", .retry_after.as_secs())]
pub(crate) struct TooMany {
    /// When to come back; whole seconds, at least one.
    pub(crate) retry_after: Duration,
}

/// Lets agents in at a bounded rate.
#[derive(Debug)]
pub(crate) struct Arrivals {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: ArrivalLimits,
    /// When the two below were so; none before the first.
    at: Option<Timestamp>,
    tokens: f64,
    /// How many were told to come back, and may still do.
    told: f64,
    unsettled: u32,
    refused: u64,
}

/// One that was let in; settled when dropped.
#[derive(Debug)]
pub(crate) struct Arriving(Arc<Arrivals>);

impl Arrivals {
    pub(crate) fn new(limits: ArrivalLimits) -> Arc<Self> {
        let tokens = f64::from(limits.burst);
        let state = State { limits, at: None, tokens, told: 0.0, unsettled: 0, refused: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Goes by other limits from now on.
    pub(crate) fn limit(&self, limits: ArrivalLimits) {
        let mut state = self.state.lock();
        (state.limits, state.tokens) = (limits, f64::from(limits.burst));
    }

    /// Lets one in, or says when it may come back.
    ///
    /// # Errors
    /// [`TooMany`].
    pub(crate) fn admit(self: &Arc<Self>, now: Timestamp) -> Result<Arriving, TooMany> {
        let mut state = self.state.lock();
        let limits = state.limits;
        let rate = f64::from(limits.per_second.max(1));
        let passed = state.at.map_or(Duration::ZERO, |at| now.since(at)).as_secs_f64();
        state.at = Some(state.at.map_or(now, |at| at.max(now)));
        state.tokens = (state.tokens + passed * rate).min(f64::from(limits.burst));
        state.told = (state.told - passed * rate).max(0.0);
        if state.tokens >= 1.0 && state.unsettled < limits.unsettled {
            state.tokens -= 1.0;
            state.unsettled += 1;
            return Ok(Arriving(self.clone()));
        }
        state.told += 1.0;
        state.refused += 1;
        let seconds = (state.told / rate).ceil().clamp(1.0, ADVICE_MAX.as_secs_f64());
        Err(TooMany { retry_after: Duration::from_secs_f64(seconds) })
    }

    /// How many were told to come back, since the start.
    pub(crate) fn refused(&self) -> u64 {
        self.state.lock().refused
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.state.lock().unsettled -= 1;
    }
}

/// What bounds the coming of agents, by what they come for.
#[derive(Debug)]
pub(crate) struct Gates {
    /// Control sessions.
    pub(crate) control: Arc<Arrivals>,
    /// Telemetry sessions.
    pub(crate) telemetry: Arc<Arrivals>,
    /// Node channels.
    pub(crate) node: Arc<Arrivals>,
    /// Calls of RegisterContainerInstance.
    pub(crate) registrations: Arc<Arrivals>,
}

/// A registration is one small write: four come for each that connects.
const REGISTRATIONS_PER_SESSION: u32 = 4;

impl Default for Gates {
    fn default() -> Self {
        let sessions = || Arrivals::new(ArrivalLimits::default());
        let registrations = Arrivals::new(ArrivalLimits::default().of_registrations());
        Self { control: sessions(), telemetry: sessions(), node: sessions(), registrations }
    }
}

impl Gates {
    /// Goes by other limits from now on.
    pub(crate) fn limit(&self, limits: ArrivalLimits) {
        for gate in [&self.control, &self.telemetry, &self.node] {
            gate.limit(limits);
        }
        self.registrations.limit(limits.of_registrations());
    }
}

impl ArrivalLimits {
    fn of_registrations(self) -> Self {
        let more = |count: u32| count.saturating_mul(REGISTRATIONS_PER_SESSION);
        Self { per_second: more(self.per_second), burst: more(self.burst), ..self }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: ArrivalLimits = ArrivalLimits { per_second: 100, burst: 200, unsettled: 1_000 };

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + ms)
    }

    #[test]
    fn ten_thousand_come_back_at_the_bound_and_as_they_were_told() {
        let arrivals = Arrivals::new(LIMITS);
        // Each comes when it was told to; the first time all at once.
        let mut due = std::collections::BTreeMap::from([(0, 2_000_u32)]);
        let (mut admitted, mut second) = (Vec::new(), 0_i64);
        let mut tries = 0;
        while let Some((time, count)) = due.pop_first() {
            second = time;
            let mut now_in = 0;
            for _ in 0..count {
                tries += 1;
                match arrivals.admit(at(time * 1000)) {
                    Ok(arriving) => {
                        drop(arriving);
                        now_in += 1;
                    }
                    Err(told) => {
                        let wait = i64::try_from(told.retry_after.as_secs()).unwrap();
                        *due.entry(time + wait).or_default() += 1;
                    }
                }
            }
            admitted.push(now_in);
        }
        assert_eq!(admitted[0], 200);
        assert!(admitted[1..].iter().all(|&count| count <= 101), "{admitted:?}");
        assert_eq!(admitted.iter().sum::<u32>(), 2_000);
        // 1,800 at 100 a second; nobody had to come much more often than twice.
        assert!((18..=20).contains(&second), "{second} s");
        assert!(tries < 4_400, "{tries} tries");
        assert_eq!(arrivals.refused(), tries - 2_000);
    }

    #[test]
    fn those_that_are_not_settled_are_bounded() {
        let arrivals = Arrivals::new(ArrivalLimits { unsettled: 2, ..LIMITS });
        let first = arrivals.admit(at(0)).unwrap();
        let _second = arrivals.admit(at(0)).unwrap();
        assert_eq!(arrivals.admit(at(0)).unwrap_err().retry_after, Duration::from_secs(1));
        drop(first);
        assert!(arrivals.admit(at(0)).is_ok());
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing_away() {
        let arrivals = Arrivals::new(ArrivalLimits { burst: 1, ..LIMITS });
        assert!(arrivals.admit(at(60_000)).is_ok());
        assert!(arrivals.admit(at(0)).is_err());
        assert!(arrivals.admit(at(60_000)).is_err());
        assert!(arrivals.admit(at(60_010)).is_ok());
    }
}
