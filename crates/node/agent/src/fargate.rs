//! What tasks on a node of the operator's own see that those on an instance do not.

use agent_protocol::task::Task;
use runtime::containers::{MachineView, Resources};

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

/// The machine that a container takes itself to be on: on Fargate one of its task's size, whole
/// processors of it.
pub fn machine(task: &Task) -> Option<MachineView> {
    let limits = spec::task_limits(task).filter(|_| is_on_fargate(task))?;
    let (cpus, memory_bytes) = (limits.cpu_limit_units?.div_ceil(1024), limits.memory_limit_bytes?);
    Some(MachineView { cpus: usize::try_from(cpus).unwrap_or(usize::MAX), memory_bytes })
}

fn is_on_fargate(task: &Task) -> bool {
    task.launch_type.as_deref() == Some("FARGATE")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use agent_protocol::task::DesiredStatus;

    use super::*;

    #[test]
    fn a_task_sees_its_size_on_fargate_alone() {
        let arn =
            "arn:aws:ecs:us-east-1:000000000000:task/default/00000000000000000000000000000001";
        let check = |launch_type: &str, cpu: f64, expected: Option<usize>| {
            let task = Task {
                launch_type: Some(launch_type.to_owned()),
                cpu: Some(cpu),
                memory: Some(512),
                ..Task::new(arn.parse().unwrap(), DesiredStatus::Running)
            };
            let expected = expected.map(|cpus| MachineView { cpus, memory_bytes: 512 << 20 });
            assert_eq!(machine(&task), expected, "{launch_type} {cpu}");
        };
        check("FARGATE", 0.25, Some(1));
        check("FARGATE", 1.0, Some(1));
        check("FARGATE", 4.0, Some(4));
        check("EC2", 4.0, None);
    }
}
