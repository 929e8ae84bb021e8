//! Taking a request's body in: at a minimum rate, and into counted memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::connections::{Charge, Connections, Exchange, with_charge};
use super::counters::refused;
use super::{Body, EdgeLimits, body};
use crate::ServiceError;

/// The first bytes of a body are not counted: most bodies are no longer, and come with the head.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// Reads a body of at most `limit_bytes`.
///
/// # Errors
/// The client's answer if it is longer, slower than the limits allow, breaks off, or if there is
/// no memory for it.
pub(super) async fn receive(
    connections: &Arc<Connections>,
    exchange: Option<&Exchange>,
    mut body: Body,
    limit_bytes: usize,
) -> Result<Bytes, ServiceError> {
    if hyper::body::Body::size_hint(&body).lower() > limit_bytes as u64 {
        return Err(body::too_large(limit_bytes));
    }
    let limits = &connections.limits;
    let began = Instant::now();
    let mut received = Received::default();
    loop {
        let patience = patience(limits, received.len());
        let frame = match timeout_at(began + patience, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(body::incomplete()),
            Ok(None) => return Ok(received.whole()),
            Err(_) => {
                refused(&connections.counters.slow_bodies, "slow_body");
                return Err(too_slow(patience));
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if received.len() + data.len() > limit_bytes {
            return Err(body::too_large(limit_bytes));
        }
        let id = exchange.map(Exchange::connection);
        let uncounted = UNCOUNTED_BYTES.saturating_sub(received.len());
        let counted = data.len().saturating_sub(uncounted);
        if counted > 0 {
            let charge = connections.charge_soon(id, counted).await.ok_or_else(no_memory)?;
            received.charge(charge);
        }
        received.add(data);
    }
}

/// How long a body may take of which so much has come.
fn patience(limits: &EdgeLimits, received: usize) -> Duration {
    let earned = received as f64 / limits.body_bytes_per_second.max(1) as f64;
    (limits.body + Duration::from_secs_f64(earned)).min(limits.body_max)
}

/// What has come of a body: one piece as it came, or several put together.
#[derive(Default)]
struct Received {
    first: Bytes,
    more: BytesMut,
    charge: Option<Charge>,
}

impl Received {
    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn charge(&mut self, charge: Charge) {
        match &mut self.charge {
            Some(held) => held.merge(charge),
            none => *none = Some(charge),
        }
    }

    fn add(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.first = data;
            return;
        }
        if !self.first.is_empty() {
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&data);
    }

    fn whole(self) -> Bytes {
        let bytes = if self.more.is_empty() { self.first } else { self.more.freeze() };
        match self.charge {
            Some(charge) => with_charge(bytes, charge),
            None => bytes,
        }
    }
}

fn too_slow(patience: Duration) -> ServiceError {
    ServiceError::new(
        "RequestTimeoutException",
        408,
        format!("The request body did not arrive within {} seconds.", patience.as_secs()),
    )
}

fn no_memory() -> ServiceError {
    ServiceError::throttled(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::super::BODY_LIMIT_BYTES;
    use super::*;

    #[test]
    fn patience_grows_with_what_came_and_ends() {
        let limits = EdgeLimits::default();
        let seconds = |received| patience(&limits, received).as_secs();
        assert_eq!(seconds(0), 10);
        assert_eq!(seconds(640 * 1024), 20);
        assert_eq!(seconds(BODY_LIMIT_BYTES), 60);
    }

    #[test]
    fn pieces_are_put_together() {
        let mut received = Received::default();
        for piece in ["a", "", "bc", "d"] {
            received.add(Bytes::from_static(piece.as_bytes()));
        }
        assert_eq!((received.len(), received.whole()), (4, Bytes::from_static(b"abcd")));
    }
}
