//! Secrets of containers: parameters ten at a time, secrets one by one, each once for the task.

use std::collections::{BTreeMap, BTreeSet};

use agent_protocol::task::{Container, Secret};
use serde_json::{Value, json};

use super::reference::{SecretReference, json_key, parameter};
use super::role::Role;
use crate::transport::CallError;

/// Names of one GetParameters (API reference).
const NAMES_MAX: usize = 10;
/// `Secret.provider` of Secrets Manager; all others are parameters.
const SECRETS_MANAGER: &str = "asm";

/// A parameter's name, and whether the one with a slash before it may be meant.
type Parameter = (String, bool);

fn named(secret: &Secret) -> Parameter {
    (secret.value_from.clone(), secret.may_begin_with_slash)
}

/// Values by where they come from.
#[derive(Default)]
pub(super) struct Values {
    parameters: BTreeMap<(String, Parameter), String>,
    secrets: BTreeMap<(String, SecretReference), String>,
}

impl Values {
    /// The value of a container's secret.
    pub(super) fn get(&self, secret: &Secret) -> Result<String, String> {
        let region = secret.region.clone();
        if secret.provider != SECRETS_MANAGER {
            let found = self.parameters.get(&(region, named(secret)));
            return found.cloned().ok_or_else(|| of_parameters(secret, &secret.value_from));
        }
        let wanted = SecretReference::parse(&secret.value_from)?;
        let Some(text) = self.secrets.get(&(region, wanted.whole())) else {
            return Err(format!("no value was retrieved for {}", wanted.secret));
        };
        match &wanted.key {
            None => Ok(text.clone()),
            Some(key) => json_key(text, key),
        }
    }
}

fn of_parameters(secret: &Secret, names: &str) -> String {
    let region = &secret.region;
    format!(
        "fetching secret data from SSM Parameter Store in {region}: invalid parameters: {names}"
    )
}

/// Fetches all values that these containers name.
pub(super) async fn fetch(role: &Role<'_>, containers: &[Container]) -> Result<Values, String> {
    let mut parameters: BTreeMap<String, BTreeSet<Parameter>> = BTreeMap::new();
    let mut secrets: BTreeSet<(String, SecretReference)> = BTreeSet::new();
    for secret in containers.iter().flat_map(|container| &container.secrets) {
        let region = secret.region.clone();
        if secret.provider == SECRETS_MANAGER {
            secrets.insert((region, SecretReference::parse(&secret.value_from)?.whole()));
        } else {
            parameters.entry(region).or_default().insert(named(secret));
        }
    }
    let mut values = Values::default();
    for (region, names) in parameters {
        let names: Vec<Parameter> = names.into_iter().collect();
        for names in names.chunks(NAMES_MAX) {
            let found = of_region(role, &region, names).await.map_err(|why| {
                format!("fetching secret data from SSM Parameter Store in {region}: {why}")
            })?;
            let found = found.into_iter().map(|(name, value)| ((region.clone(), name), value));
            values.parameters.extend(found);
        }
    }
    for (region, wanted) in secrets {
        let text = secret(role, &region, &wanted).await?;
        values.secrets.insert((region, wanted), text);
    }
    Ok(values)
}

/// Up to ten parameters.
async fn of_region(
    role: &Role<'_>,
    region: &str,
    wanted: &[Parameter],
) -> Result<Vec<(Parameter, String)>, String> {
    let plain: BTreeSet<&String> = wanted.iter().map(|(name, _)| name).collect();
    let plain: Vec<_> = plain.into_iter().map(|name| (name.clone(), name.clone())).collect();
    let found: BTreeMap<_, _> = parameters(role, region, &plain).await?.into_iter().collect();
    // `x` and `/x` have one ARN, so only one of them exists; what came as an ARN may be either.
    let is_rooted = |(name, may): &&Parameter| *may && !found.contains_key(name);
    let rooted: Vec<_> = wanted.iter().filter(is_rooted).map(|(name, _)| name).collect();
    let rooted: Vec<_> = rooted.iter().map(|name| (format!("/{name}"), (*name).clone())).collect();
    let rooted: BTreeMap<_, _> = match rooted.is_empty() {
        true => BTreeMap::new(),
        false => parameters(role, region, &rooted).await?.into_iter().collect(),
    };
    let value = |(name, may): &Parameter| {
        found.get(name).or_else(|| rooted.get(name).filter(|_| *may)).cloned()
    };
    let missing = wanted.iter().filter(|one| value(one).is_none());
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        return Err(format!("invalid parameters: {}", missing.join(",")));
    }
    Ok(wanted.iter().filter_map(|one| Some((one.clone(), value(one)?))).collect())
}

/// Those that there are, of up to ten: each is asked for by the first name and given under the
/// second.
async fn parameters(
    role: &Role<'_>,
    region: &str,
    names: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    let asked: Vec<&str> = names.iter().map(|(asked, _)| asked.as_str()).collect();
    let input = json!({ "Names": asked, "WithDecryption": true });
    let answer = role.call(region, ("ssm", "AmazonSSM.GetParameters"), &input).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let found = answer["Parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let value = |(asked, given): &(String, String)| {
        let (name, selector) = parameter(asked);
        let is_meant = |one: &&Value| {
            one["Name"].as_str() == Some(name) && one["Selector"].as_str() == selector
        };
        let value = found.iter().find(is_meant)?["Value"].as_str()?;
        Some((given.clone(), value.to_owned()))
    };
    Ok(names.iter().filter_map(value).collect())
}

/// A secret's text; one of bytes gives an empty one, as with Amazon's agent.
pub(super) async fn secret(
    role: &Role<'_>,
    region: &str,
    wanted: &SecretReference,
) -> Result<String, String> {
    let SecretReference { secret, stage, version, .. } = wanted;
    let mut input = json!({ "SecretId": secret });
    if let Some(stage) = stage {
        input["VersionStage"] = stage.as_str().into();
    }
    if let Some(version) = version {
        input["VersionId"] = version.as_str().into();
    }
    let target = ("secretsmanager", "secretsmanager.GetSecretValue");
    match role.call(region, target, &input).await {
        Ok(answer) => Ok(answer["SecretString"].as_str().unwrap_or_default().to_owned()),
        // The text of Amazon's agent.
        Err(CallError::Service { code, message }) if code == "ResourceNotFoundException" => {
            Err(format!(
                "ResourceNotFoundException: The task can't retrieve the secret with ARN \
                 '{secret}' from AWS Secrets Manager. Check whether the secret exists in the \
                 specified Region: {code}: {message}"
            ))
        }
        Err(error) => Err(format!("secret {secret}: {error}")),
    }
}
