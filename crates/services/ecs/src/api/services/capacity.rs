//! What a service's or a task set's tasks go to: a launch type, or capacity providers.

use shapes_ecs as shapes;
use shapes_ecs::LaunchType;
use wire::value::Enumeration;

use super::super::{strategy, tasks};
use crate::error::Error;
use crate::model::{
    CapacityChoice, Cluster, LATEST, Platform, StrategyItem, TaskDefinition, Workload, is_fargate,
};

/// What a request says of it.
pub(in crate::api) struct Asked<'a> {
    /// The operation, for its refusals.
    pub(in crate::api) operation: &'static str,
    /// The launch type.
    pub(in crate::api) launch_type: Option<LaunchType>,
    /// Capacity providers; empty is as good as none.
    pub(in crate::api) strategy: &'a Option<Vec<shapes::CapacityProviderStrategyItem>>,
    /// Fargate's platform version.
    pub(in crate::api) platform_version: Option<&'a str>,
    /// Whether each instance gets a task, so that nothing is to choose.
    pub(in crate::api) is_daemon: bool,
}

impl Asked<'_> {
    /// What tasks go to: what is asked for, else the cluster's default, else EC2.
    ///
    /// # Errors
    /// When both are asked for, a strategy cannot place tasks here, or it is not built.
    pub(in crate::api) fn choose(&self, cluster: &Cluster) -> Result<CapacityChoice, Error> {
        let given = strategy::read(self.strategy.clone().unwrap_or_default())?;
        if !given.is_empty() {
            if self.launch_type.is_some() {
                // Observed on ECS.
                return Err(Error::invalid(
                    "Specifying both a launch type and capacity provider strategy is not \
                     supported. Remove one and try again.",
                ));
            }
            if self.is_daemon {
                return Err(Error::invalid(
                    "The daemon scheduling strategy does not support capacity provider \
                     strategies. Remove the capacity provider strategy and try again",
                ));
            }
            strategy::check(&given, &cluster.capacity_providers)?;
            strategy::check_weights(&given)?;
            return self.providers(&given);
        }
        let default = &cluster.default_strategy;
        if self.launch_type.is_none() && !self.is_daemon && !default.is_empty() {
            strategy::check_default_weights(default)?;
            return self.providers(default);
        }
        self.launch_type(self.launch_type.unwrap_or(LaunchType::Ec2))
    }

    fn providers(&self, items: &[StrategyItem]) -> Result<CapacityChoice, Error> {
        if items.iter().any(|item| is_fargate(&item.provider)) {
            self.platform()?;
            return Ok(CapacityChoice::Strategy(items.to_vec()));
        }
        refuse_platform(self.platform_version)?;
        Ok(CapacityChoice::Strategy(items.to_vec()))
    }

    fn platform(&self) -> Result<Platform, Error> {
        Platform::read(self.platform_version).ok_or(Error::PlatformUnknown)
    }

    fn launch_type(&self, launch_type: LaunchType) -> Result<CapacityChoice, Error> {
        if launch_type == LaunchType::Fargate && self.is_daemon {
            // Observed on ECS.
            return Err(Error::invalid(
                "The daemon scheduling strategy does not support the FARGATE launch type. Change \
                 the launch type and try again",
            ));
        }
        if launch_type == LaunchType::Fargate {
            self.platform()?;
            return Ok(CapacityChoice::LaunchType(launch_type.as_str().to_owned()));
        }
        if launch_type != LaunchType::Ec2 {
            let what = format!("launchType {}", launch_type.as_str());
            return Err(Error::not_built(self.operation, what));
        }
        refuse_platform(self.platform_version)?;
        Ok(CapacityChoice::LaunchType(launch_type.as_str().to_owned()))
    }
}

/// The platform version that a workload keeps, as ECS shows it: only Fargate has one.
///
/// # Errors
/// When Fargate has no such version, or instances are given one.
pub(in crate::api) fn platform_version(
    choice: &CapacityChoice,
    given: Option<&str>,
) -> Result<Option<String>, Error> {
    if !choice.is_fargate() {
        return refuse_platform(given).map(|()| None);
    }
    let given = given.filter(|text| !text.is_empty());
    Platform::read(given).ok_or(Error::PlatformUnknown)?;
    Ok(Some(given.unwrap_or(LATEST).to_owned()))
}

/// The platform of a workload as ECS shows it of deployments and task sets: its family, its version.
pub(in crate::api) fn show_platform(workload: &Workload) -> (Option<String>, Option<String>) {
    let platform = workload.platform();
    let version = platform.map(|platform| platform.as_str().to_owned());
    (platform.map(|_| "Linux".to_owned()), version)
}

/// Refuses a platform version: instances have none.
///
/// # Errors
/// When there is one; the text was observed on ECS.
pub(in crate::api) fn refuse_platform(version: Option<&str>) -> Result<(), Error> {
    match version {
        None | Some("") => Ok(()),
        Some(_) => Err(Error::invalid(
            "The platform version must be null when specifying an EC2 launch type.",
        )),
    }
}

/// Checks that a definition can run there.
///
/// # Errors
/// When it was registered for other launch types alone.
pub(in crate::api) fn check_definition(
    choice: &CapacityChoice,
    definition: &TaskDefinition,
) -> Result<(), Error> {
    match choice {
        CapacityChoice::LaunchType(launch_type) => tasks::supports(definition, launch_type),
        CapacityChoice::Strategy(_) if choice.is_fargate() => {
            tasks::supports(definition, LaunchType::Fargate.as_str())
        }
        CapacityChoice::Strategy(_) => tasks::supports(definition, LaunchType::Ec2.as_str()),
    }
}

/// A choice as the API shows it: a launch type or a strategy.
pub(in crate::api) fn show(
    choice: &CapacityChoice,
) -> (Option<LaunchType>, Option<Vec<shapes::CapacityProviderStrategyItem>>) {
    match choice {
        CapacityChoice::LaunchType(text) => (LaunchType::parse(text), None),
        CapacityChoice::Strategy(items) => (None, Some(strategy::show(items))),
    }
}
