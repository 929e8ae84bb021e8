//! What the edge counts of itself.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Priority;

/// Totals since the start. Every field only grows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections_accepted: AtomicU64,
    pub(crate) connections_evicted: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) accept_failures: AtomicU64,
    pub(crate) slow_heads: AtomicU64,
    pub(crate) slow_bodies: AtomicU64,
    pub(crate) stalled_writes: AtomicU64,
    pub(crate) refused_for_memory: AtomicU64,
    throttled_api: AtomicU64,
    throttled_agents: AtomicU64,
    pub(crate) request_bytes_peak: AtomicUsize,
    pub(crate) response_bytes_peak: AtomicUsize,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// So many connections more were ended or refused for this reason.
pub(crate) fn cut_off(counter: &AtomicU64, reason: &'static str, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
    meters::edge().cut_off.get_or_create(&meters::Reason { reason }).inc_by(number);
}

/// One more request was refused for this reason.
pub(crate) fn refused(counter: &AtomicU64, reason: &'static str) {
    count(counter);
    meters::edge().throttled.get_or_create(&meters::Reason { reason }).inc();
}

impl Counters {
    pub(crate) fn throttled(&self, priority: Priority) {
        match priority {
            Priority::Vital => {}
            Priority::Agents => refused(&self.throttled_agents, "agents"),
            Priority::Api => refused(&self.throttled_api, "api"),
        }
    }
}

/// How busy the edge is, and what it has turned away since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EdgeLoad {
    /// Connections now.
    pub connections: usize,
    /// Requests of API clients that are worked on now.
    pub api_in_flight: usize,
    /// Requests of API clients that wait for a seat now.
    pub api_waiting: usize,
    /// Requests of agents that are worked on now.
    pub agents_in_flight: usize,
    /// Requests of agents that wait for a seat now.
    pub agents_waiting: usize,
    /// Bytes of requests in memory now.
    pub request_bytes: usize,
    /// The most there ever were.
    pub request_bytes_peak: usize,
    /// Bytes of answers in memory now.
    pub response_bytes: usize,
    /// The most there ever were.
    pub response_bytes_peak: usize,
    /// Connections taken since the start.
    pub connections_accepted: u64,
    /// Connections closed to make room for others.
    pub connections_evicted: u64,
    /// Connections closed at once, for all others were at work.
    pub connections_refused: u64,
    /// Failures to accept, mostly for want of descriptors.
    pub accept_failures: u64,
    /// Connections closed because a head did not come.
    pub slow_heads: u64,
    /// Requests refused because their bodies did not come.
    pub slow_bodies: u64,
    /// Connections closed because the client did not read.
    pub stalled_writes: u64,
    /// Requests refused because bodies fill the memory set aside for them.
    pub refused_for_memory: u64,
    /// Requests of API clients refused for want of a seat.
    pub throttled_api: u64,
    /// Requests of agents refused for want of a seat.
    pub throttled_agents: u64,
}

impl Counters {
    /// The totals, the present left at zero.
    pub(crate) fn totals(&self) -> EdgeLoad {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EdgeLoad {
            connections_accepted: get(&self.connections_accepted),
            connections_evicted: get(&self.connections_evicted),
            connections_refused: get(&self.connections_refused),
            accept_failures: get(&self.accept_failures),
            slow_heads: get(&self.slow_heads),
            slow_bodies: get(&self.slow_bodies),
            stalled_writes: get(&self.stalled_writes),
            refused_for_memory: get(&self.refused_for_memory),
            throttled_api: get(&self.throttled_api),
            throttled_agents: get(&self.throttled_agents),
            request_bytes_peak: self.request_bytes_peak.load(Ordering::Relaxed),
            response_bytes_peak: self.response_bytes_peak.load(Ordering::Relaxed),
            ..EdgeLoad::default()
        }
    }
}
