//! What kind of capacity a RunTask goes to: a launch type, or a capacity provider strategy
//! (ECS semantics §5.4, §12.1). EXTERNAL and managed instances are not built.

use shapes_ecs as shapes;

use super::super::strategy;
use crate::error::Error;
use crate::model::{Cluster, Platform, StrategyItem, TaskDefinition, is_fargate};

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

    /// Checks it against the cluster and the definition: when this is well, it tells where the tasks
    /// go.
    pub(super) fn check(
        &self,
        cluster: &Cluster,
        definition: &TaskDefinition,
    ) -> Result<Choice, Error> {
        if !self.strategy.is_empty() {
            strategy::check(&self.strategy, &cluster.capacity_providers)?;
            strategy::check_weights(&self.strategy)?;
            return self.providers(&self.strategy, definition);
        }
        if self.launch_type.is_none() && !cluster.default_strategy.is_empty() {
            strategy::check_default_weights(&cluster.default_strategy)?;
            return self.providers(&cluster.default_strategy, definition);
        }
        let launch_type = self.launch_type.map_or("EC2", |kind| kind.as_str());
        supports(definition, launch_type)?;
        let strategy = Vec::new();
        match (launch_type, self.platform_version) {
            ("EC2", None) => Ok(Choice { strategy, platform: None }),
            ("EC2", Some(_)) => Err(no_platform()),
            ("FARGATE", _) => Ok(Choice { strategy, platform: Some(self.platform()?) }),
            (other, _) => Err(Error::not_built("RunTask", format!("launchType {other}"))),
        }
    }

    fn providers(
        &self,
        strategy: &[StrategyItem],
        definition: &TaskDefinition,
    ) -> Result<Choice, Error> {
        let strategy = strategy.to_vec();
        if strategy.iter().any(|item| is_fargate(&item.provider)) {
            supports(definition, "FARGATE")?;
            return Ok(Choice { strategy, platform: Some(self.platform()?) });
        }
        supports(definition, "EC2")?;
        match self.platform_version {
            None => Ok(Choice { strategy, platform: None }),
            Some(_) => Err(no_platform()),
        }
    }

    fn platform(&self) -> Result<Platform, Error> {
        Platform::read(self.platform_version).ok_or(Error::PlatformUnknown)
    }
}

/// Where the tasks of a request go.
pub(super) struct Choice {
    /// By which capacity providers; empty for a launch type, and then any place will do.
    pub(super) strategy: Vec<StrategyItem>,
    /// Fargate's platform, if they go there and not to container instances.
    pub(super) platform: Option<Platform>,
}

fn no_platform() -> Error {
    Error::invalid("The platform version must be null when specifying an EC2 launch type.")
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
