//! Placement members of RunTask (ECS semantics §6).

use std::sync::Arc;

use placement::{Binpack, Constraint, Demand, Request, RequiredAttribute, Spread, Strategy};
use shapes_ecs as shapes;

use super::launch::Template;
use crate::api::constraints;
use crate::error::Error;
use crate::model::TaskDefinition;

/// Most constraints of a definition and a request together.
const MAX_CONSTRAINTS: usize = 10;
/// Most strategies of a request.
const MAX_STRATEGIES: usize = 5;

/// What RunTask has to place.
pub(super) fn request(
    input: &shapes::RunTaskRequest,
    template: &Template,
    count: u32,
) -> Result<Request, Error> {
    Ok(Request {
        count,
        constraints: constraints(
            input.placement_constraints.as_deref().unwrap_or_default(),
            &template.definition,
        )?,
        strategies: strategies(input.placement_strategy.as_deref().unwrap_or_default())?,
        ..started(template)
    })
}

/// What StartTask asks of each instance: room, attributes, and nothing else.
pub(super) fn started(template: &Template) -> Request {
    let Template { definition, demand, group, network, .. } = template;
    let attribute = |(name, value): &(String, Option<String>)| RequiredAttribute {
        name: name.as_str().into(),
        value: value.as_deref().map(Arc::from),
    };
    Request {
        count: 1,
        group: group.as_str().into(),
        demand: Demand {
            cpu: demand.cpu,
            memory: demand.memory,
            tcp: demand.tcp.iter().copied().collect(),
            udp: demand.udp.iter().copied().collect(),
            gpus: demand.gpus,
            enis: network.interfaces(),
            running: 0,
        },
        attributes: definition.requires.iter().map(attribute).collect(),
        zones: network.zones().cloned(),
        ..Request::default()
    }
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

/// Reads placement strategies.
pub(crate) fn strategies(given: &[shapes::PlacementStrategy]) -> Result<Vec<Strategy>, Error> {
    if given.len() > MAX_STRATEGIES {
        return Err(Error::invalid("At most 5 placement strategies are allowed."));
    }
    given.iter().map(strategy).collect()
}

fn strategy(strategy: &shapes::PlacementStrategy) -> Result<Strategy, Error> {
    let field = strategy.field.as_deref().unwrap_or("");
    let wrong =
        |text: &str| Err(Error::invalid(format!("Placement strategy field '{field}': {text}")));
    match strategy.type_.map(|kind| kind.as_str()) {
        Some("random") => Ok(Strategy::Random),
        Some("spread") => match field {
            "instanceId" | "host" => Ok(Strategy::Spread(Spread::Instance)),
            _ => match field.strip_prefix("attribute:").filter(|name| !name.is_empty()) {
                Some(name) => Ok(Strategy::Spread(Spread::Attribute(name.into()))),
                None => wrong("spread takes instanceId, host or attribute:NAME."),
            },
        },
        Some(_) => match field.to_ascii_lowercase().as_str() {
            "cpu" => Ok(Strategy::Binpack(Binpack::Cpu)),
            "memory" => Ok(Strategy::Binpack(Binpack::Memory)),
            _ => wrong("binpack takes cpu or memory."),
        },
        None => Err(Error::invalid("A placement strategy needs a type.")),
    }
}
