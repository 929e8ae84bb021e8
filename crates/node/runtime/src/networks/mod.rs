//! Network namespaces, addresses and published ports.

mod attachments;
mod bridge;
mod firewall;
mod leftovers;
mod links;
mod linux;
mod listener;
mod model;
mod namespaces;
mod neighbours;
mod netlink;
mod place;
mod ports;
mod subnet;
mod tasks;
mod vpc;

use std::net::SocketAddr;

use crate::ContainerId;
use async_trait::async_trait;

pub use leftovers::sweep;
pub use linux::{LinuxNetworks, NetworkOptions, READY_NAMESPACES};
pub use listener::{Connection, Listener, Stream};
pub use model::{
    Attachment, Interface, NetworkError, OwnNetwork, PortBinding, PortMapping, Protocol,
    TaskNetwork,
};
pub use subnet::{ParseSubnetError, Subnet};

/// Gives containers networks. Host mode and `none` need nothing from here.
///
/// Each call may be repeated after a crash of the caller: what is already so is success.
#[async_trait]
pub trait Networks: Send + Sync + 'static {
    /// Gives a container a namespace with an address on the instance's bridge, and publishes its
    /// ports. Asked again for the same container it answers as before.
    async fn attach(
        &self,
        container: &ContainerId,
        ports: &[PortMapping],
    ) -> Result<Attachment, NetworkError>;

    /// Takes its ports, its address and its namespace away. One that is unknown is success.
    async fn detach(&self, container: &ContainerId) -> Result<(), NetworkError>;

    /// Gives a task's containers a namespace with this interface. Asked again for the same task it
    /// answers as before. An address that another task is just giving back is waited for.
    async fn attach_task(
        &self,
        task: &str,
        interface: &Interface,
    ) -> Result<TaskNetwork, NetworkError>;

    /// Takes a task's namespace and its interface's address away. One that is unknown is success.
    async fn detach_task(&self, task: &str) -> Result<(), NetworkError>;

    /// Every task's network, those included that an earlier process made.
    async fn task_networks(&self) -> Vec<TaskNetwork>;

    /// Where containers in host mode are; `None` is the host's own network.
    fn own(&self) -> Option<OwnNetwork>;

    /// Whether containers in host mode find what [`Networks::listen`] opens. Of several instances in
    /// the machine's own network only the first has the route there.
    fn is_found_from_host(&self) -> bool;

    /// Opens a listener where the instance's containers find it, those in the host's network too (see
    /// [`Networks::is_found_from_host`]): at a link-local address such as 169.254.170.2, in a namespace of
    /// its own on the bridge. No port of a container or of the host is taken by it.
    async fn listen(&self, address: SocketAddr) -> Result<Box<dyn Listener>, NetworkError>;

    /// Every attachment, those included that an earlier process made.
    async fn list(&self) -> Vec<Attachment>;
}
