//! Whether everything is as it should be, once nothing goes wrong any more.

use std::collections::BTreeSet;

use super::Checker;
use crate::host::Host;

/// Why the world has not settled.
pub(crate) type Unsettled = String;

impl Checker {
    /// Every task is where its desired state says, in the records and on the machines.
    /// `strict` says that nothing hinders services from having what they are to have.
    pub(crate) fn settled(&self, hosts: &[&Host], strict: bool) -> Result<(), Unsettled> {
        self.services.rows.values().try_for_each(|row| self.service_settled(row, strict))?;
        for host in hosts {
            let mine = |node: &Option<String>| node.as_deref() == Some(host.name.as_str());
            let live = self.instances.values().filter(|row| mine(&row.node) && !row.is_gone);
            let connected = live.filter(|row| row.connected).count();
            if connected != 1 {
                let rows = self.instances.values().filter(|row| mine(&row.node));
                let rows = rows.map(|row| format!("{} {}", row.arn.id, row.status));
                let rows = rows.collect::<Vec<_>>().join(", ");
                let name = &host.name;
                return Err(format!("{connected} instances of {name} are connected: {rows}"));
            }
        }
        for task in self.tasks.values() {
            if !task.wants_running && task.holds() {
                return Err(format!("task {} is to stop and is {}", task.arn.id, task.status));
            }
            if task.wants_running && !task.is_running() && task.holds() {
                return Err(format!("task {} is to run and is {}", task.arn.id, task.status));
            }
            if task.wants_running && !task.holds() {
                return Err(format!("task {} is to run and has stopped", task.arn.id));
            }
            if task.wants_running {
                self.is_run(task, hosts)?;
            }
        }
        hosts.iter().try_for_each(|host| self.runs_only_tasks(host))
    }

    /// The containers that the record says are running are running.
    fn is_run(&self, task: &ecs::audit::AuditedTask, hosts: &[&Host]) -> Result<(), Unsettled> {
        let id = task.arn.id;
        let node = self.instances.get(&task.instance).and_then(|row| row.node.as_deref());
        let host = hosts.iter().find(|host| Some(host.name.as_str()) == node);
        let host = host.ok_or_else(|| format!("task {id} runs on no machine"))?;
        let running: BTreeSet<String> =
            host.running().into_iter().map(|(_, container)| container.to_string()).collect();
        for container in task.containers.iter().filter(|container| container.status == "RUNNING") {
            if !container.runtime_id.as_ref().is_some_and(|id| running.contains(id)) {
                return Err(format!("{} of task {id} is RUNNING and does not run", container.name));
            }
        }
        Ok(())
    }

    /// What runs on the machine belongs to a task that is to run.
    fn runs_only_tasks(&self, host: &Host) -> Result<(), Unsettled> {
        for (task, container) in host.running() {
            let wanted = self.task(&task).is_some_and(|task| task.wants_running);
            if !wanted {
                let container = container.short();
                return Err(format!("{container} of task {task} runs on {} unwanted", host.name));
            }
        }
        Ok(())
    }
}
