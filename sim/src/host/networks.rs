//! Networks: ports that are free or taken, addresses, listeners that nobody calls.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use async_trait::async_trait;
use runtime::networks::{Connection, Listener};
use runtime::{
    Attachment, ContainerId, Interface, NetworkError, Networks, OwnNetwork, PortBinding,
    PortMapping, TaskNetwork,
};

use super::{Seen, State};

/// The first port of the dynamic range (`net.ipv4.ip_local_port_range`), and the one after the
/// last.
const DYNAMIC: std::ops::Range<u16> = 32_768..60_999;

#[async_trait]
impl Networks for Seen {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[PortMapping],
    ) -> Result<Attachment, NetworkError> {
        let world = &self.host.world;
        if let Some(port) = ports.first()
            && world.strikes(|faults| faults.network_fails)
        {
            world.tally("port taken by another", format!("{} {}", self.host.name, port.host_port));
            self.life.pass().await;
            let (port, protocol) = (port.host_port, port.protocol);
            let holder = Some("sshd".to_owned());
            return Err(NetworkError::PortTaken { port, protocol, holder });
        }
        let what = format!("gives {} a network", id.short());
        let (attached, collision) = self.effect(&what, |state| attach(state, id, ports)).await;
        if let Some(collision) = collision {
            world.violate("no port of a host is given to two", collision);
        }
        attached
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        let what = format!("takes the network of {}", id.short());
        self.effect(&what, |state| _ = state.attachments.remove(id)).await;
        Ok(())
    }

    async fn attach_task(
        &self,
        task: &str,
        interface: &Interface,
    ) -> Result<TaskNetwork, NetworkError> {
        let world = &self.host.world;
        self.effect(&format!("gives {task} a network"), |state| {
            let mut others = state.networks.values().filter(|network| network.task != task);
            if others.any(|network| network.interface.address == interface.address) {
                let detail = format!("{} for {task}", interface.address);
                world.violate("no address is given to two", detail);
            }
            let local = address(state.networks.len(), 1);
            let fresh = TaskNetwork {
                task: task.to_owned(),
                namespace: PathBuf::from("/nonexistent/task"),
                interface: interface.clone(),
                local,
            };
            Ok(state.networks.entry(task.to_owned()).or_insert(fresh).clone())
        })
        .await
    }

    async fn detach_task(&self, task: &str) -> Result<(), NetworkError> {
        let what = format!("takes the network of {task}");
        self.effect(&what, |state| _ = state.networks.remove(task)).await;
        Ok(())
    }

    async fn task_networks(&self) -> Vec<TaskNetwork> {
        self.life.pass().await;
        self.host.state.lock().networks.values().cloned().collect()
    }

    fn is_found_from_host(&self) -> bool {
        true
    }

    fn own(&self) -> Option<OwnNetwork> {
        None
    }

    async fn listen(&self, _: SocketAddr) -> Result<Box<dyn Listener>, NetworkError> {
        self.life.pass().await;
        Ok(Box::new(Nobody))
    }

    async fn list(&self) -> Vec<Attachment> {
        self.life.pass().await;
        self.host.state.lock().attachments.values().cloned().collect()
    }
}

/// The container's network; and which port is another container's already, if one is.
fn attach(
    state: &mut State,
    id: &ContainerId,
    ports: &[PortMapping],
) -> (Result<Attachment, NetworkError>, Option<String>) {
    if let Some(known) = state.attachments.get(id) {
        return (Ok(known.clone()), None);
    }
    let mut bindings = Vec::new();
    for wanted in ports {
        let taken = |port: u16| {
            let all = state.attachments.values().flat_map(|other| &other.bindings);
            all.chain(&bindings)
                .any(|other| other.host_port == port && other.protocol == wanted.protocol)
        };
        let host_port = match wanted.host_port {
            0 => DYNAMIC.into_iter().find(|port| !taken(*port)).unwrap_or(DYNAMIC.end),
            port if taken(port) => {
                let (protocol, holder) = (wanted.protocol, None);
                let collision = format!("{port}/{protocol} for {}", id.short());
                let error = NetworkError::PortTaken { port, protocol, holder };
                return (Err(error), Some(collision));
            }
            port => port,
        };
        bindings.push(PortBinding {
            bind_ip: Ipv4Addr::UNSPECIFIED,
            container_port: wanted.container_port,
            host_port,
            protocol: wanted.protocol,
        });
    }
    let attachment = Attachment {
        container: id.clone(),
        namespace: PathBuf::from("/nonexistent"),
        address: address(state.attachments.len(), 0),
        prefix: 16,
        gateway: Ipv4Addr::new(172, 18, 0, 1),
        mac: [2, 0, 0, 0, 0, 1],
        bindings,
    };
    state.attachments.insert(id.clone(), attachment.clone());
    (Ok(attachment), None)
}

fn address(count: usize, net: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 18, net, u8::try_from(count % 250).unwrap_or(0) + 2)
}

/// A listener that nobody calls.
struct Nobody;

#[async_trait]
impl Listener for Nobody {
    async fn accept(&mut self) -> std::io::Result<(Connection, SocketAddr)> {
        std::future::pending().await
    }
}
