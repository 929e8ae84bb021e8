//! An instance's record as the query language asks for it.

use std::ops::Deref;

use placement::query::Subject;
use terms::Timestamp;

use crate::model::{ContainerInstance, Task, TaskStatus};

/// A record with the tasks on it that have not stopped.
pub(crate) struct Asked<'a, T> {
    pub(crate) row: &'a ContainerInstance,
    pub(crate) tasks: &'a [T],
}

impl<T: Deref<Target = Task>> Subject for Asked<'_, T> {
    fn attribute(&self, name: &str) -> Option<Option<&str>> {
        self.row.attributes.get(name).map(Option::as_deref)
    }

    fn agent_connected(&self) -> bool {
        self.row.agent.connected
    }

    fn agent_version(&self) -> Option<&str> {
        self.row.agent.version.as_deref()
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        self.row.ec2_instance_id.as_deref()
    }

    fn registered_at(&self) -> Timestamp {
        self.row.registered_at
    }

    fn running_tasks(&self) -> u32 {
        let running = |task: &&T| task.status == TaskStatus::Running;
        u32::try_from(self.tasks.iter().filter(running).count()).unwrap_or(u32::MAX)
    }

    fn any_group(&self, accepts: &mut dyn FnMut(&str) -> bool) -> bool {
        self.tasks.iter().any(|task| accepts(&task.group))
    }
}
