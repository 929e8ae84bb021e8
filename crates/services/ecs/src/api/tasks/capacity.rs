//! What kind of capacity a RunTask goes to: a launch type, or a capacity provider strategy
//! (ECS semantics §5.4, §12.1). Only the launch type EC2 is built.

use shapes_ecs as shapes;

use super::super::strategy;
use crate::error::Error;
use crate::model::{Cluster, StrategyItem, TaskDefinition};

/// Fargate's platform versions.
const PLATFORMS: [&str; 6] = ["LATEST", "1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];

/// What a request says of it, checked for itself.
pub(super) struct Capacity<'a> {
    launch_type: Option<shapes::LaunchType>,
    strategy: Vec<StrategyItem>,
    platform_version: Option<&'a str>,
}

impl<'a> Capacity<'a> {
    /// Reads the request.
    pub(super) fn read(input: &'a shapes::RunTaskRequest) -> Result<Self, Error> {
        let given = input.capacity_provider_strategy.clone().unwrap_or_default();
        if !given.is_empty() && input.launch_type.is_some() {
            return Err(Error::invalid(
                "Specify either Launch Type or Capacity Provider Strategy, but not both.",
            ));
        }
        let strategy = strategy::read(given)?;
        let platform_version = input.platform_version.as_deref();
        Ok(Self { launch_type: input.launch_type, strategy, platform_version })
    }

    /// Checks it against the cluster and the definition: when this is well, the tasks go to
    /// container instances.
    pub(super) fn check(
        &self,
        cluster: &Cluster,
        definition: &TaskDefinition,
    ) -> Result<(), Error> {
        if !self.strategy.is_empty() {
            strategy::check(&self.strategy, &cluster.capacity_providers)?;
            strategy::check_weights(&self.strategy)?;
            return Err(Error::not_built("RunTask", "capacityProviderStrategy"));
        }
        if self.launch_type.is_none() && !cluster.default_strategy.is_empty() {
            strategy::check_default_weights(&cluster.default_strategy)?;
            let what = "the cluster's default capacity provider strategy (name a launchType)";
            return Err(Error::not_built("RunTask", what));
        }
        let launch_type = self.launch_type.map_or("EC2", |kind| kind.as_str());
        supports(definition, launch_type)?;
        match (launch_type, self.platform_version) {
            ("EC2", None) => Ok(()),
            ("EC2", Some(_)) => Err(Error::invalid(
                "The platform version must be null when specifying an EC2 launch type.",
            )),
            ("FARGATE", Some(version)) if !PLATFORMS.contains(&version) => {
                Err(Error::PlatformUnknown)
            }
            (other, _) => Err(Error::not_built("RunTask", format!("launchType {other}"))),
        }
    }
}

/// Checks that a definition can run on a launch type.
///
/// # Errors
/// When it was registered for others alone.
pub(in crate::api) fn supports(
    definition: &TaskDefinition,
    launch_type: &str,
) -> Result<(), Error> {
    let known = definition.document.compatibilities.as_deref().unwrap_or_default();
    if !known.is_empty() && known.iter().all(|kind| kind.as_str() != launch_type) {
        // Observed on ECS for FARGATE.
        return Err(Error::invalid(format!(
            "Task definition does not support launch_type {launch_type}."
        )));
    }
    Ok(())
}
