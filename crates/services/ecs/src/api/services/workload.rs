//! What tasks of a service or of a task set are made from: read, and checked as a task would be.

use ledger::{Row, View};
use shapes_ecs as shapes;

use super::super::{Api, target, tasks};
use super::capacity::{check_definition, platform_version};
use super::rules::balancers;
use crate::error::Error;
use crate::model::{CapacityChoice, DefinitionStatus, Document, TaskDefinition, Workload};
use crate::tables::ClusterKey;

/// What a request says of its tasks.
pub(in crate::api) struct Wanted<'a> {
    /// The operation, for its refusals.
    pub(in crate::api) operation: &'static str,
    /// Family, revision or ARN.
    pub(in crate::api) definition: &'a str,
    /// What they go to.
    pub(in crate::api) capacity: CapacityChoice,
    /// Subnets and security groups.
    pub(in crate::api) network: Option<&'a shapes::NetworkConfiguration>,
    /// Fargate's platform version.
    pub(in crate::api) platform_version: Option<&'a str>,
    /// EBS volumes.
    pub(in crate::api) volumes: &'a [shapes::ServiceVolumeConfiguration],
    /// Target groups.
    pub(in crate::api) balancers: &'a [shapes::LoadBalancer],
}

impl Wanted<'_> {
    /// The workload, and its definition.
    ///
    /// # Errors
    /// When there is no such ACTIVE definition, or a task of it would be refused: each rule of
    /// RunTask that is not about a single task.
    pub(in crate::api) fn read(
        &self,
        api: &Api,
        view: &impl View,
        cluster: &ClusterKey,
    ) -> Result<(Workload, Row<TaskDefinition>), Error> {
        let name = target::definition_name(&cluster.scope, self.definition);
        let scope = &cluster.scope;
        let found = name.and_then(|name| target::definition(view, &api.tables, scope, &name));
        let definition = found.ok_or_else(tasks::no_definition)?;
        if definition.status != DefinitionStatus::Active {
            // Observed on ECS; RunTask calls it a wrong parameter.
            return Err(Error::client("TaskDefinition is inactive"));
        }
        let workload = self.of(api, view, cluster, &definition)?;
        Ok((workload, definition))
    }

    /// The same with a definition that the service has already: it may have been deregistered.
    ///
    /// # Errors
    /// As [`Wanted::read`].
    pub(in crate::api) fn of(
        &self,
        api: &Api,
        view: &impl View,
        cluster: &ClusterKey,
        definition: &Row<TaskDefinition>,
    ) -> Result<Workload, Error> {
        check_definition(&self.capacity, definition)?;
        let launch = (self.operation, self.network, self.volumes);
        let workload = Workload {
            definition: definition.arn.clone(),
            capacity: self.capacity.clone(),
            platform_version: platform_version(&self.capacity, self.platform_version)?,
            network: self.network.cloned().map(Document::new),
            volume: self.volumes.first().cloned().map(Document::new),
            balanced: Vec::new(),
        };
        let wanted = (&**definition, self.balancers);
        let balanced = balancers::read(self.operation, api, view, &cluster.scope, wanted)?;
        let workload = Workload { balanced, ..workload };
        let platform = workload.platform();
        tasks::check_for_service(api, view, cluster, launch, platform, definition.clone())?;
        Ok(workload)
    }
}

/// What ECS Exec needs of a service's definition.
///
/// # Errors
/// When it has no task role, in ECS's words (observed).
pub(in crate::api) fn check_exec(
    operation: &'static str,
    definition: &TaskDefinition,
) -> Result<(), Error> {
    if definition.document.task_role_arn.as_ref().is_none_or(String::is_empty) {
        let done = if operation == "CreateService" { "created" } else { "updated" };
        return Err(Error::invalid(format!(
            "The service couldn't be {done} because a valid taskRoleArn is not being used. Specify \
             a valid task role in your task definition and try again."
        )));
    }
    Ok(())
}
