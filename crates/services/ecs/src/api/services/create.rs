//! CreateService.

use ledger::{Tx, View};
use shapes_ecs as shapes;
use terms::ServiceName;
use wire::Context;

use super::super::{Api, constraints, strategies, tags, target, tasks};
use super::capacity::Asked;
use super::rules::{Kind, balancers, counts, external, placement, unbuilt, zones};
use super::workload::check_exec;
use super::{Wanted, configuration, deploy, forget, show};
use crate::error::Error;
use crate::model::{
    CapacityChoice, Course, DeploymentConfiguration, DeploymentController, Document,
    SchedulingStrategy, Service, ServiceStatus, Tag, TaskDefinition, Workload, ZoneRebalancing,
};
use crate::tables::{ClusterKey, ServiceKey, Tables};

const OPERATION: &str = "CreateService";
/// Most services of a cluster that have not ended (ECS semantics §24).
const MAX_SERVICES: usize = 5_000;

/// A request, checked for itself.
struct Checked {
    key: ServiceKey,
    kind: Kind,
    token: Option<String>,
    desired: u32,
    configuration: DeploymentConfiguration,
    rebalancing: ZoneRebalancing,
    grace_seconds: Option<u32>,
    tags: Vec<Tag>,
    created_by: String,
    request: Document<shapes::CreateServiceRequest>,
}

impl Api {
    /// Makes a service. A repetition of the request that made one is answered with it.
    pub(crate) async fn create_service(
        &self,
        context: Context,
        input: shapes::CreateServiceRequest,
    ) -> Result<shapes::CreateServiceResponse, Error> {
        let cluster = target::cluster(&target::scope(&context), input.cluster.as_deref())?;
        let checked = check(&context, cluster, input)?;
        let (tables, key) = (self.tables, &checked.key);
        let full = is_full(&self.ledger.snapshot(), &tables, &key.0);
        let made = self.ledger.transact("create service", |tx| {
            let cluster = target::active_cluster(tx, &tables, &key.0)?;
            if checked.is_known(tx, &tables)? {
                return Ok(());
            }
            if full {
                return Err(Error::invalid(format!(
                    "The maximum number of services per cluster is {MAX_SERVICES}."
                )));
            }
            let input = &checked.request;
            let asked = Asked {
                operation: OPERATION,
                launch_type: input.launch_type,
                strategy: &input.capacity_provider_strategy,
                platform_version: input.platform_version.as_deref(),
                is_daemon: checked.kind.is_daemon(),
            };
            let capacity = asked.choose(&cluster)?;
            if capacity.is_fargate() {
                tasks::check_places(&input.placement_constraints, &input.placement_strategy)?;
            }
            let work = checked.workload(self, tx, capacity.clone())?;
            checked.write(tx, &tables, capacity, work);
            Ok::<(), Error>(())
        });
        made.await?;
        let service = Some(show::now(&self.ledger.snapshot(), &self.tables, key, true)?);
        Ok(shapes::CreateServiceResponse { service })
    }
}

/// Checks what needs nothing but the request.
fn check(
    context: &Context,
    cluster: ClusterKey,
    input: shapes::CreateServiceRequest,
) -> Result<Checked, Error> {
    let name: ServiceName = input.service_name.parse().map_err(|_| {
        Error::invalid(
            "Invalid service name: up to 255 letters, digits, hyphens and underscores are allowed.",
        )
    })?;
    let token = counts::token(input.client_token.as_deref())?.map(str::to_owned);
    let controller = input.deployment_controller.as_ref();
    let kind = Kind::read(OPERATION, input.scheduling_strategy, controller)?;
    if kind.is_external() {
        external::refuse_at_first(&input)?;
    } else if input.task_definition.as_ref().is_none_or(String::is_empty) {
        // Observed on ECS.
        return Err(Error::invalid("TaskDefinition can not be blank."));
    }
    let desired = counts::desired_at_first(kind, input.desired_count)?;
    let grace_seconds = counts::grace(input.health_check_grace_period_seconds)?;
    let given = input.deployment_configuration.as_ref();
    let configuration = configuration::read(kind, None, given)?;
    let rebalancing =
        placement::check(kind, &input.placement_constraints, &input.placement_strategy).and_then(
            |(constraints, strategies)| {
                let maximum_percent = configuration.maximum_percent;
                let facts = zones::Facts { kind, maximum_percent, strategies, constraints };
                facts.at_first(input.availability_zone_rebalancing)
            },
        )?;
    let given = input.load_balancers.as_deref().unwrap_or_default();
    balancers::check_role(input.role.as_deref(), given, None)?;
    unbuilt::Unbuilt::from(&input).refuse()?;
    Ok(Checked {
        key: (cluster, name),
        kind,
        token,
        desired,
        configuration,
        rebalancing: show::rebalancing(rebalancing),
        grace_seconds,
        tags: tags::read(input.tags.clone())?,
        created_by: context.caller.arn.clone(),
        request: Document::new(shapes::CreateServiceRequest {
            cluster: None,
            client_token: None,
            ..input
        }),
    })
}

impl Checked {
    /// Whether an earlier request like this one made the service.
    ///
    /// # Errors
    /// When the name or the token is another service's, or the name's service is still draining.
    /// The texts were observed on ECS.
    fn is_known(&self, tx: &mut Tx<'_>, tables: &Tables) -> Result<bool, Error> {
        let other = || Error::invalid("Creation of service was not idempotent.");
        if let Some(token) = &self.token {
            let named = (self.key.0.clone(), token.clone());
            let mut same = tx.index(&tables.services.by_token, &named);
            if same.any(|(key, _)| key != self.key) {
                return Err(other());
            }
        }
        let Some(row) = tx.get(&tables.services.rows, &self.key) else { return Ok(false) };
        match row.status {
            ServiceStatus::Active if row.request.as_ref() == Some(&self.request) => Ok(true),
            ServiceStatus::Active => Err(other()),
            ServiceStatus::Draining => {
                Err(Error::invalid("Unable to Start a service that is still Draining."))
            }
            ServiceStatus::Inactive => {
                forget(tx, tables, &self.key);
                Ok(false)
            }
        }
    }

    /// What its tasks are made from; none if that is for task sets to say.
    fn workload(
        &self,
        api: &Api,
        view: &impl View,
        capacity: CapacityChoice,
    ) -> Result<Option<(Workload, ledger::Row<TaskDefinition>)>, Error> {
        if self.kind.is_external() {
            return Ok(None);
        }
        let wanted = Wanted {
            operation: OPERATION,
            definition: self.request.task_definition.as_deref().unwrap_or_default(),
            capacity,
            network: self.request.network_configuration.as_ref(),
            platform_version: self.request.platform_version.as_deref(),
            volumes: self.request.volume_configurations.as_deref().unwrap_or_default(),
            balancers: self.request.load_balancers.as_deref().unwrap_or_default(),
        };
        let (workload, definition) = wanted.read(api, view, &self.key.0)?;
        let own = definition.document.placement_constraints.as_ref().map_or(0, Vec::len);
        placement::check_total(own, &self.request.placement_constraints)?;
        balancers::check_strategy(self.configuration.strategy, &workload.balanced)?;
        let mode = Some(definition.network_mode);
        balancers::check_role(self.request.role.as_deref(), wanted.balancers, mode)?;
        if self.request.enable_execute_command == Some(true) {
            check_exec(OPERATION, &definition)?;
        }
        Ok(Some((workload, definition)))
    }

    /// Writes the service, its deployment and its revision.
    fn write(
        &self,
        tx: &mut Tx<'_>,
        tables: &Tables,
        capacity: CapacityChoice,
        work: Option<(Workload, ledger::Row<TaskDefinition>)>,
    ) {
        let (input, now) = (&self.request, tx.now());
        let mut service = Service {
            arn: self.key.0.service_arn(self.key.1.clone()),
            status: ServiceStatus::Active,
            scheduling: match self.kind.is_daemon() {
                true => SchedulingStrategy::Daemon,
                false => SchedulingStrategy::Replica,
            },
            controller: match self.kind.is_external() {
                true => DeploymentController::External,
                false => DeploymentController::Ecs,
            },
            capacity,
            desired: self.desired,
            configuration: self.configuration.clone(),
            primary: None,
            constraints: constraints::keep(input.placement_constraints.as_deref()),
            strategies: strategies::keep(input.placement_strategy.as_deref()),
            role: input.role.clone().filter(|role| !role.is_empty()),
            grace_seconds: self.grace_seconds,
            rebalancing: self.rebalancing,
            execute_command: input.enable_execute_command == Some(true),
            managed_tags: input.enable_ecs_managed_tags == Some(true),
            propagate_tags: input.propagate_tags.map(|from| from.as_str().to_owned()),
            tags: self.tags.clone(),
            created_at: now,
            created_by: self.created_by.clone(),
            changed_at: now,
            client_token: self.token.clone(),
            request: Some(self.request.clone()),
            course: Course::default(),
        };
        if let Some((workload, definition)) = work {
            deploy::begin(tx, tables, &self.key, &mut service, workload, &definition);
        }
        tx.put(&tables.services.rows, self.key.clone(), service);
    }
}

/// Whether the cluster has as many services as it may. Counted on a snapshot: a count inside the
/// transaction would make any two services made at once a conflict.
fn is_full(view: &ledger::Snapshot, tables: &Tables, cluster: &ClusterKey) -> bool {
    let with = |status| {
        let rows = view.index(&tables.services.by_status, &(cluster.clone(), status));
        rows.count()
    };
    view.len(&tables.services.rows) >= MAX_SERVICES
        && with(ServiceStatus::Active) + with(ServiceStatus::Draining) >= MAX_SERVICES
}
