//! How much the edge takes, and for how long: every bound of it in one place.

use std::time::Duration;

/// Processors that this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What the edge holds at most. [`Default`] gives the values of `docs/limits.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Connections at once. One more takes the place of the one that was idle longest.
    pub connections: usize,
    /// Connections of one peer (an IPv4 address, or an IPv6 network of 64 bits) at once.
    pub connections_per_peer: usize,
    /// Requests of API clients that are worked on at once.
    pub api: SeatLimits,
    /// Requests of agents, and joins, that are worked on at once.
    pub agents: SeatLimits,
    /// Bytes of request bodies, and of heads beyond 8 KiB a connection, in memory at once.
    pub request_bytes: usize,
    /// Bytes of answers in memory at once. Beyond it no request is begun; answers of those that
    /// were begun are still made.
    pub response_bytes: usize,
    /// A head that has begun must be whole after this.
    pub head: Duration,
    /// A connection without a request is closed after this.
    pub idle: Duration,
    /// A body must come after this, and ...
    pub body: Duration,
    /// ... one more second for each so many bytes that came ...
    pub body_bytes_per_second: usize,
    /// ... but after this at the latest.
    pub body_max: Duration,
    /// A client that takes nothing of its answer for so long is cut off.
    pub write_stall: Duration,
    /// A request that is not answered after so long is answered with 504: it may have been done.
    pub request: Duration,
    /// How long requests under way may take to end after the shutdown began.
    pub drain: Duration,
}

/// The bounds of one class of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeatLimits {
    /// Requests at once.
    pub seats: usize,
    /// Of these, requests of one client.
    pub seats_per_client: usize,
    /// Requests that wait for a seat.
    pub waiting: usize,
    /// Of these, requests of one client.
    pub waiting_per_client: usize,
    /// A request waits at most this long.
    pub wait: Duration,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        let seats = SeatLimits {
            seats: 256,
            seats_per_client: 192,
            waiting: 2_048,
            waiting_per_client: 256,
            wait: Duration::from_secs(3),
        };
        Self {
            connections: 16_384,
            connections_per_peer: 8_192,
            api: seats,
            agents: SeatLimits { waiting: 4_096, ..seats },
            request_bytes: 128 * 1024 * 1024,
            response_bytes: 128 * 1024 * 1024,
            head: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            body: Duration::from_secs(10),
            body_bytes_per_second: 64 * 1024,
            body_max: Duration::from_secs(60),
            write_stall: Duration::from_secs(30),
            request: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}
