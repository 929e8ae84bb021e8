//! Networks of the stand-in host: addresses are counted, nothing is reached.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use async_trait::async_trait;
use runtime::networks::Listener;
use runtime::{
    Attachment, ContainerId, Interface, NetworkError, Networks, OwnNetwork, PortBinding,
    PortMapping, TaskNetwork,
};
use tokio::net::TcpListener;

use crate::host::Seen;

#[async_trait]
impl Networks for Seen {
    async fn attach(
        &self,
        id: &ContainerId,
        ports: &[PortMapping],
    ) -> Result<Attachment, NetworkError> {
        self.effect(|state| {
            let number = u8::try_from(state.attachments.len() + 2).unwrap();
            let fresh = Attachment {
                container: id.clone(),
                namespace: PathBuf::from("/nonexistent"),
                address: Ipv4Addr::new(172, 18, 0, number),
                prefix: 16,
                gateway: Ipv4Addr::new(172, 18, 0, 1),
                mac: [2, 0, 0, 0, 0, number],
                bindings: ports.iter().map(binding).collect(),
            };
            Ok(state.attachments.entry(id.clone()).or_insert(fresh).clone())
        })
        .await
    }

    async fn detach(&self, id: &ContainerId) -> Result<(), NetworkError> {
        self.effect(|state| {
            if state.detachments_that_fail > 0 {
                state.detachments_that_fail -= 1;
                return Err(NetworkError::Firewall("busy".to_owned()));
            }
            state.attachments.remove(id);
            Ok(())
        })
        .await
    }

    async fn attach_task(
        &self,
        task: &str,
        interface: &Interface,
    ) -> Result<TaskNetwork, NetworkError> {
        self.effect(|state| {
            let local = Ipv4Addr::new(172, 18, 1, u8::try_from(state.networks.len() + 2).unwrap());
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
        self.effect(|state| _ = state.networks.remove(task)).await;
        Ok(())
    }

    async fn task_networks(&self) -> Vec<TaskNetwork> {
        self.pass().await;
        self.host.state.lock().networks.values().cloned().collect()
    }

    fn is_found_from_host(&self) -> bool {
        true
    }

    fn own(&self) -> Option<OwnNetwork> {
        None
    }

    async fn listen(&self, _: SocketAddr) -> Result<Box<dyn Listener>, NetworkError> {
        self.pass().await;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Box::new(TcpListener::bind(any).await.unwrap()))
    }

    async fn list(&self) -> Vec<Attachment> {
        self.pass().await;
        self.host.state.lock().attachments.values().cloned().collect()
    }
}

fn binding(port: &PortMapping) -> PortBinding {
    PortBinding {
        bind_ip: Ipv4Addr::UNSPECIFIED,
        container_port: port.container_port,
        host_port: if port.host_port == 0 { 32768 } else { port.host_port },
        protocol: port.protocol,
    }
}
