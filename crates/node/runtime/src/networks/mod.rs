//! Network namespaces, addresses and published ports.

mod bridge;
mod firewall;
mod links;
mod linux;
mod model;
mod namespaces;
mod netlink;
mod ports;
mod subnet;

use std::net::SocketAddr;
use std::path::Path;

use async_trait::async_trait;
use tokio::net::TcpListener;

use crate::ContainerId;

pub use linux::{LinuxNetworks, NetworkOptions, READY_NAMESPACES, sweep};
pub use model::{Attachment, NetworkError, PortBinding, PortMapping, Protocol};
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

    /// Opens a listener inside a namespace (none: the host's). A link-local address such as
    /// 169.254.170.2 is added to the namespace's loopback first, if it is not there; the host's is
    /// left as it is.
    async fn listen(
        &self,
        namespace: Option<&Path>,
        address: SocketAddr,
    ) -> Result<TcpListener, NetworkError>;

    /// Every attachment, those included that an earlier process made.
    async fn list(&self) -> Vec<Attachment>;
}
