//! UpdateService: what starts a deployment, and what does not (ECS semantics §7.10).

use ledger::{Row, Tx};
use shapes_ecs as shapes;
use wire::Context;

use super::super::{Api, constraints, strategies, target, tasks};
use super::capacity::Asked;
use super::rules::{Kind, balancers, counts, external, placement, unbuilt, zones};
use super::workload::check_exec;
use super::{Wanted, configuration, deploy, find_active, kind, show};
use crate::error::Error;
use crate::model::{Document, Revision, Service, TaskDefinition, Workload};
use crate::tables::{ServiceKey, definition_key};

const OPERATION: &str = "UpdateService";

impl Api {
    /// Changes a service. Members that are not given stay; an empty list removes.
    pub(crate) async fn update_service(
        &self,
        context: Context,
        input: shapes::UpdateServiceRequest,
    ) -> Result<shapes::UpdateServiceResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let tables = self.tables;
        let updated = self.ledger.transact("update service", |tx| {
            let (key, old) = find_active(tx, &tables, &cluster, &input.service)?;
            let change =
                Change { api: self, key: &key, old: &old, kind: kind(&old), input: &input };
            change.apply(tx)?;
            Ok::<_, Error>(key)
        });
        let key = updated.await?.value;
        let service = Some(show::now(&self.ledger.snapshot(), &tables, &key, false)?);
        Ok(shapes::UpdateServiceResponse { service })
    }
}

/// One change of a service.
struct Change<'a> {
    api: &'a Api,
    key: &'a ServiceKey,
    old: &'a Service,
    kind: Kind,
    input: &'a shapes::UpdateServiceRequest,
}

impl Change<'_> {
    fn apply(&self, tx: &mut Tx<'_>) -> Result<(), Error> {
        self.refuse()?;
        let mut service = self.read(tx)?;
        if !self.kind.is_external() {
            self.deploy(tx, &mut service)?;
        }
        if service != *self.old {
            tx.put(&self.api.tables.services.rows, self.key.clone(), service);
        }
        Ok(())
    }

    /// Refuses what another controller decides, and what is not built.
    fn refuse(&self) -> Result<(), Error> {
        if self.kind.is_external() {
            external::refuse_later(self.input)?;
        }
        if let Some(controller) = &self.input.deployment_controller
            && controller.type_ != self.kind.controller
        {
            let what = format!("a change to deploymentController {}", controller.type_.as_str());
            return Err(Error::not_built(OPERATION, what));
        }
        unbuilt::Unbuilt::from(self.input).refuse()
    }

    /// The service with all that starts no deployment.
    fn read(&self, tx: &Tx<'_>) -> Result<Service, Error> {
        let (input, old) = (self.input, self.old);
        let mut service = old.clone();
        service.desired = counts::desired(self.kind, input.desired_count)?.unwrap_or(old.desired);
        let given = input.deployment_configuration.as_ref();
        service.configuration = configuration::read(self.kind, Some(&old.configuration), given)?;
        let (constraints, strategies) =
            placement::check(self.kind, &input.placement_constraints, &input.placement_strategy)?;
        if input.placement_constraints.is_some() {
            service.constraints = constraints::keep(Some(constraints));
        }
        if input.placement_strategy.is_some() {
            service.strategies = strategies::keep(Some(strategies));
        }
        let grace = counts::grace(input.health_check_grace_period_seconds)?;
        service.grace_seconds = grace.or(old.grace_seconds);
        service.execute_command = input.enable_execute_command.unwrap_or(old.execute_command);
        service.managed_tags = input.enable_ecs_managed_tags.unwrap_or(old.managed_tags);
        let propagate = input.propagate_tags.map(|from| from.as_str().to_owned());
        service.propagate_tags = propagate.or_else(|| old.propagate_tags.clone());
        service.rebalancing = self.rebalancing(&service)?;
        if let Some(capacity) = self.capacity(tx)? {
            service.capacity = capacity;
        }
        Ok(service)
    }

    fn rebalancing(&self, service: &Service) -> Result<crate::model::ZoneRebalancing, Error> {
        let whole = |one: &Document<shapes::PlacementConstraint>| (**one).clone();
        let constraints: Vec<_> = service.constraints.iter().map(whole).collect();
        let strategies: Vec<_> = service.strategies.iter().map(|one| (**one).clone()).collect();
        let facts = zones::Facts {
            kind: self.kind,
            maximum_percent: service.configuration.maximum_percent,
            strategies: &strategies,
            constraints: &constraints,
        };
        let old = show::show_rebalancing(self.old.rebalancing);
        let rebalancing = facts.later(old, self.input.availability_zone_rebalancing)?;
        Ok(show::rebalancing(rebalancing))
    }

    /// What new tasks go to, if the request says so: an empty strategy means the launch type.
    fn capacity(&self, tx: &Tx<'_>) -> Result<Option<crate::model::CapacityChoice>, Error> {
        if self.input.capacity_provider_strategy.is_none() {
            return Ok(None);
        }
        let given = self.input.capacity_provider_strategy.as_ref();
        let is_empty = given.is_some_and(Vec::is_empty);
        let asked = Asked {
            operation: OPERATION,
            launch_type: is_empty.then_some(shapes::LaunchType::Ec2),
            strategy: &self.input.capacity_provider_strategy,
            platform_version: self.input.platform_version.as_deref(),
            is_daemon: self.kind.is_daemon(),
        };
        let cluster = target::active_cluster(tx, &self.api.tables, &self.key.0)?;
        let capacity = asked.choose(&cluster)?;
        if capacity.is_fargate() {
            let (input, old) = (self.input, self.old);
            tasks::check_places(&input.placement_constraints, &input.placement_strategy)?;
            if !old.constraints.is_empty() || !old.strategies.is_empty() {
                return Err(Error::invalid(
                    "Placement constraints and strategies are not supported with FARGATE launch \
                     type. Remove them from the service and try again.",
                ));
            }
        }
        if capacity != self.old.capacity && self.input.force_new_deployment != Some(true) {
            // Observed on ECS, lately too (kayac/ecspresso issue 977).
            return Err(Error::invalid(
                "When switching from launch type to capacity provider strategy on an existing \
                 service, or making a change to a capacity provider strategy on a service that is \
                 already using one, you must force a new deployment.",
            ));
        }
        Ok(Some(capacity))
    }

    /// Begins a deployment, if what its tasks are made from changes or it is forced.
    fn deploy(&self, tx: &mut Tx<'_>, service: &mut Service) -> Result<(), Error> {
        let Some(current) = deploy::current(tx, &self.api.tables, self.key, self.old) else {
            return Ok(());
        };
        let (workload, definition) = self.workload(tx, service, &current)?;
        let own = definition.document.placement_constraints.as_ref().map_or(0, Vec::len);
        placement::check_total(own, &self.input.placement_constraints)?;
        if service.execute_command {
            check_exec(OPERATION, &definition)?;
        }
        balancers::check_strategy(service.configuration.strategy, &workload.balanced)?;
        let before = &current.workload;
        let changes = workload.definition != before.definition
            || workload.network != before.network
            || workload.volume != before.volume
            || workload.balanced != before.balanced
            || workload.platform_version != before.platform_version;
        if changes || self.input.force_new_deployment == Some(true) {
            deploy::begin(tx, &self.api.tables, self.key, service, workload, &definition);
        }
        Ok(())
    }

    fn workload(
        &self,
        tx: &Tx<'_>,
        service: &Service,
        current: &Revision,
    ) -> Result<(Workload, Row<TaskDefinition>), Error> {
        let (input, cluster) = (self.input, &self.key.0);
        let text = input.platform_version.as_deref().filter(|text| !text.is_empty());
        // What is not given stays; a service that goes to instances now has none.
        let kept = current.workload.platform_version.as_deref();
        let platform_version = text.or(kept.filter(|_| service.capacity.is_fargate()));
        let named = input.task_definition.as_deref().filter(|text| !text.is_empty());
        let kept = current.workload.network.as_deref();
        // An empty list takes the volume away (API reference, `UpdateService`).
        let kept_volumes: Vec<_> =
            current.workload.volume.iter().map(|volume| (**volume).clone()).collect();
        let kept_balancers = balancers::show(&current.workload.balanced);
        let wanted = Wanted {
            operation: OPERATION,
            definition: named.unwrap_or_default(),
            capacity: service.capacity.clone(),
            network: input.network_configuration.as_ref().or(kept),
            platform_version,
            volumes: input.volume_configurations.as_deref().unwrap_or(&kept_volumes),
            balancers: input.load_balancers.as_deref().unwrap_or(&kept_balancers),
        };
        if named.is_some() {
            return wanted.read(self.api, tx, cluster);
        }
        // Services go on with a definition that was deregistered (ECS semantics §3.1).
        let key = definition_key(&current.workload.definition);
        let definition = tx.get(&self.api.tables.definitions, &key);
        let definition = definition.ok_or_else(tasks::no_definition)?;
        let is_same = input.network_configuration.is_none()
            && input.volume_configurations.is_none()
            && input.load_balancers.is_none()
            && service.capacity == current.workload.capacity
            && text.is_none();
        let workload = match is_same {
            false => wanted.of(self.api, tx, cluster, &definition)?,
            true => Workload { capacity: wanted.capacity, ..current.workload.clone() },
        };
        Ok((workload, definition))
    }
}
