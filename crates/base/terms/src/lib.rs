//! The words every crate shares: ARNs, ids, names, quantities and time.
//!
//! A value of these types is valid once it exists: parse at the edge, trust inside.
//! Nothing here reads a clock, draws a random number or does I/O; [`Clock`] and [`IdSource`]
//! are what callers pass in instead.

mod arn;
mod cause;
mod causes;
mod id;
mod interned;
mod name;
mod quantity;
mod shared;
mod text;
mod time;

pub use arn::{
    CapacityProviderArn, ClusterArn, ContainerArn, ContainerInstanceArn, ParseArnError, ServiceArn,
    TaskArn, TaskDefinitionArn,
};
pub use cause::Cause;
pub use causes::with_causes;
pub use id::{ContainerInstanceId, IdSource, ParseIdError, TaskId, Uuid};
pub use name::{
    AccountId, CapacityProviderName, ClusterName, Family, ParseNameError, Region, ServiceName,
};
pub use quantity::{CpuUnits, MemoryMib};
pub use shared::{Shared, shared};
pub use text::Text;
pub use time::{Clock, Timestamp};
