//! Messages between the control plane and a container agent.
//!
//! The shapes are those of Amazon's own agent (its ACS and TCS websockets), so that either side
//! can be replaced by Amazon's; the node channel ([`node`]) is ours alone. Both sides of Longshore
//! use the same types: what one encodes the other decodes.
//!
//! **Invariants:** decoding never panics, whatever arrives; a decode error names the message type
//! and the member at fault; unknown members are ignored, as Amazon's agent does; members that are
//! absent or `null` take their empty value. Nothing here does I/O or reads a clock.

pub mod acs;
pub mod datetime;
pub mod docker;
pub mod exec;
mod frame;
pub mod layers;
pub mod node;
mod nullable;
pub mod tag;
pub mod task;
pub mod tcs;

pub use frame::{DecodeError, MAX_FRAME_BYTES, NAME_OF_INACTIVE, inactive_instance_body};

/// The address in every task's network namespace at which the agent listens.
pub const TASK_ENDPOINT_ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 170, 2);

/// Port of metadata and credentials on [`TASK_ENDPOINT_ADDRESS`].
pub const TASK_METADATA_PORT: u16 = 80;

/// Port of the forwarder to Longshore's API on [`TASK_ENDPOINT_ADDRESS`].
pub const TASK_API_PORT: u16 = 4566;

/// What `AWS_ENDPOINT_URL` says in a container of our agent: the forwarder in the task's own
/// network namespace.
pub const TASK_API_URL: &str = "http://169.254.170.2:4566";

/// Path of the ACS websocket below the `endpoint` that DiscoverPollEndpoint names, and of the TCS
/// websocket below its `telemetryEndpoint`.
pub const WEBSOCKET_PATH: &str = "/ws";

/// The version that our agent gives as `agentVersion`, in the form of Amazon's.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The attribute that our agent registers, with [`AGENT_VERSION`] as its value. By it the control
/// plane tells our agent from Amazon's: ours forwards [`TASK_API_URL`], Amazon's does not.
pub const AGENT_ATTRIBUTE: &str = "longshore.agent";

/// The attribute under which our agent registers where the instance's published ports are reached:
/// its own address, or that of its machine.
pub const ADDRESS_ATTRIBUTE: &str = "longshore.address";

/// What our agent registers where the kernel has a swappiness for each group of processes, which is
/// so with cgroup v1 alone. Amazon's agent knows no such word: there, it is the engine's affair.
pub const SWAPPINESS_CAPABILITY: &str = "ecs.capability.memory-swappiness";

/// The attribute under which an agent registers the capacity provider that its instance belongs to.
/// On ECS that follows from the Auto Scaling group which the machine is in; Amazon's agent may say
/// it in `ECS_INSTANCE_ATTRIBUTES`.
pub const CAPACITY_PROVIDER_ATTRIBUTE: &str = "longshore.capacity-provider";

/// The name under which nodes of the operator's own for Fargate tasks register, in the place of a
/// cluster's. There is no such cluster: no operation of ECS's API shows or takes it.
pub const FARGATE_FLEET: &str = "longshore-fargate-fleet";

/// The attachment that tells such a node how much of its disk a task may take: `sizeGib`.
pub const STORAGE_ATTACHMENT: &str = "longshore-ephemeral-storage";

/// The attribute of such a node that takes tasks of the launch type and provider `FARGATE`.
pub const FARGATE_ATTRIBUTE: &str = "longshore.fargate";

/// The attribute of such a node that takes tasks of the capacity provider `FARGATE_SPOT`.
pub const FARGATE_SPOT_ATTRIBUTE: &str = "longshore.fargate-spot";

/// What the `ClientException` says of an instance that registers again after it was deregistered. By
/// it our agent tells this refusal from others: RegisterContainerInstance has no error of its own
/// for it.
pub const WAS_DEREGISTERED: &str = "was deregistered";
