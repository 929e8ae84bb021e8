//! `dependsOn` (ECS semantics §3.4).

use std::collections::BTreeMap;

use shapes_ecs as shapes;

use crate::error::Error;

/// Checks that dependencies name containers that can meet them, and that none waits for itself.
pub(super) fn check(containers: &[shapes::ContainerDefinition]) -> Result<(), Error> {
    let name_of = |one: &shapes::ContainerDefinition| one.name.clone().unwrap_or_default();
    let by_name: BTreeMap<String, _> = containers.iter().map(|one| (name_of(one), one)).collect();
    let waits = |one: &shapes::ContainerDefinition| one.depends_on.clone().unwrap_or_default();
    for dependency in containers.iter().flat_map(waits) {
        let target = &dependency.container_name;
        let Some(container) = by_name.get(target) else {
            // Observed, plus sign and all: dagster-io/dagster issue 6926.
            return Err(Error::client(format!(
                "Cannot depend on container + '{target}' because it does not exist"
            )));
        };
        condition(dependency.condition, container)?;
    }
    match waits_for_itself(&by_name) {
        Some(name) => Err(Error::client(format!(
            "Container '{name}' cannot depend on itself, directly or over other containers."
        ))),
        None => Ok(()),
    }
}

/// Both texts were observed.
fn condition(
    condition: shapes::ContainerCondition,
    target: &shapes::ContainerDefinition,
) -> Result<(), Error> {
    use shapes::ContainerCondition as C;
    match condition {
        C::Complete | C::Success if target.essential.unwrap_or(true) => Err(Error::client(
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential \
             container",
        )),
        C::Healthy if target.health_check.is_none() => Err(Error::client(
            "A dependency container with HEALTHY condition must have health check configured",
        )),
        C::Start | C::Complete | C::Success | C::Healthy => Ok(()),
    }
}

/// A container that depends, over others, on itself: links and volumes count as well.
fn waits_for_itself(by_name: &BTreeMap<String, &shapes::ContainerDefinition>) -> Option<String> {
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    by_name.keys().find(|name| in_circle(name, by_name, &mut done)).cloned()
}

/// Depth first; `done` holds false while a container's own dependencies are being followed.
/// Recursion ends: it is at most as deep as there are containers.
fn in_circle<'a>(
    name: &'a str,
    by_name: &'a BTreeMap<String, &shapes::ContainerDefinition>,
    done: &mut BTreeMap<&'a str, bool>,
) -> bool {
    if let Some(finished) = done.get(name) {
        return !finished;
    }
    let Some(one) = by_name.get(name) else { return false };
    done.insert(name, false);
    let waits = one.depends_on.iter().flatten().map(|d| d.container_name.as_str());
    let links = one.links.iter().flatten().filter_map(|link| link.split(':').next());
    let volumes = one.volumes_from.iter().flatten().filter_map(|v| v.source_container.as_deref());
    let mut targets = waits.chain(links).chain(volumes);
    let found = targets.any(|target| in_circle(target, by_name, done));
    done.insert(name, !found);
    found
}
