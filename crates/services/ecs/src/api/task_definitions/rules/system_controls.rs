//! `systemControls`: kernel parameters that namespaces have of their own (ECS semantics §3.4).

use shapes_ecs as shapes;

use super::task::{Task, items, wrong};
use crate::error::Error;
use crate::model::NetworkMode;

/// Parameters of the IPC namespace; those of `fs.mqueue.` belong to it as well.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The namespace that a parameter belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Ipc,
    Network,
}

fn owner(parameter: &str) -> Option<Owner> {
    let behind = |prefix: &str| parameter.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    if IPC.contains(&parameter) || behind("fs.mqueue.") {
        return Some(Owner::Ipc);
    }
    behind("net.").then_some(Owner::Network)
}

/// Checks a container's parameters.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    task: &Task<'_>,
) -> Result<(), Error> {
    let mut seen = std::collections::BTreeSet::new();
    for control in items(&one.system_controls) {
        let parameter = control.namespace.as_deref().unwrap_or("");
        if parameter.is_empty() {
            return Err(Error::client("SystemControl.namespace should not be null or empty."));
        }
        if control.value.as_deref().unwrap_or("").is_empty() {
            return Err(Error::client("SystemControl.value should not be null or empty."));
        }
        let Some(owner) = owner(parameter) else {
            let text = format!("'{parameter}' is not a supported namespaced kernel parameter.");
            return Err(wrong(name, &text));
        };
        if !seen.insert(parameter) {
            return Err(wrong(name, &format!("The parameter '{parameter}' is set twice.")));
        }
        if owner == Owner::Network && task.network_mode == NetworkMode::Host {
            return Err(Error::client(format!(
                "The system control '{parameter}' is not supported when networkMode=host."
            )));
        }
        if owner == Owner::Ipc && task.request.ipc_mode == Some(shapes::IpcMode::Host) {
            return Err(Error::client(format!(
                "The system control '{parameter}' is not supported when ipcMode=host."
            )));
        }
    }
    Ok(())
}
