//! Who waits for whom, and who knows whom by name.

use anyhow::Result;
use shapes_ecs as shapes;

use super::field::Field;
use super::{Project, Read, service};
use crate::commands::import::draft::{Draft, some};
use crate::commands::import::notes::Notes;
use crate::commands::import::units::identifier;

/// Reads `depends_on` and `links`.
pub(super) fn read(draft: &mut Draft, service: &Field<'_>, project: &Project<'_>) -> Result<()> {
    let mut waits = Vec::new();
    if let Some(field) = service.get("depends_on") {
        let conditions: Vec<(String, Field<'_>)> = if field.is_list() {
            let name = |item: Field<'_>| item.text();
            field
                .items()?
                .into_iter()
                .map(|item| Ok((name(item.clone())?, item)))
                .collect::<Result<_>>()?
        } else {
            field.entries()?
        };
        for (name, entry) in conditions {
            let word = match entry.get("condition") {
                Some(condition) => condition.text()?,
                None => "service_started".into(),
            };
            let Some(condition) = service::condition(&word) else {
                return Err(entry.wrong(format!(
                    "expected service_started, service_healthy or \
                     service_completed_successfully, found '{word}'"
                )));
            };
            if !project.chosen.contains(&name) {
                entry.note(format!("left out: {name} is not among the imported services"));
                continue;
            }
            let container_name = identifier(&name);
            waits.push(shapes::ContainerDependency { condition, container_name });
        }
    }
    let mut links: Vec<String> = Vec::new();
    if let Some(field) = service.get("links") {
        for item in field.items()? {
            let text = item.text()?;
            let (name, alias) = text.split_once(':').unwrap_or((&text, &text));
            if project.chosen.contains(name) {
                links.push(format!("{}:{alias}", identifier(name)));
            } else {
                item.note(format!("left out: {name} is not among the imported services"));
            }
        }
    }
    draft.out.depends_on = some(waits);
    draft.out.links = some(links);
    Ok(())
}

/// What must hold among all containers: targets of SUCCESS are not essential, targets of HEALTHY
/// have a health check, and whoever waits for another knows it by name.
pub(super) fn settle(reads: &mut [Read], mode: shapes::NetworkMode, notes: &Notes) {
    let checked: Vec<String> = reads.iter().filter_map(health_checked).collect();
    let mut ends = Vec::new();
    for read in reads.iter_mut() {
        for wait in read.draft.out.depends_on.iter_mut().flatten() {
            let target = &wait.container_name;
            match wait.condition {
                shapes::ContainerCondition::Success => ends.push(target.clone()),
                shapes::ContainerCondition::Healthy if !checked.contains(target) => {
                    notes.add(
                        format!("{}.depends_on.{target}", read.path),
                        format!(
                            "waits for START instead of HEALTHY: {target} has no health check of \
                             its own, and ECS does not look at an image's"
                        ),
                    );
                    wait.condition = shapes::ContainerCondition::Start;
                }
                _ => {}
            }
        }
    }
    for read in reads.iter_mut().filter(|read| ends.iter().any(|end| read.is(end))) {
        read.draft.out.essential = Some(false);
    }
    let bridge = mode == shapes::NetworkMode::Bridge;
    reads.iter_mut().for_each(|read| link(read, bridge, notes));
    if reads.len() == 1 {
        return;
    }
    notes.add(
        "services",
        "all containers are essential, but for those that others wait for to complete: the task \
         stops when one of them ends. Set 'essential' to false where it should not",
    );
    let names = match mode {
        shapes::NetworkMode::Bridge => {
            "in Compose every service reaches every other by its name; here a container reaches \
             those in its 'links' (written for links and depends_on). Add what is missing, or use \
             networkMode awsvpc, where all are on localhost"
        }
        shapes::NetworkMode::Host | shapes::NetworkMode::Awsvpc => {
            "the containers reach each other on localhost, not by their names"
        }
        shapes::NetworkMode::None => "the containers cannot reach each other",
    };
    notes.add("services", names);
}

fn health_checked(read: &Read) -> Option<String> {
    read.draft.out.health_check.as_ref().and(read.draft.out.name.clone())
}

/// Links a container with those that it waits for and that go on running.
fn link(read: &mut Read, bridge: bool, notes: &Notes) {
    let out = &mut read.draft.out;
    if !bridge {
        if out.links.take().is_some() {
            notes.add(
                format!("{}.links", read.path),
                "left out: links need the network mode bridge",
            );
        }
        return;
    }
    let running =
        |wait: &&shapes::ContainerDependency| wait.condition != shapes::ContainerCondition::Success;
    let mut links = out.links.take().unwrap_or_default();
    for wait in out.depends_on.iter().flatten().filter(running) {
        let name = &wait.container_name;
        if !links.iter().any(|link| link.split(':').next() == Some(name)) {
            links.push(name.clone());
        }
    }
    out.links = some(links);
}

impl Read {
    fn is(&self, container: &str) -> bool {
        self.draft.out.name.as_deref() == Some(container)
    }
}
