//! UpdateContainerAgent (ECS semantics §1).

use agent_protocol::AGENT_ATTRIBUTE;
use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::{held, one, registered, show, version};
use crate::error::Error;
use crate::model::{AgentUpdate, ContainerInstance, UpdateStatus, hash_of};

/// What an agent that is part of `longshore up` tells as its hash: it is replaced with the server.
const OF_UP: &str = "longshore";

impl Api {
    /// Has the instance's agent replaced by the server's program for agents, in stages that
    /// `agentUpdateStatus` tells. Containers run on. Only agents of ours can be: Amazon's are
    /// replaced by their own machine's means, as are those that are part of `longshore up`.
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
        check(&row)?;
        let digest = match self.sessions.programs() {
            Some(programs) => programs.newest().await,
            None => return Err(Error::NoAgentUpdate),
        };
        let digest = digest.map_err(|why| {
            tracing::error!(why, "the program for agents cannot be read");
            Error::NoAgentUpdate
        })?;
        let change = |tx: &mut ledger::Tx<'_>| {
            let row = registered(tx, &self.tables, &key, named)?;
            check(&row)?;
            if row.agent.hash.as_deref() == Some(hash_of(&digest)) {
                return Err(Error::NoAgentUpdate);
            }
            let mut changed = (*row).clone();
            let update = AgentUpdate { digest: digest.clone(), status: UpdateStatus::Pending };
            changed.agent.update = Some(update);
            changed.version += 1;
            tx.put(&self.tables.instances, key.clone(), changed);
            Ok(())
        };
        self.ledger.transact("ecs.update_container_agent", change).await?;
        let snapshot = self.ledger.snapshot();
        let row = registered(&snapshot, &self.tables, &key, named)?;
        let tasks = held(&snapshot, &self.tables, &key);
        let version = version(&snapshot, &self.tables, &row, &tasks);
        let container_instance = Some(show(&row, &tasks, false, Some(version)));
        Ok(shapes::UpdateContainerAgentResponse { container_instance })
    }
}

/// Whether the instance's agent can be replaced at all, now.
fn check(row: &ContainerInstance) -> Result<(), Error> {
    if row.agent.version.is_none() {
        return Err(Error::AgentVersionMissing);
    }
    if row.agent.update.as_ref().is_some_and(|update| update.status.is_under_way()) {
        return Err(Error::AgentUpdateInProgress);
    }
    let is_ours = row.attributes.contains_key(AGENT_ATTRIBUTE);
    if !is_ours || row.agent.hash.as_deref() == Some(OF_UP) {
        return Err(Error::NoAgentUpdate);
    }
    Ok(())
}
