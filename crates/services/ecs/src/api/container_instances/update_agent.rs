//! UpdateContainerAgent (ECS semantics §1).

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::{one, registered};
use crate::error::Error;

impl Api {
    /// Refuses always: agents are replaced with the machine's own means, and there is no newer one
    /// here to hand out. An agent that never said its version is told so first, as on ECS.
    pub(crate) async fn update_container_agent(
        &self,
        context: Context,
        input: shapes::UpdateContainerAgentRequest,
    ) -> Result<shapes::UpdateContainerAgentResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let snapshot = self.ledger.snapshot();
        target::active_cluster(&snapshot, &self.tables, &cluster)?;
        let named = &input.container_instance;
        let key = cluster.instance(one(&cluster, named)?);
        let row = registered(&snapshot, &self.tables, &key, named)?;
        match row.agent.version {
            None => Err(Error::AgentVersionMissing),
            Some(_) => Err(Error::NoAgentUpdate),
        }
    }
}
