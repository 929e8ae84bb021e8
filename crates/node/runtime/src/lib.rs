//! Images, containers and networks of one host.
//!
//! Three traits, so that a simulation can stand in for the kernel: images bring root file
//! systems, [`Containers`] run what is in them, [`Networks`] give them namespaces and ports. The
//! Linux side of the last two is [`containers::LinuxContainers`] and [`networks::LinuxNetworks`].
//!
//! **Invariants**
//! - Containers outlive this process: each is held by a shim of its own; what is true of it stands
//!   in its directory and its shim, never only in here.
//! - Root file systems are mounted in the container's own mount namespace, so no mount of them is
//!   left when its last process is gone.
//! - Everything made on the host carries the instance's name or lies in its data directory, so that
//!   a sweep finds what a crash left.

pub mod containers;
pub mod images;
pub mod mounts;
pub mod networks;

mod id;
mod sweep;
mod usage;

/// The version of the messages between a node and the shims that hold its containers.
pub const SHIM_PROTOCOL: u32 = shim::PROTOCOL_VERSION;

pub use containers::{
    CallError, ContainerEvent, ContainerSpec, ContainerState, ContainerStatus, Containers,
    CreateError, Created, ExecOutcome, Exit, InterfaceStats, Signal, Stats, TaskLimits, Terminal,
    TerminalSize,
};
pub use id::{ContainerId, ParseContainerIdError};
pub use images::{Image, ImageConfig, ImageReference, Images, RootFs};
pub use networks::{
    Attachment, Interface, NetworkError, Networks, OwnNetwork, PortBinding, PortMapping, Protocol,
    TaskNetwork,
};
pub use sweep::{SweepError, sweep};
pub use usage::usage;
