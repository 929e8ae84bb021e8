//! Records: what is stored of load balancers and target groups.

mod actions;
pub(crate) mod attributes;
mod group;
mod load_balancer;
pub(crate) mod policies;
mod target;

pub(crate) use actions::{Actions, weighted};
pub use group::TargetType;
pub(crate) use group::{HealthCheck, Matcher, Protocol, TargetGroup, Version};
pub(crate) use load_balancer::{
    DNS_SUFFIX, Listener, LoadBalancer, Rule, Secure, State, Transport, network_suffix,
};
pub(crate) use target::Target;
pub use target::{Health, HealthState, Reason};
