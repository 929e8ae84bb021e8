//! What tasks on a node of the operator's own see that those on an instance do not.

use agent_protocol::task::Task;
use runtime::containers::Resources;

use crate::spec;

/// The cluster of a task, as its containers are told it: by name, as `configured`; on Fargate by its
/// ARN, for there the agent is of no cluster (Developer Guide, "Task metadata version 4 for Fargate").
pub fn cluster_of<'a>(task: &'a Task, configured: &'a str) -> &'a str {
    match is_on_fargate(task) {
        true => &task.task_cluster_arn,
        false => configured,
    }
}

/// What a container may use: on Fargate, where it has no limits of its own, as much as its task. It
/// cannot see its task's cgroup, and programs that look at their own would take the whole machine
/// for theirs.
pub fn bounded(task: &Task, own: Resources) -> Resources {
    let limits = spec::task_limits(task).filter(|_| is_on_fargate(task)).unwrap_or_default();
    Resources {
        cpu_limit_units: own.cpu_limit_units.or(limits.cpu_limit_units),
        memory_limit_bytes: own.memory_limit_bytes.or(limits.memory_limit_bytes),
        ..own
    }
}

fn is_on_fargate(task: &Task) -> bool {
    task.launch_type.as_deref() == Some("FARGATE")
}
