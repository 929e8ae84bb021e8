//! What a service of the EXTERNAL controller may say: what its task sets do not (API reference,
//! CreateService and UpdateService).

use shapes_ecs as shapes;

use super::some;
use crate::error::Error;

/// Refuses what belongs to task sets.
///
/// # Errors
/// For each such member; the texts for the first two were observed on ECS.
pub(in crate::api) fn refuse_at_first(input: &shapes::CreateServiceRequest) -> Result<(), Error> {
    let text = if input.task_definition.as_ref().is_some_and(|text| !text.is_empty()) {
        "TaskDefinition must be blank"
    } else if some(&input.load_balancers) {
        "LoadBalancers must be empty or null"
    } else if some(&input.service_registries) {
        "ServiceRegistries must be empty or null"
    } else if input.network_configuration.is_some() {
        "NetworkConfiguration must be null"
    } else if input.launch_type.is_some() {
        "LaunchType must be null"
    } else if some(&input.capacity_provider_strategy) {
        "CapacityProviderStrategy must be empty or null"
    } else if input.platform_version.as_ref().is_some_and(|text| !text.is_empty()) {
        "PlatformVersion must be blank"
    } else {
        return Ok(());
    };
    Err(Error::invalid(text))
}

/// Refuses what belongs to task sets. The form of the text was observed for CODE_DEPLOY.
///
/// # Errors
/// For each such member.
pub(in crate::api) fn refuse_later(input: &shapes::UpdateServiceRequest) -> Result<(), Error> {
    let what = if input.task_definition.as_ref().is_some_and(|text| !text.is_empty()) {
        "task definition"
    } else if input.network_configuration.is_some() {
        "network configuration"
    } else if input.platform_version.as_ref().is_some_and(|text| !text.is_empty()) {
        "platform version"
    } else if some(&input.load_balancers) {
        "load balancers"
    } else if some(&input.service_registries) {
        "service registries"
    } else if some(&input.capacity_provider_strategy) {
        "capacity provider strategy"
    } else if input.force_new_deployment == Some(true) {
        return Err(Error::invalid(
            "Cannot force a new deployment on services with an EXTERNAL deployment controller. \
             Create a new task set.",
        ));
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!(
        "Unable to update {what} on services with an EXTERNAL deployment controller. Create a new \
         task set."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_json;

    #[test]
    fn only_what_task_sets_do_not_say() {
        let first = |member: &str, good: bool| {
            let input = parse_json(&format!(r#"{{"serviceName": "a", {member}}}"#));
            assert_eq!(refuse_at_first(&input).is_ok(), good, "{member}");
        };
        let later = |member: &str, good: bool| {
            let input = parse_json(&format!(r#"{{"service": "a", {member}}}"#));
            assert_eq!(refuse_later(&input).is_ok(), good, "{member}");
        };
        let network = r#""networkConfiguration": {"awsvpcConfiguration": {"subnets": ["a"]}}"#;
        let strategy = r#""capacityProviderStrategy": [{"capacityProvider": "a"}]"#;
        let balancers = r#""loadBalancers": [{"targetGroupArn": "a"}]"#;
        let registries = r#""serviceRegistries": [{"registryArn": "a"}]"#;
        let definition = r#""taskDefinition": "web""#;
        for member in [network, strategy, balancers, registries, definition] {
            first(member, false);
            later(member, false);
        }
        first(r#""launchType": "EC2""#, false);
        later(r#""forceNewDeployment": true"#, false);
        for member in [
            r#""desiredCount": 1"#,
            r#""taskDefinition": """#,
            r#""loadBalancers": []"#,
            r#""healthCheckGracePeriodSeconds": 3"#,
            r#""placementConstraints": [{"type": "distinctInstance"}]"#,
        ] {
            first(member, true);
            later(member, true);
        }
    }
}
