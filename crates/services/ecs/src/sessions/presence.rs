//! `agentConnected` and the agent's versions on an instance's row: written on change only.

use ledger::{Ledger, TransactError};
use terms::ContainerInstanceArn;

use crate::model::AgentInfo;
use crate::tables::{Tables, instance_key};

/// What the agent says of itself when it connects (agent-protocol §2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// `agentVersion`.
    pub(crate) agent: Option<String>,
    /// `agentHash`.
    pub(crate) hash: Option<String>,
    /// `dockerVersion`, with its prefix `DockerVersion: ` if it had one.
    pub(crate) docker: Option<String>,
}

/// Writes that the agent is connected, with its versions, unless the row says so already.
/// What the agent does not tell stays as it was.
pub(crate) async fn connected(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    versions: &Versions,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let next = |before: &AgentInfo| AgentInfo {
        connected: true,
        version: versions.agent.clone().or_else(|| before.version.clone()),
        hash: versions.hash.clone().or_else(|| before.hash.clone()),
        docker_version: versions.docker.clone().or_else(|| before.docker_version.clone()),
    };
    write(ledger, tables, instance, "ecs.agent_connected", next).await
}

/// Writes that the agent is away. Its tasks stay as they are (ECS semantics §4).
pub(crate) async fn disconnected(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let next = |before: &AgentInfo| AgentInfo { connected: false, ..before.clone() };
    write(ledger, tables, instance, "ecs.agent_disconnected", next).await
}

async fn write(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    name: &'static str,
    next: impl Fn(&AgentInfo) -> AgentInfo + Send + Sync,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let key = instance_key(instance);
    // Most connections change nothing: agents renew them every half hour.
    let row = ledger.snapshot().get(&tables.instances, &key);
    if row.is_none_or(|row| next(&row.agent) == row.agent) {
        return Ok(());
    }
    let change = |tx: &mut ledger::Tx<'_>| {
        let Some(row) = tx.get(&tables.instances, &key) else { return Ok(()) };
        let agent = next(&row.agent);
        if agent != row.agent {
            let mut changed = (*row).clone();
            changed.agent = agent;
            changed.version += 1;
            tx.put(&tables.instances, key.clone(), changed);
        }
        Ok(())
    };
    ledger.transact(name, change).await.map(|_| ())
}
