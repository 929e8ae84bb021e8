//! UpdateTaskSet, DeleteTaskSet and UpdateServicePrimaryTaskSet.

use ledger::Tx;
use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, target};
use super::{find, percent, service, show};
use crate::decide::service::texts;
use crate::error::Error;
use crate::model::{Service, Stability, TaskSet, TaskSetChange, TaskSetStatus};
use crate::reconcile::say;
use crate::tables::{Tables, TaskSetKey};

impl Api {
    /// Gives a task set another share of its service's desired count.
    pub(crate) async fn update_task_set(
        &self,
        context: Context,
        input: shapes::UpdateTaskSetRequest,
    ) -> Result<shapes::UpdateTaskSetResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let scale_percent = percent(Some(&input.scale))?;
        let tables = self.tables;
        let updated = self.ledger.transact("update task set", |tx| {
            let (owner, of) = service(tx, &tables, &cluster, &input.service)?;
            let (key, row) = find(tx, &tables, &owner, &input.task_set)?;
            if row.status == TaskSetStatus::Draining {
                return Err(Error::invalid("The task set is DRAINING."));
            }
            let mut next = TaskSet { scale_percent, ..TaskSet::clone(&row) };
            next.computed_desired = next.share_of(of.desired);
            if next.computed_desired != row.computed_desired {
                unsettle(tx, &mut next);
                // A share was asked for; the count that it comes to was computed.
                let mut of = Service::clone(&of);
                let name = owner.1.to_string();
                let line = texts::recounted(&name, next.computed_desired, Some(next.id));
                say(tx, tables, &owner, &mut of.course, [line]);
                tx.put(&tables.services.rows, owner, of);
            }
            next.updated_at = tx.now();
            tx.put(&tables.services.task_sets, key.clone(), next);
            Ok::<_, Error>(key)
        });
        let key = updated.await?.value;
        let task_set = Some(show::now(&self.ledger.snapshot(), &tables, &key, false)?);
        Ok(shapes::UpdateTaskSetResponse { task_set })
    }

    /// Lets a task set drain; it is gone when its last task has ended.
    pub(crate) async fn delete_task_set(
        &self,
        context: Context,
        input: shapes::DeleteTaskSetRequest,
    ) -> Result<shapes::DeleteTaskSetResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let (tables, force) = (self.tables, input.force == Some(true));
        let deleted = self.ledger.transact("delete task set", |tx| {
            let (owner, _) = service(tx, &tables, &cluster, &input.service)?;
            let (key, row) = find(tx, &tables, &owner, &input.task_set)?;
            if row.computed_desired > 0 && row.status != TaskSetStatus::Draining && !force {
                return Err(Error::invalid(
                    "The task set cannot be deleted while it is scaled above 0.",
                ));
            }
            let next = changed(tx, &row, TaskSetChange::Deleted);
            let mut next = TaskSet { scale_percent: 0.0, computed_desired: 0, ..next };
            unsettle(tx, &mut next);
            // It is answered as it was just before it is gone.
            let shown = show::shown(&self.ledger.snapshot(), &tables, (&key, &next), false);
            tx.put(&tables.services.task_sets, key, next);
            Ok::<_, Error>(shown)
        });
        let task_set = Some(deleted.await?.value);
        Ok(shapes::DeleteTaskSetResponse { task_set })
    }

    /// Makes a task set the primary one of its service.
    pub(crate) async fn update_service_primary_task_set(
        &self,
        context: Context,
        input: shapes::UpdateServicePrimaryTaskSetRequest,
    ) -> Result<shapes::UpdateServicePrimaryTaskSetResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), Some(&input.cluster))?;
        let tables = self.tables;
        let updated = self.ledger.transact("update primary task set", |tx| {
            let (owner, _) = service(tx, &tables, &cluster, &input.service)?;
            let (key, row) = find(tx, &tables, &owner, &input.primary_task_set)?;
            if row.status == TaskSetStatus::Draining {
                return Err(Error::invalid("The task set is DRAINING."));
            }
            demote_others(tx, &tables, &key);
            let next = changed(tx, &row, TaskSetChange::Promoted);
            tx.put(&tables.services.task_sets, key.clone(), next);
            Ok::<_, Error>(key)
        });
        let key = updated.await?.value;
        let task_set = Some(show::now(&self.ledger.snapshot(), &tables, &key, false)?);
        Ok(shapes::UpdateServicePrimaryTaskSetResponse { task_set })
    }
}

fn demote_others(tx: &mut Tx<'_>, tables: &Tables, primary: &TaskSetKey) {
    let sets: Vec<_> = tx.prefix(&tables.services.task_sets, &primary.0).collect();
    for (key, row) in sets {
        if key != *primary && row.status == TaskSetStatus::Primary {
            let next = changed(tx, &row, TaskSetChange::Demoted);
            tx.put(&tables.services.task_sets, key, next);
        }
    }
}

/// The task set after `event`.
fn changed(tx: &Tx<'_>, row: &TaskSet, event: TaskSetChange) -> TaskSet {
    let status = row.status.next(event).unwrap_or(row.status);
    TaskSet { status, updated_at: tx.now(), ..row.clone() }
}

/// What is to change is not steady.
fn unsettle(tx: &Tx<'_>, set: &mut TaskSet) {
    if set.stability != Stability::Stabilizing {
        (set.stability, set.stability_at) = (Stability::Stabilizing, tx.now());
    }
}
