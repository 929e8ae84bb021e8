//! Waiting for an instant of a clock.

use std::sync::Arc;
use std::time::Duration;

use terms::{Clock, Timestamp};

/// The clock is asked again after this long at the latest: it may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Waits until `instant`, or for ever without one. May end early, by a clock that was set; whoever
/// waits looks again.
pub(crate) async fn until(clock: &Arc<dyn Clock>, instant: Option<Timestamp>) {
    let Some(instant) = instant else { return std::future::pending().await };
    let wait = instant.since(clock.now());
    tokio::time::sleep(wait.min(LOOK_AGAIN)).await;
}
