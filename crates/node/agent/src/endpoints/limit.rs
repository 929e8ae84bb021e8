//! How often one task may ask: as Amazon's agent, 40 requests a second with a burst of 60
//! (agent-protocol §6.1), so that a loop without a pause in one container leaves the others' alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Clients that are remembered; those that have not asked for longest are forgotten.
const CLIENTS_MAX: usize = 4096;

/// Requests that one client may send to the local endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRate {
    /// So many a second in the long run; at least 1.
    pub per_second: u32,
    /// So many at once; at least 1.
    pub burst: u32,
}

impl Default for RequestRate {
    fn default() -> Self {
        Self { per_second: 40, burst: 60 }
    }
}

/// What each client has left, by its address.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: RequestRate,
    clients: Mutex<BTreeMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(rate: RequestRate) -> Self {
        Self { rate, clients: Mutex::default() }
    }

    /// Whether the client may send one more request now.
    pub(super) fn admits(&self, client: IpAddr, now: Instant) -> bool {
        let (burst, rate) = (f64::from(self.rate.burst), f64::from(self.rate.per_second));
        let mut clients = self.clients.lock();
        if clients.len() >= CLIENTS_MAX && !clients.contains_key(&client) {
            let full = Duration::from_secs_f64(burst / rate.max(1.0));
            clients.retain(|_, bucket| now.saturating_duration_since(bucket.at) < full);
            if clients.len() >= CLIENTS_MAX {
                clients.pop_first();
            }
        }
        let bucket = clients.entry(client).or_insert(Bucket { left: burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * rate).min(burst);
        bucket.at = now;
        let admits = bucket.left >= 1.0;
        if admits {
            bucket.left -= 1.0;
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate_for_each_client_alone() {
        let limiter = Limiter::new(RequestRate::default());
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let begin = Instant::now();
        let admitted =
            |client, at: Duration| (0..100).filter(|_| limiter.admits(client, begin + at)).count();
        assert_eq!(admitted(one, Duration::ZERO), 60);
        assert_eq!(admitted(one, Duration::from_millis(500)), 20);
        assert_eq!(admitted(two, Duration::from_millis(500)), 60);
        assert_eq!(admitted(one, Duration::from_secs(60)), 60);
    }

    #[test]
    fn clients_that_are_gone_make_room() {
        let limiter = Limiter::new(RequestRate::default());
        let begin = Instant::now();
        for number in 0..u32::try_from(CLIENTS_MAX).unwrap_or(0) + 10 {
            let client = IpAddr::from(number.to_be_bytes());
            assert!(limiter.admits(client, begin + Duration::from_millis(u64::from(number))));
        }
        assert!(limiter.clients.lock().len() <= CLIENTS_MAX);
    }
}
