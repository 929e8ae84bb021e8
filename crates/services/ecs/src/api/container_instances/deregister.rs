//! DeregisterContainerInstance (ECS semantics §4).

use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::{check_node, one, registered, show};
use crate::decide::report;
use crate::error::Error;
use crate::model::{AgentInfo, ContainerInstance, InstanceStatus, Stop, StopCode};

impl Api {
    /// Takes an instance out of its cluster. With `force` its tasks are STOPPED at once in our
    /// records (ECS semantics §4): nobody is left who could report on them.
    pub(crate) async fn deregister_container_instance(
        &self,
        context: Context,
        input: shapes::DeregisterContainerInstanceRequest,
    ) -> Result<shapes::DeregisterContainerInstanceResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let named = &input.container_instance;
        let key = cluster.instance(one(&cluster, named)?);
        let (tables, force) = (self.tables, input.force.unwrap_or(false));
        let done = self.ledger.transact("deregister container instance", |tx| {
            if !cluster.is_fleet() {
                target::active_cluster(tx, &tables, &cluster)?;
            }
            let row = registered(tx, &tables, &key, named)?;
            check_node(&context, &row)?;
            let tasks: Vec<_> = tx.index(&tables.held, &key).collect();
            if !tasks.is_empty() && !force {
                return Err(Error::invalid("Found running tasks on the instance."));
            }
            let now = tx.now();
            for (task_key, task) in tasks {
                let reason = format!("Container instance {} was deregistered.", row.arn);
                let stop = Stop { code: StopCode::TerminationNotice, reason };
                if let Some(stopped) = report::lose_instance(&task, stop, now) {
                    self.put_task(tx, task_key, stopped);
                }
            }
            let gone = ContainerInstance {
                status: InstanceStatus::Inactive,
                changed_at: now,
                agent: AgentInfo { connected: false, ..row.agent.clone() },
                version: row.version + 1,
                ..ContainerInstance::clone(&row)
            };
            let shown = show(&gone, &[], true, None);
            tx.put(&tables.instances, key.clone(), gone);
            Ok(shown)
        });
        let done = done.await?;
        let mut gone = done.value;
        gone.version = i64::try_from(done.revision).ok();
        let container_instance = Some(gone);
        Ok(shapes::DeregisterContainerInstanceResponse { container_instance })
    }
}
