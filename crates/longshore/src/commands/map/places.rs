//! Which task stands behind a target. Pure.

use std::collections::HashMap;

use serde_json::Value;

use crate::api::text;

/// Tasks by where they are reached.
pub struct Places<'a> {
    /// By the address of their own interface.
    addresses: HashMap<&'a str, &'a Value>,
    /// By their machine's id and their port there.
    ports: HashMap<(&'a str, u64), &'a Value>,
}

impl<'a> Places<'a> {
    /// Of these tasks on these container instances.
    pub fn of(tasks: &'a [Value], instances: &'a [Value]) -> Self {
        let machines: HashMap<_, _> = instances
            .iter()
            .map(|one| (text(one, "containerInstanceArn"), text(one, "ec2InstanceId")))
            .collect();
        let (mut addresses, mut ports) = (HashMap::new(), HashMap::new());
        for task in tasks {
            let machine = machines.get(text(task, "containerInstanceArn")).copied();
            for container in items(&task["containers"]) {
                for interface in items(&container["networkInterfaces"]) {
                    addresses.insert(text(interface, "privateIpv4Address"), task);
                }
                for binding in items(&container["networkBindings"]) {
                    if let (Some(machine), Some(port)) = (machine, binding["hostPort"].as_u64()) {
                        ports.insert((machine, port), task);
                    }
                }
            }
        }
        Self { addresses, ports }
    }

    /// The task behind a target of this id and port.
    pub fn task(&self, id: &str, port: u64) -> Option<&'a Value> {
        self.addresses.get(id).or_else(|| self.ports.get(&(id, port))).copied()
    }
}

/// A list's items; none of what is no list.
pub fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
