//! What Fargate asks of a launch besides what it asks of definitions (ECS semantics §3.3, §5.4).

use std::collections::BTreeSet;
use std::sync::Arc;

use ledger::View;
use placement::{Request, Spread, Strategy, ZONE};
use shapes_ecs as shapes;

use super::launch::Launch;
use super::overrides::Merged;
use crate::decide::shares;
use crate::error::Error;
use crate::model::{InstanceStatus, OnFargate, STORAGE_GIB, TaskDefinition};
use crate::placing::Plan;
use crate::tables::{ClusterKey, Tables};

/// The size of ephemeral storage that overrides may ask for, in GiB.
const STORAGE: std::ops::RangeInclusive<i32> = 21..=200;

/// What Fargate answers when no node has room (Developer Guide, "API failures messages").
pub(crate) const NO_CAPACITY: &str = "Capacity is unavailable at this time. Please try again \
                                      later or in a different availability zone";

/// What tasks of a launch have of Fargate; none unless they go there.
pub(super) fn of(launch: &Launch<'_>, definition: &TaskDefinition) -> Option<OnFargate> {
    let platform = launch.platform?.as_str().into();
    let size = |storage: &shapes::EphemeralStorage| u32::try_from(storage.size_in_gi_b).ok();
    let given = launch.overrides.and_then(|overrides| overrides.ephemeral_storage.as_ref());
    let given = given.or(definition.document.ephemeral_storage.as_ref());
    let storage_gib = given.and_then(size).unwrap_or(STORAGE_GIB);
    Some(OnFargate { platform, storage_gib })
}

/// Checks overrides, `merged` with the definition: on Fargate a task has one of its sizes with
/// them too; elsewhere nothing is said of ephemeral storage.
///
/// # Errors
/// For each rule that they break; the texts are those of definitions.
pub(super) fn check_overrides(
    launch: &Launch<'_>,
    definition: &TaskDefinition,
    merged: &Merged,
) -> Result<(), Error> {
    let storage = merged.shown.ephemeral_storage.as_ref();
    if launch.platform.is_none() {
        return match storage {
            None => Ok(()),
            Some(_) => Err(Error::invalid(
                "Tasks using the EC2 launch type do not support EphemeralStorage.",
            )),
        };
    }
    let (least, most) = (STORAGE.start(), STORAGE.end());
    match storage.map(|storage| storage.size_in_gi_b) {
        Some(size) if size < *least => {
            return Err(Error::invalid(format!(
                "EphemeralStorage size should be at least {least}"
            )));
        }
        Some(size) if size > *most => {
            return Err(Error::invalid(format!("EphemeralStorage size should be at most {most}")));
        }
        Some(_) | None => {}
    }
    let family = definition.document.runtime_platform.as_ref();
    let family = family.and_then(|platform| platform.operating_system_family);
    let is_windows = family.is_some_and(|family| family.as_str().starts_with("WINDOWS"));
    super::super::task_definitions::check_fargate_size(merged.cpu, merged.memory, is_windows)
}

/// Why no node took a task, for the operator: what the first one says whose reason is the most
/// frequent.
pub(super) fn detail(plan: &Plan) -> String {
    let counts = placement::count_reasons(&plan.shortage);
    let most = counts.into_iter().max_by_key(|(_, nodes)| *nodes).map(|(code, _)| code);
    let said = plan.shortage.iter().find(|one| Some(one.reason.code()) == most);
    match said {
        None => "no node takes Fargate tasks here; start one with longshore agent --fleet fargate"
            .to_owned(),
        Some(refusal) => {
            let (nodes, reason) = (plan.considered, &refusal.reason);
            format!("none of {nodes} nodes can take it; {}: {reason}", reason.code())
        }
    }
}

/// Checks what a request says of places: on Fargate nobody chooses them.
///
/// # Errors
/// When it has constraints or strategies; the texts were observed.
pub(crate) fn check_places(
    constraints: &Option<Vec<shapes::PlacementConstraint>>,
    strategies: &Option<Vec<shapes::PlacementStrategy>>,
) -> Result<(), Error> {
    let refused = |what: &str| {
        Err(Error::invalid(format!("Placement {what} are not supported with FARGATE launch type.")))
    };
    if constraints.as_ref().is_some_and(|list| !list.is_empty()) {
        return refused("constraints");
    }
    if strategies.as_ref().is_some_and(|list| !list.is_empty()) {
        return refused("strategies");
    }
    Ok(())
}

/// A request as one for nodes of the fleet: even over zones, then over nodes. Without a capacity
/// provider it goes where FARGATE does.
pub(super) fn on_fleet(
    view: &impl View,
    tables: &Tables,
    ground: &ClusterKey,
    by_providers: bool,
    request: Request,
) -> Request {
    let mut request = request;
    let zone = Strategy::Spread(Spread::Attribute(ZONE.into()));
    request.strategies = vec![zone, Strategy::Spread(Spread::Instance)];
    if !by_providers {
        request.attributes.push(shares::on_demand());
    }
    if stands_for_all_zones(view, tables, ground) {
        request.zones = None;
    }
    request
}

/// Whether all nodes of a fleet are in one zone: then it stands in for every zone, so that a single
/// node takes tasks of any subnet.
fn stands_for_all_zones(view: &impl View, tables: &Tables, ground: &ClusterKey) -> bool {
    let mut zones: BTreeSet<Arc<str>> = BTreeSet::new();
    for status in [InstanceStatus::Active, InstanceStatus::Draining] {
        for (_, row) in view.index(&tables.instances_by_status, &(ground.clone(), status)) {
            let zone = row.attributes.get(ZONE).and_then(Option::as_deref).unwrap_or_default();
            zones.insert(zone.into());
            if zones.len() > 1 {
                return false;
            }
        }
    }
    true
}
