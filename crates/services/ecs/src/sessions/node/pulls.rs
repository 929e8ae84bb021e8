//! What agents tell of the images that they are pulling: in memory, for people.

use std::collections::HashMap;

use agent_protocol::node::{MAX_PULLS, PullUnderWay, PullsUnderWay};
use parking_lot::Mutex;
use terms::{ContainerInstanceArn, TaskArn};

/// The pulls under way, by instance. An instance without any is not in here.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    by_instance: Mutex<HashMap<ContainerInstanceArn, Vec<PullUnderWay>>>,
}

impl Pulls {
    /// Takes over what an agent tells, in the place of what it told before.
    pub(crate) fn told(&self, instance: &ContainerInstanceArn, told: PullsUnderWay) {
        let mut by_instance = self.by_instance.lock();
        let mut pulls = told.pulls;
        pulls.truncate(MAX_PULLS);
        if pulls.is_empty() {
            by_instance.remove(instance);
        } else {
            by_instance.insert(instance.clone(), pulls);
        }
    }

    /// The agent is away: how far it is, nobody knows.
    pub(crate) fn forget(&self, instance: &ContainerInstanceArn) {
        self.by_instance.lock().remove(instance);
    }

    /// Forgets all.
    pub(crate) fn forget_all(&self) {
        self.by_instance.lock().clear();
    }

    /// Those for a task's containers.
    pub(crate) fn of_task(
        &self,
        instance: &ContainerInstanceArn,
        task: &TaskArn,
    ) -> Vec<PullUnderWay> {
        let by_instance = self.by_instance.lock();
        let pulls = by_instance.get(instance).into_iter().flatten();
        pulls.filter(|pull| pull.task_arn == *task).cloned().collect()
    }
}
