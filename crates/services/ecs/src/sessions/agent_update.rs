//! Programs that agents can be replaced by, and how far their replacement is, on instances' rows.

use std::future::Future;
use std::pin::Pin;

use ledger::{Ledger, TransactError};
use terms::ContainerInstanceArn;

use super::hub::Hub;
use crate::model::{AgentUpdate, UpdateEvent};
use crate::tables::{Tables, instance_key};

/// What hands out agents' programs.
pub trait AgentPrograms: Send + Sync + 'static {
    /// The SHA-256, in hexadecimal, of the program that agents should be.
    ///
    /// # Errors
    /// Why it cannot be read, for the operator.
    fn newest(&self) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + '_>>;
}

/// Writes what an event makes of an instance's update.
async fn write(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    event: UpdateEvent,
) -> Result<(), TransactError<std::convert::Infallible>> {
    let key = instance_key(instance);
    let change = |tx: &mut ledger::Tx<'_>| {
        let Some(row) = tx.get(&tables.instances, &key) else { return Ok(()) };
        let Some(update) = &row.agent.update else { return Ok(()) };
        let Some(status) = update.status.next(event) else { return Ok(()) };
        let mut changed = (*row).clone();
        changed.agent.update = Some(AgentUpdate { status, ..update.clone() });
        changed.version += 1;
        tx.put(&tables.instances, key.clone(), changed);
        Ok(())
    };
    ledger.transact("ecs.agent_update", change).await.map(|_| ())
}

impl Hub {
    /// Writes what an event makes of an instance's update; its session is woken by that.
    pub(super) async fn update_went(&self, instance: &ContainerInstanceArn, event: UpdateEvent) {
        tracing::info!(%instance, ?event, "an agent's update goes on");
        if let Err(error) = write(&self.ledger, &self.tables, instance, event).await {
            tracing::error!(%instance, %error, "cannot record how an agent's update goes");
        }
    }
}
