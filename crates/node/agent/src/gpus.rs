//! GPUs: the instance's, and those that a container has to itself. The control plane gives them out
//! by their ids (agent-protocol §2.6, `associations`).

use std::path::PathBuf;

use agent_protocol::task::{Container, Task};
use runtime::containers::Device;

use crate::engine::Failure;

/// What NVIDIA's runtime reads: set as Amazon's agent does, the ids with commas between.
const VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES";

/// A GPU of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its id: what the instance registers, and what containers get as their own.
    pub id: String,
    /// The devices of the host that a container needs for it; those that several GPUs need are
    /// named with each.
    pub devices: Vec<PathBuf>,
}

/// A container's GPUs, in the order in which they were given.
pub(crate) fn of_container<'a>(
    task: &Task,
    container: &Container,
    all: &'a [Gpu],
) -> Result<Vec<&'a Gpu>, Failure> {
    let is_its = |association: &&serde_json::Value| {
        let containers = association["containers"].as_array();
        association["type"] == "gpu"
            && containers.is_some_and(|names| names.iter().any(|n| *n == *container.name))
    };
    let ids = task.associations.iter().filter(is_its).filter_map(|one| one["name"].as_str());
    ids.map(|id| {
        all.iter().find(|gpu| gpu.id == id).ok_or_else(|| {
            let what = format!("GPU '{id}' is not on this instance any more");
            Failure::new("HostConfigError", what)
        })
    })
    .collect()
}

/// The devices of these GPUs, each once.
pub(crate) fn devices(gpus: &[&Gpu]) -> Vec<Device> {
    let mut paths: Vec<&PathBuf> = gpus.iter().flat_map(|gpu| &gpu.devices).collect();
    let mut seen = std::collections::BTreeSet::new();
    paths.retain(|path| seen.insert(*path));
    let device = |path: &PathBuf| Device {
        host_path: path.clone(),
        container_path: path.clone(),
        permissions: "rwm".to_owned(),
    };
    paths.into_iter().map(device).collect()
}

/// The variable that tells a container its GPUs; none without any.
pub(crate) fn variable(gpus: &[&Gpu]) -> Option<String> {
    let ids: Vec<&str> = gpus.iter().map(|gpu| gpu.id.as_str()).collect();
    (!ids.is_empty()).then(|| format!("{VARIABLE}={}", ids.join(",")))
}
