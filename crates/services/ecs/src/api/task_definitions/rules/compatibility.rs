//! Where a definition can run: `requiresCompatibilities` and `compatibilities`.

use shapes_ecs as shapes;
use shapes_ecs::Compatibility;

use super::task::Task;
use super::{fargate, managed, resources, trusted};
use crate::error::Error;
use crate::model::NetworkMode;

/// ECS's order in `compatibilities`.
const ORDER: [Compatibility; 4] = [
    Compatibility::External,
    Compatibility::Ec2,
    Compatibility::ManagedInstances,
    Compatibility::Fargate,
];

/// Checks the rules of each launch type that is required, and tells all whose rules hold.
///
/// # Errors
/// The first rule of a required launch type that is broken. EC2 is required if none is named.
pub(super) fn check(task: &Task<'_>) -> Result<Vec<Compatibility>, Error> {
    let required = task.request.requires_compatibilities.as_deref().unwrap_or_default();
    let required = if required.is_empty() { &[Compatibility::Ec2][..] } else { required };
    required.iter().try_for_each(|one| refusal(*one, task))?;
    Ok(ORDER.into_iter().filter(|one| refusal(*one, task).is_ok()).collect())
}

fn refusal(one: Compatibility, task: &Task<'_>) -> Result<(), Error> {
    match one {
        Compatibility::Ec2 => ec2(task),
        Compatibility::Fargate => {
            refuse_managed(task, "FARGATE")?;
            fargate::check(task)
        }
        Compatibility::External => external(task),
        Compatibility::ManagedInstances => managed::check(task),
    }
}

/// Observed for EC2.
fn refuse_ephemeral_storage(task: &Task<'_>, kind: &str) -> Result<(), Error> {
    match task.request.ephemeral_storage {
        Some(_) => Err(Error::client(format!(
            "Tasks using the {kind} launch type do not support EphemeralStorage."
        ))),
        None => Ok(()),
    }
}

/// What Managed Instances alone have (API reference, `TrustedExecutionConfiguration` and
/// `ResourceRequirement`).
fn refuse_managed(task: &Task<'_>, kind: &str) -> Result<(), Error> {
    let refused = [
        (trusted::is_sandboxed(task.request), "trustedExecutionConfiguration"),
        (resources::has_neuron(task.containers()), "resource requirements of type NeuronDevice"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, what)) => {
            Err(Error::client(format!("Tasks using the {kind} launch type do not support {what}.")))
        }
        None => Ok(()),
    }
}

fn ec2(task: &Task<'_>) -> Result<(), Error> {
    refuse_managed(task, "EC2")?;
    refuse_ephemeral_storage(task, "EC2")
}

/// What agents of external instances do not register (agent protocol §1.6).
fn external(task: &Task<'_>) -> Result<(), Error> {
    refuse_managed(task, "EXTERNAL")?;
    refuse_ephemeral_storage(task, "EXTERNAL")?;
    let request = task.request;
    let at_launch = |volume: &shapes::Volume| volume.configured_at_launch == Some(true);
    let refused = [
        (task.network_mode == NetworkMode::Awsvpc, "networkMode 'awsvpc'"),
        (request.proxy_configuration.is_some(), "proxyConfiguration"),
        (request.enable_fault_injection == Some(true), "enableFaultInjection"),
        (request.volumes.iter().flatten().any(at_launch), "volumes configured at launch"),
        (resources::has_shared_gpu(task.containers()), "sharing of GPUs"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Error::client(format!(
            "Tasks using the EXTERNAL launch type do not support {what}."
        ))),
        None => Ok(()),
    }
}
