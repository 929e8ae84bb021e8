//! `loadBalancers` of services and task sets (API reference, `LoadBalancer`; ECS semantics §14).

use elbv2::{Group, TargetType};
use ledger::View;
use shapes_ecs as shapes;

use super::super::super::Api;
use crate::error::Error;
use crate::model::{Advanced, Balanced, NetworkMode, Strategy, TaskDefinition};
use crate::tables::Scope;

/// Most target groups of a service.
const MAX_GROUPS: usize = 5;

/// The target groups of a request, checked against the definition whose tasks they forward to and
/// against what there is.
///
/// # Errors
/// When a member is missing, the definition has no such container or port, or the group is not
/// there, of another type than the network mode asks for, or used by no load balancer; and for what
/// is not built. The texts are ECS's where they were seen.
pub(in crate::api) fn read(
    operation: &'static str,
    api: &Api,
    view: &impl View,
    scope: &Scope,
    (definition, given): (&TaskDefinition, &[shapes::LoadBalancer]),
) -> Result<Vec<Balanced>, Error> {
    if given.len() > MAX_GROUPS {
        return Err(Error::invalid(format!("loadBalancers can have at most {MAX_GROUPS} items.")));
    }
    let read = |one| {
        let balanced = form(operation, one)?;
        check_definition(definition, &balanced)?;
        check_group(api, view, scope, definition.network_mode, &balanced)?;
        check_advanced(api, view, scope, definition.network_mode, &balanced)?;
        Ok(balanced)
    };
    given.iter().map(read).collect()
}

/// Checks what needs nothing but the request.
fn form(operation: &'static str, given: &shapes::LoadBalancer) -> Result<Balanced, Error> {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (group, classic) = (text(&given.target_group_arn), text(&given.load_balancer_name));
    let group = match (group, classic) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "loadBalancerName and targetGroupArn cannot both be specified.",
            ));
        }
        (None, Some(_)) => {
            return Err(Error::not_built(operation, "loadBalancerName of a classic load balancer"));
        }
        (None, None) => return Err(Error::invalid("targetGroupArn can not be blank.")),
        (Some(group), None) => group,
    };
    let container = text(&given.container_name)
        .ok_or_else(|| Error::invalid("containerName can not be blank."))?;
    let port = given.container_port.ok_or_else(|| {
        Error::invalid("containerPort can not be null when a load balancer is specified.")
    })?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| Error::invalid("containerPort must be between 1 and 65535."))?;
    let advanced = given.advanced_configuration.as_ref().map(advanced).transpose()?;
    Ok(Balanced { group, container, port, advanced })
}

fn advanced(given: &shapes::AdvancedConfiguration) -> Result<Advanced, Error> {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let needed = |given: &Option<String>, name: &str| {
        text(given).ok_or_else(|| {
            Error::invalid(format!("advancedConfiguration.{name} can not be blank."))
        })
    };
    Ok(Advanced {
        alternate: needed(&given.alternate_target_group_arn, "alternateTargetGroupArn")?,
        production: needed(&given.production_listener_rule, "productionListenerRule")?,
        test: text(&given.test_listener_rule),
        role: text(&given.role_arn),
    })
}

/// Traffic of a service is shared out by rules that forward to its groups.
fn check_advanced(
    api: &Api,
    view: &impl View,
    scope: &Scope,
    mode: NetworkMode,
    wanted: &Balanced,
) -> Result<(), Error> {
    let Some(advanced) = &wanted.advanced else { return Ok(()) };
    let of = vpc::Scope { account: scope.account.clone(), region: scope.region.clone() };
    if advanced.alternate == wanted.group {
        return Err(Error::invalid(
            "alternateTargetGroupArn must be another target group than targetGroupArn.",
        ));
    }
    // Nothing forwards to it yet, maybe: the deployment lets the rule do so.
    check_type(api, view, scope, mode, &advanced.alternate)?;
    for rule in [Some(&advanced.production), advanced.test.as_ref()].into_iter().flatten() {
        let known = api.balancers.get().and_then(|tables| tables.forwards(view, &of, rule));
        let Some(groups) = known else {
            return Err(Error::invalid(format!(
                "The listener rule {rule} does not exist, or does not forward to a target group."
            )));
        };
        let is_ours = |group: &String| *group == wanted.group || *group == advanced.alternate;
        if !groups.iter().all(is_ours) {
            return Err(Error::invalid(format!(
                "The listener rule {rule} forwards to other target groups than the service's."
            )));
        }
    }
    Ok(())
}

/// The container and its port are there. In host and awsvpc mode a port mapping has to name the port
/// just the same.
fn check_definition(definition: &TaskDefinition, wanted: &Balanced) -> Result<(), Error> {
    let Balanced { container, port, .. } = wanted;
    let mut containers = definition.document.container_definitions.iter().flatten();
    let found = containers.find(|one| one.name.as_deref() == Some(container));
    let Some(found) = found else {
        return Err(Error::invalid(format!(
            "The container {container} does not exist in the task definition."
        )));
    };
    let has = |mapping: &shapes::PortMapping| {
        let is_tcp = mapping.protocol.is_none_or(|protocol| protocol.as_str() == "tcp");
        let range = mapping.container_port_range.as_deref().and_then(|text| {
            let (first, last) = text.split_once('-')?;
            Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
        });
        is_tcp
            && (mapping.container_port == Some(i32::from(*port))
                || range.is_some_and(|range| range.contains(port)))
    };
    match found.port_mappings.iter().flatten().any(has) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "The container {container} did not have a container port {port} defined."
        ))),
    }
}

fn check_group(
    api: &Api,
    view: &impl View,
    scope: &Scope,
    mode: NetworkMode,
    wanted: &Balanced,
) -> Result<(), Error> {
    let group = check_type(api, view, scope, mode, &wanted.group)?;
    // With rules of its own the deployment lets them forward to it.
    if !group.is_used && wanted.advanced.is_none() {
        let arn = &wanted.group;
        return Err(Error::invalid(format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )));
    }
    Ok(())
}

fn check_type(
    api: &Api,
    view: &impl View,
    scope: &Scope,
    mode: NetworkMode,
    arn: &str,
) -> Result<Group, Error> {
    let of = vpc::Scope { account: scope.account.clone(), region: scope.region.clone() };
    let group = api.balancers.get().and_then(|tables| tables.target_group(view, &of, arn));
    let Some(group) = group else {
        return Err(Error::invalid(format!("The specified target group {arn} does not exist.")));
    };
    let word = match group.target_type {
        TargetType::Instance => "instance",
        TargetType::Ip => "ip",
    };
    let fits = match mode {
        NetworkMode::Awsvpc => group.target_type == TargetType::Ip,
        NetworkMode::Bridge | NetworkMode::Host => group.target_type == TargetType::Instance,
        NetworkMode::None => false,
    };
    if !fits {
        let mode = mode.as_str();
        return Err(Error::invalid(format!(
            "The provided target group {arn} has target type {word}, which is incompatible with \
             the {mode} network mode specified in the task definition."
        )));
    }
    Ok(group)
}

/// Checks that a strategy has what it shares traffic out by.
///
/// # Errors
/// When it has not. No text of ECS's own was found.
pub(in crate::api) fn check_strategy(
    strategy: Strategy,
    balanced: &[Balanced],
) -> Result<(), Error> {
    let needs_traffic = matches!(strategy, Strategy::Linear { .. } | Strategy::Canary { .. });
    if needs_traffic && balanced.is_empty() {
        return Err(Error::invalid(
            "The LINEAR and CANARY deployment strategies need a load balancer.",
        ));
    }
    let is_plain = |one: &Balanced| one.advanced.is_none();
    if strategy.is_side_by_side() && balanced.iter().any(is_plain) {
        return Err(Error::invalid(
            "advancedConfiguration is required in loadBalancers for deployment strategies other \
             than ROLLING.",
        ));
    }
    Ok(())
}

/// The groups as the API shows them.
pub(in crate::api) fn show(balanced: &[Balanced]) -> Vec<shapes::LoadBalancer> {
    let one = |one: &Balanced| shapes::LoadBalancer {
        target_group_arn: Some(one.group.clone()),
        container_name: Some(one.container.clone()),
        container_port: Some(i32::from(one.port)),
        advanced_configuration: one.advanced.as_ref().map(|one| shapes::AdvancedConfiguration {
            alternate_target_group_arn: Some(one.alternate.clone()),
            production_listener_rule: Some(one.production.clone()),
            role_arn: one.role.clone(),
            test_listener_rule: one.test.clone(),
        }),
        ..Default::default()
    };
    balanced.iter().map(one).collect()
}

/// Refuses a role where ECS has one of its own for that, or nothing to do with it.
///
/// # Errors
/// When there is one without load balancers, with several target groups, or for tasks with
/// addresses of their own; the texts were observed on ECS.
pub(in crate::api) fn check_role(
    role: Option<&str>,
    given: &[shapes::LoadBalancer],
    mode: Option<NetworkMode>,
) -> Result<(), Error> {
    if role.is_none_or(str::is_empty) {
        return Ok(());
    }
    if given.is_empty() {
        return Err(Error::invalid(
            "IAM roles are only valid for services configured to use load balancers.",
        ));
    }
    if given.len() > 1 || mode == Some(NetworkMode::Awsvpc) {
        return Err(Error::invalid(
            "You cannot specify an IAM role for services that require a service linked role.",
        ));
    }
    Ok(())
}
