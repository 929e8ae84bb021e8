//! `agentConnected` and the agent's versions on an instance's row: written on change only, and
//! only when an absence lasts.

use std::time::Duration;

use ledger::{Ledger, LedgerError, TransactError};
use terms::ContainerInstanceArn;
use tokio_util::sync::CancellationToken;

use super::acs::CredentialsDesk;
use super::hub::Hub;
use crate::model::AgentInfo;
use crate::tables::{Tables, instance_key};

/// How long an agent may be without a session before its instance shows `agentConnected: false`.
/// Agents renew their connections every half hour, with a gap of milliseconds; one that was
/// dropped comes back after 250 ms (agent-protocol §2.3).
pub const AGENT_AWAY_AFTER: Duration = Duration::from_secs(5);

/// How many times [`AGENT_AWAY_AFTER`] agents may take to come back after a start, as long as in
/// each more of them do: ten thousand are let in at a bounded rate.
const RETURN_ROUNDS_MAX: u32 = 24;

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
async fn connected(
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
        away_since: None,
        disk_full: before.disk_full.clone(),
        update: before.update.clone().map(|update| update.met(versions.hash.as_deref())),
    };
    write(ledger, tables, instance, "ecs.agent_connected", next).await
}

/// Writes that the agent is away. Its tasks stay as they are (ECS semantics §4).
async fn disconnected(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let next = |before: &AgentInfo| AgentInfo { connected: false, ..before.clone() };
    write(ledger, tables, instance, "ecs.agent_disconnected", next).await
}

/// Writes why the instance's disk takes nothing new, or that it does, unless the row says so. The
/// reason that was given first stays: its figures change with every byte.
pub(super) async fn disk(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    full: Option<String>,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let next = |before: &AgentInfo| AgentInfo {
        disk_full: full.as_ref().map(|why| before.disk_full.as_ref().unwrap_or(why).clone()),
        ..before.clone()
    };
    write(ledger, tables, instance, "ecs.instance_disk", next).await
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
            if row.agent.connected && !changed.agent.connected {
                changed.agent.away_since = Some(tx.now());
            }
            changed.version += 1;
            tx.put(&tables.instances, key.clone(), changed);
        }
        Ok(())
    };
    ledger.transact(name, change).await.map(|_| ())
}

impl Hub {
    /// The time after a connection: unless the agent is back soon, its instance shows it.
    pub(super) async fn after(
        &self,
        instance: &ContainerInstanceArn,
        desk: CredentialsDesk,
        stopping: &CancellationToken,
    ) {
        if self.control.is_connected(instance) {
            return;
        }
        if stopping.is_cancelled() {
            return;
        }
        self.desks.lock().insert(instance.clone(), desk);
        tokio::select! {
            biased;
            () = stopping.cancelled() => {}
            () = tokio::time::sleep(AGENT_AWAY_AFTER) => self.settle(instance, None).await,
        }
    }

    /// Makes the instance's row say whether it is connected. Looks again after writing, so that
    /// of two connections that cross, the truth is what stays.
    pub(super) async fn settle(
        &self,
        instance: &ContainerInstanceArn,
        versions: Option<&Versions>,
    ) {
        loop {
            let is_connected = self.control.is_connected(instance);
            let written = if is_connected {
                let versions = versions.cloned().unwrap_or_default();
                connected(&self.ledger, &self.tables, instance, &versions).await
            } else {
                disconnected(&self.ledger, &self.tables, instance).await
            };
            if let Err(TransactError::Ledger(LedgerError::NotLeading { .. })) = written {
                // The server that leads now finds out by itself.
                return;
            }
            if let Err(error) = written {
                tracing::error!(%instance, %error, "cannot record whether an agent is connected");
                return;
            }
            if self.control.is_connected(instance) == is_connected {
                return;
            }
        }
    }

    /// After a start: instances that were connected to an earlier process, or to the server that
    /// led before, and do not come back. As long as others do, the rest may only be waiting for
    /// their turn.
    pub(super) async fn settle_absent(&self, stopping: &CancellationToken) {
        for _ in 0..RETURN_ROUNDS_MAX {
            let before = self.control.count();
            tokio::select! {
                biased;
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(AGENT_AWAY_AFTER) => {}
            }
            if self.control.count() <= before {
                break;
            }
        }
        let snapshot = self.ledger.snapshot();
        let rows = snapshot.range(&self.tables.instances, ..);
        let absent: Vec<ContainerInstanceArn> = rows
            .filter(|(_, row)| row.agent.connected && !self.control.is_connected(&row.arn))
            .map(|(_, row)| row.arn.clone())
            .collect();
        for instance in absent {
            self.settle(&instance, None).await;
        }
    }
}
