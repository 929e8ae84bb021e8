//! Records and state machines. No I/O, no clock, no ids of their own making.
//!
//! What there are millions of (tasks and what is in them) is stored under names of one letter, and
//! without what is absent or empty. A letter never changes its meaning; the member's own name is
//! an alias, by which older rows are read (docs/decisions/0026).

mod account_setting;
mod agent_update;
pub(crate) mod attribute;
mod balanced;
mod capacity_provider;
mod cluster;
mod container;
mod definition;
mod deployment;
mod disk;
mod document;
mod exec_session;
mod explanation;
mod fargate;
mod hooks;
mod instance;
pub(crate) mod machine;
mod network;
mod resources;
mod revision;
mod rollout_rules;
#[cfg(test)]
pub(crate) mod sample;
mod service;
mod service_id;
mod stages;
mod stop;
mod tag;
mod task;
mod task_set;
mod task_state;
mod usage;

pub(crate) use account_setting::AccountSetting;
pub(crate) use agent_update::{AgentUpdate, UpdateEvent, UpdateStatus, hash_of};
pub(crate) use balanced::{Advanced, Balanced, Registration, TaskTarget};
pub(crate) use capacity_provider::{
    CapacityProvider, FARGATE, ManagedScaling, ProviderStatus, ProviderUpdate, group_name,
    is_fargate,
};
pub(crate) use cluster::{Cluster, ClusterStatus, StrategyItem};
pub(crate) use container::{Binding, Container, ContainerStatus, ExecAgent, Health, Protocol};
pub(crate) use definition::{
    ContainerSpec, DefinitionStatus, FamilyCounter, FamilyListing, NetworkMode, PortSpec,
    TaskDefinition,
};
pub(crate) use deployment::{
    Deployment, DeploymentChange, DeploymentStatus, MonitorStatus, Progress, ProgressChange,
    Rollback, RolloutChange, RolloutState, TaskCounts, Throttle,
};
pub(crate) use disk::TaskDisk;
#[cfg(test)]
pub(crate) use document::parse_json;
pub(crate) use document::{Document, json};
pub(crate) use exec_session::ExecSession;
pub(crate) use explanation::{Explanation, RefusalCount, RefusalNote};
pub(crate) use fargate::{LATEST, OnFargate, Platform, STORAGE_GIB};
pub(crate) use hooks::{Hook, HookAction, HookRun, HookRuns, HookStatus, HookTarget};
pub(crate) use instance::{AgentInfo, ContainerInstance, InstanceStatus};
pub(crate) use network::{AttachmentStatus, TaskNetwork};
pub(crate) use resources::{Capacity, Demand};
pub(crate) use revision::{Consistency, Resolution, Revision, RevisionImage, Workload};
pub(crate) use rollout_rules::{
    CircuitBreaker, DeploymentAlarms, DeploymentConfiguration, EarlySuccess, Threshold,
};
pub(crate) use service::{
    CapacityChoice, Course, DeploymentController, SchedulingStrategy, Service, ServiceChange,
    ServiceEvent, ServiceEventKind, ServiceStatus, ZoneRebalancing,
};
pub(crate) use service_id::{DeploymentId, RevisionId, ServiceDeploymentId};
pub(crate) use stages::{Stage, Staged, Strategy};
pub(crate) use stop::{Stop, StopCode};
pub(crate) use tag::Tag;
pub(crate) use task::{OfDeployment, Task, TaskTimes, fleet_group};
pub(crate) use task_set::{Stability, TaskSet, TaskSetChange, TaskSetStatus};
pub(crate) use task_state::{DesiredStatus, TaskEvent, TaskStatus};
pub(crate) use terms::Shared;
pub(crate) use usage::{Amount, Size, Usage, UseOf};

/// Whether a member need not be stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
