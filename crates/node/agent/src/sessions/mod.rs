//! The agent's side of the control plane's channels: registration, ACS, TCS and the node channel.

mod acs;
mod backoff;
mod exec;
mod instance;
mod logs;
mod node;
mod register;
mod sampler;
mod tcs;

use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Containers;
use terms::{Clock, IdSource, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::core::Handle;
use crate::peers::Exchange;
use crate::pulls::Pulls;
use crate::transport::{PollEndpoints, Transport};
use crate::update::Updates;
use crate::view::{CredentialStore, View};

pub(crate) use acs::run as acs;
pub(crate) use instance::InstanceHealth;
pub(crate) use node::run as node;
pub(crate) use register::register;
pub(crate) use tcs::run as tcs;

/// DiscoverPollEndpoint's answer is kept this long (agent-protocol §1.5).
const ENDPOINTS_KEPT: std::time::Duration = std::time::Duration::from_secs(12 * 3600);

/// What the channels work with.
pub(crate) struct Context {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) containers: Arc<dyn Containers>,
    pub(crate) core: Handle,
    pub(crate) view: Arc<View>,
    pub(crate) credentials: Arc<CredentialStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) cluster: String,
    pub(crate) instance: String,
    pub(crate) health: Arc<InstanceHealth>,
    pub(crate) health_changed: Arc<Notify>,
    /// Told when the control plane does not know the instance any more.
    pub(crate) inactive: Arc<Notify>,
    pub(crate) endpoints: Mutex<Option<(Timestamp, PollEndpoints)>>,
    pub(crate) shutdown: CancellationToken,
    /// What replaces this agent's program.
    pub(crate) updates: Option<Arc<dyn Updates>>,
    /// Images on their way here.
    pub(crate) pulls: Arc<Pulls>,
    /// Layers from node to node.
    pub(crate) peers: Option<Exchange>,
}

impl Context {
    /// Where the channels are: asked for, or from an earlier answer. A stale one is better than
    /// none.
    async fn discover(&self) -> Result<PollEndpoints, String> {
        let now = self.clock.now();
        let kept = self.endpoints.lock().clone();
        if let Some((at, endpoints)) = &kept
            && now.since(*at) < ENDPOINTS_KEPT
        {
            return Ok(endpoints.clone());
        }
        match (self.transport.discover(&self.cluster, &self.instance).await, kept) {
            (Ok(endpoints), _) => {
                *self.endpoints.lock() = Some((now, endpoints.clone()));
                Ok(endpoints)
            }
            (Err(_), Some((_, endpoints))) => Ok(endpoints),
            (Err(error), None) => Err(error.to_string()),
        }
    }

    /// Waits; `false` when the agent is to end first.
    async fn wait(&self, time: std::time::Duration) -> bool {
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}
