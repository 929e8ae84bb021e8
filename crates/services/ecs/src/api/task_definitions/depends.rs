//! `dependsOn` (ECS semantics §3.4).

use std::collections::BTreeMap;

use shapes_ecs as shapes;

use super::containers::wrong;
use crate::error::Error;

/// Checks that dependencies name containers that can meet them, and that none waits for itself.
pub(crate) fn check(containers: &[shapes::ContainerDefinition]) -> Result<(), Error> {
    let name_of = |one: &shapes::ContainerDefinition| one.name.clone().unwrap_or_default();
    let by_name: BTreeMap<String, _> = containers.iter().map(|one| (name_of(one), one)).collect();
    for one in containers {
        let name = name_of(one);
        for dependency in one.depends_on.iter().flatten() {
            let target = &dependency.container_name;
            let Some(container) = by_name.get(target) else {
                let text = format!("Unknown container '{target}' in 'dependsOn'.");
                return Err(wrong(&name, &text));
            };
            condition(&name, target, dependency.condition.as_str(), container)?;
        }
    }
    match waits_for_itself(&by_name) {
        Some(name) => Err(wrong(&name, "'dependsOn' goes in a circle.")),
        None => Ok(()),
    }
}

fn condition(
    name: &str,
    target: &str,
    condition: &str,
    container: &shapes::ContainerDefinition,
) -> Result<(), Error> {
    match condition {
        "COMPLETE" | "SUCCESS" if container.essential.unwrap_or(true) => Err(wrong(
            name,
            &format!("Container '{target}' is essential, so nothing can wait for its {condition}."),
        )),
        "HEALTHY" if container.health_check.is_none() => Err(wrong(
            name,
            &format!("Container '{target}' has no health check, so it never becomes HEALTHY."),
        )),
        _ => Ok(()),
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
