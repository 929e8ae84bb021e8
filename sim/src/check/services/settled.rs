//! Whether services have what they are to have, once nothing goes wrong any more.

use ecs::audit::{AuditedDeployment, AuditedService};

use crate::check::{Checker, takes_tasks};

impl Checker {
    /// Whether the service has what it is to have, if nothing hinders it; with `strict`, whatever
    /// it says hinders it.
    pub(crate) fn service_settled(&self, row: &AuditedService, strict: bool) -> Result<(), String> {
        let name = &row.name;
        match row.status {
            "INACTIVE" => return Ok(()),
            "DRAINING" => return Err(format!("service {name} is DRAINING")),
            _ => {}
        }
        let says = |what: &str| row.said.iter().any(|text| text.contains(what));
        let is_hindered = says("unable to place") || says("unable to stop or start");
        if is_hindered && !strict {
            return Ok(());
        }
        if row.is_external {
            return self.sets_settled(row);
        }
        let all: Vec<_> = self.services.of_service(name).collect();
        let primary = all.iter().find(|one| Some(&one.id) == row.primary.as_ref());
        let primary = primary.ok_or_else(|| format!("service {name} has no deployment"))?;
        if primary.rollout == "FAILED" && !strict {
            return Ok(());
        }
        if primary.rollout != "COMPLETED" {
            return Err(format!("service {name}: {primary:?} does not end"));
        }
        let is_open = |one: &&&AuditedDeployment| one.id != primary.id && !one.is_over;
        if let Some(open) = all.iter().find(is_open) {
            return Err(format!("service {name}: {open:?} does not end"));
        }
        let tasks: Vec<_> = self.live(name).collect();
        if let Some(other) = tasks.iter().find(|task| task.deployment.as_ref() != Some(&primary.id))
        {
            return Err(format!("service {name}: {} is of an earlier deployment", other.arn.id));
        }
        let running = tasks.iter().filter(|task| task.is_running()).count() as u64;
        let wanted = match row.is_daemon {
            true => {
                let takes = self.instances.values().filter(|row| takes_tasks(row));
                takes.filter(|row| !row.is_of_fleet).count() as u64
            }
            false => u64::from(row.desired),
        };
        match running == wanted && tasks.len() as u64 == wanted {
            true => Ok(()),
            false => Err(format!("service {name}: {running} of {} run, of {wanted}", tasks.len())),
        }
    }

    /// What a service's deployments run that are not over or may come back, the current one's
    /// first: the family, and how far the deployment has come.
    pub(crate) fn families_of(&self, row: &AuditedService) -> Vec<(String, &'static str)> {
        let all = self.services.of_service(&row.name);
        let mut all: Vec<_> =
            all.filter(|one| one.status != "INACTIVE" || one.rollout == "COMPLETED").collect();
        all.sort_by_key(|one| Some(&one.id) != row.primary.as_ref());
        let family = |one: &&AuditedDeployment| {
            let revision =
                self.services.revisions.get(&(row.name.clone(), one.revision.clone()))?;
            Some((revision.definition.family.to_string(), one.rollout))
        };
        all.iter().filter_map(family).collect()
    }
}
