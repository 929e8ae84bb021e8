//! Tasks that a service starts: what they are made from, and their rows.

use std::collections::BTreeMap;

use ledger::{Tx, View};
use placement::{Request, Strategy};
use shapes_ecs as shapes;
use terms::{ContainerInstanceId, TaskId, Text};

use super::super::{Api, strategies};
use super::disks;
use super::launch::{Launch, Template};
use super::placement::{of_template, started};
use super::taken::Taken;
use super::targets;
use crate::decide::placing as facts_of;
use crate::error::Error;
use crate::model::{
    CapacityChoice, DeploymentId, OfDeployment, Revision, Service, Tag, Task, Workload,
};
use crate::placing::Plan;
use crate::tables::{ClusterKey, definition_key};

/// What every task of a deployment or task set has in common, and where it may go.
pub(crate) struct ServiceTemplate {
    template: Template,
    /// What is to be placed, one task of it.
    pub(crate) request: Request,
}

impl ServiceTemplate {
    /// Lets its tasks be targets of the alternate groups, if that is where they are to be.
    pub(crate) fn on_side(mut self, workload: &Workload, is_alternate: bool) -> Self {
        self.template.targets = targets::of_tasks(&workload.balanced, is_alternate);
        self
    }

    /// Refuses roles that do not trust tasks.
    pub(crate) fn check_roles(&self, api: &Api) -> Result<(), Error> {
        self.template.check_roles(api)
    }

    /// Where its tasks' instances are: the cluster, or the fleet.
    pub(crate) fn ground(&self) -> ClusterKey {
        self.template.ground()
    }
}

/// Where tasks go.
pub(crate) enum Placed<'a> {
    /// Where placement says, and what it was asked.
    Planned(&'a Plan, &'a Request),
    /// On these instances, if they fit.
    On(&'a [(TaskId, ContainerInstanceId)]),
}

impl Api {
    /// Reads what the tasks of a deployment or task set are made from. `revision` tells which
    /// images are fixed.
    ///
    /// # Errors
    /// When the task definition is gone, or what the service says cannot be read any more.
    pub(crate) fn service_template(
        &self,
        view: &impl View,
        service: &Service,
        of: DeploymentId,
        workload: &Workload,
        revision: Option<&Revision>,
    ) -> Result<ServiceTemplate, Error> {
        let key = crate::tables::service_key(&service.arn);
        let cluster = key.0;
        // A service goes on with a definition that was deregistered (ECS semantics §3.1).
        let definition = view.get(&self.tables.definitions, &definition_key(&workload.definition));
        let definition = definition.ok_or_else(|| Error::client("TaskDefinition not found."))?;
        let (id, group) = (of.to_string(), format!("service:{}", service.arn.name));
        let name = workload.definition.to_string();
        let tags = own_tags(service);
        let from_definition = service.propagate_tags.as_deref() == Some("TASK_DEFINITION");
        let volumes: Vec<_> = workload.volume.iter().map(|one| disks::of_service(one)).collect();
        let launch = Launch {
            operation: "CreateService",
            definition: &name,
            group: Some(&group),
            started_by: Some(&id),
            started_by_max: id.len(),
            overrides: None,
            network: workload.network.as_deref(),
            volumes: &volumes,
            execute_command: service.execute_command,
            tags: &tags,
            propagate_tags: from_definition.then_some(shapes::PropagateTags::TaskDefinition),
            managed_tags: service.managed_tags,
            platform: workload.platform(),
        };
        let mut template = Template::read(self, view, &cluster, &launch, definition)?;
        template.deployment = Some(OfDeployment { id: of, counted: false });
        template.targets = targets::of_tasks(&workload.balanced, false);
        template.by_providers = matches!(workload.capacity, CapacityChoice::Strategy(_));
        template.digests = revision.map(digests).unwrap_or_default();
        if service.managed_tags {
            let key = "aws:ecs:serviceName".to_owned();
            template.add_tag(Tag { key, value: service.arn.name.to_string() });
        }
        let given: Vec<_> = service.constraints.iter().map(|one| (**one).clone()).collect();
        let request = Request {
            constraints: of_template(&given, &template)?,
            strategies: service_strategies(service)?,
            ..started(&template)
        };
        let request = match template.fargate {
            Some(_) => self.on_fleet(view, &template, request),
            None => request,
        };
        Ok(ServiceTemplate { template, request })
    }

    /// Writes tasks; the caller guards what they have `taken`. Those of [`Placed::On`] that do not
    /// fit are left out.
    ///
    /// # Errors
    /// When an instance went away meanwhile.
    pub(crate) fn start_of_service(
        &self,
        tx: &mut Tx<'_>,
        cluster: &ClusterKey,
        template: &ServiceTemplate,
        placed: &Placed<'_>,
        taken: &mut Taken,
    ) -> Result<Vec<Task>, Error> {
        let ServiceTemplate { template, request } = template;
        let one = (template, request);
        match placed {
            Placed::Planned(plan, part) => self.write_planned(tx, (template, part), plan, taken),
            Placed::On(tasks) => Ok(self.start_on(tx, cluster, one, tasks, taken)),
        }
    }

    fn start_on(
        &self,
        tx: &mut Tx<'_>,
        cluster: &ClusterKey,
        (template, request): (&Template, &Request),
        tasks: &[(TaskId, ContainerInstanceId)],
        taken: &mut Taken,
    ) -> Vec<Task> {
        let mut made: Vec<Task> = Vec::new();
        for &(id, instance) in tasks {
            let found = facts_of::look(&tx.facts(), &self.tables, cluster, instance);
            let fits = found.filter(|(_, instance)| instance.check(request).is_ok());
            let Some((row, _)) = fits else { continue };
            let told = Default::default();
            if let Ok(task) = template.start(self, tx, id, (&row, None), &told, &mut taken.devices)
            {
                made.push(task);
            }
        }
        taken.add(cluster, request, made.iter().map(|task| task.instance));
        made
    }
}

/// The tags that a service gives to its tasks.
fn own_tags(service: &Service) -> Vec<shapes::Tag> {
    if service.propagate_tags.as_deref() != Some("SERVICE") {
        return Vec::new();
    }
    let shape =
        |tag: &Tag| shapes::Tag { key: Some(tag.key.clone()), value: Some(tag.value.clone()) };
    service.tags.iter().map(shape).collect()
}

/// The digests that a revision's containers are to run.
fn digests(revision: &Revision) -> BTreeMap<String, Text> {
    let digest = |image: &crate::model::RevisionImage| {
        Some((image.container.clone(), image.digest.as_deref()?.into()))
    };
    revision.images.iter().filter_map(digest).collect()
}

/// A service's strategies, or the default of services: even over zones, then over instances
/// (ECS semantics §6.3).
pub(crate) fn service_strategies(service: &Service) -> Result<Vec<Strategy>, Error> {
    use placement::{Spread, ZONE};
    if service.strategies.is_empty() {
        let zone = Strategy::Spread(Spread::Attribute(ZONE.into()));
        return Ok(vec![zone, Strategy::Spread(Spread::Instance)]);
    }
    let given: Vec<_> = service.strategies.iter().map(|one| (**one).clone()).collect();
    strategies::read(&given)
}
