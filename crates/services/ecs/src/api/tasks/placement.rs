//! Placement members of RunTask (ECS semantics §6).

use std::sync::Arc;

use placement::{Constraint, Demand, Request, RequiredAttribute};
use shapes_ecs as shapes;

use super::launch::Template;
use crate::api::{constraints, strategies};
use crate::error::Error;
use crate::model::TaskDefinition;

/// Most constraints of a definition and a request together.
const MAX_CONSTRAINTS: usize = 10;

/// What instances can do that serve ECS Exec.
const EXECUTE_COMMAND: &str = "ecs.capability.execute-command";

/// What RunTask has to place.
pub(super) fn request(
    input: &shapes::RunTaskRequest,
    template: &Template,
    count: u32,
) -> Result<Request, Error> {
    Ok(Request {
        count,
        constraints: of_template(
            input.placement_constraints.as_deref().unwrap_or_default(),
            template,
        )?,
        strategies: strategies::read(input.placement_strategy.as_deref().unwrap_or_default())?,
        ..started(template)
    })
}

/// What StartTask asks of each instance: room, attributes, and nothing else.
pub(super) fn started(template: &Template) -> Request {
    let Template { definition, demand, network, .. } = template;
    let attribute = |(name, value): &(String, Option<String>)| RequiredAttribute {
        name: name.as_str().into(),
        value: value.as_deref().map(Arc::from),
    };
    let exec = template
        .execute_command
        .then(|| RequiredAttribute { name: EXECUTE_COMMAND.into(), value: None });
    Request {
        count: 1,
        group: template.spread_group(),
        demand: Demand {
            cpu: demand.cpu,
            memory: demand.memory,
            tcp: demand.tcp.iter().copied().collect(),
            udp: demand.udp.iter().copied().collect(),
            gpus: demand.gpus,
            enis: network.interfaces(),
            running: 0,
        },
        attributes: definition.requires.iter().map(attribute).chain(exec).collect(),
        zones: network.zones().cloned(),
        ..Request::default()
    }
}

/// The constraints of a template's definition, those that were `given` besides, and that tasks
/// with all GPUs of an instance are each on one of their own: each takes what the others leave.
pub(super) fn of_template(
    given: &[shapes::PlacementConstraint],
    template: &Template,
) -> Result<Vec<Constraint>, Error> {
    let mut all = constraints(given, &template.definition)?;
    if template.takes_all_gpus() && !all.contains(&Constraint::DistinctInstance) {
        all.push(Constraint::DistinctInstance);
    }
    Ok(all)
}

/// The constraints of a definition, then those that were `given` besides.
pub(crate) fn constraints(
    given: &[shapes::PlacementConstraint],
    definition: &TaskDefinition,
) -> Result<Vec<Constraint>, Error> {
    let own = definition.document.placement_constraints.as_deref().unwrap_or_default();
    if own.len() + given.len() > MAX_CONSTRAINTS {
        return Err(Error::invalid("At most 10 placement constraints are allowed."));
    }
    let mut all = definition_constraints(definition)?;
    all.extend(constraints::read(given)?);
    Ok(all)
}

/// The constraints that a definition has for all its tasks.
pub(crate) fn definition_constraints(
    definition: &TaskDefinition,
) -> Result<Vec<Constraint>, Error> {
    let own = definition.document.placement_constraints.as_deref().unwrap_or_default();
    let one = |own: &shapes::TaskDefinitionPlacementConstraint| {
        let expression = constraints::member_of(own.expression.as_deref());
        expression.map(Constraint::MemberOf).map_err(Error::Client)
    };
    own.iter().map(one).collect()
}
