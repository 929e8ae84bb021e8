//! Tasks as targets of load balancers.

use std::net::IpAddr;

use elbv2::Place;
use ledger::Tx;
use terms::Text;

use super::super::Api;
use super::network::network_scope;
use crate::model::{
    Balanced, Container, ContainerInstance, NetworkMode, Protocol, Registration, Task, TaskStatus,
    TaskTarget,
};
use crate::tables::{TaskKey, definition_key, place_of};

/// The targets that a service's tasks are to be.
pub(super) fn of_tasks(balanced: &[Balanced], is_alternate: bool) -> Box<[TaskTarget]> {
    let target = |one: &Balanced| TaskTarget {
        group: one.side(is_alternate).into(),
        container: one.container.as_str().into(),
        port: one.port,
        at: None,
    };
    balanced.iter().map(target).collect()
}

impl Api {
    /// Registers a task's targets. Those that cannot be, because their group or their port is not
    /// there, are without a registration.
    pub(crate) fn register_targets(
        &self,
        tx: &mut Tx<'_>,
        key: &TaskKey,
        task: &Task,
    ) -> Box<[TaskTarget]> {
        let facts = tx.facts();
        let definition = facts.get(&self.tables.definitions, &definition_key(&task.definition));
        let mode = definition.map(|row| row.network_mode);
        let instance = facts.get(&self.tables.instances, &place_of(key, task));
        let scope = network_scope(&task.arn);
        let mut targets = task.targets.clone();
        for target in &mut targets {
            let place = mode.and_then(|mode| place(task, target, mode, instance.as_deref()));
            let (Some((id, port, address)), Some(tables)) = (place, self.balancers.get()) else {
                continue;
            };
            let place = Place { group: &target.group, id: &id, port };
            let since = tables.register(tx, &scope, &place, address);
            target.at = since.map(|since| Registration { id, port, since, is_over: false });
        }
        targets
    }

    /// Deregisters the targets of a task that is on its way out.
    pub(super) fn deregister_targets(&self, tx: &mut Tx<'_>, task: &mut Task) {
        if task.status < TaskStatus::Deactivating {
            return;
        }
        let scope = network_scope(&task.arn);
        for target in &mut task.targets {
            let Some(at) = target.at.as_mut().filter(|at| !at.is_over) else { continue };
            at.is_over = true;
            if let Some(tables) = self.balancers.get() {
                let place = Place { group: &target.group, id: &at.id, port: at.port };
                tables.deregister(tx, &scope, &place, at.since);
            }
        }
    }
}

/// Under which id and port a task is a target, and where that is (ECS semantics §14).
fn place(
    task: &Task,
    target: &TaskTarget,
    mode: NetworkMode,
    instance: Option<&ContainerInstance>,
) -> Option<(Text, u16, IpAddr)> {
    if let Some(network) = &task.network {
        let address = network.address;
        return Some((address.to_string().as_str().into(), target.port, IpAddr::V4(address)));
    }
    let instance = instance?;
    let machine = instance.ec2_instance_id.as_deref()?;
    let port = match mode {
        NetworkMode::Host => target.port,
        NetworkMode::Bridge | NetworkMode::Awsvpc | NetworkMode::None => {
            let container = task.containers.iter().find(|one| one.name == target.container)?;
            published(container, target.port)?
        }
    };
    Some((machine.into(), port, instance.published_at()))
}

/// The port of the host that a container's port is published on.
fn published(container: &Container, port: u16) -> Option<u16> {
    let bindings = container.bindings.iter().filter(|one| one.protocol == Protocol::Tcp);
    let range = |text: &str| {
        let (first, last) = text.split_once('-')?;
        Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?))
    };
    bindings.into_iter().find_map(|one| {
        if one.container_port == Some(port) {
            return one.host_port;
        }
        let (first, last) = range(one.container_port_range.as_deref()?)?;
        let (host, _) = range(one.host_port_range.as_deref()?)?;
        (first..=last).contains(&port).then(|| host.checked_add(port - first)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Binding;
    use crate::model::sample::{instance, network, task};

    fn target(port: u16) -> TaskTarget {
        TaskTarget { group: "a".into(), container: "web".into(), port, at: None }
    }

    #[test]
    fn targets_are_where_the_network_mode_has_them() {
        let check = |task: &Task, port, mode, expected: Option<(&str, u16, [u8; 4])>| {
            let mut host = instance(1);
            host.ec2_instance_id = Some("i-1".to_owned());
            let address = agent_protocol::ADDRESS_ATTRIBUTE.to_owned();
            host.attributes.insert(address, Some("172.31.240.9".to_owned()));
            let found = place(task, &target(port), mode, Some(&host));
            let expected = expected.map(|(id, port, at)| (id.into(), port, IpAddr::from(at)));
            assert_eq!(found, expected, "{mode:?} {port}");
        };
        let mut bridge = task(1);
        let of = |container, host| Binding {
            bind_ip: "0.0.0.0".into(),
            container_port: Some(container),
            host_port: Some(host),
            container_port_range: None,
            host_port_range: None,
            protocol: Protocol::Tcp,
        };
        bridge.containers[0].bindings = vec![
            of(80, 32768),
            Binding { protocol: Protocol::Udp, ..of(53, 53) },
            Binding {
                container_port: None,
                host_port: None,
                container_port_range: Some("7000-7009".to_owned()),
                host_port_range: Some("40000-40009".to_owned()),
                ..of(0, 0)
            },
        ];
        let there = [172, 31, 240, 9];
        check(&bridge, 80, NetworkMode::Bridge, Some(("i-1", 32768, there)));
        check(&bridge, 7003, NetworkMode::Bridge, Some(("i-1", 40003, there)));
        check(&bridge, 53, NetworkMode::Bridge, None);
        check(&bridge, 81, NetworkMode::Bridge, None);
        check(&bridge, 81, NetworkMode::Host, Some(("i-1", 81, there)));
        let awsvpc = Task { network: Some(Box::new(network())), ..task(1) };
        check(&awsvpc, 80, NetworkMode::Awsvpc, Some(("172.31.0.7", 80, [172, 31, 0, 7])));
        assert_eq!(place(&task(1), &target(80), NetworkMode::Host, None), None);
    }
}
