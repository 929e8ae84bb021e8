//! Log configurations (ECS semantics §3.4; botocore's `LogConfiguration`).

use std::collections::BTreeMap;

use shapes_ecs as shapes;

use super::task::{Task, items};
use super::{environment, log_options};
use crate::error::Error;

/// Options that a driver cannot do without, in ECS's order.
const REQUIRED: [(shapes::LogDriver, &[&str]); 3] = [
    (shapes::LogDriver::Awslogs, &["awslogs-region", "awslogs-group"]),
    (shapes::LogDriver::Splunk, &["splunk-url", "splunk-token"]),
    (shapes::LogDriver::Gelf, &["gelf-address"]),
];
/// Checks a container's log configuration.
pub(super) fn check(one: &shapes::ContainerDefinition, task: &Task<'_>) -> Result<(), Error> {
    let Some(logs) = &one.log_configuration else { return Ok(()) };
    let driver = logs.log_driver.as_str();
    let none = BTreeMap::new();
    let options = logs.options.as_ref().unwrap_or(&none);
    let secrets = items(&logs.secret_options);
    let given = |name: &str| {
        options.get(name).is_some_and(|value| !value.is_empty())
            || secrets.iter().any(|secret| secret.name == name)
    };
    let required = REQUIRED.iter().find(|(known, _)| *known == logs.log_driver);
    let required = required.map_or(&[][..], |(_, options)| options);
    let missing: Vec<&str> = required.iter().copied().filter(|name| !given(name)).collect();
    if !missing.is_empty() {
        // Observed: klothoplatform/klotho issue 892.
        let missing = missing.join(", ");
        return Err(Error::client(format!("Log driver {driver} requires options: {missing}")));
    }
    log_options::check(logs.log_driver, options, secrets)?;
    for secret in secrets {
        environment::value_from(&secret.value_from)?;
    }
    if !secrets.is_empty() && !task.has_execution_role() {
        return Err(environment::needs_execution_role());
    }
    Ok(())
}
