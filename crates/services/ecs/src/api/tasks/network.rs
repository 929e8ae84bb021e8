//! What a launched task gets of the network: checked, resolved, attached, given back.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::{Row, Tx, View};
use shapes_ecs as shapes;
use terms::{TaskArn, Uuid};
use vpc::{Interface, NewInterface, ResolveError, Subnet};

use super::super::Api;
use super::launch::Launch;
use crate::decide::{report, usage};
use crate::error::Error;
use crate::model::{
    AttachmentStatus, ContainerInstance, NetworkMode, Stop, StopCode, Task, TaskDefinition,
    TaskNetwork, TaskStatus,
};
use crate::tables::{OrphanedInterface, Release, Scope, TaskKey, place_of};

/// Most subnets of a request (API reference, `AwsVpcConfiguration`).
const MAX_SUBNETS: usize = 16;
/// Most security groups of a request (API reference, `AwsVpcConfiguration`).
const MAX_GROUPS: usize = 5;

/// What a request wants of the network, checked and resolved.
#[derive(Clone, Debug, Default)]
pub(super) struct Network {
    /// The subnets and security groups; none unless the network mode is awsvpc.
    awsvpc: Option<vpc::Network>,
    /// The zones that the task can be in; any, if none are named.
    zones: Option<BTreeSet<Arc<str>>>,
}

impl Network {
    /// Reads `networkConfiguration` against the definition's network mode.
    pub(super) fn read(
        api: &Api,
        view: &impl View,
        scope: &Scope,
        launch: &Launch<'_>,
        definition: &TaskDefinition,
    ) -> Result<Self, Error> {
        let wanted = launch.network.and_then(|network| network.awsvpc_configuration.as_ref());
        let wanted = match (definition.network_mode, launch.network, wanted) {
            (NetworkMode::Awsvpc, _, Some(wanted)) => wanted,
            (NetworkMode::Awsvpc, _, None) => return Err(Error::invalid(MISSING)),
            (_, Some(_), _) => return Err(Error::invalid(NOT_VALID)),
            (_, None, _) => return Ok(Self::default()),
        };
        let network = resolve(api, view, scope, wanted, launch.platform.is_some())?;
        let zones = network.subnets.iter().map(|subnet| subnet.zone.as_str().into()).collect();
        Ok(Self { awsvpc: Some(network), zones: Some(zones) })
    }

    /// The zones that the task can be placed in; any, if none are named.
    pub(super) fn zones(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.zones.as_ref()
    }

    /// How many interfaces a task takes of its instance's room.
    pub(super) fn interfaces(&self) -> u32 {
        u32::from(self.awsvpc.is_some())
    }

    /// Gives `task`, which is about to be written, what it wants on `instance`. Part of the
    /// transaction that makes the task, so it may run more than once. A task for which no address
    /// is left ends before it begins, as on ECS.
    pub(super) fn attach(
        &self,
        api: &Api,
        tx: &mut Tx<'_>,
        task: &mut Task,
        instance: &ContainerInstance,
    ) {
        let Some(network) = &self.awsvpc else { return };
        let zone = task.zone.clone();
        let is_near = |subnet: &&vpc::Subnet| Some(&*subnet.zone) == zone.as_deref();
        let is_far = !network.subnets.iter().any(|subnet| is_near(&subnet));
        // A fleet in one zone stands in for all: then the subnet says which one it is.
        let anywhere = task.fargate.is_some() && is_far;
        let near = network.subnets.iter().filter(|subnet| anywhere || is_near(subnet));
        let attachment = Uuid::from_random(tx.next_id());
        let new = NewInterface {
            groups: network.groups.clone(),
            description: attachment_arn(&task.arn, attachment),
            instance: instance.ec2_instance_id.clone(),
            tags: Vec::new(),
        };
        let scope = network_scope(&task.arn);
        let mut full = None;
        for subnet in near {
            match api.vpc.attach(tx, &scope, subnet, new.clone()) {
                Ok(interface) => {
                    if anywhere {
                        task.zone = Some(subnet.zone.as_str().into());
                    }
                    task.network = Some(Box::new(record(attachment, interface)));
                    return;
                }
                Err(_) => full = Some(subnet),
            }
        }
        let stop = Stop { code: StopCode::TaskFailedToStart, reason: no_address(full) };
        if let Some(ended) = report::cannot_begin(task, stop, tx.now()) {
            *task = Task { version: task.version, ..ended };
        }
    }
}

/// ECS's text for an awsvpc task without a network (ECS semantics §25).
const MISSING: &str =
    "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
/// ECS's text for a task that has a network and wants none (observed).
const NOT_VALID: &str =
    "Network Configuration is not valid for the given networkMode of this task definition.";
/// ECS's text for a public address outside Fargate (observed).
const NO_PUBLIC_ADDRESS: &str = "Assign public IP is not supported for this launch type.";

fn resolve(
    api: &Api,
    view: &impl View,
    scope: &Scope,
    wanted: &shapes::AwsVpcConfiguration,
    on_fargate: bool,
) -> Result<vpc::Network, Error> {
    let groups = wanted.security_groups.as_deref().unwrap_or_default();
    let subnets = &wanted.subnets;
    if subnets.is_empty() {
        return Err(Error::invalid("subnets can not be empty."));
    }
    if subnets.len() > MAX_SUBNETS {
        return Err(Error::invalid(format!("subnets can have at most {MAX_SUBNETS} items.")));
    }
    if groups.len() > MAX_GROUPS {
        return Err(Error::invalid(format!("securityGroups can have at most {MAX_GROUPS} items.")));
    }
    // There are no public addresses to assign: a task on Fargate reaches out through its node.
    if !on_fargate && wanted.assign_public_ip == Some(shapes::AssignPublicIp::Enabled) {
        return Err(Error::invalid(NO_PUBLIC_ADDRESS));
    }
    let scope = vpc::Scope { account: scope.account.clone(), region: scope.region.clone() };
    api.vpc.resolve(view, &scope, subnets, groups).map_err(|error| {
        let (what, asked, code) = match &error {
            ResolveError::Subnets { code, .. } => ("subnet", subnets.as_slice(), code),
            ResolveError::Groups { code, .. } => ("security group", groups, code),
        };
        // As ECS passes on what EC2 says (observed).
        let asked = asked.join(", ");
        Error::invalid(format!(
            "Error retrieving {what} information for [{asked}]: {error} (ErrorCode: {code})"
        ))
    })
}

/// Why a task has no interface, in the words that ECS has from EC2 (observed).
fn no_address(subnet: Option<&Subnet>) -> String {
    let id = subnet.map_or("", |subnet| subnet.id.as_str());
    format!(
        "Unexpected EC2 error while attempting to Create Network Interface in subnet '{id}': \
         InsufficientFreeAddressesInSubnet"
    )
}

fn record(attachment: Uuid, interface: Interface) -> TaskNetwork {
    let Interface { id, subnet, mac, address, prefix, gateway, private_dns_name } = interface;
    TaskNetwork {
        attachment,
        // The interface is there as soon as the task is; the agent has yet to take it.
        status: AttachmentStatus::Attaching,
        subnet,
        interface: id,
        mac,
        address,
        prefix,
        gateway,
        private_dns_name,
    }
}

/// The ARN of a task's attachment.
fn attachment_arn(task: &TaskArn, attachment: Uuid) -> String {
    let TaskArn { region, account, .. } = task;
    format!("arn:aws:ecs:{region}:{account}:attachment/{attachment}")
}

pub(super) fn network_scope(task: &TaskArn) -> vpc::Scope {
    vpc::Scope { account: task.account.clone(), region: task.region.clone() }
}

impl Api {
    /// Writes a task that changed. One that has stopped gives its interface and what it holds of its
    /// instance back, and of Fargate what it used is put down, in the same transaction: every way to the end of a task comes by here. The interface of one whose
    /// containers may still run is kept for a time, lest another task gets their address.
    pub(crate) fn put_task(&self, tx: &mut Tx<'_>, key: TaskKey, mut task: Task) {
        self.deregister_targets(tx, &mut task);
        let released = task.network.as_ref().filter(|_| task.status == TaskStatus::Stopped);
        if let Some(network) = released {
            if task.abandoned {
                let key = (key.0.scope.clone(), network.interface.clone());
                let since = tx.now();
                tx.put(&self.tables.orphans, key, OrphanedInterface { since });
            } else {
                self.vpc.release(tx, &network_scope(&task.arn), &network.interface);
            }
        }
        let has_stopped = task.status == TaskStatus::Stopped;
        let is_held = |before: Row<Task>| before.status != TaskStatus::Stopped;
        if has_stopped && tx.get(&self.tables.tasks, &key).is_some_and(is_held) {
            let release = Release { at: tx.now() };
            tx.put(&self.tables.releases, place_of(&key, &task), release);
            if let Some(usage) = usage::of_task(&task, tx.now()) {
                let key = (key.0.scope.clone(), usage.until, key.1);
                tx.put(&self.tables.usage, key, usage);
            }
        }
        tx.put(&self.tables.tasks, key, task);
    }
}
