//! What a health report changes.

use std::convert::Infallible;

use agent_protocol::tcs::{HealthStatus, PublishHealth, TaskHealth};
use ledger::{Ledger, TransactError, Tx, View};
use terms::ContainerInstanceArn;

use crate::model::{Health, Task, TaskStatus};
use crate::tables::{Tables, instance_key, place_of, task_key};

/// The containers whose health the report changes, with what it becomes; empty is the usual case.
///
/// A task that has stopped keeps its last health.
fn health_changes(task: &Task, report: &TaskHealth) -> Vec<(usize, Health)> {
    if task.status == TaskStatus::Stopped {
        return Vec::new();
    }
    let reported = |name: &str| {
        let mut containers = report.containers.iter().rev();
        let found = containers.find(|container| container.container_name == name)?;
        Some(match found.health_status {
            HealthStatus::Healthy => Health::Healthy,
            HealthStatus::Unhealthy => Health::Unhealthy,
            HealthStatus::Unknown => Health::Unknown,
        })
    };
    let containers = task.containers.iter().enumerate();
    let changed = containers.filter_map(|(index, container)| {
        let health = reported(&container.name)?;
        (health != container.health).then_some((index, health))
    });
    changed.collect()
}

/// The task that a report is about, if it is placed on the reporting instance.
fn task_of(
    view: &impl View,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    report: &TaskHealth,
) -> Option<ledger::Row<Task>> {
    let place = instance_key(instance);
    let key = task_key(&report.task_arn);
    let row = view.get(&tables.tasks, &key)?;
    (place_of(&key, &row) == place).then_some(row)
}

/// Writes the health that the report changes, in one transaction; usually there is none, and then
/// nothing is written. Tasks of other instances are left alone.
///
/// # Errors
/// If the ledger does not take the write.
pub(crate) async fn write_health(
    ledger: &Ledger,
    tables: &Tables,
    instance: &ContainerInstanceArn,
    report: &PublishHealth,
) -> Result<(), TransactError<Infallible>> {
    let snapshot = ledger.snapshot();
    let is_news = |health: &&TaskHealth| {
        let task = task_of(&snapshot, tables, instance, health);
        task.is_some_and(|task| !health_changes(&task, health).is_empty())
    };
    let news: Vec<&TaskHealth> = report.tasks.iter().filter(is_news).collect();
    if news.is_empty() {
        return Ok(());
    }
    let change = |tx: &mut Tx<'_>| {
        for health in &news {
            let Some(row) = task_of(tx, tables, instance, health) else { continue };
            let changes = health_changes(&row, health);
            if changes.is_empty() {
                continue;
            }
            let mut task = (*row).clone();
            for (index, health) in changes {
                task.containers[index].health = health;
            }
            task.version += 1;
            let key = instance_key(instance).0.task(task.arn.id);
            tx.put(&tables.tasks, key, task);
        }
        Ok(())
    };
    ledger.transact("ecs.container_health", change).await.map(|_| ())
}
