//! Members of services that are not built: refused, never ignored.

use shapes_ecs as shapes;

use super::some;
use crate::error::Error;

/// The members that are refused when they say something, whatever the operation.
pub(in crate::api) struct Unbuilt<'a> {
    /// The operation, for its refusals.
    pub(in crate::api) operation: &'static str,
    /// Cloud Map.
    pub(in crate::api) service_registries: &'a Option<Vec<shapes::ServiceRegistry>>,
    /// Service Connect; that it is off may be said.
    pub(in crate::api) service_connect: Option<&'a shapes::ServiceConnectConfiguration>,
    /// VPC Lattice.
    pub(in crate::api) vpc_lattice: &'a Option<Vec<shapes::VpcLatticeConfiguration>>,
    /// Gateways.
    pub(in crate::api) gateways: &'a Option<Vec<shapes::GatewayConnector>>,
    /// Resolution of metrics.
    pub(in crate::api) monitoring: Option<&'a shapes::MonitoringConfiguration>,
}

impl Unbuilt<'_> {
    /// Refuses the first member that says something.
    ///
    /// # Errors
    /// [`Error::NotBuilt`], with the name of the member.
    pub(in crate::api) fn refuse(&self) -> Result<(), Error> {
        let metrics = |one: &shapes::MonitoringConfiguration| some(&one.metric_configurations);
        let what = if some(self.service_registries) {
            "serviceRegistries"
        } else if self.service_connect.is_some_and(|one| one.enabled) {
            "serviceConnectConfiguration"
        } else if some(self.vpc_lattice) {
            "vpcLatticeConfigurations"
        } else if some(self.gateways) {
            "gatewayConnectors"
        } else if self.monitoring.is_some_and(metrics) {
            "monitoring"
        } else {
            return Ok(());
        };
        Err(Error::not_built(self.operation, what))
    }
}

impl<'a> From<&'a shapes::CreateServiceRequest> for Unbuilt<'a> {
    fn from(input: &'a shapes::CreateServiceRequest) -> Self {
        Self {
            operation: "CreateService",
            service_registries: &input.service_registries,
            service_connect: input.service_connect_configuration.as_ref(),
            vpc_lattice: &input.vpc_lattice_configurations,
            gateways: &input.gateway_connectors,
            monitoring: input.monitoring.as_ref(),
        }
    }
}

impl<'a> From<&'a shapes::UpdateServiceRequest> for Unbuilt<'a> {
    fn from(input: &'a shapes::UpdateServiceRequest) -> Self {
        Self {
            operation: "UpdateService",
            service_registries: &input.service_registries,
            service_connect: input.service_connect_configuration.as_ref(),
            vpc_lattice: &input.vpc_lattice_configurations,
            gateways: &input.gateway_connectors,
            monitoring: input.monitoring.as_ref(),
        }
    }
}

/// Refuses what a task set may not say yet.
///
/// # Errors
/// [`Error::NotBuilt`], with the name of the member.
pub(in crate::api) fn refuse_of_set(input: &shapes::CreateTaskSetRequest) -> Result<(), Error> {
    Unbuilt {
        operation: "CreateTaskSet",
        service_registries: &input.service_registries,
        service_connect: None,
        vpc_lattice: &None,
        gateways: &None,
        monitoring: None,
    }
    .refuse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_json;

    #[test]
    fn what_says_something_is_refused() {
        let check = |member: &str, good: bool| {
            let input = parse_json(&format!(r#"{{"serviceName": "a", {member}}}"#));
            let input: shapes::CreateServiceRequest = input;
            assert_eq!(Unbuilt::from(&input).refuse().is_ok(), good, "{member}");
            let input = parse_json(&format!(r#"{{"service": "a", {member}}}"#));
            let input: shapes::UpdateServiceRequest = input;
            assert_eq!(Unbuilt::from(&input).refuse().is_ok(), good, "{member}");
        };
        check(r#""loadBalancers": [{"targetGroupArn": "a"}]"#, true);
        check(r#""serviceRegistries": [{"registryArn": "a"}]"#, false);
        check(r#""serviceConnectConfiguration": {"enabled": false}"#, true);
        check(r#""serviceConnectConfiguration": {"enabled": true}"#, false);
        check(r#""monitoring": {"metricConfigurations": []}"#, true);
        let lattice = r#"[{"roleArn": "a", "targetGroupArn": "a", "portName": "a"}]"#;
        check(&format!(r#""vpcLatticeConfigurations": {lattice}"#), false);
    }
}
