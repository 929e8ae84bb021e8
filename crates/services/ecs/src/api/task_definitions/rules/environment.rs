//! Environment, environment files, secrets and labels of a container (ECS semantics §3.4).

use std::collections::BTreeSet;

use shapes_ecs as shapes;

use super::names::{arn, invalid_arn};
use super::task::{Task, items, wrong};
use crate::error::Error;

/// Most environment files of a container.
const MAX_ENVIRONMENT_FILES: usize = 10;

/// Checks them.
pub(super) fn check(
    one: &shapes::ContainerDefinition,
    name: &str,
    task: &Task<'_>,
) -> Result<(), Error> {
    let variables = items(&one.environment);
    if variables.iter().any(|pair| pair.name.as_deref().unwrap_or("").is_empty()) {
        return Err(wrong(name, "An environment variable needs a name."));
    }
    files(items(&one.environment_files))?;
    secrets(items(&one.secrets), variables)?;
    let given = one.secrets.as_ref().is_some_and(|list| !list.is_empty());
    if given && !task.has_execution_role() {
        return Err(needs_execution_role());
    }
    if let Some(registry) = &one.repository_credentials {
        let parameter = &registry.credentials_parameter;
        if !is_secret_arn(parameter) && (parameter.is_empty() || parameter.starts_with("arn:")) {
            return Err(invalid_arn());
        }
    }
    let labels = one.docker_labels.iter().flatten();
    if labels.into_iter().any(|(key, _)| key.is_empty()) {
        return Err(wrong(name, "A docker label needs a name."));
    }
    Ok(())
}

/// Observed: fabfuel/ecs-deploy issue 87.
pub(super) fn needs_execution_role() -> Error {
    Error::client(
        "When you are specifying container secrets, you must also specify a value for \
         'executionRoleArn'.",
    )
}

/// The text of too many files was observed, and that of what is no ARN.
fn files(files: &[shapes::EnvironmentFile]) -> Result<(), Error> {
    if files.len() > MAX_ENVIRONMENT_FILES {
        return Err(Error::client(
            "The maximum number of environment files was exceeded. Specify ten or less and try \
             again.",
        ));
    }
    for file in files {
        let Some([_, "s3", .., object]) = arn(&file.value) else { return Err(invalid_arn()) };
        if !object
            .split_once('/')
            .is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        {
            return Err(invalid_arn());
        }
        if !object.ends_with(".env") {
            return Err(Error::client("Environment files must have a .env file extension."));
        }
    }
    Ok(())
}

fn secrets(secrets: &[shapes::Secret], variables: &[shapes::KeyValuePair]) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for secret in secrets {
        let name = secret.name.as_str();
        if name.is_empty() {
            return Err(Error::client("Secret.name should not be null or empty."));
        }
        if !names.insert(name) {
            // Observed: CircleCI-Public/aws-ecs-orb issue 210.
            return Err(Error::client(format!(
                "Duplicate secret names found: {name}. Each secret name must be unique."
            )));
        }
        if variables.iter().any(|pair| pair.name.as_deref() == Some(name)) {
            // Observed: dagster-io/dagster issue 11622.
            return Err(Error::client(format!(
                "The secret name must be unique and not shared with any new or existing \
                 environment variables set on the container, such as '{name}'."
            )));
        }
        value_from(&secret.value_from)?;
    }
    Ok(())
}

/// Where a secret is: the ARN of a secret or of a parameter, or a parameter's bare name.
///
/// ECS also refuses parameters of other accounts; see `names::role` for why they are let through.
pub(super) fn value_from(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::client("Secret.valueFrom should not be null or empty."));
    }
    let is_parameter = |text: &str| match arn(text) {
        Some([_, "ssm", _, _, resource]) => resource.starts_with("parameter/"),
        _ => false,
    };
    let good = !text.starts_with("arn:") || is_secret_arn(text) || is_parameter(text);
    good.then_some(()).ok_or_else(invalid_arn)
}

fn is_secret_arn(text: &str) -> bool {
    match arn(text) {
        Some([_, "secretsmanager", _, _, resource]) => resource.starts_with("secret:"),
        _ => false,
    }
}
